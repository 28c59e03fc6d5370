"""A seed's path through training, read from the snapshots of a mixture's run.

Shapes: S snapshots (the stop is the last), E experts, O outputs, N training cases.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.vowel import data, systems
from experiments.vowel.evaluation import LIVE_THRESHOLD
from experiments.vowel.settings import System
from reproductions.runs import NamedRun

Array = NDArray[np.float64]


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
    """Whether the run has experts with a single output, hence a single decision line each."""
    is_mixture = run.study.system is System.mixture
    return is_mixture and data.load(run.study).codes_VO.shape[1] == 1


def formants(run: NamedRun) -> Array:
    """The training formants F1, F2 as the run saw them, `[N, 2]`."""
    return data.load(run.study).train.inputs_DN[:2].T.double().numpy()


def trajectory(run: NamedRun, position: int = 0) -> Trajectory:
    """The path of the seed at ``position`` in the run's list of seeds; 0 is the first seed."""
    arrays = run.finished.arrays("snapshots")
    metrics = run.finished.table("metrics").iloc[position]
    kept = np.isfinite(arrays["gate"][:, position]).all(axis=(-1, -2))
    epochs = arrays["epochs"][kept]
    experts, gate = arrays["experts"][kept, position], arrays["gate"][kept, position]
    if metrics["status"] == "converged":
        before = epochs < metrics["epochs"]
        epochs = np.append(epochs[before], metrics["epochs"])
        experts = np.concatenate([experts[before], arrays["stopped_experts"][None, position]])
        gate = np.concatenate([gate[before], arrays["stopped_gate"][None, position]])
    vowels = data.load(run.study)
    net = systems.build(run.study, vowels.codes_VO.shape[1])
    weights = {"experts": torch.from_numpy(experts), "gate": torch.from_numpy(gate)}
    prediction = net.predict(weights, vowels.train.inputs_DN)
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
    line: Array = trajectory(run).lines_SE3[-1, 0]
    return line
