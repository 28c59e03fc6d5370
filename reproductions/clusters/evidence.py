"""What the finished runs of the clusters study say about each of its claims."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from reproductions.clusters.suite import (
    ACTIVATION_RUNS,
    BALANCED,
    KINDS,
    SETTINGS,
    TUNED_BOUND,
    agreement_of_maps,
    entropy_curves,
)
from reproductions.runs import NamedRun, Runs, why_not_comparable
from reproductions.verdicts.evidence import Evidence, OrderEvidence, RateEvidence, ValueEvidence
from reproductions.verdicts.judge import Found, evidence_of

_Names = tuple[str, ...]
_Maker = Callable[[Runs, _Names], Evidence | None]

FLAT_AT, FLAT_ENTROPY = 25, 1.25
"""Step and entropy (nats) at which a cubic mixture still counts as undecided; with the claims."""
FALLEN_AT, FALLEN_ENTROPY = 100, 0.5
CLIMB = 0.02
BOUND = 0.875
_FREE = {
    "num_seeds",
    "first_seed",
    "data_seed",
    "fresh_data",
    "curve_every",
    "snapshot_every",
    "keep_picture",
    "decompose",
}


def evidence(runs: Runs) -> dict[str, Found]:
    """Evidence by claim id; None where a run that the claim needs is not finished.

    Accuracies are percentages, entropies nats. Runs that depart from the published settings give
    evidence that is marked as not comparable.
    """
    return {
        claim: evidence_of(partial(_marked, make, runs, names), names, runs)
        for claim, make, names in _recipes()
    }


def _marked(make: _Maker, runs: Runs, names: _Names) -> Evidence | None:
    item = make(runs, names)
    if item is None:
        return None
    reason = item.not_comparable or why_not_comparable((runs[name] for name in item.runs), _FREE)
    return replace(item, not_comparable=reason)


def _recipes() -> Iterator[tuple[str, _Maker, _Names]]:
    for setting in SETTINGS:
        cubic, linear = (f"coded_{setting}_{kind}" for kind in KINDS)
        for kind, run in zip(KINDS, (cubic, linear), strict=True):
            yield f"accuracy-{setting}-{kind}", _value("test_accuracy", 100), (run,)
            yield f"entropy-{setting}-{kind}", _value("entropy"), (run,)
            alone = f"single_{setting}_{kind}_80"
            yield f"single-{setting}-{kind}", _value("test_accuracy", 100), (alone,)
        singles = (linear, f"single_{setting}_cubic_80")
        yield f"cubic-over-linear-{setting}", _order("test_accuracy", 100), (cubic, linear)
        yield f"mixture-over-single-{setting}", _order("test_accuracy", 100), singles
        yield f"cubic-sorts-{setting}", _order("entropy"), (cubic, linear)
    for kind, run in zip(KINDS, BALANCED, strict=True):
        yield f"balanced-accuracy-{kind}", _value("test_accuracy", 100), (run,)
        yield f"balanced-entropy-{kind}", _value("entropy"), (run,)
    for setting in (1, 2):
        for kind in KINDS:
            for step in (50, 100, 500):
                name = f"curve-{setting}-{kind}-{step}"
                yield name, _entropy_at(step), (f"curves_{setting}_{kind}",)
        yield f"flat-then-falls-{setting}", _flat_then_falls, (f"curves_{setting}_cubic",)
        yield f"linear-climbs-back-{setting}", _climbs_back, (f"curves_{setting}_linear",)
    yield "one-to-one", _one_to_one, ("four_cubic",)
    yield "init-decides", _init_decides, ("four_cubic",)
    yield "maps-at-random", _maps_at_random, ("four_cubic",)
    yield "gate-learns-centres", _larger("gate_centre", "gate_feature"), ("coded_1_cubic",)
    yield "experts-learn-features", _larger("expert_feature", "expert_centre"), ("coded_1_cubic",)
    yield "experts-fail-elsewhere", _own_over_swapped, ("coded_1_cubic",)
    for setting, names in TUNED_BOUND.items():
        yield f"single-bound-{setting}", _within_bound, names
    yield "activations-bound", _within_bound, ACTIVATION_RUNS
    yield "written-linear", _value("test_accuracy", 100), ("written_1_linear",)
    yield "written-linear-entropy", _value("entropy"), ("written_1_linear",)


def _value(column: str, factor: float = 1.0) -> _Maker:
    def make(runs: Runs, names: _Names) -> ValueEvidence:
        return ValueEvidence(tuple(factor * _column(runs[names[0]], column).dropna()), names)

    return make


def _column(run: NamedRun, column: str) -> pd.Series:
    metrics = run.finished.table("metrics")
    return metrics.set_index("seed")[column].astype(float)


def _order(column: str, factor: float = 1.0) -> _Maker:
    def make(runs: Runs, names: _Names) -> OrderEvidence:
        first, second = (factor * _column(runs[name], column) for name in names)
        return _paired(first, second, names)

    return make


def _paired(first: pd.Series, second: pd.Series, names: _Names) -> OrderEvidence:
    """By seed, for the seeds that have both."""
    both = pd.concat([first, second], axis=1, join="inner").dropna()
    return OrderEvidence(tuple(both.iloc[:, 0]), tuple(both.iloc[:, 1]), names)


def _entropy_at(step: int) -> _Maker:
    def make(runs: Runs, names: _Names) -> ValueEvidence | None:
        curve = entropy_curves(runs[names[0]])
        if step not in curve.index:
            return None
        return ValueEvidence(tuple(curve.T[step].to_numpy(float).tolist()), names)

    return make


def _flat_then_falls(runs: Runs, names: _Names) -> RateEvidence | None:
    curve = entropy_curves(runs[names[0]])
    if not {FLAT_AT, FALLEN_AT} <= set(curve.index):
        return None
    flat, fallen = curve.loc[FLAT_AT] >= FLAT_ENTROPY, curve.loc[FALLEN_AT] <= FALLEN_ENTROPY
    return _share(flat & fallen, names)


def _climbs_back(runs: Runs, names: _Names) -> RateEvidence:
    curve = entropy_curves(runs[names[0]])
    return _share(curve.iloc[-1] >= curve.min() + CLIMB, names)


def _share(shown: Any, names: _Names) -> RateEvidence:
    return RateEvidence(int(shown.sum()), len(shown), names)


def _one_to_one(runs: Runs, names: _Names) -> RateEvidence:
    return _share(_column(runs[names[0]], "one_to_one").astype(bool), names)


def _init_decides(runs: Runs, names: _Names) -> RateEvidence:
    run = runs[names[0]]
    return _share(_column(run, "init_predicts") == run.study.num_clusters, names)


def _maps_at_random(runs: Runs, names: _Names) -> ValueEvidence | None:
    agreement = agreement_of_maps(runs[names[0]])
    return ValueEvidence(tuple(100 * agreement), names) if len(agreement) > 1 else None


def _larger(first: str, second: str) -> _Maker:
    def make(runs: Runs, names: _Names) -> OrderEvidence:
        arrays = runs[names[0]].finished.arrays("snapshots")
        pair = [np.abs(arrays[name][-1]).max(axis=(1, 2)) for name in (first, second)]
        larger, smaller = (tuple(map(float, each)) for each in pair)
        return OrderEvidence(larger, smaller, names)

    return make


def _own_over_swapped(runs: Runs, names: _Names) -> OrderEvidence:
    run = runs[names[0]]
    own, swapped = (_column(run, name) for name in ("own_accuracy", "swapped_accuracy"))
    return _paired(100 * own, 100 * swapped, names)


def _within_bound(runs: Runs, names: _Names) -> RateEvidence:
    accuracy = pd.concat([_column(runs[name], "test_accuracy") for name in names])
    return _share(accuracy <= BOUND, names)
