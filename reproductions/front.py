"""Write the front page of all studies from finished runs: `python -m reproductions.front`.

A picture, the five questions, a table of all claims, times and machines: reports/index.html. What
was not run here stands there as it is published, and is marked so. Trains nothing. The only setting
is runs_dir=PATH; with it the page has a folder of its own.
"""

import base64
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path

import yaml
from markupsafe import Markup

from experiments.command_line import console, errors_for_people, plain_arguments
from experiments.runner.errors import UserError
from reproductions.drawing import rename_ids
from reproductions.explorers import Explorer
from reproductions.html import render, write
from reproductions.records import (
    FOLDER,
    ClaimRecord,
    StudyRecord,
    filled_in,
    read,
    record_of,
    still_caption,
)
from reproductions.report import STUDIES, BuiltReport, build_report, page_of
from reproductions.study_report import Figure
from reproductions.verdicts.judge import RULE
from reproductions.verdicts.sources import Counted, by_source, counted, headline, source_of
from reproductions.verdicts.verdict_text import NOT_RUN, SYMBOLS

_ANSWERS = Path(__file__).with_name("answers.yaml")
_CLAIMS = "{}: {} claims"
_GATE_CAPTION = (
    "A mixture learns to tell vowels apart. Each sign is one recording of a spoken vowel. The "
    "tinted regions show which expert the gate asks there; the lines are the borders that the "
    "experts draw between the vowels."
)
_STILL_ALT = (
    "Two tinted regions over a plane of dots, and in each of them a straight line between vowels."
)
_GATE_ALT = (
    "Animation: coloured regions grow over a plane of dots while straight lines turn into place."
)


@dataclass(frozen=True)
class Answer:
    """A question, our answer, and where its figure is.

    Attributes:
        question: its number.
        asked: the question.
        answer: two sentences.
        more: what a reader who wants to know more is told.
        study: the study that its figure belongs to.
        figure: its id.
        rests_on: claims that it is taken from, none of which may be inconclusive.
    """

    question: int
    asked: str
    answer: str
    study: str
    figure: str
    more: str = ""
    # Claims that it is taken from, none of which may be inconclusive.
    rests_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Shown:
    """A figure of our runs, or of the published ones."""

    id: str
    caption: str
    alt: str
    picture: Markup
    is_published: bool


@dataclass(frozen=True)
class _Screen:
    answer: Answer
    is_answered: bool
    word: str
    worth: tuple[tuple[str, str], ...]
    num_judged: int
    num_published: int
    figure: _Shown | None
    rows: tuple[tuple[str, ClaimRecord], ...]


def answers() -> list[Answer]:
    """Read the questions and our answers, in their order."""
    return [Answer(**entry) for entry in yaml.safe_load(_ANSWERS.read_text("utf-8"))]


def standing(words: Iterable[str]) -> str:
    """What the verdicts on a question's claims come to.

    `holds` if all that are decided match, `holds in part` if at least half of them do, `does not
    hold` if fewer do, and `open` where none is decided.
    """
    counts = Counter(words)
    # Open claims and those that were not run count neither way.
    decided = counts["matches"] + counts["differs"]
    if not decided:
        return "open"
    if not counts["differs"]:
        return "holds"
    return "holds in part" if counts["matches"] >= decided / 2 else "does not hold"


def render_front(
    every: Sequence[BuiltReport],
    earlier: Sequence[StudyRecord] = (),
    links: Mapping[str, str] | None = None,
    explorers: Sequence[Explorer] = (),
    handbook: Sequence[tuple[str, str, str]] = (),
    is_site: bool = False,
) -> str:
    """Return the page's HTML.

    Args:
        every: the reports that there are.
        earlier: what is published; it speaks for what was not run here, marked so.
        links: addresses of the studies' own pages, where there are any.
        explorers: pages to play with that lie beside this one.
        handbook: pages to look things up in: file, title and one sentence of each.
        is_site: whether it is the site's front page, where all is as published.
    """
    here = {each.report.study: record_of(each.report, each.found.runs) for each in every}
    records, elsewhere = [], {}
    for study in STUDIES:
        # Our own runs come before the published ones.
        known = here.get(study) or next((old for old in earlier if old.study == study), None)
        if known is not None:
            record, taken = filled_in(known, earlier)
            if study not in here:
                # All that stands there was run elsewhere.
                taken = frozenset(row.id for row in record.rows if row.word != NOT_RUN)
            records.append(record)
            elsewhere[study] = taken
    figures = {
        (each.report.study, figure.id): figure for each in every for figure in each.report.figures
    }
    return render(
        "front.html",
        "front.js",
        screens=[
            _screen(answer, records, elsewhere, _shown(answer, figures, earlier))
            for answer in answers()
        ],
        records=records,
        elsewhere=elsewhere,
        links=links or {},
        explorers=explorers,
        handbook=handbook,
        is_site=is_site,
        num_claims=sum(len(record.rows) for record in records),
        worth=_worth(
            (source_of(record.study, row.id), row.word) for record in records for row in record.rows
        ),
        moving=_moving(),
        about={study.name: study.about for study in STUDIES.values()},
        source_of=source_of,
        outdated=_outdated(records, elsewhere, earlier),
        total=headline(
            (source_of(record.study, row.id), row.word) for record in records for row in record.rows
        ),
        missing=[study for study in STUDIES if study not in here],
        symbols=SYMBOLS,
        costs=[(*_cost(record), record.study not in here) for record in records],
    )


def _outdated(
    records: Sequence[StudyRecord],
    elsewhere: Mapping[str, Collection[str]],
    earlier: Sequence[StudyRecord],
) -> list[str]:
    """Studies with verdicts on this page that an earlier rule gave."""
    old = {record.study for record in earlier if record.rule != RULE}
    return [record.study for record in records if elsewhere[record.study] and record.study in old]


def _screen(
    answer: Answer,
    records: Sequence[StudyRecord],
    elsewhere: Mapping[str, Collection[str]],
    figure: _Shown | None,
) -> _Screen:
    rows = tuple(
        (record.study, row)
        for record in records
        for row in record.rows
        if row.question == answer.question
    )
    return _Screen(
        answer,
        is_answered=any(row.word != NOT_RUN for _, row in rows),
        word=standing(row.word for _, row in rows),
        worth=_worth((source_of(study, row.id), row.word) for study, row in rows),
        num_judged=sum(row.word != NOT_RUN for _, row in rows),
        num_published=sum(row.id in elsewhere[study] for study, row in rows),
        figure=figure,
        rows=rows,
    )


def _worth(verdicts: Iterable[Counted]) -> tuple[tuple[str, str], ...]:
    """What an answer rests on: what papers print, and everything else apart from it."""
    counts = by_source(verdicts)
    printed = counts.pop("printed", Counter())
    others = sum(counts.values(), Counter[str]())
    # Where a paper prints nothing, a reader should know that before our own claims are counted.
    return (
        (_CLAIMS.format("Printed in a paper", printed.total()), counted(printed))
        if printed
        else ("Printed in a paper", "no number"),
        (_CLAIMS.format("All other claims", others.total()), counted(others))
        if others
        else ("All other claims", "none"),
    )


def _moving() -> _Shown | None:
    """The picture that moves, of the gate as it forms; a still one stands in for it."""
    folder = FOLDER.parent / "figures" / "vowel"
    still = folder / "figure2.png"
    for name, kind in (("gate.svg", "svg+xml"), ("gate.gif", "gif")):
        if (folder / name).exists():
            image = _image((folder / name).read_bytes(), kind)
            # Who has asked the system for less motion gets the last state, at rest.
            source = '<source media="(prefers-reduced-motion: reduce)" srcset="{}">'
            rest = Markup(source).format(_data(still.read_bytes(), "png"))
            picture = Markup("<picture>{}{}</picture>").format(rest, image)
            return _Shown("gate", _GATE_CAPTION, _GATE_ALT, picture, is_published=True)
    if not still.exists():
        return None
    image = _image(still.read_bytes(), "png")
    return _Shown("gate", _GATE_CAPTION, _STILL_ALT, image, is_published=True)


def _data(data: bytes, kind: str) -> str:
    # Within the page, which makes no request and can be sent as one file.
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _image(data: bytes, kind: str) -> Markup:
    return Markup('<img alt="" src="{}">').format(_data(data, kind))


def _shown(
    answer: Answer, figures: Mapping[tuple[str, str], Figure], earlier: Sequence[StudyRecord]
) -> _Shown | None:
    """The answer's figure from our runs, else the published one; None without either."""
    figure = figures.get((answer.study, answer.figure))
    if figure is not None and figure.base_svg is not None:
        # The same figure may answer two questions, and ids must stay unique in the page.
        svg = Markup(rename_ids(figure.base_svg, f"q{answer.question}-"))
        return _Shown(figure.id, figure.caption, figure.alt, svg, is_published=False)
    png = FOLDER.parent / "figures" / answer.study / f"{answer.figure}.png"
    for record in earlier:
        for old in record.figures:
            if (record.study, old.id) == (answer.study, answer.figure) and png.exists():
                image = _image(png.read_bytes(), "png")
                return _Shown(old.id, still_caption(old.caption), old.alt, image, is_published=True)
    return None


def _cost(record: StudyRecord) -> tuple[str, str, str, str]:
    minutes = record.seconds / 60
    return (
        record.study,
        f"{record.num_runs}",
        f"{minutes:.0f}" if minutes >= 10 else f"{minutes:.1f}",
        "; ".join([*record.hardware, *record.versions]),
    )


def write_front(overrides: Sequence[str] = ()) -> Path:
    """Write the page from every study that has finished runs, and from what is published.

    Raises:
        UserError: there is neither, a run is damaged, or a published record is.
    """
    unknown = [item for item in overrides if not item.startswith("runs_dir=")]
    if unknown:
        raise UserError(f"There is no setting {unknown[0]} here.", "Allowed: runs_dir=PATH.")
    every = [each for study in STUDIES if (each := build_report([f"suite={study}", *overrides]))]
    earlier = read(list(STUDIES))
    if not every and not earlier:
        raise UserError("No study has a finished run.", "Train first: make reproduce")
    page = page_of("", overrides)
    pages = {study: page_of(study, overrides) for study in STUDIES}
    links = {study: relpath(own, page.parent) for study, own in pages.items() if own.exists()}
    write(render_front(every, earlier, links), page)
    return page


def main() -> None:
    """Write the front page."""
    with errors_for_people():
        page = write_front(plain_arguments(str(__doc__)))
        console.print(f"front page: {page}")


if __name__ == "__main__":
    main()
