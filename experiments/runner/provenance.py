"""Where a result comes from: the code, the machine and the command that made it."""

import os
import platform
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch


def manifest(
    command: Sequence[str],
    started: datetime,
    wall_seconds: float,
    versions: Mapping[str, str],
    **study_specific: object,
) -> dict[str, object]:
    """Return the record of a run: code, machine, command, times, and the study's own facts.

    ``started`` must know its time zone; it is recorded in UTC. ``versions`` are those of the
    libraries that decide the results. Memory is in bytes. What cannot be known (the commit
    outside a git checkout, a missing GPU) is None.
    """
    commit, dirty = git_state(Path(__file__).parent)
    return {
        **study_specific,
        "git_commit": commit,
        "git_dirty": dirty,
        "command": shlex.join(command),
        "versions": {
            "python": platform.python_version(),
            "hydra": version("hydra-core"),
            **versions,
        },
        **_machine(),
        "started_utc": started.astimezone(UTC).isoformat(),
        "wall_seconds": wall_seconds,
    }


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Return the commit checked out around ``folder`` and whether files differ from it.

    Both are None where git is not installed or there is no commit.
    """
    commit = _git(folder, ["rev-parse", "--verify", "HEAD"])
    if commit is None:
        return None, None
    changes = _git(folder, ["status", "--porcelain"])
    return commit, None if changes is None else bool(changes)


def _git(folder: Path, arguments: Iterable[str]) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _machine() -> dict[str, object]:
    return {
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "num_cores": os.cpu_count(),
        "num_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "peak_memory_bytes": _peak_memory(),
    }


def cpu_model() -> str:
    """The processor's name."""
    # platform.processor() is empty on most Linux systems.
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return peak if sys.platform == "darwin" else peak * 1024
