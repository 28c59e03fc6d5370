"""Decision lines of experts: where they lie, and whether they first travel together.

A line is (w1, w2, b): the points (F1, F2) with w1 F1 + w2 F2 + b = 0, where a logistic expert
answers exactly 0.5. Lines have no direction: (w1, w2, b) and its negative are the same line.

Shapes: S snapshots, E experts, N cases, `...` any number of lines.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from experiments.vowel import data, systems
from experiments.vowel.evaluation import LIVE_THRESHOLD
from experiments.vowel.settings import System
from reproductions.runs import NamedRun

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
    # Across X's line, which is along its normal (w1, w2).
    normal = reference[:2] / np.linalg.norm(reference[:2])
    return Frame(reference, formants_N2.mean(axis=0), float((formants_N2 @ normal).std()))


def angle(lines: Array, frame: Frame) -> Array:
    """Degrees from X's line to each line, from -90 up to 90, counter-clockwise; `[...]`."""
    # Of the normals: they turn as the lines do. Modulo 180, since a line has no direction.
    direction = np.arctan2(lines[..., 1], lines[..., 0])
    zero = np.arctan2(frame.reference[1], frame.reference[0])
    return np.asarray((np.degrees(direction - zero) + 90.0) % 180.0 - 90.0)


def offset(lines: Array, frame: Frame) -> Array:
    """Signed distance from the centre of the training cases to each line, kHz; `[...]`.

    Positive means that the line lies on the side of X's line where X's single expert answers 1,
    so that X itself and the others are measured in one direction.
    """
    length = np.linalg.norm(lines[..., :2], axis=-1)
    # The normal may point either way; it is turned to X's side before distances are compared.
    sign = np.where(lines[..., :2] @ frame.reference[:2] < 0, -1.0, 1.0)
    # Distance of a point c to w x + b = 0: (w c + b) / |w|.
    return np.asarray(-sign * (lines[..., :2] @ frame.centre + lines[..., 2]) / length)


def is_near_reference(lines: Array, frame: Frame) -> NDArray[np.bool_]:
    """Tell whether each line lies within both tolerances of X's line, `[...]`; NaN never does."""
    shift = np.abs(offset(lines, frame) - offset(frame.reference, frame))
    turned = np.abs(angle(lines, frame))
    return np.asarray((turned <= ANGLE_TOLERANCE) & (shift <= OFFSET_TOLERANCE * frame.spread))


def first_together(snapshots_SE3: Array, frame: Frame) -> int | None:
    """Index of the first snapshot at which all experts' lines are near X's line, if any."""
    # At one and the same snapshot, which chance would hardly bring about.
    together = np.flatnonzero(is_near_reference(snapshots_SE3, frame).all(axis=-1))
    return int(together[0]) if together.size else None


def turn_towards(start_E3: Array, later_E3: Array, frame: Frame) -> NDArray[np.bool_]:
    """Tell of each expert whether its line is turned less from X's line later than at the start.

    The paper says that all experts first head for X, and to head for a line is not to arrive at
    it: this asks for the direction alone, in which half of all lines would turn by chance.

    Args:
        start_E3: lines before the first update.
        later_E3: the same experts' lines afterwards; NaN never turns towards anything.
        frame: the line X and the training cases.
    """
    before, after = (np.abs(angle(lines, frame)) for lines in (start_E3, later_E3))
    return np.asarray(after < before)


def together_then_apart(
    snapshots_SE3: Array, stop_E3: Array, live_E: NDArray[np.bool_], frame: Frame
) -> bool:
    """Tell whether one run shows Figure 3's story: all experts head for X's line, then part.

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
    # Experts without cases of their own go nowhere, so they cannot part.
    apart = live_E & np.isfinite(stop_E3).all(axis=-1) & ~is_near_reference(stop_E3, frame)
    return int(apart.sum()) >= FEWEST_APART


@dataclass(frozen=True)
class Trajectory:
    """One seed's mixture, from its initial weights to its stop.

    Attributes:
        seed: its number.
        status: converged, exhausted or diverged.
        epochs: epoch of each snapshot, `[S]`; the last is the stop (or the last one kept).
        experts_SEO3: expert weights on F1, F2 and the constant one.
        gate_SE3: gate weights, the same.
        proportions_SEN: mixing proportions of the training cases.
        outputs_SN: the blended output (the first one, where there are more).
    """

    seed: int
    status: str
    epochs: NDArray[np.int64]
    experts_SEO3: Array
    gate_SE3: Array
    proportions_SEN: Array
    outputs_SN: Array

    @property
    def lines_SE3(self) -> Array:
        """The experts' decision lines; they have one only where they have one output."""
        return self.experts_SEO3[:, :, 0]

    @property
    def live_SE(self) -> NDArray[np.bool_]:
        """Which experts have a mixing proportion that is not effectively 0 for all cases."""
        return np.asarray(self.proportions_SEN.max(axis=-1) > LIVE_THRESHOLD)


def has_lines(run: NamedRun) -> bool:
    """Tell whether the run has experts with one output, and so with one decision line each."""
    is_mixture = run.study.system is System.mixture
    return is_mixture and data.load(run.study).codes_VO.shape[1] == 1


def formants(run: NamedRun) -> Array:
    """The training formants F1, F2 as the run saw them, `[N, 2]`."""
    return data.load(run.study).train.inputs_DN[:2].T.double().numpy()


def trajectory(run: NamedRun, position: int = 0) -> Trajectory:
    """The path of the seed at ``position`` in the run's list of seeds; 0 is the first seed."""
    arrays = run.finished.arrays("snapshots")
    return _trajectory(run, arrays, run.table("metrics"), position)


def num_paths(run: NamedRun) -> int:
    """How many seeds have their snapshots kept: `study.num_paths`, or all where there are fewer."""
    return min(int(run.study.num_paths), len(run.table("metrics")))


def trajectories(run: NamedRun) -> Iterator[Trajectory]:
    """The paths of all seeds whose snapshots are kept, in their order."""
    # Read once: the arrays of many seeds are large.
    arrays, metrics = run.finished.arrays("snapshots"), run.table("metrics")
    for position in range(num_paths(run)):
        yield _trajectory(run, arrays, metrics, position)


def _trajectory(
    run: NamedRun, arrays: Mapping[str, NDArray[Any]], table: pd.DataFrame, position: int
) -> Trajectory:
    metrics = table.iloc[position]
    # A diverged seed's weights are NaN from some snapshot on.
    kept = np.isfinite(arrays["gate"][:, position]).all(axis=(-1, -2))
    epochs = arrays["epochs"][kept]
    experts, gate = arrays["experts"][kept, position], arrays["gate"][kept, position]
    # Snapshots are kept at fixed epochs, and a seed stops between two of them: its own last state
    # stands in the place of those after the stop.
    if metrics["status"] == "converged":
        before = epochs < metrics["epochs"]
        epochs = np.append(epochs[before], metrics["epochs"])
        experts = np.concatenate([experts[before], arrays["stopped_experts"][None, position]])
        gate = np.concatenate([gate[before], arrays["stopped_gate"][None, position]])
    vowels = data.load(run.study)
    # The network itself says what it answers: no second copy of its equations stands here.
    net = systems.build(run.study, vowels.codes_VO.shape[1])
    inputs_DN = vowels.train.inputs_DN
    weights = {
        name: torch.from_numpy(each).to(inputs_DN.dtype)
        for name, each in (("experts", experts), ("gate", gate))
    }
    prediction = net.predict(weights, inputs_DN)
    assert prediction.mixture is not None
    return Trajectory(
        seed=int(metrics["seed"]),
        status=str(metrics["status"]),
        epochs=epochs.astype(np.int64),
        experts_SEO3=experts.astype(np.float64),
        gate_SE3=gate.astype(np.float64),
        proportions_SEN=prediction.mixture.proportions_EN.double().numpy(),
        outputs_SN=prediction.output_ON[:, 0].double().numpy(),
    )


def lone_line(run: NamedRun) -> Array:
    """The decision line `[3]` of a single expert at the end of its training, first seed."""
    # It is trained without a stop, so its last state is where it settles.
    line: Array = trajectory(run).lines_SE3[-1, 0]
    return line
