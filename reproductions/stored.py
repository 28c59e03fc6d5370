"""Stored runs: what the published reports read of their runs, kept beside the records.

A run is one file, `reproductions/published/<study>/<digest>.zip`: its settings, what its digest is
taken over, its manifest, its metrics, and every other table and array that the report reads. With
these `python -m reproductions.rejudge` makes every verdict, table and figure again without
training. `runs.json` beside them says which run bears which name in which suite.
"""

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from experiments.run_folder import Array, FinishedRun, read_finished, run_digest
from experiments.runner.errors import UserError
from experiments.runner.schema import plain
from experiments.runner.storage import sha256, storage_errors, write_atomically
from reproductions.runs import NamedRun, Source, SuiteRuns, in_folder, named_run

FOLDER = Path(__file__).parent / "published"
_INDEX = "runs.json"
# What says which run it is; the metrics are stored as well, whoever reads them.
_ALWAYS = ("config.json", "identity.json", "manifest.json")
# A zip file keeps a time of every member; this one makes equal runs equal files.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class WatchedRun(FinishedRun):
    """A finished run that remembers which of its files were read."""

    was_read: set[str] = field(default_factory=set)

    def table(self, name: str) -> pd.DataFrame:
        """Return a table, and remember it."""
        self.was_read.add(f"{name}.csv")
        return super().table(name)

    def arrays(self, name: str) -> dict[str, Array]:
        """Return arrays, and remember their file."""
        self.was_read.add(f"{name}.npz")
        return super().arrays(name)


# By the suite, and the run's name in it.
Watched = dict[str, Mapping[str, NamedRun]]


def watching(runs_dir: str, seen: Watched) -> Source:
    """The source of all runs in a folder, which notes in `seen` what it gave and what was read."""
    # One for all names and suites that a run has, or what one of them read would be forgotten.
    folder = in_folder(runs_dir, cache(lambda path: WatchedRun(**vars(read_finished(path)))))

    def source(studies: Mapping[str, Any], suite: str) -> SuiteRuns:
        found = folder(studies, suite)
        seen[suite] = found.runs
        return found

    return source


def store(
    study: str, seen: Mapping[str, Mapping[str, NamedRun]], folder: Path | None = None
) -> int:
    """Store what was read of runs, in the place of what is stored of this study.

    Args:
        study: whose report read them.
        seen: the runs, after the report was made.
        folder: of all that is published; the project's own by default.

    Returns:
        The size of all files in bytes.
    """
    place = (folder or FOLDER) / study
    with storage_errors(place):
        place.mkdir(parents=True, exist_ok=True)
    runs = {run.finished.path.name: run for named in seen.values() for run in named.values()}
    packed = {digest: _packed(run.finished) for digest, run in runs.items()}
    for digest, data in packed.items():
        write_atomically(place / f"{digest}.zip", data)
    index = {
        suite: {
            name: {"run": run.finished.path.name, "sha256": sha256(packed[run.finished.path.name])}
            for name, run in named.items()
        }
        for suite, named in seen.items()
        if named
    }
    # The index comes before the old runs go: it never names one that is not there.
    write_atomically(place / _INDEX, (json.dumps(index, indent=1) + "\n").encode())
    # Runs that the report reads no more.
    for old in place.glob("*.zip"):
        if old.stem not in packed:
            old.unlink()
    return sum(map(len, packed.values()))


def _packed(run: FinishedRun) -> bytes:
    if isinstance(run, StoredRun):
        return run.packed
    read = run.was_read if isinstance(run, WatchedRun) else set()
    # A study may have no metrics, and so no claim about any.
    names = {*_ALWAYS, *read, *({"metrics.csv"} & run.manifest["files"].keys())}
    buffer = BytesIO()
    with (
        storage_errors(run.path),
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
    ):
        for name in sorted(names):
            # Equal runs become equal files, in whatever order and at whatever time they were
            # packed.
            member = zipfile.ZipInfo(name, _NO_TIME)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, (run.path / name).read_bytes())
    return buffer.getvalue()


def is_stored(study: str, folder: Path | None = None) -> bool:
    """Tell whether the runs of a study's published report are stored."""
    return ((folder or FOLDER) / study / _INDEX).exists()


@dataclass(frozen=True)
class StoredRun(FinishedRun):
    """A finished run of which only what the published report read is there.

    ``packed`` is the file that it is stored as.
    """

    packed: bytes = field(default=b"", repr=False)

    def table(self, name: str) -> pd.DataFrame:
        """Return a table.

        Raises:
            UserError: it is not stored.
        """
        _check_stored(self.path, f"{name}.csv")
        return super().table(name)

    def arrays(self, name: str) -> dict[str, Array]:
        """Return arrays.

        Raises:
            UserError: they are not stored.
        """
        _check_stored(self.path, f"{name}.npz")
        return super().arrays(name)


def _check_stored(path: Path, name: str) -> None:
    if not (path / name).exists():
        raise UserError(
            f"The file {name} of the published run {path.name} is not stored: its report did not "
            "read it.",
            "Publish it again from its finished run: make publish stores what is read now.",
        )


@contextmanager
def stored_runs(study: str, folder: Path | None = None) -> Iterator[Source]:
    """The source of a study's stored runs, within the block.

    Args:
        study: its id.
        folder: of all that is published; the project's own by default.

    Raises:
        UserError: a file is damaged; or, when a suite's runs are asked for, one of them was
            published with other settings than the suite has now.
    """
    place = (folder or FOLDER) / study
    index = _index(place)
    with TemporaryDirectory(prefix="moe-stored-") as scratch:
        whole: dict[str, StoredRun] = {}
        for entry in (entry for named in index.values() for entry in named.values()):
            if entry["run"] not in whole:
                whole[entry["run"]] = _unpacked(place, entry, Path(scratch))

        def source(studies: Mapping[str, Any], suite: str) -> SuiteRuns:
            names = index.get(suite, {})
            _check_settings(studies, {name: whole[names[name]["run"]] for name in names})
            runs = {
                name: named_run(name, study, whole[names[name]["run"]], suite)
                for name, study in studies.items()
                if name in names
            }
            return SuiteRuns(runs, tuple(name for name in studies if name not in names))

        yield source


@contextmanager
def or_stored(
    study: str, source: Source, seen: Watched, folder: Path | None = None
) -> Iterator[Source]:
    """A watched source that takes from the stored runs those that it lacks, within the block.

    So a study can be published in parts: what was published once need not be trained again. A
    source that has no run of the first suite that it is asked for stays as it is.

    Args:
        study: its id.
        source: of finished runs, which notes in `seen` what it gave.
        seen: what is to be stored; has the stored runs as well.
        folder: of all that is published; the project's own by default.

    Raises:
        UserError: as in `stored_runs`, of the runs that are missing.
    """
    if not is_stored(study, folder):
        yield source
        return
    with stored_runs(study, folder) as stored:

        def either(studies: Mapping[str, Any], suite: str) -> SuiteRuns:
            found = source(studies, suite)
            if not any(seen.values()):
                return found
            others = stored({name: studies[name] for name in found.missing}, suite)
            runs = found.runs | others.runs
            seen[suite] = {name: runs[name] for name in studies if name in runs}
            return SuiteRuns(dict(seen[suite]), others.missing)

        yield either


def _index(place: Path) -> dict[str, dict[str, dict[str, str]]]:
    try:
        index: dict[str, dict[str, dict[str, str]]] = json.loads((place / _INDEX).read_bytes())
        entries = [entry for named in index.values() for entry in named.values()]
        if not all(isinstance(entry[key], str) for entry in entries for key in ("run", "sha256")):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(place / _INDEX, "does not say which runs are stored") from error
    return index


def _unpacked(place: Path, entry: Mapping[str, str], scratch: Path) -> StoredRun:
    path = place / f"{entry['run']}.zip"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _damaged(path, f"cannot be read: {error.strerror}") from error
    # Before anything is unpacked: a damaged archive may hold any path.
    if sha256(data) != entry["sha256"]:
        raise _damaged(path, f"is not the one that {_INDEX} names")
    target = scratch / entry["run"]
    with zipfile.ZipFile(BytesIO(data)) as archive:
        archive.extractall(target)
    manifest, config, identity = (
        json.loads((target / f"{name}.json").read_bytes())
        for name in ("manifest", "config", "identity")
    )
    # The run's own checksums hold for what is stored of it.
    files = {name: sum_ for name, sum_ in manifest["files"].items() if (target / name).exists()}
    wrong = [name for name, sum_ in files.items() if sha256((target / name).read_bytes()) != sum_]
    if wrong or run_digest(identity) != entry["run"]:
        raise _damaged(path, f"holds another run's {', '.join(wrong) or 'identity'}")
    del manifest["seal"]  # as `read_finished` gives it
    return StoredRun(target, manifest, config, data)


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"The stored file {path} {reason}.", f"Restore it: git checkout -- {path.parent}"
    )


def _check_settings(studies: Mapping[str, Any], runs: Mapping[str, FinishedRun]) -> None:
    """Raise UserError where a suite has come to mean other settings than its stored runs have."""
    found = [
        f"{name}: {text}"
        for name, study in studies.items()
        if name in runs
        for text in _differences(plain(study), runs[name].config)
    ]
    if found:
        raise UserError(
            f"Stored runs have other settings than their suite has now: {'; '.join(found)}.",
            "Train the runs as the suite has them, and publish them: make publish.",
        )


def _differences(now: Mapping[str, Any], stored: Mapping[str, Any]) -> Iterable[str]:
    for key, value in stored.items():
        # 0 leaves the number to the machine, and the run has the number that it came to there. A
        # setting that came after the run is none of its own: its default is what was done before.
        if key not in now:
            yield f"there is no {key} any more"
        elif now[key] != value and not (key == "num_threads" and now[key] == 0):
            yield f"{key} is {value} there and {now[key]} now"
