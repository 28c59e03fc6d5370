"""Writing files whole or not at all, and explaining a disk that refuses them."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments.errors import UserError

TEMPORARY_PREFIX = ".tmp-"

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def temporary_path(path: Path) -> Path:
    """Return the name under which this process writes ``path`` before it is whole."""
    return path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")


def write_atomically(path: Path, data: bytes) -> None:
    """Make ``data`` the content of ``path``; at every moment ``path`` holds old or new content.

    Raises UserError where the disk is full or the folder cannot be written; the old
    content then stays and no temporary file is left.
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
    """Turn an OSError that a user can mend into a UserError that names ``folder``.

    A full disk (ENOSPC, EDQUOT) and a place that cannot be written (EACCES, EPERM,
    EROFS, ENOTDIR, EEXIST) are translated; every other error passes unchanged.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _disk_full(folder) from error
        if error.errno in _REFUSED:
            raise _not_writable(folder, error) from error
        raise


def _disk_full(folder: Path) -> UserError:
    return UserError(
        f"There is no space left to write in {folder} ({_free_space(folder)}).",
        "Free some space and give the same command again (it continues from its last "
        "checkpoint), or set runs_dir=... to a folder on a larger disk.",
    )


def _not_writable(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"The folder {folder} cannot be written: {error.strerror} ({_free_space(folder)}).",
        "Set runs_dir=... to a folder that you may write in, or change the permissions of this "
        "one; then give the same command again: it continues where it stopped.",
    )


def _free_space(folder: Path) -> str:
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return f"{shutil.disk_usage(existing).free / 2**20:,.0f} MiB free"
