"""Files on the disk: written whole or not at all, and checkpoints that show their own damage."""

import errno
import hashlib
import io
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.runner.errors import UserError

# Imported late: every command needs files, and only those that compute need torch.
if TYPE_CHECKING:
    import torch

TEMPORARY_PREFIX = ".tmp-"

_FULL = {errno.ENOSPC, errno.EDQUOT}
_AGAIN = "then give the same command again: it continues where it stopped."
_ELSEWHERE = "choose another folder (for runs: runs_dir=...)"
_NO_INODE = "but no inode: the disk holds too many files"
# What helps, by what the system says.
_FIXES = {
    errno.ENAMETOOLONG: "Set runs_dir=... to a shorter path.",
    errno.ELOOP: f"A link in it leads back to itself: remove the link, or {_ELSEWHERE}.",
    **dict.fromkeys(
        (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY),
        f"A file has the name of a folder, or a folder that of a file: move it away, or "
        f"{_ELSEWHERE}; {_AGAIN}",
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        "Set runs_dir=... to a folder that you may write in, or change the permissions of this "
        f"one; {_AGAIN}",
    ),
    **dict.fromkeys(
        (errno.ENOENT, errno.ESTALE),
        "It cannot be made, or was removed or renamed meanwhile: check the path. The same command "
        "goes on with what is still there.",
    ),
    **dict.fromkeys(
        (errno.EMFILE, errno.ENFILE), f"Allow more open files (ulimit -n 4096); {_AGAIN}"
    ),
}


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def temporary_path(path: Path) -> Path:
    """Return the name under which this process writes ``path`` before it is whole."""
    return path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")


def write_atomically(path: Path, data: bytes) -> None:
    """Make ``data`` the content of ``path``; at every moment ``path`` holds old or new content.

    Raises UserError where the disk is full or refuses the file; the old content then stays and
    no temporary file is left.
    """
    temporary = temporary_path(path)
    with storage_errors(path.parent):
        try:
            with temporary.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    # Without this a power cut can undo an earlier rename and keep a later one.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_temporary_files(folder: Path) -> None:
    """Delete what killed writers left in ``folder``; only its sole writer may call this."""
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        leftover.unlink()


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError into a UserError that names ``folder`` and what would help."""
    try:
        yield
    except OSError as error:
        raise storage_error(folder, error) from error


def storage_error(folder: Path, error: OSError) -> UserError:
    """The error for people where the system refuses ``folder`` or a file in it."""
    if error.errno in _FULL:
        room = _room(folder)
        cure = "Delete files" if _NO_INODE in room else "Free some space"
        return UserError(
            f"There is no space left to write in {folder} ({room}).",
            f"{cure} and give the same command again (it continues from its last checkpoint), or "
            "set runs_dir=... to a folder on a larger disk.",
        )
    named = error.filename2 or error.filename
    refused = f" {named}" if named and str(named) != str(folder) else ""
    return UserError(
        f"{folder} cannot be used: {error.strerror or error}{refused} ({_room(folder)}).",
        _FIXES.get(
            error.errno or 0, f"Check the disk and its connection, or {_ELSEWHERE}; {_AGAIN}"
        ),
    )


def _room(folder: Path) -> str:
    for place in (folder, *folder.parents, Path()):
        # What is asked for may be what cannot be read.
        with suppress(OSError):
            disk = os.statvfs(place)
            free = f"{disk.f_bavail * disk.f_frsize / 2**20:,.0f} MiB free"
            # A disk can have space and no room for the name of another file.
            is_out_of_names = disk.f_files > 0 and disk.f_favail == 0
            return f"{free}, {_NO_INODE}" if is_out_of_names else free
    return "the folder is gone"


_LOGGER = logging.getLogger(__name__)
_NUM_DIGEST_BYTES = hashlib.sha256().digest_size


def write_checkpoint(path: Path, run: str, state: Mapping[str, object]) -> None:
    """Save ``state`` (tensors, numbers, strings and containers of them) of a run in ``path``.

    The file is a torch file followed by the SHA-256 of its bytes. Raises TypeError for a
    value that the restricted reader would refuse, a NumPy array for one, and UserError
    where the disk refuses the file.
    """
    import torch

    buffer = io.BytesIO()
    torch.save({"run": run, "state": dict(state)}, buffer)
    buffer.seek(0)
    # Found at reading time, such a value would look like damage and restart the run.
    refused = torch.serialization.get_unsafe_globals_in_checkpoint(buffer)
    if refused:
        raise TypeError(f"a checkpoint cannot hold values that need {', '.join(refused)}")
    payload = buffer.getvalue()
    write_atomically(path, payload + hashlib.sha256(payload).digest())


def read_checkpoint(path: Path, run: str) -> dict[str, Any] | None:
    """Return the run's state in ``path``, or None where there is no whole checkpoint of it.

    A damaged file, and one of another run, is moved aside to ``checkpoint.damaged-<n>`` with a
    logged warning.
    """
    if not path.exists():
        return None
    try:
        return _decode(path.read_bytes(), run)
    except _Damaged as damage:
        _set_aside(path, str(damage))
        return None


def random_state() -> "list[torch.Tensor]":
    """The state of torch's generators: of the CPU, and of the GPU where there is one."""
    import torch

    of_gpu = [torch.cuda.get_rng_state()] if torch.cuda.is_available() else []
    return [torch.get_rng_state(), *of_gpu]


def set_random_state(state: "list[torch.Tensor]") -> None:
    """Let torch's generators go on from where `random_state` was taken."""
    import torch

    torch.set_rng_state(state[0])
    for of_gpu in state[1:]:
        torch.cuda.set_rng_state(of_gpu)


class _Damaged(Exception):
    """The bytes are not a checkpoint as this run wrote it; the message says why."""


def _decode(content: bytes, run: str) -> dict[str, Any]:
    import torch

    payload, digest = content[:-_NUM_DIGEST_BYTES], content[-_NUM_DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        raise _Damaged("its checksum does not match")
    try:
        kept: Any = torch.load(io.BytesIO(payload), weights_only=True)
    except Exception as error:  # The restricted reader names no set of errors that it can raise.
        raise _Damaged(f"it cannot be read ({type(error).__name__})") from error
    if not isinstance(kept, dict) or kept.keys() != {"run", "state"}:
        raise _Damaged("it does not say which run wrote it")
    if kept["run"] != run:
        raise _Damaged(f"it belongs to another run, {kept['run']}")
    state: dict[str, Any] = kept["state"]
    return state


def _set_aside(path: Path, reason: str) -> None:
    num_earlier = len(list(path.parent.glob(f"{path.stem}.damaged-*")))
    aside = path.with_name(f"{path.stem}.damaged-{num_earlier + 1}")
    path.rename(aside)
    _LOGGER.warning(
        "The checkpoint %s cannot be used: %s. It is kept as %s. The run starts again from its "
        "beginning and reaches the same result.",
        path,
        reason,
        aside.name,
    )
