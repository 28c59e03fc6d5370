"""What is read from the runs of other starts, per seed."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import adjusted_mutual_info_score

from reproductions.runs import NamedRun

Runs = Mapping[str, NamedRun]
Array = NDArray[np.float64]
SETTLED = 1.5
"""Effective experts at which a collapsed gate counts as left."""

STARTS = frozenset(
    {
        "balance_weight",
        "beta",
        "corpus",
        "cost",
        "expert_noise",
        "expert_start",
        "gate_noise",
        "gate_start",
        "importance_weight",
        "kinds",
        "load_weight",
        "model",
        "num_clusters",
        "vowels",
    }
)
"""Settings that the names of these runs speak of, where they have them."""


def curve(run: NamedRun) -> pd.DataFrame:
    """start.csv of a run: a row per step and seed."""
    return run.finished.table("start")


def at_end(run: NamedRun, column: str) -> Array:
    """A column at the last step, by seed."""
    table = curve(run)
    last = table[table["step"] == table["step"].max()].sort_values("seed")
    values: Array = last[column].to_numpy(float)
    return values


def steps_to_leave(run: NamedRun, least: float, after: int = 0) -> Array:
    """The first step, by seed, from which on there are so many effective experts; NaN if never.

    Args:
        run: of a collapsed gate.
        least: effective experts.
        after: the step at which the gate was collapsed.
    """
    found = []
    for _, own in curve(run)[lambda table: table["step"] > after].groupby("seed"):
        is_left = own["effective_experts"] >= least
        found.append(float(own["step"][is_left].min()) if is_left.any() else np.nan)
    return np.array(found)


def accuracy(run: NamedRun) -> Array:
    """Test accuracy in percent, by seed."""
    return 100 * run.finished.table("metrics")["test_accuracy"].to_numpy(float)


def grouping_with_first(run: NamedRun) -> Array:
    """Adjusted mutual information of each other seed's routing with the first seed's."""
    expert_RT = run.finished.arrays("choices")["expert"]
    return np.array(
        [adjusted_mutual_info_score(expert_RT[0], expert_T) for expert_T in expert_RT[1:]]
    )


def best_reference(run: NamedRun, of: str) -> float:
    """The highest agreement that a standard clustering reached on the gate's inputs."""
    table = run.finished.table("references")
    return float(table[table["of"] == of]["agreement"].max())
