"""Writes a study's report as one HTML file that needs nothing beside itself.

The file makes no request, reads without JavaScript, and is the same bytes for the same inputs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from reproductions.drawing import rename_ids, view_box
from reproductions.explorers import Explorer
from reproductions.html import render, write
from reproductions.provenance import ProvenanceView, provenance_view
from reproductions.records import ClaimRecord, FigureRecord, StudyRecord, still_caption
from reproductions.study_report import Figure, Silence, StudyReport
from reproductions.tables import TableView, table_view
from reproductions.verdicts.claims import Claim
from reproductions.verdicts.interval_bar import IntervalBar, interval_bar
from reproductions.verdicts.judge import RULE, Judged
from reproductions.verdicts.power_text import power_text
from reproductions.verdicts.rules import rules
from reproductions.verdicts.sources import MEANINGS as SOURCE_MEANINGS
from reproductions.verdicts.sources import by_source
from reproductions.verdicts.verdict_text import (
    MEANINGS,
    SYMBOLS,
    interval_text,
    margin_text,
    ours_text,
    published_text,
    verdict_word,
    why_not_run,
)

# Every space but the one before a bracket, which opens an interval or a spread.
_NEVER_INSIDE = re.compile(r" (?!\()")


@dataclass(frozen=True)
class _ClaimRow:
    claim: Claim
    published: str
    ours: str
    interval: str
    margin: str
    word: str
    symbol: str
    explanation: str
    bar: "IntervalBar | None"


@dataclass(frozen=True)
class _FigureView:
    figure: Figure
    base: Markup | None
    frames: tuple[tuple[str, Markup], ...]
    runs: "tuple[ProvenanceView, ...]"


@dataclass(frozen=True)
class Surroundings:
    """What lies around a study's page.

    Attributes:
        beside: pages to play with that belong to the study.
        groups: file and words of the pages of its groups of claims.
        found: what the published runs showed, in two plain sentences.
        whose: says whose runs the page shows.
        is_site: whether it is a page of the site, which has a front page to lead back to.
    """

    beside: Sequence[Explorer] = ()
    groups: Sequence[tuple[str, str]] = ()
    found: str = ""
    whose: str = ""
    is_site: bool = False


ALONE = Surroundings()
OWN_RUNS = (
    "Yours: all numbers and pictures on this page are of your own runs. Published: the column "
    "of that name alone, which is what the paper prints."
)
PUBLISHED_RUNS = (
    "Published: all numbers and pictures on this page are of this project's own runs, made before."
)


def render_page(report: StudyReport, around: Surroundings = ALONE) -> str:
    """Return the page's HTML.

    Raises ValueError for a figure without picture or text alternative, one that names an unknown
    claim, and one whose frames would not lie exactly over its base.
    """
    known = {claim.id for claim, _, _ in report.judged}
    return _filled(
        report,
        counts=_counts(report.judged),
        tables=[(caption, _breaking(table_view(frame))) for caption, frame in report.tables],
        rows=claim_rows(report.judged),
        figures=[_view(figure, known, place) for place, figure in enumerate(report.figures)],
        around=around,
    )


@dataclass(frozen=True)
class RecordPage:
    """A study of which only the published record is at hand, as its page shows it.

    Attributes:
        record: what is published.
        claims: today's, by whose ids the record's are explained.
        notes: where the paper is silent.
        about: what the paper did, for a newcomer.
        citation: the paper.
        citation_url: its address, if any.
        pictures: one per figure of the record.
        command: the line that trains the study.
        tables: its published tables, as far as they are at hand.
    """

    record: StudyRecord
    claims: Sequence[Claim]
    notes: Sequence[Silence]
    about: str
    citation: str
    citation_url: str | None
    pictures: Sequence[Markup]
    command: str
    tables: Sequence[tuple[str, TableView]] = ()

    @property
    def title(self) -> str:
        """The report's title."""
        return self.record.title

    @property
    def summary(self) -> str:
        """The report's paragraphs, with an empty line between them."""
        return "\n\n".join(self.record.summary)

    @property
    def overrides(self) -> tuple[str, ...]:
        """None: only a suite's own settings are published."""
        return ()


_FIRST_RULE = (
    "These verdicts were given by the first rule; docs/verdicts.md says what the second changed."
)


def claim_rows(judged: Sequence[Judged]) -> list[_ClaimRow]:
    """What the table of claims shows, from a report."""
    return [_claim_row(each) for each in judged]


def record_rows(record: StudyRecord, claims: Sequence[Claim]) -> list[_ClaimRow]:
    """What the table of claims shows, from a published record and today's claims."""
    known = {claim.id: claim for claim in claims}
    return [_record_row(row, known.get(row.id)) for row in record.rows]


@dataclass(frozen=True)
class ClaimGroup:
    """A page of claims that say one thing.

    Attributes:
        file: its name in the site.
        words: what the claims say.
        why: the written reason for differences, if any.
        study: title of the study's page.
        study_file: its name in the site.
        rows: the claims.
        neighbours: file and words of the group before and of the one after, where there are any.
    """

    file: str
    words: str
    why: str
    study: str
    study_file: str
    rows: Sequence[_ClaimRow]
    neighbours: Sequence[tuple[str, str]] = ()


def render_group(group: ClaimGroup) -> str:
    """Return the page of one group of claims."""
    return render(
        "group.html",
        "slider.js",
        group=group,
        rows=group.rows,
        counts=_row_counts(group.rows),
        sources=SOURCE_MEANINGS,
        rules=rules(),
        symbols=SYMBOLS,
        meanings={row.word: MEANINGS[row.word] for row in group.rows},
    )


def _row_counts(rows: Sequence[_ClaimRow]) -> list[tuple[str, dict[str, int]]]:
    found = by_source((row.claim.source, row.word) for row in rows)
    return [(source, {word: words[word] for word in SYMBOLS}) for source, words in found.items()]


def render_record(page: RecordPage, around: Surroundings = ALONE) -> str:
    """Return the page of a study whose runs are not stored, from its published record."""
    rows = record_rows(page.record, page.claims)
    told = [around.whose, "" if page.record.rule == RULE else _FIRST_RULE]
    if len(page.tables) < len(page.record.tables):
        told.append("Not all of its tables are on this page; they are with the published results.")
    return _filled(
        page,
        counts=_row_counts(rows),
        tables=[(caption, _breaking(view)) for caption, view in page.tables],
        rows=rows,
        figures=[
            _still(f, picture)
            for f, picture in zip(page.record.figures, page.pictures, strict=True)
        ],
        around=replace(around, whose=" ".join(filter(None, told))),
        is_record=True,
    )


def _still(figure: FigureRecord, picture: Markup) -> _FigureView:
    caption = still_caption(figure.caption)
    shown = Figure(figure.id, figure.title, caption, figure.alt, None, (), (), ())
    return _FigureView(shown, picture, (), ())


def _record_row(row: ClaimRecord, claim: Claim | None) -> _ClaimRow:
    # A claim that was taken back since its verdict is shown until the study is published again.
    old = Claim(row.id, row.sentence, row.place, "shape", question=row.question)
    return _ClaimRow(
        claim=claim or old,
        published=_unbroken(row.published),
        ours=_unbroken(row.ours),
        interval=_unbroken(row.interval),
        margin=_unbroken(margin_text(claim)) if claim else "This claim was taken back since",
        word=row.word,
        symbol=SYMBOLS[row.word],
        explanation="",
        bar=None,
    )


def _reasons(summary: str) -> list[str]:
    """The summary's sentences about differences, one each."""
    told = [text for text in summary.split("\n\n") if ": differs" in text]
    # A full stop within a sentence, as in 1.3, has no space behind it.
    return [sentence for text in told for sentence in re.split(r"(?<=\.) (?=[A-Z0-9])", text)]


def _filled(
    report: StudyReport | RecordPage,
    counts: Sequence[tuple[str, dict[str, int]]],
    tables: Sequence[tuple[str, TableView]],
    rows: Sequence[_ClaimRow],
    figures: Sequence[_FigureView],
    around: Surroundings,
    is_record: bool = False,
) -> str:
    # What moves says most, and stands on the first screen; else what was learnt, and not verdicts.
    lead = next((view for view in figures if len(view.frames) > 1), None)
    lead = lead or next((view for view in figures if view.figure.id != "overview"), None)
    return render(
        "study.html",
        "slider.js",
        report=report,
        counts=counts,
        sources=SOURCE_MEANINGS,
        rules=rules(),
        symbols=SYMBOLS,
        meanings=MEANINGS,
        tables=tables,
        rows=rows,
        differing=[row for row in rows if row.word == "differs"],
        reasons=_reasons(report.summary),
        lead=lead,
        figures=[view for view in figures if view is not lead],
        beside=around.beside,
        groups=around.groups,
        found=around.found,
        whose=around.whose,
        is_site=around.is_site,
        is_record=is_record,
    )


def _counts(judged: Sequence[Judged]) -> list[tuple[str, dict[str, int]]]:
    """Counts of verdicts by what claims go back to, printed ones first."""
    found = by_source((claim.source, verdict_word(verdict)) for claim, _, verdict in judged)
    return [(source, {word: counts[word] for word in SYMBOLS}) for source, counts in found.items()]


def write_page(report: StudyReport, path: Path, whose: str = OWN_RUNS) -> None:
    """Writes the page, and the folder above it if need be. Raises as ``render_page`` does.

    Args:
        report: what it shows.
        path: the page.
        whose: says whose runs it shows.
    """
    write(render_page(report, Surroundings(whose=whose)), path)


def _claim_row(judged: Judged) -> _ClaimRow:
    claim, _, verdict = judged
    word = verdict_word(verdict)
    return _ClaimRow(
        claim=claim,
        published=_unbroken(published_text(claim)),
        ours=_unbroken(ours_text(claim, verdict)),
        interval=_unbroken(interval_text(claim, verdict)),
        margin=_unbroken(margin_text(claim)),
        word=word,
        symbol=SYMBOLS[word],
        explanation=_unbroken(verdict.explanation + power_text(claim.id))
        if verdict
        else why_not_run(claim),
        bar=interval_bar(claim, verdict),
    )


def _breaking(table: TableView) -> TableView:
    """Lets a cell of numbers break before its interval, and nowhere else."""
    # The first cell names its row, though its name may begin with a number.
    numeric = {place for place, is_numeric in enumerate(table.numeric) if is_numeric and place}
    rows = tuple(
        tuple(
            _NEVER_INSIDE.sub("\u00a0", cell) if place in numeric else cell
            for place, cell in enumerate(row)
        )
        for row in table.rows
    )
    return replace(table, rows=rows)


def _unbroken(text: str) -> str:
    """Keeps signs on the line of their numbers."""
    return text.replace(" %", "\u00a0%").replace("n = ", "n\u00a0=\u00a0").replace("± ", "±\u00a0")


def _view(figure: Figure, known_claims: set[str], place: int) -> _FigureView:
    _check(figure, known_claims)
    # Two frames may be the same picture; ids must differ all the same.
    # A still picture is all base, and one with a slider a base below its frames.
    base = None if figure.base_svg is None else _inline(figure.base_svg, f"f{place}-")
    frames = tuple(
        (frame.label, _inline(frame.svg, f"f{place}-{step}-"))
        for step, frame in enumerate(figure.frames, start=1)
    )
    return _FigureView(figure, base, frames, tuple(map(provenance_view, figure.provenance)))


def _inline(svg: str, prefix: str) -> Markup:
    return Markup(rename_ids(svg, prefix))


def _check(figure: Figure, known_claims: set[str]) -> None:
    pictures = [frame.svg for frame in figure.frames]
    if figure.base_svg is not None:
        pictures.append(figure.base_svg)
    if not pictures:
        raise ValueError(f"figure '{figure.id}' has no picture")
    if not figure.alt.strip():
        raise ValueError(f"figure '{figure.id}' has no text alternative")
    # A frame with another coordinate system would lie beside the picture that it belongs to.
    if len({view_box(picture) for picture in pictures}) > 1:
        raise ValueError(f"figure '{figure.id}' has pictures of different sizes")
    if unknown := sorted(set(figure.claim_ids) - known_claims):
        raise ValueError(f"figure '{figure.id}' names unknown claims: {', '.join(unknown)}")
