"""Writes a study's report as one HTML file that needs nothing beside itself.

The file makes no request, reads without JavaScript, and is the same bytes for the same inputs.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from reproductions.claims import Claim
from reproductions.html import render, write
from reproductions.provenance_view import ProvenanceView, provenance_view
from reproductions.report_types import Figure, Judged, StudyReport
from reproductions.strips import Strip, strip
from reproductions.svg import rename_ids, view_box
from reproductions.tables import TableView, table_view
from reproductions.wording import (
    MEANINGS,
    SYMBOLS,
    count_verdicts,
    interval_text,
    margin_text,
    ours_text,
    published_text,
    verdict_word,
)

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
    strip: Strip | None


@dataclass(frozen=True)
class _FigureView:
    figure: Figure
    base: Markup | None
    frames: tuple[tuple[str, Markup], ...]
    runs: tuple[ProvenanceView, ...]


def render_page(report: StudyReport) -> str:
    """The page's HTML.

    Raises ValueError for a figure without picture or text alternative, one that names an unknown
    claim, and one whose frames would not lie exactly over its base.
    """
    known = {claim.id for claim, _, _ in report.judged}
    return render(
        "study.html",
        "slider.js",
        report=report,
        counts=count_verdicts(verdict for _, _, verdict in report.judged),
        symbols=SYMBOLS,
        meanings=MEANINGS,
        tables=[(caption, _breaking(table_view(frame))) for caption, frame in report.tables],
        rows=[_claim_row(judged) for judged in report.judged],
        figures=[_view(figure, known, place) for place, figure in enumerate(report.figures)],
    )


def write_page(report: StudyReport, path: Path) -> None:
    """Writes the page, and the folder above it if need be. Raises as ``render_page`` does."""
    write(render_page(report), path)


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
        explanation=_unbroken(verdict.explanation) if verdict else "No finished run yet.",
        strip=strip(claim, verdict),
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
    if len({view_box(picture) for picture in pictures}) > 1:
        raise ValueError(f"figure '{figure.id}' has pictures of different sizes")
    if unknown := sorted(set(figure.claim_ids) - known_claims):
        raise ValueError(f"figure '{figure.id}' names unknown claims: {', '.join(unknown)}")
