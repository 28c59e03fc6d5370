"""The clusters study's own ways to read evidence, by the names that its claims use.

Accuracies are shares, entropies nats. The thresholds stand with the claims.
"""

import numpy as np

from reproductions.clusters.suite import entropy_curves, pairwise_agreement
from reproductions.runs import NamedRun
from reproductions.verdicts.evidence import (
    EstimateEvidence,
    Form,
    OrderEvidence,
    RateEvidence,
    ValueEvidence,
    rate_of,
)
from reproductions.verdicts.intervals import Estimate, map_error, pairs_estimate

# Settings that change how much is seen of a result, or which of equally good draws it is.
FREE = frozenset(
    {
        "num_seeds",
        "first_seed",
        "data_seed",
        "fresh_data",
        "curve_every",
        "snapshot_every",
        "keep_picture",
        "decompose",
    }
)


def entropy_at(run: NamedRun, *, step: int) -> ValueEvidence | None:
    """Return the dispatch entropy of every seed at one step."""
    curve = entropy_curves(run)
    if step not in curve.index:
        return None
    return ValueEvidence(tuple(curve.T[step].to_numpy(float).tolist()), (run.name,))


def flat_then_falls(
    run: NamedRun,
    *,
    flat_step: int,
    flat_entropy: float,
    fallen_step: int,
    fallen_entropy: float,
) -> RateEvidence | None:
    """Count the seeds that are still undecided at one step and have decided at a later one."""
    curve = entropy_curves(run)
    if not {flat_step, fallen_step} <= set(curve.index):
        return None
    # Both in one seed: means could show it where no single seed does.
    is_flat = curve.loc[flat_step] >= flat_entropy
    return rate_of((is_flat & (curve.loc[fallen_step] <= fallen_entropy)).to_numpy(), run)


def climbs_back(run: NamedRun, *, climb: float) -> RateEvidence:
    """Count the seeds that end with an entropy this much above their lowest one."""
    curve = entropy_curves(run)
    return rate_of((curve.iloc[-1] >= curve.min() + climb).to_numpy(), run)


def start_decides(run: NamedRun) -> RateEvidence:
    """Count the seeds that send every cluster to the expert that saw it best before training."""
    predicted = run.table("metrics")["init_predicts"].to_numpy(float)
    return rate_of(predicted == run.study.num_clusters, run)


def map_agreement(run: NamedRun, *, scale: float = 1.0) -> EstimateEvidence | None:
    """Return how far two seeds' maps of clusters to experts agree, over all pairs of seeds."""
    found = agreement_estimate(run, scale)
    return None if found is None else EstimateEvidence(found, (run.name,))


def agreement_estimate(run: NamedRun, scale: float = 1.0) -> Estimate | None:
    """The mean agreement of two seeds' maps; None below three seeds."""
    same_RR = pairwise_agreement(run)
    if len(same_RR) < 3:
        return None
    num_choices = run.finished.arrays("snapshots")["final_map"].shape[1]
    error_at = map_error(len(same_RR), num_choices, scale)
    return pairs_estimate(scale * same_RR, bounds=(0, scale), error_at=error_at)


def larger(run: NamedRun, *, first: str, second: str) -> OrderEvidence:
    """Compare the largest inner products of two kinds at the end of training, seed by seed."""
    arrays = run.finished.arrays("snapshots")
    # At the last snapshot, one number for every seed.
    pair = [np.abs(arrays[name][-1]).max(axis=(1, 2)).tolist() for name in (first, second)]
    return OrderEvidence(tuple(pair[0]), tuple(pair[1]), (run.name,), paired=True)


FORMS: dict[str, Form] = {
    form.__name__: form
    for form in (entropy_at, flat_then_falls, climbs_back, start_decides, map_agreement, larger)
}
