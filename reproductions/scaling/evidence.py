"""What the finished timings say about each claim; samples are rounds."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reproductions.runs import NamedRun, Runs, why_not_comparable
from reproductions.verdicts.evidence import Evidence, OrderEvidence, RateEvidence

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


# Which numbers of experts were timed, and how often; claims look for those that they speak of.
_FREE = {"num_experts", "num_rounds", "num_threads"}


def evidence(runs: Runs) -> dict[str, Evidence | None]:
    """Evidence by claim id; None where a run that the claim needs is not finished."""
    return {
        "flat-cost": _flat(runs, 256),
        "flat-cost-2048": _flat(runs, 2048),
        "near-limit-4096": _near_limit(runs, "tokens_4096", 1.5),
        "near-limit-16384": _near_limit(runs, "tokens_16384", 1.3),
        "skew": _skew(runs),
        "two-level-gate": _gate_share(runs),
        "two-level-cheaper": _order(runs, "gate, two levels", "gate, flat"),
        "faster-than-grouped-mm": _order(runs, "", "F.grouped_mm"),
    }


def _kept(share: Array, most: float, runs: Runs, *names: str) -> RateEvidence:
    return RateEvidence(int((share <= most).sum()), len(share), names, _not_comparable(runs, names))


def _not_comparable(runs: Runs, names: tuple[str, ...]) -> str | None:
    return why_not_comparable((runs[name] for name in names), _FREE)


def _flat(runs: Runs, num_experts: int) -> RateEvidence | None:
    name = "tokens_16384"
    if name not in runs:
        return None
    many, few = at(runs[name], num_experts), at(runs[name], 16)
    if many is None or few is None:
        return None
    ratio = many[ours(many)].to_numpy(float) / few[ours(few)].median()
    return _kept(ratio, 1.25, runs, name)


def _near_limit(runs: Runs, name: str, most: float) -> RateEvidence | None:
    times = at(runs[name], 2048) if name in runs else None
    return None if times is None else _kept(over_limit(times), most, runs, name)


def _skew(runs: Runs) -> RateEvidence | None:
    names = ("tokens_4096", "tokens_4096_zipf")
    if not set(names) <= set(runs):
        return None
    even, skewed = (at(runs[name], 2048) for name in names)
    if even is None or skewed is None:
        return None
    # The same arithmetic in one expert, timed in the same rounds, levels the two runs.
    ratios = [(times[ours(times)] / times["dense"]).to_numpy(float) for times in (skewed, even)]
    return _kept(ratios[0] / np.median(ratios[1]), 1.1, runs, *names)


def _gate_share(runs: Runs) -> RateEvidence | None:
    times = at(runs["tokens_4096"], 2048) if "tokens_4096" in runs else None
    if times is None or "gate, two levels" not in times:
        return None
    share = (times["gate, two levels"] / times[ours(times)]).to_numpy(float)
    return _kept(share, 0.3, runs, "tokens_4096")


def _order(runs: Runs, first: str, second: str) -> OrderEvidence | None:
    """The first contender (ours where it is empty) against the second, in milliseconds."""
    names = ("tokens_4096",)
    times = at(runs[names[0]], 2048) if names[0] in runs else None
    if times is None or not {first or ours(times), second} <= set(times):
        return None
    pair = [1e3 * times[name].to_numpy(float) for name in (first or ours(times), second)]
    ours_times, theirs = (tuple(each.tolist()) for each in pair)
    return OrderEvidence(ours_times, theirs, names, _not_comparable(runs, names))
