"""Whether runs have the settings of their suite, of which its claims speak."""

from collections.abc import Collection, Iterable
from functools import cache
from typing import Any

from experiments.schema import plain
from experiments.suite import suite_runs
from reproductions.runs import NamedRun


@cache
def published_settings(suite: str) -> dict[str, dict[str, Any]]:
    """The settings of every run of a suite by name, as its file has them."""
    _, studies = suite_runs([f"suite={suite}"])
    return {name: plain(study) for name, study in studies.items()}


def why_not_comparable(runs: Iterable[NamedRun], suite: str, free: Collection[str]) -> str | None:
    """One sentence that names every departure from the published runs; None where none is.

    Args:
        runs: of the suite.
        suite: its name.
        free: settings that change how much is seen of a result, or which of equally good draws it
            is.
    """
    found = dict.fromkeys(text for run in runs for text in _departures(run, suite, free))
    if not found:
        return None
    return f"These runs depart from the published ones: {'; '.join(found)}."


def _departures(run: NamedRun, suite: str, free: Collection[str]) -> list[str]:
    config = run.finished.config
    return [
        f"{key} is {config[key]} instead of {value}"
        for key, value in published_settings(suite)[run.name].items()
        if key not in free and config[key] != value
    ]
