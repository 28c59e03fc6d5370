"""Write the front page of all studies from finished runs: `python -m reproductions.front`.

One screen per question, one table of all claims, times and machines: reports/index.html. Trains
nothing. The only setting is runs_dir=PATH.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from markupsafe import Markup

from experiments.command_line import console, errors_for_people, plain_arguments
from experiments.errors import UserError
from reproductions.html import render, write
from reproductions.published import Record, Row, filled_in, read, record_of
from reproductions.report import BUILDERS, Built, built
from reproductions.report_types import Figure
from reproductions.svg import rename_ids
from reproductions.wording import SYMBOLS

PAGE = Path("reports", "index.html")
_ANSWERS = Path(__file__).with_name("answers.yaml")


@dataclass(frozen=True)
class Answer:
    """A question, our answer, and where its figure is."""

    question: int
    asked: str
    answer: str
    study: str
    figure: str


@dataclass(frozen=True)
class _Screen:
    answer: Answer
    word: str
    counts: str
    figure: Figure | None
    picture: Markup | None
    rows: tuple[tuple[str, Row], ...]


def answers() -> list[Answer]:
    """The questions in their order."""
    return [Answer(**entry) for entry in yaml.safe_load(_ANSWERS.read_text("utf-8"))]


def standing(words: Iterable[str]) -> str:
    """What the verdicts on a question's claims come to.

    `holds` if all that are decided match, `holds in part` if at least half of them do, `does not
    hold` if fewer do, and `open` where none is decided.
    """
    counts = Counter(words)
    decided = counts["matches"] + counts["differs"]
    if not decided:
        return "open"
    if not counts["differs"]:
        return "holds"
    return "holds in part" if counts["matches"] >= decided / 2 else "does not hold"


def render_front(every: Sequence[Built], earlier: Sequence[Record] = ()) -> str:
    """The page's HTML.

    Args:
        every: the reports that there are.
        earlier: what is published; it speaks for claims that were not run here, marked so.
    """
    filled = {
        each.report.study: filled_in(record_of(each.report, each.found.runs), earlier)
        for each in every
    }
    records = {study: record for study, (record, _) in filled.items()}
    figures = {
        (each.report.study, figure.id): figure for each in every for figure in each.report.figures
    }
    return render(
        "front.html",
        "front.js",
        screens=[_screen(answer, records, figures) for answer in answers()],
        records=list(records.values()),
        elsewhere={study: taken for study, (_, taken) in filled.items() if taken},
        missing=[study for study in BUILDERS if study not in records],
        symbols=SYMBOLS,
        costs=[_cost(record) for record in records.values()],
    )


def _screen(
    answer: Answer, records: dict[str, Record], figures: dict[tuple[str, str], Figure]
) -> _Screen:
    rows = tuple(
        (study, row)
        for study, record in records.items()
        for row in record.rows
        if row.question == answer.question
    )
    counted = Counter(row.word for _, row in rows)
    counts = ", ".join(f"{counted[word]} {word}" for word in SYMBOLS if counted[word])
    figure = figures.get((answer.study, answer.figure))
    picture = None
    if figure is not None and figure.base_svg is not None:
        picture = Markup(rename_ids(figure.base_svg, f"q{answer.question}-"))
    word = standing(row.word for _, row in rows)
    return _Screen(answer, word, counts or "no claims", figure, picture, rows)


def _cost(record: Record) -> tuple[str, str, str, str]:
    minutes = record.seconds / 60
    return (
        record.study,
        f"{record.num_runs}",
        f"{minutes:.0f}" if minutes >= 10 else f"{minutes:.1f}",
        "; ".join([*record.hardware, *record.versions]),
    )


def write_front(overrides: Sequence[str] = ()) -> Path:
    """Write the page from every study that has finished runs.

    Raises:
        UserError: no study has, or a run is damaged.
    """
    unknown = [item for item in overrides if not item.startswith("runs_dir=")]
    if unknown:
        raise UserError(f"There is no setting {unknown[0]} here.", "Allowed: runs_dir=PATH.")
    every = [each for study in BUILDERS if (each := built([f"suite={study}", *overrides]))]
    if not every:
        raise UserError("No study has a finished run.", "Train first: make reproduce")
    write(render_front(every, read(list(BUILDERS))), PAGE)
    return PAGE


def main() -> None:
    """Write the page."""
    with errors_for_people():
        page = write_front(plain_arguments(str(__doc__)))
        console.print(f"front page: {page}")


if __name__ == "__main__":
    main()
