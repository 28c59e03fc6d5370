"""Checkpoint files that show their own damage and can never run code when read."""

import io
import logging
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from experiments.atomic import write_atomically

_LOGGER = logging.getLogger(__name__)
_NUM_DIGEST_BYTES = sha256().digest_size


def write_checkpoint(path: Path, run: str, state: Mapping[str, object]) -> None:
    """Save ``state`` (tensors, numbers, strings and containers of them) of a run in ``path``.

    The file is a torch file followed by the SHA-256 of its bytes. Raises TypeError for a
    value that the restricted reader would refuse, a NumPy array for one, and UserError
    where the disk refuses the file.
    """
    buffer = io.BytesIO()
    torch.save({"run": run, "state": dict(state)}, buffer)
    buffer.seek(0)
    # Found at reading time, such a value would look like damage and restart the run.
    refused = torch.serialization.get_unsafe_globals_in_checkpoint(buffer)
    if refused:
        raise TypeError(f"a checkpoint cannot hold values that need {', '.join(refused)}")
    payload = buffer.getvalue()
    write_atomically(path, payload + sha256(payload).digest())


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


class _Damaged(Exception):
    """The bytes are not a checkpoint as this run wrote it; the message says why."""


def _decode(content: bytes, run: str) -> dict[str, Any]:
    payload, digest = content[:-_NUM_DIGEST_BYTES], content[-_NUM_DIGEST_BYTES:]
    if sha256(payload).digest() != digest:
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
