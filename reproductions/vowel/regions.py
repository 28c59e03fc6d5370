"""Where in the plane of formants each expert holds the largest mixing proportion.

A linear gate gives expert i the points x at which its logit is the largest: a convex polygon, cut
from the picture's box by one straight line for each rival.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def box(xlim: tuple[float, float], ylim: tuple[float, float]) -> Array:
    """The corners of a rectangle, counter-clockwise, `[4, 2]`."""
    (left, right), (low, high) = xlim, ylim
    return np.array([[left, low], [right, low], [right, high], [left, high]])


def winner_regions(gate_E3: Array, corners: Array) -> list[Array]:
    """The polygon `[P, 2]` in which each expert has the largest proportion; empty for none.

    Args:
        gate_E3: gate weights on F1, F2 and the constant one.
        corners: the picture's box.
    """
    return [
        _intersection(corners, np.delete(gate_E3[expert] - gate_E3, expert, axis=0))
        for expert in range(len(gate_E3))
    ]


def clipped(polygon: Array, line: Array) -> Array:
    """The part of a convex polygon where w1 x + w2 y + b is not negative, `[P, 2]`."""
    if not len(polygon):
        return polygon
    heights = polygon @ line[:2] + line[2]
    kept = []
    for here, there, now, then in zip(
        polygon, np.roll(polygon, -1, axis=0), heights, np.roll(heights, -1), strict=True
    ):
        if now >= 0:
            kept.append(here)
        if (now >= 0) != (then >= 0):
            kept.append(here + (there - here) * now / (now - then))
    return np.array(kept).reshape(-1, 2)


def segment(line: Array, polygon: Array) -> Array:
    """The two ends of a line within a convex polygon, `[2, 2]`; empty where it misses."""
    if not len(polygon):
        return np.empty((0, 2))
    heights = polygon @ line[:2] + line[2]
    ends = [
        here + (there - here) * now / (now - then)
        for here, there, now, then in zip(
            polygon, np.roll(polygon, -1, axis=0), heights, np.roll(heights, -1), strict=True
        )
        if (now >= 0) != (then >= 0)
    ]
    return np.array(ends).reshape(-1, 2)


def _intersection(polygon: Array, lines: Array) -> Array:
    for line in lines:
        polygon = clipped(polygon, line)
    return polygon
