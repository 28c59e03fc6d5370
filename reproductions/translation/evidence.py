"""The translation study's own ways to read evidence, by the names that its claims use."""

from collections.abc import Sequence

import pandas as pd

from reproductions.runs import NamedRun
from reproductions.verdicts.claims import Claim
from reproductions.verdicts.evidence import Form, OrderEvidence, RateEvidence, rate_of

# Fewer assignments say nothing of an expert's variety.
_FEWEST_ASSIGNMENTS = 20
# Toy runs of the tests and of make smoke take a few steps; Table 6's runs take 600.
_FEWEST_STEPS = 300


def why_not_comparable(claim: Claim, runs: Sequence[NamedRun]) -> str | None:
    """Why runs cannot be held against a claim: published values never, orders from toys."""
    if claim.kind == "value":
        return "Another corpus and a smaller model than the published ones."
    if any(run.study.max_steps < _FEWEST_STEPS for run in runs):
        return "These runs are too short to have learnt."
    return None


def largest_load_within(run: NamedRun, *, times_mean: float) -> RateEvidence:
    """Count the points of training at which the largest load is at most this times the mean."""
    return rate_of((_largest_loads(run) <= times_mean).to_numpy(), run)


def larger_largest_load(without: NamedRun, with_losses: NamedRun) -> OrderEvidence:
    """Compare the largest load without balance losses with that with them, point by point."""
    pair = [tuple(_largest_loads(run).tolist()) for run in (without, with_losses)]
    return OrderEvidence(pair[0], pair[1], (without.name, with_losses.name), paired=True)


def _largest_loads(run: NamedRun) -> "pd.Series[float]":
    """Largest over mean load of the encoder at the points of the second half of training."""
    curves = run.table("curves")
    # Every load is uneven at the start, with losses and without.
    is_late = curves["step"] > curves["step"].max() / 2
    loads: pd.Series[float] = curves.loc[is_late, "encoder_max_over_mean_load"]
    return loads


def judged_experts(run: NamedRun) -> pd.DataFrame:
    """Experts with enough held-out assignments to say something of them."""
    table = run.table("experts")
    return table[table["num_assignments"] >= _FEWEST_ASSIGNMENTS]


def less_varied_than_chance(run: NamedRun, *, of: str) -> RateEvidence:
    """Count the experts whose entropy is lower than that of any deal by chance."""
    table = judged_experts(run)
    return rate_of((table[f"{of}_entropy"] < table[f"{of}_entropy_chance"]).to_numpy(), run)


def one_word(run: NamedRun, *, share: float) -> RateEvidence:
    """Count the experts that have one subword in at least this share of their assignments."""
    return rate_of((judged_experts(run)["top_piece_share"] >= share).to_numpy(), run)


FORMS: dict[str, Form] = {
    form.__name__: form
    for form in (largest_load_within, larger_largest_load, less_varied_than_chance, one_word)
}
