"""Whether runs measure what the paper measured: where their settings leave what it states."""

from collections.abc import Iterable, Mapping
from typing import Any

from reproductions.runs import NamedRun

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
