"""Labels at the ends of lines, moved apart so that none covers another."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from reproductions.drawing import PAPER

Entry = tuple[float, str, str, float]


def label_ends(axes: Axes, x: float, entries: Sequence[Entry], fontsize: float = 10.5) -> None:
    """Writes each text to the right of (x, y), moved up or down where two would overlap.

    Args:
        axes: axes whose limits are final.
        x: data coordinate of the ends.
        entries: (y in data coordinates, text, colour, alpha) each.
        fontsize: in points.
    """
    low, high = axes.get_ylim()
    figure = axes.get_figure(root=True)
    assert figure is not None
    height = axes.get_position().height * figure.get_size_inches()[1] * 72
    gap = 1.25 * fontsize / height * (high - low)
    ordered = sorted(entries)
    # An end outside of the picture is labelled at its edge.
    places = spread_apart([min(max(entry[0], low + gap / 2), high) for entry in ordered], gap)
    for y, (_, text, colour, alpha) in zip(places, ordered, strict=True):
        axes.annotate(
            "■",
            (x, y),
            xytext=(4, 0),
            textcoords="offset points",
            color=colour,
            alpha=alpha,
            fontsize=0.8 * fontsize,
            verticalalignment="center",
            annotation_clip=False,
        )
        # In the text's colour, which can be read on any background; the square tells whose it is.
        axes.annotate(
            text,
            (x, y),
            xytext=(14, 0),
            textcoords="offset points",
            alpha=alpha,
            fontsize=fontsize,
            verticalalignment="center",
            annotation_clip=False,
            # Lines that pass below a label would strike it through.
            bbox={"boxstyle": "square,pad=0.1", "facecolor": PAPER, "linewidth": 0},
        )


def spread_apart(places: Sequence[float], gap: float) -> list[float]:
    """Ascending places moved as little as need be for neighbours to be ``gap`` apart.

    Neighbours that are too close form a block that is centred where they were.
    """
    blocks: list[list[float]] = []
    for place in places:
        blocks.append([place])
        while len(blocks) > 1 and _top(blocks[-2], gap) + gap > _bottom(blocks[-1], gap):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    return [_bottom(block, gap) + gap * index for block in blocks for index in range(len(block))]


def _bottom(block: list[float], gap: float) -> float:
    return float(np.mean(block)) - gap * (len(block) - 1) / 2


def _top(block: list[float], gap: float) -> float:
    return float(np.mean(block)) + gap * (len(block) - 1) / 2
