"""The translation study's own ways to read evidence, by the names that its claims use."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from experiments.translation.counts import num_parameters, operations_per_timestep
from experiments.translation.settings import GateName, ModelConfig
from reproductions.equal_time import after_equal_seconds
from reproductions.runs import NamedRun
from reproductions.verdicts.claims import Claim
from reproductions.verdicts.evidence import (
    EstimateEvidence,
    Form,
    HasTables,
    OrderEvidence,
    RateEvidence,
    names_of,
    rate_of,
)
from reproductions.verdicts.intervals import Estimate

# Fewer assignments say nothing of an expert's variety.
_FEWEST_ASSIGNMENTS = 20
# Toy runs of the tests and of make smoke take a few steps; Table 6's runs take 600.
_FEWEST_STEPS = 300


def why_not_comparable(claim: Claim, runs: Sequence[NamedRun]) -> str | None:
    """Why runs cannot be held against a claim: published values never, orders from toys."""
    if claim.evidence is not None and claim.evidence.form == "published_count":
        return None
    if claim.kind == "value":
        return "Another corpus and a smaller model than the published ones."
    if any(run.study.max_steps < _FEWEST_STEPS for run in runs):
        return "These runs are too short to have learnt."
    return None


def largest_load_within(*runs: HasTables, times_mean: float) -> RateEvidence:
    """Count the trainings whose largest load is at most this times the mean one."""
    # Points of one training are no samples of trainings, so that each training gives one number.
    loads = np.concatenate([late_loads(run) for run in runs])
    return rate_of(loads <= times_mean, *runs)


def larger_largest_load(first: HasTables, second: HasTables) -> OrderEvidence:
    """Compare the largest load of trainings without balance losses with that of those with them."""
    one, other = (tuple(late_loads(run).tolist()) for run in (first, second))
    return OrderEvidence(one, other, names_of(first, second))


def late_loads(run: HasTables) -> "pd.Series[float]":
    """Largest over mean load of the encoder: the mean of a training's second half, by seed."""
    curves = run.table("curves")
    # Every load is uneven at the start, with losses and without.
    late = curves[curves["step"] > curves["step"].max() / 2]
    loads: pd.Series[float] = late.groupby("seed")["encoder_max_over_mean_load"].mean()
    return loads


def better_languages(first: HasTables, second: HasTables) -> RateEvidence:
    """Count the languages in which the first model's mean BLEU over trainings is the higher one."""
    one, other = (_bleu_by_language(run) for run in (first, second))
    return rate_of((one > other).to_numpy(), first, second)


def _bleu_by_language(run: HasTables) -> "pd.Series[float]":
    table = run.table("bleu")
    is_one = (table["metric"] == "sacrebleu") & (table["domain"] == "all")
    own = table[is_one & (table["language"] != "all")]
    scores: pd.Series[float] = own.groupby("language")["value"].mean()
    return scores


def judged_experts(run: NamedRun) -> pd.DataFrame:
    """Experts with enough held-out assignments to say something of them."""
    table = run.table("experts")
    return table[table["num_assignments"] >= _FEWEST_ASSIGNMENTS]


def published_count(run: NamedRun, *, of: str) -> EstimateEvidence:
    """Count parameters or operations of the published model, by arithmetic on its settings.

    The run is only asked to be there: no number of it is read.
    """
    exact = Estimate(_COUNTS[of]() / _UNITS[of], 0.0, 0, 0)
    return EstimateEvidence(exact, (run.name,), is_exact=True)


def _published() -> ModelConfig:
    # Appendix E; attention's hidden size is not stated and moves no printed digit.
    return ModelConfig(
        width=512,
        num_units=2048,
        num_experts=2048,
        num_groups=64,
        expert_units=2048,
        k=4,
        gate=GateName.hierarchical,
        attention_units=512,
    )


# Section 5.3: 32K wordpieces.
_NUM_SUBWORDS = 32_768


def _gnmt_operations() -> int:
    """Multiply-adds per timestep of Wu et al. (2016), counted as those of our model."""
    width = 1024
    # Nine LSTMs of the encoder (two of them a bidirectional pair) and eight of the decoder: four
    # gates see an input and the state.
    lstms = 17 * 4 * width * 2 * width
    # The encoder's second layer sees both directions, and each decoder layer the context too.
    wider = (1 + 8) * 4 * width * width
    return lstms + wider + _NUM_SUBWORDS * width


_COUNTS: dict[str, Callable[[], int]] = {
    "parameters": lambda: num_parameters(_published(), _NUM_SUBWORDS),
    "operations": lambda: operations_per_timestep(_published(), _NUM_SUBWORDS),
    "gnmt_operations": _gnmt_operations,
}
_UNITS = {"parameters": 1e9, "operations": 1e6, "gnmt_operations": 1e6}


FORMS: dict[str, Form] = {
    form.__name__: form
    for form in (
        largest_load_within,
        larger_largest_load,
        better_languages,
        after_equal_seconds,
        published_count,
    )
}
