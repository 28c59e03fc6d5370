"""Carry out one run: claim its folder, train if it is not finished yet, and seal the result."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from experiments.run_folder import RunFolder, claimed, read_finished, run_digest
from experiments.runner import blow_ups
from experiments.runner.closure import closure, versions
from experiments.runner.errors import memory_error
from experiments.runner.provenance import manifest
from experiments.runner.resources import refuse_what_cannot_run
from experiments.runner.schema import plain
from experiments.runner.stopping import listening
from experiments.runner.storage import storage_error
from experiments.studies import STUDIES
from moe.grouped import Backend, chosen_backend, native


@dataclass(frozen=True)
class Outcome:
    """Where a run's results lie, and whether this call computed them."""

    path: Path
    was_done: bool
    seconds: float


def identity_of(study: Any) -> dict[str, object]:
    """All that decides the results of a study config: settings, code, libraries, data.

    Settings that leave a choice to the machine are in it as they turn out here.
    """
    entry = STUDIES[study.name]
    found = closure((entry.run.__module__, *entry.modules(study)))
    identity = {
        "config": plain(settled(study)),
        "code": found.digest,
        "versions": versions(found.libraries),
        **entry.identity(study),
    }
    if "moe/grouped/native.py" in found.sources and entry.multiplies_by_expert(study):
        identity["grouped_product"] = _grouped_product(study)
    return identity


def settled(study: Any) -> Any:
    """The config with the number of threads that this machine gives it."""
    # Sums split among several threads round differently.
    if getattr(study, "num_threads", 1) == 0:
        return replace(study, num_threads=os.cpu_count() or 1)
    return study


def _grouped_product(study: Any) -> str:
    """What multiplies rows with experts here: each backend, and each compiler, rounds its way."""
    device = study.device.value if hasattr(study, "device") and torch.cuda.is_available() else "cpu"
    backend = chosen_backend(Backend.auto, torch.empty(0, device=device))
    return f"native, {native.identity()}" if backend is Backend.native else backend.value


def folder_of(study: Any, runs_dir: str) -> Path:
    """The folder that holds, or will hold, the run of a study config."""
    return Path(runs_dir, str(study.name), run_digest(identity_of(study)))


def execute(
    study: Any,
    runs_dir: str = "runs",
    force: bool = False,
    report: Callable[[str, float], None] = lambda stage, share: None,
    command: list[str] | None = None,
    any_size: bool = False,
) -> Outcome:
    """Run a study config unless its folder is finished already.

    Args:
        study: a checked study config.
        runs_dir: folder of all runs.
        force: compute again; the finished folder is kept aside.
        report: called with the stage and the share of it that is done.
        command: the command line for the manifest; this process's by default.
        any_size: start what is estimated to take more memory or time than there is.

    Raises:
        UserError: data, folder, disk or the size of the machine do not allow the run, or a finished
            run is damaged.
        Stopped: a SIGTERM came; the same call goes on from the last checkpoint.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    study = settled(study)
    identity = identity_of(study)
    path = Path(runs_dir) / study.name / run_digest(identity)
    entry = STUDIES[study.name]
    refuse_unless_finished(study, path, force, any_size)
    num_threads = getattr(study, "num_threads", 1)
    with (
        _explained(path),
        listening(),
        threads(num_threads),
        claimed(path, identity, force=force) as folder,
    ):
        if folder.is_finished():
            read_finished(path)
            return Outcome(path, True, 0.0)
        folder.write_json("config", plain(study))
        facts = entry.run(study, folder, report)
        seconds = time.perf_counter() - clock
        # One rule for all studies, whose tables over time have the loss.
        facts |= blow_ups.facts(path)
        known = {key: value for key, value in identity.items() if key != "config"}
        folder.finish(manifest(command or sys.orig_argv, started, seconds, **{**known, **facts}))
    return Outcome(path, False, seconds)


def refuse_unless_finished(study: Any, path: Path, force: bool, any_size: bool) -> None:
    """Refuse what cannot run here (`resources.refuse_what_cannot_run`); what is done stays."""
    if force or not RunFolder(path).is_finished():
        entry = STUDIES[study.name]
        refuse_what_cannot_run(study, entry.estimate, entry.check, any_size)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What the machine refuses, memory or storage, as an error for people."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        explained = memory_error(error)
        if explained is None and isinstance(error, OSError):
            explained = storage_error(path, error)
        if explained is None:
            raise
        raise explained from error


@contextmanager
def threads(wanted: int) -> Iterator[None]:
    """Compute on so many threads within the block; settle the config first."""
    before = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        # scikit-learn and NumPy have pools of their own, by default as large as the machine.
        with threadpool_limits(wanted):
            yield
    finally:
        torch.set_num_threads(before)
