"""The finished runs of a suite by name, which is all that a report is made from."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.execute import folder_of
from experiments.run_folder import FinishedRun, RunFolder, read_finished
from experiments.runner.errors import UserError
from experiments.runner.schema import plain
from experiments.suite import suite_runs

# Settings that have words of their own; the others go by name and value.
_WORDS = {
    "activation": "{}",
    "system": "{}",
    "num_experts": "{:,} experts",
    "num_filters": "{:,} filters",
    "num_groups": "{:,} groups",
    "num_hidden": "{:,} hidden units",
    "num_tokens": "{:,} tokens",
}
# What a suite gives its runs for time and space; no run is named after it.
_UNNAMED = {
    "study",
    "curve_every",
    "keep_picture",
    "max_epochs",
    "max_steps",
    "max_train_pairs",
    "num_paths",
    "num_rounds",
    "num_seeds",
    "num_translated",
    "references",
    "snapshot_every",
}


@dataclass(frozen=True)
class NamedRun:
    """A finished run, its name in the suite, and its study config as a dataclass.

    Attributes:
        name: in the suite.
        study: its settings.
        finished: its folder.
        changed: the suite's values of the settings that this run has otherwise.
        own: settings that the suite gives this run by itself, and from which its name comes.
    """

    name: str
    study: Any
    finished: FinishedRun
    changed: Mapping[str, Any] = field(default_factory=dict)
    own: frozenset[str] = frozenset()

    @property
    def is_as_named(self) -> bool:
        """Tell whether the run has all settings that its name stands for."""
        return not self.own & self.changed.keys()

    def table(self, name: str) -> pd.DataFrame:
        """Return one of the run's tables."""
        return self.finished.table(name)

    def called(self, words: str, about: Collection[str] = ()) -> str:
        """What readers call it: these words, or its settings where the words would be untrue.

        Args:
            words: what the run of this name is in the suite as it is.
            about: settings that the words speak of, beside those that are the run's own.
        """
        # A label such as "4 experts" is wrong as soon as one setting behind it is another.
        untrue = self.changed.keys() & {*self.own, *about}
        settings = plain(self.study)
        told = [_in_words(key, settings[key]) for key in settings if key in self.own | untrue]
        return ", ".join(told) if untrue else words

    def departures(self, keys: Collection[str]) -> list[str]:
        """Tell in words which of these settings differ from those of the suite as it is."""
        settings = plain(self.study)
        return [
            f"{key} is {settings.get(key)} instead of {value}"
            for key, value in self.changed.items()
            if key in keys
        ]

    def provenance(self) -> dict[str, object]:
        """The manifest, the resolved config and the name, for the picture's provenance."""
        return {"run": self.name, **self.finished.manifest, "config": self.finished.config}


def metric(run: NamedRun | None, column: str, scale: float = 1.0) -> pd.Series:
    """A column of a run's metrics, without the seeds, or the runs, that do not have it."""
    metrics = pd.DataFrame() if run is None else run.table("metrics")
    if column not in metrics:
        return pd.Series(dtype=float)
    return scale * metrics[column].dropna().astype(float)


# Finished runs by their names in the suite.
Runs = Mapping[str, NamedRun]


def _in_words(key: str, value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    known = key in _WORDS and isinstance(value, int | str)
    return _WORDS[key].format(value) if known else f"{key.replace('_', ' ')} {text}"


def distinct(runs: Iterable[NamedRun | None]) -> list[NamedRun]:
    """Each run once, where settings made several names the same: by the name that is true."""
    # An override such as study.num_experts=8 makes the runs of 4 and of 8 experts one and the same;
    # two rows of a table with the same numbers would look like agreement.
    kept: dict[Path, NamedRun] = {}
    for run in runs:
        if run is not None:
            first = kept.setdefault(run.finished.path, run)
            # The first name wins, unless only a later one is true.
            if run.is_as_named and not first.is_as_named:
                kept[run.finished.path] = run
    return list(kept.values())


@dataclass(frozen=True)
class SuiteRuns:
    """The runs of a suite that are finished, and the names of those that are not."""

    runs: dict[str, NamedRun]
    missing: tuple[str, ...]


# Where finished runs come from, by the study configs of a suite and its name: the folder of all
# runs, or what is stored of the published ones.
Source = Callable[[Mapping[str, Any], str], SuiteRuns]


@cache
def suite_settings(suite: str) -> dict[str, tuple[dict[str, Any], frozenset[str]]]:
    """Return all settings of every run of a suite as it is, and the keys of those of its own.

    What a suite overrides in all of its runs, such as toy sizes, is left out.
    """
    config, studies = suite_runs([f"suite={suite}"], with_suites_own=False)
    # What the suite's file writes beside a run's name is what the name stands for.
    own = {name: frozenset(config.suite.runs[name]) - _UNNAMED for name in studies}
    return {name: (plain(study), own[name]) for name, study in studies.items()}


def named_run(name: str, study: Any, finished: FinishedRun, suite: str) -> NamedRun:
    """A finished run as a run of this suite, with what overrides made different in it."""
    # Against the suite without overrides: what its names were given for.
    settings, own = suite_settings(suite)[name]
    now = plain(study)
    changed = {key: value for key, value in settings.items() if now.get(key) != value}
    return NamedRun(name, study, finished, changed, own)


def in_folder(runs_dir: str, read: Callable[[Path], FinishedRun] = read_finished) -> Source:
    """The source of all runs that lie in a folder; `read` reads one."""
    return lambda studies, suite: find_runs(studies, runs_dir, suite, read)


def find_runs(
    studies: Mapping[str, Any],
    runs_dir: str,
    suite: str,
    read: Callable[[Path], FinishedRun] = read_finished,
) -> SuiteRuns:
    """Reads every finished run of a suite.

    Args:
        studies: study config of each run by name, with the user's overrides.
        runs_dir: folder of all runs.
        suite: its name.
        read: reads a finished run's folder.

    Raises:
        UserError: a finished run is damaged.
    """
    runs, missing = {}, []
    for name, study in studies.items():
        # By the digest of settings, code and data: a run of older code is not taken for this one.
        path = _folder(study, runs_dir)
        if path is not None and RunFolder(path).is_finished():
            runs[name] = named_run(name, study, read(path), suite)
        else:
            missing.append(name)
    return SuiteRuns(runs, tuple(missing))


def _folder(study: Any, runs_dir: str) -> Path | None:
    """Return where a run lies; None where the data is missing by which it would be known."""
    try:
        return folder_of(study, runs_dir)
    except UserError:
        return None


def why_not_comparable(runs: Iterable[NamedRun], free: Collection[str]) -> str | None:
    """One sentence that names every departure from the suite as it is; None where none is.

    Args:
        runs: of the suite.
        free: settings that change how much is seen of a result, or which of equally good draws it
            is.
    """
    found = [text for run in runs for text in run.departures(run.changed.keys() - set(free))]
    if not found:
        return None
    return f"These runs depart from the published ones: {'; '.join(dict.fromkeys(found))}."


def none_finished(overrides: Sequence[str], make_target: str) -> UserError:
    """The error for a suite of which no run is finished; it names the command that trains."""
    changes = [item for item in overrides if not item.startswith("suite=")]
    arguments = f' ARGS="{" ".join(changes)}"' if changes else ""
    return UserError(
        "None of the runs that this report needs is finished.",
        f"Train them first: make {make_target}{arguments}",
    )
