"""The vowel study's own ways to read evidence, and what makes its runs incomparable.

The forms read tables with one row per seed, of a finished run or of a world of the multiverse.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reproductions.runs import NamedRun
from reproductions.verdicts.claims import Claim
from reproductions.verdicts.evidence import (
    COMMON_FORMS,
    EstimateEvidence,
    Evidence,
    Form,
    HasTables,
    RateEvidence,
    ValueEvidence,
    measure,
    names_of,
    rate_of,
)
from reproductions.verdicts.intervals import spread_estimate
from reproductions.vowel import decision_lines
from reproductions.vowel.decision_lines import (
    Trajectory,
    formants,
    has_lines,
    lone_line,
    num_paths,
    trajectories,
)

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
_ON: Mapping[str, object] = {**_EXPERTS, "stop_error": 0.0, "max_epochs": 2500}
_GATES = ("slow", "plain")
OF_RUN: Mapping[str, Mapping[str, object]] = {
    "experts_4": {**_EXPERTS, "num_experts": 4},
    "experts_8": {**_EXPERTS, "num_experts": 8},
    "backprop_6": {"system": "backprop", "num_hidden": 6},
    "backprop_12": {"system": "backprop", "num_hidden": 12},
    "expected_error_4": {"system": "mixture", "num_experts": 4, "cost": "expected_error"},
    "expected_error_8": {"system": "mixture", "num_experts": 8, "cost": "expected_error"},
    # A lead of ours: they train on past the stop, to one epoch.
    **{f"{gate}_gate_{size}": {**_ON, "num_experts": size} for gate in _GATES for size in (4, 8)},
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
    samples = metrics["epochs"].to_numpy(float).tolist()
    return tuple(samples), int((metrics["status"] != "converged").sum())


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


def epochs_spread(run: HasTables) -> EstimateEvidence | None:
    """Return the standard deviation of the epochs to the stop, over seeds."""
    samples, num_censored = _epochs_of(run)
    if len(samples) < 3:
        return None
    reason = f"{num_censored} seeds never reached the stop." if num_censored else None
    return EstimateEvidence(spread_estimate(samples), (run.name,), reason)


def experts_on_pairs(run: HasTables, *, on_a: int, on_i: int) -> RateEvidence | None:
    """Count the seeds with so many experts on [a]/[A], and so many on [i]/[I]."""
    metrics = run.table("metrics")
    if not {"experts_on_aa_ah", "experts_on_iy_ih"} <= set(metrics):
        return None
    shown = (metrics["experts_on_aa_ah"] == on_a) & (metrics["experts_on_iy_ih"] == on_i)
    return rate_of(shown.to_numpy(), run)


def heading(experts: NamedRun, lone: NamedRun, *, epochs: int) -> RateEvidence:
    """Count the seeds whose experts' lines all turn towards that of a lone expert at first.

    Args:
        experts: a mixture.
        lone: a single expert.
        epochs: how long "at first" lasts.
    """
    return _seeds_that(partial(_heads_for_it, epochs=epochs), experts, lone)


def arriving(experts: NamedRun, lone: NamedRun) -> RateEvidence:
    """Count the seeds whose experts' lines all lie near that of a lone expert at one epoch."""
    return _seeds_that(_arrives, experts, lone)


def together_then_apart(experts: NamedRun, lone: NamedRun) -> RateEvidence:
    """Count the seeds whose experts all arrive at the line of a lone expert first, then part."""
    return _seeds_that(_shows_the_story, experts, lone)


def _seeds_that(
    show: Callable[[Trajectory, decision_lines.Frame], bool], experts: NamedRun, lone: NamedRun
) -> RateEvidence:
    num_seeds = num_paths(experts)
    if not (has_lines(experts) and has_lines(lone)):
        reason = "Experts with several outputs have no single decision line."
        return RateEvidence(0, num_seeds, names_of(experts, lone), not_comparable=reason)
    frame = decision_lines.frame_of(lone_line(lone), formants(experts))
    shown = [show(path, frame) for path in trajectories(experts)]
    return rate_of(np.array(shown), experts, lone)


def share_heading(experts: NamedRun, lone: NamedRun, epochs: int) -> float:
    """Return the share of all experts of all seeds whose lines turn towards that of a lone one."""
    frame = decision_lines.frame_of(lone_line(lone), formants(experts))
    turned = [_turned(path, frame, epochs) for path in trajectories(experts)]
    return float(np.mean(turned))


def _heads_for_it(path: Trajectory, frame: decision_lines.Frame, epochs: int) -> bool:
    return bool(_turned(path, frame, epochs).all())


def _turned(path: Trajectory, frame: decision_lines.Frame, epochs: int) -> NDArray[np.bool_]:
    # The last snapshot of these epochs; a seed that stops earlier is taken at its stop.
    last = int(np.searchsorted(path.epochs, epochs, side="right")) - 1
    return decision_lines.turn_towards(path.lines_SE3[0], path.lines_SE3[last], frame)


def _arrives(path: Trajectory, frame: decision_lines.Frame) -> bool:
    return decision_lines.first_together(path.lines_SE3[:-1], frame) is not None


def _shows_the_story(path: Trajectory, frame: decision_lines.Frame) -> bool:
    return decision_lines.together_then_apart(
        path.lines_SE3[:-1], path.lines_SE3[-1], path.live_SE[-1], frame
    )


FORMS: dict[str, Form] = {
    form.__name__: form
    for form in (
        epochs,
        epoch_ratio,
        epochs_spread,
        experts_on_pairs,
        heading,
        arriving,
        together_then_apart,
    )
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
    if config["max_epochs"] < FEWEST_EPOCHS and "max_epochs" not in wanted:
        found.append(f"training is cut off after {config['max_epochs']:,} epochs")
    return found


def _written(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
