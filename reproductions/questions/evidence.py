"""What is read from the runs of other starts, and the questions' own ways to read evidence.

A gain is how much better a mixture is than its rival: one expert of an expert's size, or a layer of
equal cost.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_mutual_info_score

from reproductions.clusters.evidence import agreement_estimate, map_agreement
from reproductions.runs import NamedRun, metric
from reproductions.verdicts.evidence import (
    Array,
    EstimateEvidence,
    Form,
    OrderEvidence,
    RateEvidence,
    names_of,
    rate_of,
)
from reproductions.verdicts.intervals import minus, pairs_estimate

# Settings that change how much is seen of a result, or which of equally good draws it is.
FREE = frozenset({"num_seeds", "first_seed", "seed", "data_seed", "num_threads", "references"})
# Effective experts at which a collapsed gate counts as left.
SETTLED = 1.5

# Settings that the names of these runs speak of, where they have them.
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


def curve(run: NamedRun) -> pd.DataFrame:
    """start.csv of a run: a row per step and seed."""
    return run.table("start")


def at_end(run: NamedRun, column: str) -> Array:
    """Return a column at the last step, by seed."""
    table = curve(run)
    # Sorted, so that two runs' values belong together by position.
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
        # From the collapse on: before it, every expert may have been in use.
        is_left = own["effective_experts"] >= least
        found.append(float(own["step"][is_left].min()) if is_left.any() else np.nan)
    return np.array(found)


def grouping_with_first(run: NamedRun) -> Array:
    """Adjusted mutual information of each other seed's routing with the first seed's."""
    expert_RT = run.finished.arrays("choices")["expert"]
    return np.array(
        # Vinh, Epps & Bailey (2010): 0 for routings that agree by chance alone, 1 for the same
        # groups, whatever numbers the experts have.
        [adjusted_mutual_info_score(expert_RT[0], expert_T) for expert_T in expert_RT[1:]]
    )


def gain(mixture: NamedRun, single: NamedRun) -> Array:
    """Return the points of test accuracy by which a mixture is better than one expert, by seed."""
    first, second = _shortest([metric(run, "test_accuracy", 100) for run in (mixture, single)])
    return first - second


def text_gain(mixture: NamedRun, wide: NamedRun) -> Array:
    """Return the nats per test subword by which a mixture is better than a wide layer, by seed."""
    first, second = _shortest([_log_perplexity(run) for run in (mixture, wide)])
    return second - first


def _log_perplexity(run: NamedRun) -> Array:
    # Nats per subword: ratios of perplexities become differences, which can be averaged.
    found: Array = np.log(run.table("metrics")["perplexity"].to_numpy(float))
    return found


def _shortest(samples: "Sequence[Array | pd.Series]") -> list[Array]:
    """All samples as arrays, as far as the shortest one reaches."""
    # Seeds come in order, so the first of two runs are the same seeds.
    num = min(map(len, samples))
    return [np.asarray(each, dtype=float)[:num] for each in samples]


def _order(pair: "Sequence[Array | pd.Series]", runs: Sequence[NamedRun]) -> OrderEvidence:
    first, second = (tuple(side.tolist()) for side in _shortest(pair))
    return OrderEvidence(first, second, names_of(*runs))


def _two_and_two(runs: Sequence[NamedRun]) -> list[tuple[NamedRun, NamedRun]]:
    return list(zip(runs[::2], runs[1::2], strict=True))


def gains_less_than_half(*runs: NamedRun) -> RateEvidence:
    """Count the seeds in which the mean of the other gains is below half of the first one.

    Args:
        *runs: a mixture and its rival, again and again; the first two gain most.
    """
    # Each mixture less its own rival; the first pair is the one that should gain most.
    whole, *parts = _shortest([gain(*pair) for pair in _two_and_two(runs)])
    # Half as much is clearly less, and no matter of noise; the threshold stands in the claim.
    return rate_of(sum(parts) / len(parts) < whole / 2, *runs)


def gains_more(*runs: NamedRun) -> OrderEvidence:
    """Compare the gain of the first mixture over its rival with that of the second."""
    return _order([gain(*pair) for pair in _two_and_two(runs)], runs)


def log_perplexities(first: NamedRun, second: NamedRun) -> OrderEvidence:
    """Compare the log of the test perplexity of two runs, seed by seed."""
    return _order([_log_perplexity(run) for run in (first, second)], (first, second))


def nats_gained_more(*runs: NamedRun) -> OrderEvidence:
    """Compare the gain in nats of the first mixture with the mean gain of all the others."""
    # Kinds of text alone are averaged seed by seed: one number per seed on either side.
    together, *alone = (text_gain(*pair) for pair in _two_and_two(runs))
    mean_alone: Array = np.mean(_shortest(alone), axis=0)
    return _order([together, mean_alone], runs)


def half_in_use(run: NamedRun, *, wanted: bool = True) -> RateEvidence:
    """Count the seeds in which at least half of the experts are in use at the end, or are not."""
    # The balance losses of the paper ask for all experts; half of them is far from collapse.
    has = at_end(run, "effective_experts") >= run.study.num_experts / 2
    # One claim says that they are in use, another that without the losses they are not.
    return rate_of(has == wanted, run)


def map_agreement_order(first: NamedRun, second: NamedRun) -> EstimateEvidence | None:
    """Compare how far seeds agree on their maps in two runs, over all pairs of seeds in each."""
    here, there = (agreement_estimate(run) for run in (first, second))
    if here is None or there is None:
        return None
    return EstimateEvidence(minus(here, there), names_of(first, second))


def grouped_alike(run: NamedRun) -> EstimateEvidence | None:
    """Return how much information two seeds' routings share, over all pairs of seeds."""
    expert_RT = run.finished.arrays("choices")["expert"]
    if len(expert_RT) < 3:
        return None
    # Vinh, Epps & Bailey (2010): see `grouping_with_first`.
    shared_RR = np.array(
        [[adjusted_mutual_info_score(one_T, two_T) for two_T in expert_RT] for one_T in expert_RT]
    )
    return EstimateEvidence(pairs_estimate(shared_RR), (run.name,))


def over_clusterings(run: NamedRun, *, of: str) -> RateEvidence:
    """Count the seeds whose gate finds groups better than any clustering of its own inputs."""
    table = run.table("references")
    # The best of all clusterings and starts: the strictest rival that there is.
    best = float(table[table["of"] == of]["agreement"].max())
    return rate_of(at_end(run, f"agreement_{of}") > best, run)


FORMS: dict[str, Form] = {
    form.__name__: form
    for form in (
        gains_less_than_half,
        gains_more,
        log_perplexities,
        nats_gained_more,
        half_in_use,
        map_agreement,
        map_agreement_order,
        grouped_alike,
        over_clusterings,
    )
}
