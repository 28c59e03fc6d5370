"""Run folders: where one run keeps its outputs, and how a finished one is read back.

A run owns ``runs/<study>/<digest>/``, and what lies there is bound to that digest: under another
name, or in another run's folder, nothing of it is taken for a result. Only the process that holds
the folder's lock writes there, each file appears whole or not at all, and ``manifest.json`` comes
last: its presence means that the run is finished.
"""

import io
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from experiments.runner.errors import UserError
from experiments.runner.stopping import leave_if_asked
from experiments.runner.storage import (
    read_checkpoint,
    sha256,
    storage_errors,
    sweep_temporary_files,
    write_atomically,
    write_checkpoint,
)

Array = np.ndarray[Any, np.dtype[Any]]

_LOGGER = logging.getLogger(__name__)
_MANIFEST = "manifest.json"
_CONFIG = "config.json"
_IDENTITY = "identity.json"
_CHECKPOINT = "checkpoint.pt"
_SUPERSEDED = "superseded"
_OUTPUT_SUFFIXES = {".json", ".csv", ".npz"}
_NUM_DIGEST_CHARACTERS = 16
# What spreadsheets take for a formula, and the apostrophe that says it is none.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def run_digest(identity: Mapping[str, object]) -> str:
    """Return the name of the run with this identity: 16 hexadecimal digits.

    The order of keys does not matter. Raises TypeError or ValueError for what JSON cannot
    hold (NaN and the infinities included).
    """
    return sha256(_canonical_json(identity))[:_NUM_DIGEST_CHARACTERS]


def _canonical_json(data: Mapping[str, object]) -> bytes:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode()


def _csv(frame: pd.DataFrame) -> bytes:
    # Before Python 3.11.9 a carriage return is quoted only where lines end with one. What stands
    # between quotes is every second part.
    parts = frame.to_csv(index=False, lineterminator="\r\n").split('"')
    parts[::2] = [part.replace("\r\n", "\n") for part in parts[::2]]
    return '"'.join(parts).encode()


def _texts_changed(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """The same with every text in it changed; numbers and empty cells stay as they are."""
    columns = {}
    for name, column in frame.select_dtypes(exclude=["number", "bool"]).items():
        cells = [change(cell) if isinstance(cell, str) else cell for cell in column]
        columns[name] = pd.Series(cells, column.index, column.dtype)
    return frame.assign(**columns)  # type: ignore[arg-type]


def _guarded(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _with_suffix(name: str, suffix: str) -> str:
    return name if name.endswith(suffix) else name + suffix


@dataclass(frozen=True)
class RunFolder:
    """A run's own folder, held under its lock; names may leave out the file suffix."""

    path: Path

    def write_table(self, name: str, frame: pd.DataFrame) -> None:
        """Write ``frame`` without its index as ``<name>.csv``; floats keep every digit.

        Text in which a spreadsheet would see a formula begins with an apostrophe, which
        ``FinishedRun.table`` takes off again.

        Raises:
            ValueError: there are no columns, so that nobody could read the table again.
        """
        if not len(frame.columns):
            raise ValueError(f"the table {name} has no columns: leave it out")
        self._write_checked(_with_suffix(name, ".csv"), _csv(_texts_changed(frame, _guarded)))

    def write_arrays(
        self, name: str, arrays: Mapping[str, Array], *, compressed: bool = True
    ) -> None:
        """Write ``arrays`` as ``<name>.npz``; raises ValueError for an array of objects.

        Weights hardly shrink, and compressing gigabytes of them takes minutes.
        """
        # NumPy's own allow_pickle would be taken for an array's name before version 2.1.
        objects = [key for key, array in arrays.items() if array.dtype.hasobject]
        if objects:
            raise ValueError(f"arrays of objects cannot be written: {', '.join(objects)}")
        buffer = io.BytesIO()
        save = np.savez_compressed if compressed else np.savez
        save(buffer, **arrays)  # type: ignore[arg-type]
        self._write_checked(_with_suffix(name, ".npz"), buffer.getvalue())

    def _write_checked(self, name: str, data: bytes) -> None:
        # A run that continues builds on what it finds. The checksum comes first, so that a
        # kill in between never leaves a file without one.
        checksums = _checksums(self.path)
        with storage_errors(self.path):
            checksums.mkdir(parents=True, exist_ok=True)
        write_atomically(checksums / name, _bound_checksum(self.path, data))
        write_atomically(self.path / name, data)

    def write_json(self, name: str, data: Mapping[str, object]) -> None:
        """Write ``data`` as ``<name>.json``; raises ValueError for NaN and the infinities."""
        text = json.dumps(data, indent=2, allow_nan=False) + "\n"
        write_atomically(self.path / _with_suffix(name, ".json"), text.encode())

    def save_checkpoint(self, state: Mapping[str, object]) -> None:
        """Keep ``state`` (tensors and plain values) so that a killed run can continue.

        Raises TypeError for values of other kinds, and Stopped once the state is kept if the
        process was asked to stop.
        """
        write_checkpoint(self.path / _CHECKPOINT, self.path.name, state)
        leave_if_asked()

    def load_checkpoint(self) -> dict[str, Any] | None:
        """Return the last saved state, or None where this run has none that is whole."""
        with storage_errors(self.path):
            return read_checkpoint(self.path / _CHECKPOINT, self.path.name)

    def is_finished(self) -> bool:
        """Return whether the run wrote its manifest; says nothing about later damage."""
        with storage_errors(self.path):
            return (self.path / _MANIFEST).exists()

    def finish(self, manifest: Mapping[str, object]) -> None:
        """Write ``manifest`` with the checksums of all outputs, and drop what only a restart needs.

        The manifest gains ``digest`` (of the run's identity), ``files`` (output name to SHA-256)
        and ``seal`` (SHA-256 of the rest of the manifest). Raises ValueError where config.json
        was not written.
        """
        files = {name: sha256((self.path / name).read_bytes()) for name in self._outputs()}
        if _CONFIG not in files:
            raise ValueError(f"{_CONFIG} must be written before the run is finished")
        digest = run_digest(json.loads((self.path / _IDENTITY).read_bytes()))
        content = {**manifest, "digest": digest, "files": files}
        self.write_json(_MANIFEST, {**content, "seal": _seal(content)})
        # A kill before this line leaves a finished run; the next claim tidies up.
        with storage_errors(self.path):
            _drop_restart_files(self.path)

    def _outputs(self) -> list[str]:
        files = (file for file in self.path.iterdir() if file.suffix in _OUTPUT_SUFFIXES)
        return sorted(file.name for file in files if file.name != _MANIFEST)


def _checksums(path: Path) -> Path:
    """The folder with the checksum of each file that the unfinished run ``path`` has written."""
    return path.parent / ".checksums" / path.name


def _bound_checksum(path: Path, data: bytes) -> bytes:
    """The checksum of a file of the unfinished run ``path``; in another run it is another one."""
    return sha256(path.name.encode() + b"\n" + data).encode()


def _drop_restart_files(path: Path) -> None:
    (path / _CHECKPOINT).unlink(missing_ok=True)
    if _checksums(path).exists():
        shutil.rmtree(_checksums(path))


def _set_damaged_aside(path: Path) -> None:
    """Move aside what an unfinished run has written and what changed since then."""
    for file in [*path.glob("*.csv"), *path.glob("*.npz")]:
        checksum = _checksums(path) / file.name
        if checksum.exists() and checksum.read_bytes() == _bound_checksum(path, file.read_bytes()):
            continue
        num_earlier = len(list(path.glob(f"{file.name}.damaged-*")))
        aside = file.with_name(f"{file.name}.damaged-{num_earlier + 1}")
        file.rename(aside)
        _LOGGER.warning(
            "The file %s of an unfinished run does not match its checksum, or is another run's. It "
            "is kept as %s and computed again.",
            file,
            aside.name,
        )


def _seal(manifest: Mapping[str, object]) -> str:
    # The manifest as it reads back from JSON: keys are strings there, and tuples are lists.
    return sha256(_canonical_json(json.loads(json.dumps(manifest))))


@contextmanager
def claimed(
    path: Path, identity: Mapping[str, object], *, force: bool = False
) -> Iterator[RunFolder]:
    """Hold the run folder ``path`` alone, waiting for any other process that holds it.

    The folder is created where needed and gets identity.json; what a killed process left
    half-written is swept. With ``force``, a finished folder is first moved to ``superseded/``
    beside it. The lock ends with the block, or with the process. Raises UserError where the
    folder cannot be made or written, unless it is finished: then there is nothing to write.
    """
    lock = FileLock(path.parent / ".locks" / f"{path.name}.lock")
    try:
        try:
            with storage_errors(path):
                _acquire(lock, path)
                _prepare(path, identity, force)
        except UserError as error:
            # Finished runs may lie on a disk that is full, or that can only be read.
            is_refused = isinstance(error.__cause__, OSError)
            if force or not is_refused or not RunFolder(path).is_finished():
                raise
        yield RunFolder(path)
    finally:
        with suppress(OSError):
            lock.release()


def _acquire(lock: FileLock, path: Path) -> None:
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _LOGGER.warning("another process is computing %s; waiting for it", path)
        lock.acquire()


def _prepare(path: Path, identity: Mapping[str, object], force: bool) -> None:
    path.mkdir(exist_ok=True)
    sweep_temporary_files(path)
    if RunFolder(path).is_finished():
        _drop_restart_files(path)
        if not force:
            return
        _supersede(path)
        path.mkdir()
    _set_damaged_aside(path)
    RunFolder(path).write_json(_IDENTITY, identity)


def _supersede(path: Path) -> None:
    moved = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    target = path.parent / _SUPERSEDED / f"{path.name}-{moved}"
    target.parent.mkdir(exist_ok=True)
    path.rename(target)
    _LOGGER.info("the finished run %s is kept as %s", path, target)


@dataclass(frozen=True)
class FinishedRun:
    """A finished run whose outputs all matched their checksums when it was read."""

    path: Path
    manifest: dict[str, Any]
    config: dict[str, Any]

    def table(self, name: str) -> pd.DataFrame:
        """Return ``<name>.csv``; only an empty cell means missing, floats keep every digit."""
        # Before pandas 3.1 only its slower Python reader returned every float unchanged.
        frame = pd.read_csv(
            self.path / _with_suffix(name, ".csv"),
            keep_default_na=False,
            na_values=[""],
            engine="python",
            # The only cell of a row may be an empty one.
            skip_blank_lines=False,
        )
        return _texts_changed(frame, lambda text: text.removeprefix("'"))

    def arrays(self, name: str) -> dict[str, Array]:
        """Return the arrays of ``<name>.npz`` by name."""
        with np.load(self.path / _with_suffix(name, ".npz"), allow_pickle=False) as archive:
            return dict(archive)


def read_finished(path: Path) -> FinishedRun:
    """Read the finished run in ``path`` and verify every output against its checksum.

    Raises UserError for a run that is not finished, for a missing or damaged file, and for a
    folder that holds another run than the one it is named after.
    """
    if not RunFolder(path).is_finished():
        raise UserError(
            f"There is no finished run in {path}.",
            "Start this run again: it continues from its last checkpoint, if it has one.",
        )
    manifest = _read_manifest(path)
    for name, checksum in manifest["files"].items():
        if sha256(_read_bytes(path, name)) != checksum:
            raise _damaged(path / name, "does not match its checksum")
    _check_name(path, manifest)
    return FinishedRun(path, manifest, json.loads(_read_bytes(path, _CONFIG)))


def _check_name(path: Path, manifest: Mapping[str, Any]) -> None:
    digest = run_digest(json.loads(_read_bytes(path, _IDENTITY)))
    if manifest.get("digest") != digest:
        raise _damaged(path / _MANIFEST, f"does not belong to its {_IDENTITY}")
    path = path.absolute()
    name = path.name.partition("-")[0] if path.parent.name == _SUPERSEDED else path.name
    if name != digest:
        raise UserError(
            f"The folder {path} holds another run, {digest}.",
            f"Give it the name {digest} again; or run again with force=true to compute what "
            f"belongs here: this folder is then kept in {_SUPERSEDED}/.",
        )


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(_read_bytes(path, _MANIFEST))
        seal = manifest.pop("seal")
        whole = seal == _seal(manifest)
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise _damaged(path / _MANIFEST, "does not match its seal")
    return manifest


def _read_bytes(path: Path, name: str) -> bytes:
    with storage_errors(path):
        try:
            return (path / name).read_bytes()
        except FileNotFoundError as error:
            raise _damaged(path / name, "is missing") from error


def _damaged(file: Path, reason: str) -> UserError:
    return UserError(
        f"The file {file} of a finished run {reason}.",
        "Run again with force=true to recompute; the damaged folder is kept in superseded/.",
    )
