"""What the finished runs of the vowel study say about each of its claims."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reproductions.runs import NamedRun, Runs
from reproductions.verdicts.evidence import Evidence, OrderEvidence, RateEvidence, ValueEvidence
from reproductions.verdicts.judge import Found, evidence_of
from reproductions.vowel import decision_lines
from reproductions.vowel.decision_lines import formants, has_lines, lone_line, trajectory
from reproductions.vowel.suite import PAIRS, TABLE_1

Tables = Mapping[str, pd.DataFrame]
_Names = tuple[str, ...]
_Maker = Callable[[Tables, _Names], Evidence | None]


def evidence(runs: Runs) -> dict[str, Found]:
    """Evidence by claim id; None where a run that the claim needs is not finished.

    Runs that depart from what the paper states give evidence that is marked as not comparable.
    """
    tables = {name: run.finished.table("metrics") for name, run in runs.items() if _is_system(run)}
    found = {
        claim: evidence_of(partial(make, tables, names), names, runs)
        for claim, make, names in _recipes()
    }
    story = ("experts_8", "line_X")
    found["first-together-then-apart"] = evidence_of(
        partial(_together_then_apart, runs, story), story, runs
    )
    return {claim: _marked(item, runs) for claim, item in found.items()}


def _is_system(run: NamedRun) -> bool:
    return str(run.study.name) == "vowel"


def _marked(item: Found, runs: Runs) -> Found:
    if item is None or isinstance(item, tuple):
        return item
    reason = item.not_comparable or why_not_comparable(runs[name] for name in item.runs)
    return replace(item, not_comparable=reason)


def measured(claim_id: str, tables: Tables) -> Evidence | None:
    """Evidence on a claim from metrics tables by run, one row per seed.

    Epochs of seeds that never reached the stop enter with the epoch limit, as lower bounds.
    Accuracies are percentages; diverged seeds have none. None where a table is missing.
    """
    for claim, make, names in _recipes():
        if claim == claim_id:
            return make(tables, names) if set(names) <= set(tables) else None
    raise KeyError(f"no recipe for the claim {claim_id}")


def _recipes() -> Iterator[tuple[str, _Maker, _Names]]:
    for row in TABLE_1:
        yield f"epochs-{row.suffix}", _epochs, (row.run,)
        yield f"train-accuracy-{row.suffix}", _train_accuracy, (row.run,)
        yield f"test-accuracy-{row.suffix}", _test_accuracy, (row.run,)
    for experts, backprop, sizes in PAIRS:
        yield f"experts-faster-{sizes}", _epoch_order, (experts, backprop)
        yield f"half-the-epochs-{sizes}", _epoch_ratio, (experts, backprop)
        yield f"equal-test-accuracy-{sizes}", _accuracy_difference, (experts, backprop)
    yield "eight-faster-than-four", _epoch_order, ("experts_8", "experts_4")
    yield "backprop-12-slower", _epoch_order, ("backprop_12", "backprop_6")
    for size in (4, 8):
        experts = f"experts_{size}"
        yield f"two-or-three-live-{size}", _two_or_three_live, (experts,)
        yield f"two-experts-on-a-{size}", _two_experts_on_a, (experts,)
        rivals = (experts, f"expected_error_{size}")
        yield f"likelihood-beats-expected-error-{size}", _epoch_order, rivals


def _epochs(tables: Tables, names: _Names) -> ValueEvidence:
    epochs, num_censored = _epochs_of(tables[names[0]])
    return ValueEvidence(epochs, names, num_censored=num_censored)


def _epochs_of(metrics: pd.DataFrame) -> tuple[tuple[float, ...], int]:
    return tuple(metrics["epochs"].astype(float)), int((metrics["status"] != "converged").sum())


def _train_accuracy(tables: Tables, names: _Names) -> ValueEvidence:
    return _accuracy(tables, names, "train_accuracy")


def _test_accuracy(tables: Tables, names: _Names) -> ValueEvidence:
    return _accuracy(tables, names, "test_accuracy")


def _accuracy(tables: Tables, names: _Names, column: str) -> ValueEvidence:
    return ValueEvidence(tuple(100 * tables[names[0]][column].dropna()), names)


def _paired(tables: Tables, names: _Names, column: str) -> NDArray[np.float64]:
    """The column of both runs `[2, n]`, for the seeds that both have."""
    first, second = (tables[name] for name in names)
    _, *places = np.intersect1d(first["seed"], second["seed"], return_indices=True)
    values = np.stack(
        [
            table[column].to_numpy(float)[place]
            for table, place in zip((first, second), places, strict=True)
        ]
    )
    return values[:, np.isfinite(values).all(axis=0)]


def _epoch_order(tables: Tables, names: _Names) -> OrderEvidence:
    first, second = _paired(tables, names, "epochs").tolist()
    return OrderEvidence(tuple(first), tuple(second), names)


def _epoch_ratio(tables: Tables, names: _Names) -> ValueEvidence:
    samples, num_censored = _epochs_of(tables[names[0]])
    baseline_samples, num_censored_baseline = _epochs_of(tables[names[1]])
    return ValueEvidence(
        samples,
        names,
        baseline_samples=baseline_samples,
        num_censored=num_censored,
        num_censored_baseline=num_censored_baseline,
    )


def _accuracy_difference(tables: Tables, names: _Names) -> ValueEvidence:
    first, second = _paired(tables, names, "test_accuracy")
    return ValueEvidence(tuple((100 * (first - second)).tolist()), names)


def _two_or_three_live(tables: Tables, names: _Names) -> RateEvidence:
    live = tables[names[0]]["live_experts"].isin([2, 3])
    return RateEvidence(int(live.sum()), len(live), names)


def _two_experts_on_a(tables: Tables, names: _Names) -> RateEvidence | None:
    metrics = tables[names[0]]
    if not {"experts_on_aa_ah", "experts_on_iy_ih"} <= set(metrics):
        return None
    shown = (metrics["experts_on_aa_ah"] == 2) & (metrics["experts_on_iy_ih"] == 1)
    return RateEvidence(int(shown.sum()), len(shown), names)


def _together_then_apart(runs: Runs, names: _Names) -> RateEvidence:
    experts, lone = (runs[name] for name in names)
    num_seeds = len(experts.finished.table("metrics"))
    if not (has_lines(experts) and has_lines(lone)):
        reason = "Experts with several outputs have no single decision line."
        return RateEvidence(0, num_seeds, names, not_comparable=reason)
    frame = decision_lines.frame_of(lone_line(lone), formants(experts))
    shown = [_shows_the_story(experts, position, frame) for position in range(num_seeds)]
    return RateEvidence(int(np.sum(shown)), num_seeds, names)


def _shows_the_story(experts: NamedRun, position: int, frame: decision_lines.Frame) -> bool:
    path = trajectory(experts, position)
    return decision_lines.together_then_apart(
        path.lines_SE3[:-1], path.lines_SE3[-1], path.live_SE[-1], frame
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


def why_not_comparable(runs: Iterable[NamedRun]) -> str | None:
    """One sentence that names every departure from the paper; None where there is none."""
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
    if config["dropped_speaker"] is None:
        found.append("all 76 speakers take part instead of 75")
    if config["max_epochs"] < FEWEST_EPOCHS:
        found.append(f"training is cut off after {config['max_epochs']:,} epochs")
    return found


def _written(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
