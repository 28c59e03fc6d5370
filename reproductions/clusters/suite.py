"""The runs of the clusters suite: what they are for, their labels and their measurements."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reproductions.runs import NamedRun, Runs, distinct

SETTINGS = (1, 2, 3, 4)
# What makes the settings: ranges of the four signals, and the noise of the patches.
_SIGNALS = {"alpha": [0.5, 2.0], "beta": [1.0, 2.0]}
_GAMMA = {1: [0.5, 3.0], 2: [0.5, 3.0], 3: [0.5, 2.0], 4: [0.5, 2.0]}
_PATCH_NOISE = {1: 1.0, 2: 2.0, 3: 1.0, 4: 2.0}
EXPERT_KINDS = ("cubic", "linear")
KIND_COLOURS = {"cubic": "blue", "linear": "vermillion"}
WIDTHS = (80, 128, 512)
ACTIVATIONS = ("linear", "cubic", "relu", "celu", "gelu", "tanh")
ACTIVATION_DATA = {"verify": "alpha, beta, gamma in [1, 2]", "1": "setting 1", "2": "setting 2"}

# What each step from the code to the text adds.
LADDER = (
    "as coded",
    "no noise in evaluation",
    "logistic loss",
    "softmax as gate value",
    "no early stop",
    "Frobenius norm, no bias",
    "one head, normal start: as written",
)

# One setting at a time, cubic experts; in brackets the usual value.
SWEEP = {
    "coded_1_cubic": "as coded",
    "sweep_gate_step_0001": "gate step 0.001 (0.1)",
    "sweep_gate_step_001": "gate step 0.01",
    "sweep_gate_step_1": "gate step 1",
    "sweep_init_00001": "init scale 0.0001 (0.001)",
    "sweep_init_001": "init scale 0.01",
    "sweep_init_01": "init scale 0.1",
    "sweep_init_1": "init scale 1",
    "sweep_plain_gradient": "plain gradient",
    "sweep_plain_gradient_step_1": "plain gradient, step 1",
    "sweep_no_noise": "no routing noise",
    "sweep_experts_1": "1 expert (8)",
    "sweep_experts_4": "4 experts",
    "sweep_experts_6": "6 experts",
    "sweep_experts_16": "16 experts",
    "sweep_input_1": "inputs times 1 (10)",
    "sweep_balance_001": "balance weight 0.01 (0)",
}


def setting_of(study: Any) -> str:
    """The number of the setting that a run's data has, or what its data is instead."""
    for setting in SETTINGS:
        # By the data and not by the run's name, which an override may have made untrue.
        wanted = {**_SIGNALS, "gamma": _GAMMA[setting], "patch_noise": _PATCH_NOISE[setting]}
        if all(getattr(study, key) == value for key, value in wanted.items()):
            return str(setting)
    gamma = " to ".join(f"{bound:g}" for bound in study.gamma)
    return f"of gamma {gamma}, patch noise {study.patch_noise:g}"


def ladder_labels(kinds: Iterable[str]) -> dict[str, str]:
    """Labels of the runs from the code to the text, by name."""
    return {
        f"ladder_{step}_{kind}": f"{step}: {label}"
        for kind in kinds
        for step, label in enumerate(LADDER)
    }


def settings_in_words(names: Iterable[str], runs: Runs) -> str:
    """Name the paper's settings that these runs' data have; 1 where no run is there."""
    found = dict.fromkeys(setting_of(runs[name].study) for name in names if name in runs)
    return " and ".join(found) or "1"


def labelled(labels: Mapping[str, str], runs: Runs) -> list[tuple[str, NamedRun]]:
    """The runs that are there, each once, with the labels of their names where these are true.

    A label such as "as coded" speaks of every setting in which the others differ from its run.
    """
    found = distinct(runs.get(name) for name in labels)
    # All settings in which any of these runs differs from the suite's usual ones.
    about = frozenset[str]().union(*(run.own for run in found))
    return [(run.called(labels[run.name], about), run) for run in found]


def entropy_curves(run: NamedRun) -> pd.DataFrame:
    """Dispatch entropy (nats) by step, a column per seed; seeds that stopped keep their last."""
    curves = run.table("curves")
    # ffill: a seed that stopped early stays as it was, so that means are over all seeds.
    return curves.pivot(index="step", columns="seed", values="entropy").ffill()


def pairwise_agreement(run: NamedRun) -> NDArray[np.float64]:
    """Return, for every two seeds ``[R, R]``, the share of clusters at the same expert."""
    maps_RK = run.finished.arrays("snapshots")["final_map"]
    same_RR: NDArray[np.float64] = (maps_RK[:, None] == maps_RK[None]).mean(axis=2)
    return same_RR


def agreement_of_maps(run: NamedRun) -> NDArray[np.float64]:
    """Return, by seed, the share of clusters that go to the same expert in the next seed.

    The last seed is held against the first. Under maps drawn uniformly these shares are pairwise
    uncorrelated, so their mean has an ordinary interval.
    """
    maps_RK = run.finished.arrays("snapshots")["final_map"]
    # A ring of two would count the one pair twice.
    if len(maps_RK) < 3:
        return np.empty(0)
    # In a ring and not every two: n shares that are uncorrelated instead of n (n - 1) / 2 that
    # are not, so that the t-interval of their mean holds.
    same: NDArray[np.float64] = (maps_RK == np.roll(maps_RK, -1, axis=0)).mean(axis=1)
    return same
