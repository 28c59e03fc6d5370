"""Carry out one run: claim its folder, train if it is not finished yet, and seal the result."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.provenance import code_digest, manifest
from experiments.resources import refuse_what_cannot_run
from experiments.run_folder import RunFolder, claimed, read_finished, run_digest
from experiments.schema import plain
from experiments.studies import STUDIES

_LOGGER = logging.getLogger(__name__)
# The code of a process does not change, and reading it takes longer than most of its uses.
_code_digest = cache(code_digest)


@dataclass(frozen=True)
class Outcome:
    """Where a run's results lie, and whether this call computed them."""

    path: Path
    was_done: bool
    seconds: float


def identity_of(study: Any) -> dict[str, object]:
    """All that decides the results of a study config: settings, code, libraries, data."""
    entry = STUDIES[study.name]
    return {
        "config": plain(study),
        "code": _code_digest(entry.modules),
        "torch": torch.__version__,
        "numpy": np.__version__,
        **entry.identity(study),
    }


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
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    identity = identity_of(study)
    path = Path(runs_dir) / study.name / run_digest(identity)
    entry = STUDIES[study.name]
    if force or not RunFolder(path).is_finished():
        refuse_what_cannot_run(study, entry.estimate, entry.check, any_size)
    num_threads = entry.num_threads(study)
    with _threads(num_threads), claimed(path, identity, force=force) as folder:
        if folder.is_finished():
            read_finished(path)
            return Outcome(path, True, 0.0)
        folder.write_json("config", plain(study))
        facts = entry.run(study, folder, report)
        seconds = time.perf_counter() - clock
        record = manifest(command or sys.orig_argv, started, seconds, digest=path.name, **facts)
        folder.finish(record)
    return Outcome(path, False, seconds)


@contextmanager
def _threads(wanted: int) -> Iterator[None]:
    """Compute on so many threads; 0 takes one per core.

    Sums split among several threads round differently, so that the bits of a result depend on
    their number. That is why a study has one thread unless it says otherwise.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(wanted or os.cpu_count() or 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
