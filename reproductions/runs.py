"""The finished runs of a suite by name, which is all that a report is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.errors import UserError
from experiments.execute import folder_of
from experiments.run_folder import FinishedRun, RunFolder, read_finished


@dataclass(frozen=True)
class NamedRun:
    """A finished run, its name in the suite, and its study config as a dataclass."""

    name: str
    study: Any
    finished: FinishedRun

    def provenance(self) -> dict[str, object]:
        """The manifest, the resolved config and the name, for the picture's provenance."""
        return {"run": self.name, **self.finished.manifest, "config": self.finished.config}


@dataclass(frozen=True)
class Found:
    """The runs of a suite that are finished, and the names of those that are not."""

    runs: dict[str, NamedRun]
    missing: tuple[str, ...]


def find_runs(studies: Mapping[str, Any], runs_dir: str) -> Found:
    """Reads every finished run of a suite.

    Args:
        studies: study config of each run by name.
        runs_dir: folder of all runs.

    Raises:
        UserError: a finished run is damaged.
    """
    runs, missing = {}, []
    for name, study in studies.items():
        path = _folder(study, runs_dir)
        if path is not None and RunFolder(path).is_finished():
            runs[name] = NamedRun(name, study, read_finished(path))
        else:
            missing.append(name)
    return Found(runs, tuple(missing))


def _folder(study: Any, runs_dir: str) -> Path | None:
    """Where a run lies; None where the data is not here by which it would be known."""
    try:
        return folder_of(study, runs_dir)
    except UserError:
        return None


def none_finished(overrides: Sequence[str], make_target: str) -> UserError:
    """The error for a suite of which no run is finished; it names the command that trains."""
    changes = [item for item in overrides if not item.startswith("suite=")]
    arguments = f' ARGS="{" ".join(changes)}"' if changes else ""
    return UserError(
        "None of the runs that this report needs is finished.",
        f"Train them first: make {make_target}{arguments}",
    )
