"""The language model's own ways to read evidence, by the names that its claims use."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from reproductions.equal_time import after_equal_seconds
from reproductions.runs import NamedRun
from reproductions.study_report import departures_except
from reproductions.verdicts.claims import Claim
from reproductions.verdicts.evidence import Form, HasTables, OrderEvidence

# Settings that say which of equally good draws a run is, or how often it was looked at.
FREE = (
    *("name", "num_seeds", "first_seed", "split_seed", "evaluate_every", "report_every"),
    *("num_evaluated", "checkpoint_seconds", "device", "num_threads"),
)
_departures = departures_except(FREE)


def why_not_comparable(claim: Claim, runs: Sequence[NamedRun]) -> str | None:
    """Why runs cannot be held against a claim: published values never, others by their settings."""
    if claim.kind == "value":
        return "Another corpus, other subwords and a smaller model than the published ones."
    return _departures(claim, runs)


def perplexity_of(run: HasTables) -> "pd.Series[float]":
    """Perplexity of the whole test text, by seed."""
    table = run.table("metrics")
    own = table[(table["split"] == "test") & (table["kind"] == "all")]
    perplexity: pd.Series[float] = own.set_index("seed")["perplexity"]
    return perplexity


def stranger_over_sibling(run: HasTables) -> OrderEvidence:
    """The rise of the loss by a stranger's expert, and by a sibling's, of the same training."""
    rise = run.table("worth").pivot(index="seed", columns="change", values="rise")
    one, other = (tuple(rise[change].tolist()) for change in ("stranger", "sibling"))
    return OrderEvidence(one, other, (run.name,), paired=True)


def late_load(first: HasTables, second: HasTables) -> OrderEvidence:
    """Median over the second half of training of the largest load over the mean, by training."""
    one, other = (tuple(late_median(run, "max_over_mean_load")) for run in (first, second))
    return OrderEvidence(one, other, (first.name, second.name))


def late_median(run: HasTables, column: str) -> list[float]:
    """Median of a curve over the second half of each training; the first half shows the start."""
    curves = run.table("curves")
    late = curves[curves["step"] > curves["step"].max() / 2]
    return [float(own.median()) for _, own in late.groupby("seed")[column]]


def gain(*runs: HasTables) -> OrderEvidence:
    """How far experts are below the wide layer, in nats, in one setting and in another.

    Args:
        runs: wide and experts of the first setting, wide and experts of the second.
    """
    first, second = (tuple(gains(wide, many)) for wide, many in (runs[:2], runs[2:]))
    return OrderEvidence(first, second, tuple(run.name for run in runs))


def gains(wide: HasTables, many: HasTables) -> list[float]:
    """log perplexity of the wide layer minus that of the experts, training by training.

    Trainings of two models are no pairs; each enters one difference, so that these are independent.
    """
    logs = [np.log(perplexity_of(run).to_numpy(float)) for run in (wide, many)]
    # A suite may give one of the two more trainings.
    num = min(map(len, logs))
    differences: list[float] = (logs[0][:num] - logs[1][:num]).tolist()
    return differences


FORMS: dict[str, Form] = {
    form.__name__: form for form in (after_equal_seconds, stranger_over_sibling, late_load, gain)
}
