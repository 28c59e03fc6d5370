"""From a matplotlib figure to a report's figure, keeping both: one for the page, one for PNG."""

from collections.abc import Iterable

from matplotlib.figure import Figure as Drawing

from reproductions.drawing import to_svg
from reproductions.report_types import Figure
from reproductions.runs import NamedRun

# What the page shows, and what RESULTS.md shows of it.
Picture = tuple[Figure, Drawing]


def still(
    drawing: Drawing,
    *,
    id: str,
    title: str,
    caption: str,
    alt: str,
    claim_ids: Iterable[str] = (),
    runs: Iterable[NamedRun] = (),
) -> Picture:
    """A figure without a slider, drawn from ``runs``."""
    figure = Figure(
        id=id,
        title=title,
        caption=caption,
        alt=alt,
        base_svg=to_svg(drawing, label=alt),
        frames=(),
        claim_ids=tuple(claim_ids),
        provenance=tuple(run.provenance() for run in runs),
    )
    return figure, drawing
