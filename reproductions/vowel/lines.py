"""Decision lines of experts: where they lie, and whether they first travel together.

A line is (w1, w2, b): the points (F1, F2) with w1 F1 + w2 F2 + b = 0, where a logistic expert
answers exactly 0.5. Lines have no direction: (w1, w2, b) and its negative are the same line.

Shapes: S snapshots, E experts, N cases, `...` any number of lines.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Two lines can differ by 90 degrees at most; by chance a line lies within a sixth of that of X
# in one case of six, and eight of them at once in one of 1.7 million.
ANGLE_TOLERANCE = 15.0
# In standard deviations of the training cases across X's line: by half of one a line can move
# without changing its answer for more than about a fifth of normally distributed cases.
OFFSET_TOLERANCE = 0.5
FEWEST_APART = 2


@dataclass(frozen=True)
class Frame:
    """What angles and offsets refer to.

    ``reference`` is the line X that a single expert finds for all vowels, ``centre`` the mean of
    the training formants, ``spread`` their standard deviation across X's line (all in kHz).
    """

    reference: Array
    centre: Array
    spread: float


def frame_of(reference: Array, formants_N2: Array) -> Frame:
    """The frame of a reference line `[3]` and the training formants `[N, 2]`."""
    normal = reference[:2] / np.linalg.norm(reference[:2])
    return Frame(reference, formants_N2.mean(axis=0), float((formants_N2 @ normal).std()))


def angle(lines: Array, frame: Frame) -> Array:
    """Degrees from X's line to each line, from -90 up to 90, counter-clockwise; `[...]`."""
    direction = np.arctan2(lines[..., 1], lines[..., 0])
    zero = np.arctan2(frame.reference[1], frame.reference[0])
    return np.asarray((np.degrees(direction - zero) + 90.0) % 180.0 - 90.0)


def offset(lines: Array, frame: Frame) -> Array:
    """Signed distance from the centre of the training cases to each line, kHz; `[...]`.

    Positive means that the line lies on the side of X's line where X's single expert answers 1,
    so that X itself and the others are measured in one direction.
    """
    length = np.linalg.norm(lines[..., :2], axis=-1)
    sign = np.where(lines[..., :2] @ frame.reference[:2] < 0, -1.0, 1.0)
    return np.asarray(-sign * (lines[..., :2] @ frame.centre + lines[..., 2]) / length)


def is_near_reference(lines: Array, frame: Frame) -> NDArray[np.bool_]:
    """Whether each line lies within both tolerances of X's line; False for NaN; `[...]`."""
    shift = np.abs(offset(lines, frame) - offset(frame.reference, frame))
    turned = np.abs(angle(lines, frame))
    return np.asarray((turned <= ANGLE_TOLERANCE) & (shift <= OFFSET_TOLERANCE * frame.spread))


def first_together(snapshots_SE3: Array, frame: Frame) -> int | None:
    """Index of the first snapshot at which all experts' lines are near X's line, if any."""
    together = np.flatnonzero(is_near_reference(snapshots_SE3, frame).all(axis=-1))
    return int(together[0]) if together.size else None


def together_then_apart(
    snapshots_SE3: Array, stop_E3: Array, live_E: NDArray[np.bool_], frame: Frame
) -> bool:
    """Whether one run shows Figure 3's story: all experts first head for X's line, then part.

    True if all experts' lines, used later or not, lie near X's line at one snapshot before the
    stop, and at the stop the lines of at least two live experts do not. Lines are near when they
    differ by at most 15 degrees and by at most half a standard deviation of the training cases
    across X's line. Definition and tolerances were fixed before any run was looked at.

    Args:
        snapshots_SE3: all experts' lines before the stop.
        stop_E3: their lines at the stop.
        live_E: which experts have a mixing proportion above the threshold for some case then.
        frame: the line X and the training cases.
    """
    if first_together(snapshots_SE3, frame) is None:
        return False
    apart = live_E & np.isfinite(stop_E3).all(axis=-1) & ~is_near_reference(stop_E3, frame)
    return int(apart.sum()) >= FEWEST_APART
