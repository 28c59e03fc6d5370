"""What the finished timings say about each claim; samples are rounds."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reproductions.runs import NamedRun
from reproductions.verdicts.evidence import Form, OrderEvidence, names_of

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
    # The arithmetic, and moving each used expert's weights and gradients; a layer may overlap them.
    total: pd.Series = times[list(LIMITS)].sum(axis=1)
    return total


# Which numbers of experts were timed, and how often; claims look for those that they speak of.
FREE = frozenset({"num_experts", "num_rounds", "num_threads"})
# The number of experts of every claim that names none.
_MANY = 2048


def growth(run: NamedRun, *, num_experts: int) -> OrderEvidence | None:
    """Compare the time of many experts with that of 16."""
    many, few = at(run, num_experts), at(run, 16)
    if many is None or few is None:
        return None
    # Rounds of two sizes were not timed side by side, so that they are no pairs.
    return _ratio(many[ours(many)], few[ours(few)], run, paired=False)


def near_limit(run: NamedRun) -> OrderEvidence | None:
    """Compare the time of our layer with dense and traffic, round by round."""
    times = at(run, _MANY)
    return None if times is None else _ratio(times[ours(times)], limit(times), run, paired=True)


def skewed_over_even(even: NamedRun, skewed: NamedRun) -> OrderEvidence | None:
    """Compare the time of skewed routing with that of even routing, each over its dense time."""
    pair = [at(run, _MANY) for run in (skewed, even)]
    # The same arithmetic in one expert, timed in the same rounds, levels the two runs.
    ratios = [times[ours(times)] / times["dense"] for times in pair if times is not None]
    if len(ratios) < 2:
        return None
    return _ratio(ratios[0], ratios[1], even, skewed, paired=False)


def gate_share(run: NamedRun) -> OrderEvidence | None:
    """Compare the time of the two-level gate with that of our whole layer, round by round."""
    times = at(run, _MANY)
    if times is None or "gate, two levels" not in times:
        return None
    return _ratio(times["gate, two levels"], times[ours(times)], run, paired=True)


def _ratio(first: pd.Series, second: pd.Series, *runs: NamedRun, paired: bool) -> OrderEvidence:
    """Two times; the claims speak of their ratio, which is the same in every unit."""
    samples = [tuple(times.to_numpy(float).tolist()) for times in (first, second)]
    return OrderEvidence(samples[0], samples[1], names_of(*runs), paired=paired)


def faster(run: NamedRun, *, second: str, first: str = "") -> OrderEvidence | None:
    """Compare the milliseconds of one contender, ours where none is named, with another's."""
    times = at(run, _MANY)
    if times is None or not {first or ours(times), second} <= set(times):
        return None
    pair = [(1e3 * times[name].to_numpy(float)).tolist() for name in (first or ours(times), second)]
    return OrderEvidence(tuple(pair[0]), tuple(pair[1]), (run.name,), paired=True)


FORMS: dict[str, Form] = {
    form.__name__: form for form in (growth, near_limit, skewed_over_even, gate_share, faster)
}
