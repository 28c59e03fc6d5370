"""Measurements on finished runs that claims, tables and figures share."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reproductions.runs import NamedRun


def entropy_curves(run: NamedRun) -> pd.DataFrame:
    """Dispatch entropy (nats) by step, a column per seed; seeds that stopped keep their last."""
    curves = run.finished.table("curves")
    return curves.pivot(index="step", columns="seed", values="entropy").ffill()


def agreement_of_maps(run: NamedRun) -> NDArray[np.float64]:
    """For each seed, the share of clusters that went to the same expert in the next seed.

    The last seed is held against the first. Under maps drawn uniformly these shares are pairwise
    uncorrelated, so their mean has an ordinary interval.
    """
    maps_RK = run.finished.arrays("snapshots")["final_map"]
    if len(maps_RK) < 3:
        return np.empty(0)
    same: NDArray[np.float64] = (maps_RK == np.roll(maps_RK, -1, axis=0)).mean(axis=1)
    return same


def metric(run: NamedRun, column: str, factor: float = 1.0) -> pd.Series:
    """A column of a run's metrics, without seeds that do not have it."""
    values: pd.Series = factor * run.finished.table("metrics")[column].dropna().astype(float)
    return values
