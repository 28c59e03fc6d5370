"""One picture of all value claims: the published number with its margin against our interval."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reproductions.claims import Claim
from reproductions.drawing import COLOURS, INK, figure_style
from reproductions.formatting import number
from reproductions.report_types import Judged
from reproductions.verdicts import Verdict
from reproductions.wording import SYMBOLS, ours_text

_ROW_INCHES = 0.8
_FEWEST, _MOST = -1.0, 3.0  # farther out, a point is drawn as an arrow at the edge
_LABEL_CHARACTERS = 66


@dataclass(frozen=True)
class _Row:
    """One claim in units of its published value."""

    claim: Claim
    verdict: Verdict
    margin: float
    low: float
    high: float
    ours: float


def interval_overview(judged: Sequence[Judged]) -> Figure:
    """Draws a row for every judged value claim, all divided by their published values.

    Claims without an estimate and those with the published value 0 are left out. Raises
    ValueError if no claim remains.
    """
    rows = [row for claim, _, verdict in judged if (row := _row(claim, verdict)) is not None]
    if not rows:
        raise ValueError("no judged value claim with a published value other than 0")
    with figure_style():
        figure = Figure(figsize=(6.4, 0.75 + _ROW_INCHES * len(rows)))
        axes = figure.add_subplot()
        left, right = _limits(rows)
        axes.set(xlim=(left, right), ylim=(len(rows) - 0.55, -0.75), yticks=[])
        axes.set_xlabel("ours as a multiple of the published value")
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False)
        for place, row in enumerate(rows):
            _draw_row(axes, row, place)
    return figure


def _row(claim: Claim, verdict: Verdict | None) -> _Row | None:
    if verdict is None or verdict.estimate is None or claim.kind != "value":
        return None
    if claim.published is None or claim.margin is None or claim.published.value == 0:
        return None
    published = claim.published.value
    ends = verdict.interval or (verdict.estimate, verdict.estimate)
    low, high = sorted(end / published for end in ends)
    ours = verdict.estimate / published
    return _Row(claim, verdict, claim.margin / abs(published), low, high, ours)


def _limits(rows: Sequence[_Row]) -> tuple[float, float]:
    ends = [end for row in rows for end in (row.low, row.high, row.ours) if math.isfinite(end)]
    ends += [1 + side * row.margin for row in rows for side in (-1, 1)]
    left, right = max(min(ends), _FEWEST), min(max(ends), _MOST)
    pad = 0.06 * (right - left)
    return left - pad, right + pad


def _draw_row(axes: Axes, row: _Row, place: int) -> None:
    left, right = axes.get_xlim()
    axes.fill_betweenx(
        [place - 0.16, place + 0.16],
        1 - row.margin,
        1 + row.margin,
        color=COLOURS["blue"],
        alpha=0.22,
        linewidth=0,
    )
    axes.vlines(1.0, place - 0.16, place + 0.16, color=COLOURS["blue"], linewidth=1.5)
    axes.hlines(place, max(row.low, left), min(row.high, right), color=INK, linewidth=2)
    # A bound has no end on one side: its bar leaves the picture behind an arrowhead.
    for end, edge, arrow in ((row.low, left, "<"), (row.high, right, ">")):
        if math.isinf(end):
            axes.plot(edge, place, arrow, color=INK, clip_on=False)
    marker = "<" if row.ours < left else ">" if row.ours > right else "o"
    axes.plot(min(max(row.ours, left), right), place, marker, color=INK, clip_on=False)
    _label(axes, row, place)


def _label(axes: Axes, row: _Row, place: int) -> None:
    # Two lines above each row leave the whole width to the picture, also on a phone.
    sentence = textwrap.shorten(row.claim.sentence, _LABEL_CHARACTERS, placeholder=" …")
    word = row.verdict.word
    published = number(row.claim.published.value) if row.claim.published else ""
    numbers = (
        f"{SYMBOLS[word]} {word}: ours {ours_text(row.claim, row.verdict)}, published {published}"
    )
    for text, height, strength in ((sentence, -0.52, 1.0), (numbers, -0.30, 0.8)):
        axes.text(
            0.0,
            place + height,
            text,
            transform=axes.get_yaxis_transform(),
            verticalalignment="center",
            fontsize=10.5,
            alpha=strength,
            parse_math=False,
        )
