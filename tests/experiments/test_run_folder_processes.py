"""Run folders among processes: kills at any moment, and identical runs at once."""

import logging
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from experiments.run_folder import RunFolder, claimed, read_finished, run_digest
from experiments.runner.storage import TEMPORARY_PREFIX

IDENTITY = {"study": "vowel", "seed": 3}
RUN = run_digest(IDENTITY)
NUM_STEPS = 3

# Children start from a small server that holds no threads of this process.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["torch", "pandas", "filelock", "pytest"])


def compute(folder: RunFolder) -> None:
    state = folder.load_checkpoint() or {"step": 0}
    folder.write_json("config", {"seed": 3})
    for step in range(state["step"], NUM_STEPS):
        folder.write_table("curves", pd.DataFrame({"step": range(step + 1)}))
        folder.save_checkpoint({"step": step + 1, "weights": torch.full((2000,), float(step + 1))})
    folder.write_arrays("snapshots", {"weights": np.zeros(3)})
    folder.finish({"num_steps": NUM_STEPS})


def compute_for_ever(path: Path) -> None:
    while True:
        with claimed(path, IDENTITY, force=True) as folder:
            compute(folder)


def compute_twice_until_killed(path: Path, num_calls: int) -> None:
    """Compute, then compute again by force; SIGKILL itself before one call to the disk."""
    remaining = iter(range(num_calls))

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object, **options: object) -> object:
            if next(remaining, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return run

    for owner, name in [(os, "fsync")] + [
        (Path, n) for n in ("mkdir", "rename", "replace", "unlink")
    ]:
        setattr(owner, name, counted(getattr(owner, name)))
    for force in (False, True):
        with claimed(path, IDENTITY, force=force) as folder:
            compute(folder)


@contextmanager
def started(target: Callable[..., None], *arguments: object) -> Iterator[BaseProcess]:
    child = processes.Process(target=target, args=arguments)
    child.start()
    try:
        yield child
    finally:
        child.kill()
        child.join()


def assert_continues(path: Path) -> None:
    """Check that all there is in ``path`` is whole, and that the run can be finished."""
    with claimed(path, IDENTITY) as folder:
        assert not list(path.glob(f"{TEMPORARY_PREFIX}*"))
        if folder.is_finished():
            assert not (path / "checkpoint.pt").exists()
        else:
            state = folder.load_checkpoint()
            assert state is None or bool((state["weights"] == state["step"]).all())
            assert not list(path.glob("checkpoint.damaged-*"))
            compute(folder)
    superseded = path.parent / "superseded"
    for run in [path, *superseded.glob("*")]:
        assert read_finished(run).table("curves")["step"].tolist() == list(range(NUM_STEPS))


def test_run_killed_before_any_call_to_the_disk_continues(tmp_path: Path) -> None:
    exit_codes = []
    while 0 not in exit_codes:
        path = tmp_path / str(len(exit_codes)) / RUN
        with started(compute_twice_until_killed, path, len(exit_codes)) as child:
            child.join()
            exit_codes.append(child.exitcode)
        assert_continues(path)
    assert set(exit_codes[:-1]) == {-signal.SIGKILL}


def test_run_killed_at_random_moments_continues(tmp_path: Path) -> None:
    path = tmp_path / "vowel" / RUN
    delays = random.Random(0)
    for _ in range(12):
        with started(compute_for_ever, path):
            await_that((path / "identity.json").exists)
            time.sleep(delays.uniform(0, 0.1))
        assert_continues(path)


def await_that(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.001)


def compute_or_see(path: Path, barrier: Barrier, answers: Connection) -> None:
    barrier.wait()
    with claimed(path, IDENTITY) as folder:
        if folder.is_finished():
            answers.send(("saw", read_finished(path).manifest["process"]))
            return
        folder.write_json("config", {})
        time.sleep(0.3)
        folder.finish({"process": os.getpid()})
        answers.send(("computed", os.getpid()))


def test_of_two_identical_runs_one_computes_and_the_other_sees_its_result(tmp_path: Path) -> None:
    path = tmp_path / "vowel" / RUN
    barrier = processes.Barrier(2)
    answers, sender = processes.Pipe(duplex=False)
    with (
        started(compute_or_see, path, barrier, sender),
        started(compute_or_see, path, barrier, sender),
    ):
        (first, computer), (second, seen) = answers.recv(), answers.recv()
    assert (first, second) == ("computed", "saw")
    assert computer == seen


class Forward(logging.Handler):
    """Sends each message to another process."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        self.connection.send(record.getMessage())


def wait_for_the_folder(path: Path, messages: Connection) -> None:
    logging.getLogger("experiments").addHandler(Forward(messages))
    with claimed(path, IDENTITY) as folder:
        messages.send(folder.is_finished())


def test_second_process_says_that_it_waits_and_goes_on_when_the_first_is_done(
    tmp_path: Path,
) -> None:
    path = tmp_path / "vowel" / RUN
    messages, sender = processes.Pipe(duplex=False)
    with ExitStack() as stack:
        with claimed(path, IDENTITY) as folder:
            stack.enter_context(started(wait_for_the_folder, path, sender))
            assert messages.recv() == f"another process is computing {path}; waiting for it"
            compute(folder)
            assert not messages.poll(0.2)
        found_finished = messages.recv()
    assert found_finished is True


def hold_the_folder(path: Path, messages: Connection) -> None:
    with claimed(path, IDENTITY):
        messages.send("held")
        time.sleep(600)


def test_killed_process_frees_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "vowel" / RUN
    messages, sender = processes.Pipe(duplex=False)
    with started(hold_the_folder, path, sender):
        assert messages.recv() == "held"
    with claimed(path, IDENTITY) as folder:
        compute(folder)
    assert read_finished(path).manifest["num_steps"] == NUM_STEPS
