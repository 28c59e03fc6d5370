"""Whether runs measure what the paper measured: where they leave the settings of their suite."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from experiments.schema import plain
from experiments.suite import suite_runs
from reproductions.runs import NamedRun

ALL_RUNS = "clusters_all"
# Settings that change how much is seen of a result, or which of equally good draws it is.
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


@cache
def published_settings() -> dict[str, dict[str, Any]]:
    """The settings of every run of the study by name, as its suite has them."""
    _, studies = suite_runs([f"suite={ALL_RUNS}"])
    return {name: plain(study) for name, study in studies.items()}


def why_not_comparable(runs: Iterable[NamedRun]) -> str | None:
    """One sentence that names every departure from the published runs; None where none is."""
    found = dict.fromkeys(text for run in runs for text in _departures(run))
    if not found:
        return None
    return f"These runs depart from the published ones: {'; '.join(found)}."


def _departures(run: NamedRun) -> list[str]:
    config = run.finished.config
    return [
        f"{key} is {config[key]} instead of {value}"
        for key, value in published_settings()[run.name].items()
        if key not in _FREE and config[key] != value
    ]
