"""The vowel study's own ways to read evidence, and what makes its runs incomparable.

The forms read tables with one row per seed, of a finished run or of a world of the multiverse.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from reproductions.runs import NamedRun
from reproductions.verdicts.claims import Claim
from reproductions.verdicts.evidence import (
    COMMON_FORMS,
    Evidence,
    Form,
    HasTables,
    RateEvidence,
    ValueEvidence,
    measure,
    names_of,
    pairs_of,
    rate_of,
)
from reproductions.vowel import decision_lines
from reproductions.vowel.decision_lines import formants, has_lines, lone_line, trajectory

# What the paper states (section 3, Figure 2's caption, equation 1.3); everything else is silence,
# and another choice there is another reading of the paper, which is judged like ours.
STATED: Mapping[str, object] = {
    "vowels": ["iy", "ih", "aa", "ah"],
    "split": "as_published",
    "num_train_speakers": 50,
    "input_scale": "kilohertz",
    "stop_error": 0.08,
    "variance": 1.0,
    "gate_init_range": 0.0,
}
_EXPERTS: Mapping[str, object] = {"system": "mixture", "cost": "mixture_likelihood"}
_LINE: Mapping[str, object] = {**_EXPERTS, "num_experts": 1, "stop_error": 0.0}
OF_RUN: Mapping[str, Mapping[str, object]] = {
    "experts_4": {**_EXPERTS, "num_experts": 4},
    "experts_8": {**_EXPERTS, "num_experts": 8},
    "backprop_6": {"system": "backprop", "num_hidden": 6},
    "backprop_12": {"system": "backprop", "num_hidden": 12},
    "expected_error_4": {"system": "mixture", "num_experts": 4, "cost": "expected_error"},
    "expected_error_8": {"system": "mixture", "num_experts": 8, "cost": "expected_error"},
    "line_X": _LINE,
    "line_T0": {**_LINE, "vowels": ["iy", "ih"]},
    "line_T1": {**_LINE, "vowels": ["aa", "ah"]},
}
# Under a lower limit a system that needs the published number of epochs may be cut off.
FEWEST_EPOCHS = 10_000


@dataclass(frozen=True)
class SeedTable:
    """A metrics table, one row per seed, in the place of a finished run."""

    name: str
    metrics: pd.DataFrame

    def table(self, name: str) -> pd.DataFrame:
        """The metrics, which are all that there is."""
        return self.metrics


def measured(claim: Claim, tables: Mapping[str, pd.DataFrame]) -> Evidence | None:
    """Evidence on a claim from metrics tables by run; None where one is missing."""
    recipe = claim.evidence
    if recipe is None or not set(recipe.runs) <= set(tables):
        return None
    runs = {name: SeedTable(name, tables[name]) for name in recipe.runs}
    return measure(recipe, runs, {**COMMON_FORMS, **FORMS})


def epochs(run: HasTables) -> ValueEvidence:
    """Epochs to the stop by seed; seeds that never reached it enter with the limit, as bounds."""
    samples, num_censored = _epochs_of(run)
    return ValueEvidence(samples, (run.name,), num_censored=num_censored)


def _epochs_of(run: HasTables) -> tuple[tuple[float, ...], int]:
    metrics = run.table("metrics")
    # A seed that never stopped needed at least the limit: left out, it would make systems that
    # often fail look fast.
    return tuple(metrics["epochs"].astype(float)), int((metrics["status"] != "converged").sum())


def epoch_ratio(experts: HasTables, rival: HasTables) -> ValueEvidence:
    """Compare the mean epochs of the rival with those of the experts, as a ratio."""
    samples, num_censored = _epochs_of(experts)
    baseline_samples, num_censored_baseline = _epochs_of(rival)
    return ValueEvidence(
        samples,
        names_of(experts, rival),
        baseline_samples=baseline_samples,
        num_censored=num_censored,
        num_censored_baseline=num_censored_baseline,
    )


def difference(
    first: HasTables, second: HasTables, *, column: str, scale: float = 1.0
) -> ValueEvidence:
    """Return a column of one run minus that of another, by seed."""
    both = pairs_of([run.table("metrics") for run in (first, second)], [column, column])
    return ValueEvidence(tuple((scale * (both[0] - both[1])).tolist()), names_of(first, second))


def experts_on_pairs(run: HasTables, *, on_a: int, on_i: int) -> RateEvidence | None:
    """Count the seeds with so many experts on [a]/[A], and so many on [i]/[I]."""
    metrics = run.table("metrics")
    if not {"experts_on_aa_ah", "experts_on_iy_ih"} <= set(metrics):
        return None
    shown = (metrics["experts_on_aa_ah"] == on_a) & (metrics["experts_on_iy_ih"] == on_i)
    return rate_of(shown.to_numpy(), run)


def together_then_apart(experts: NamedRun, lone: NamedRun) -> RateEvidence:
    """Count the seeds whose experts all head for the line of a lone expert first, and then part."""
    num_seeds = len(experts.table("metrics"))
    if not (has_lines(experts) and has_lines(lone)):
        reason = "Experts with several outputs have no single decision line."
        return RateEvidence(0, num_seeds, names_of(experts, lone), not_comparable=reason)
    frame = decision_lines.frame_of(lone_line(lone), formants(experts))
    shown = [_shows_the_story(experts, position, frame) for position in range(num_seeds)]
    return rate_of(np.array(shown), experts, lone)


def _shows_the_story(experts: NamedRun, position: int, frame: decision_lines.Frame) -> bool:
    path = trajectory(experts, position)
    return decision_lines.together_then_apart(
        path.lines_SE3[:-1], path.lines_SE3[-1], path.live_SE[-1], frame
    )


FORMS: dict[str, Form] = {
    form.__name__: form
    for form in (epochs, epoch_ratio, difference, experts_on_pairs, together_then_apart)
}


def why_not_comparable(claim: Claim, runs: Iterable[NamedRun]) -> str | None:
    """One sentence that names every departure from what the paper states; None without one.

    It is the same for every claim.
    """
    found = dict.fromkeys(text for run in runs for text in _departures(run))
    if not found:
        return None
    return f"These runs depart from what the paper states: {'; '.join(found)}."


def _departures(run: NamedRun) -> list[str]:
    config = run.finished.config
    wanted = {**STATED, **OF_RUN.get(run.name, {})}
    found = [
        f"{key} is {_written(config[key])} instead of {_written(value)}"
        for key, value in wanted.items()
        if config[key] != value
    ]
    # The paper has 75 speakers, the table of Peterson & Barney (1952) 76.
    if config["dropped_speaker"] is None:
        found.append("all 76 speakers take part instead of 75")
    if config["max_epochs"] < FEWEST_EPOCHS:
        found.append(f"training is cut off after {config['max_epochs']:,} epochs")
    return found


def _written(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
