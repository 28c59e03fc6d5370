"""Times of a scaling run by number of experts, contender and round."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reproductions.runs import NamedRun

Array = NDArray[np.float64]
LIMITS = ("dense", "traffic")
# The first that ran is the layer as a user gets it on a CPU.
_OURS = ("ours, native", "ours, padded")


def seconds(run: NamedRun) -> pd.DataFrame:
    """Seconds: a row per number of experts and round, a column per contender."""
    times = run.finished.table("metrics")
    return times.pivot(index=["num_experts", "round"], columns="contender", values="seconds")


def ours(times: pd.DataFrame) -> str:
    """The name of our backend that `auto` takes where this was measured."""
    return next(name for name in _OURS if name in times)


def at(run: NamedRun, num_experts: int) -> pd.DataFrame | None:
    """Seconds by round at one number of experts; None where it was not measured."""
    times = seconds(run)
    sizes = times.index.get_level_values("num_experts")
    if num_experts not in sizes:
        return None
    found = times[sizes == num_experts].droplevel("num_experts")
    return found.dropna(axis=1)


def limit(times: pd.DataFrame) -> pd.Series:
    """Dense and traffic, one after the other."""
    total: pd.Series = times[list(LIMITS)].sum(axis=1)
    return total


def over_limit(times: pd.DataFrame) -> Array:
    """Our time over the limit, by round."""
    return (times[ours(times)] / limit(times)).to_numpy(float)
