"""What the finished timings say about each claim; samples are rounds."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reproductions.runs import NamedRun
from reproductions.verdicts.evidence import Form, OrderEvidence, RateEvidence, rate_of

Array = NDArray[np.float64]
LIMITS = ("dense", "traffic")
# The first that ran is the layer as a user gets it on a CPU.
_OURS = ("ours, native", "ours, padded")


def seconds(run: NamedRun) -> pd.DataFrame:
    """Seconds: a row per number of experts and round, a column per contender."""
    times = run.table("metrics")
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
    # Contenders that were not timed at this size have no numbers there.
    found = times[sizes == num_experts].droplevel("num_experts")
    return found.dropna(axis=1)


def limit(times: pd.DataFrame) -> pd.Series:
    """Seconds of dense and of traffic together, as if one came after the other."""
    # Neither can be avoided: the arithmetic, and moving each used expert's weights and gradients.
    total: pd.Series = times[list(LIMITS)].sum(axis=1)
    return total


def over_limit(times: pd.DataFrame) -> Array:
    """How many times the limit our layer takes, by round."""
    return (times[ours(times)] / limit(times)).to_numpy(float)


# Which numbers of experts were timed, and how often; claims look for those that they speak of.
FREE = frozenset({"num_experts", "num_rounds", "num_threads"})
# The number of experts of every claim that names none.
_MANY = 2048


def growth(run: NamedRun, *, num_experts: int, most: float) -> RateEvidence | None:
    """Count the rounds in which many experts cost at most this times the median of 16 experts."""
    many, few = at(run, num_experts), at(run, 16)
    if many is None or few is None:
        return None
    # Over the median of the few: rounds of two sizes are not paired.
    return rate_of(many[ours(many)].to_numpy(float) / few[ours(few)].median() <= most, run)


def near_limit(run: NamedRun, *, most: float) -> RateEvidence | None:
    """Count the rounds in which our layer takes at most this times dense and traffic."""
    times = at(run, _MANY)
    return None if times is None else rate_of(over_limit(times) <= most, run)


def skewed_over_even(even: NamedRun, skewed: NamedRun, *, most: float) -> RateEvidence | None:
    """Count the rounds in which skew costs at most this times the median of even routing."""
    pair = [at(run, _MANY) for run in (skewed, even)]
    # The same arithmetic in one expert, timed in the same rounds, levels the two runs.
    # Over dense, since the two runs were not timed in the same rounds, and perhaps not at the same
    # speed.
    ratios = [
        (times[ours(times)] / times["dense"]).to_numpy(float) for times in pair if times is not None
    ]
    if len(ratios) < 2:
        return None
    return rate_of(ratios[0] / np.median(ratios[1]) <= most, even, skewed)


def gate_share(run: NamedRun, *, most: float) -> RateEvidence | None:
    """Count the rounds in which the two-level gate takes at most this share of the time."""
    times = at(run, _MANY)
    if times is None or "gate, two levels" not in times:
        return None
    return rate_of((times["gate, two levels"] / times[ours(times)]).to_numpy(float) <= most, run)


def faster(run: NamedRun, *, second: str, first: str = "") -> OrderEvidence | None:
    """Compare the milliseconds of one contender, ours where none is named, with another's."""
    times = at(run, _MANY)
    if times is None or not {first or ours(times), second} <= set(times):
        return None
    pair = [(1e3 * times[name].to_numpy(float)).tolist() for name in (first or ours(times), second)]
    return OrderEvidence(tuple(pair[0]), tuple(pair[1]), (run.name,))


FORMS: dict[str, Form] = {
    form.__name__: form for form in (growth, near_limit, skewed_over_even, gate_share, faster)
}
