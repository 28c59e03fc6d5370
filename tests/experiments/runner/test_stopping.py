"""SIGTERM: a run writes a checkpoint, leaves, and goes on from there to the same bits."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from experiments.execute import execute
from experiments.run_folder import claimed
from experiments.runner import stopping
from experiments.runner.errors import UserError
from experiments.runner.stopping import Stopped, is_asked, leave_if_asked, listening
from experiments.vowel.settings import VowelConfig

ROOT = Path(__file__).resolve().parents[3]
STUDY = VowelConfig(num_seeds=3, step_size=16.0, stop_error=0.0, max_epochs=600)
FILES = ("metrics.csv", "curves.csv", "snapshots.npz")
SUITE = """
import sys
from experiments.command_line import errors_for_people
from experiments.runner.schema import Config, Suite
from experiments.suite import run_suite
from experiments.vowel.settings import VowelConfig

def run(init_range):
    return VowelConfig(num_seeds=3, step_size=16.0, stop_error=0.0, max_epochs=40_000,
                       init_range=init_range)

if __name__ == "__main__":
    config = Config(suite=Suite(), runs_dir=sys.argv[1], num_workers=2)
    with errors_for_people():
        list(run_suite(config, {str(each): run(each) for each in (0.1, 0.2, 0.3)}))
"""


def ask() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(autouse=True)
def _handler_is_restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    assert signal.getsignal(signal.SIGTERM) is before
    assert not is_asked()


def heard(work: Callable[[], None], raised: type[BaseException] = Stopped) -> None:
    with pytest.raises(raised), listening():
        work()


def results(path: Path) -> list[bytes]:
    return [(path / name).read_bytes() for name in FILES]


def test_a_run_that_is_asked_to_stop_leaves_a_checkpoint_and_goes_on_bit_for_bit(
    tmp_path: Path,
) -> None:
    def report(stage: str, share: float) -> None:
        if stage == "training" and not is_asked():
            ask()

    with pytest.raises(Stopped) as caught:
        execute(STUDY, str(tmp_path / "asked"), report=report)
    assert caught.value.code == 143
    [folder] = (tmp_path / "asked" / "vowel").glob("[0-9a-f]*")
    assert (folder / "checkpoint.pt").exists()
    assert not (folder / "manifest.json").exists()
    again = execute(STUDY, str(tmp_path / "asked"))
    assert results(again.path) == results(execute(STUDY, str(tmp_path / "whole")).path)


def test_a_run_outside_the_main_thread_is_computed_all_the_same(tmp_path: Path) -> None:
    found: list[Path] = []
    thread = threading.Thread(target=lambda: found.append(execute(STUDY, str(tmp_path)).path))
    thread.start()
    thread.join()
    assert (found[0] / "manifest.json").exists()


def test_the_first_checkpoint_after_it_is_the_last(tmp_path: Path) -> None:
    with claimed(tmp_path / "run", {}) as folder:

        def work() -> None:
            folder.save_checkpoint({"step": 1})
            ask()
            folder.save_checkpoint({"step": 2})
            folder.save_checkpoint({"step": 3})

        heard(work)
        assert folder.load_checkpoint() == {"step": 2}


def test_without_a_checkpoint_it_leaves_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "GRACE_SECONDS", 0.2)
    started = time.monotonic()

    def work() -> None:
        ask()
        # All processes of a job are asked, by Slurm and once more by the one that started them.
        ask()
        assert time.monotonic() - started < 0.2
        time.sleep(60)

    heard(work)
    assert 0.2 <= time.monotonic() - started < 30


def fail(error: Exception) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


@pytest.mark.parametrize(
    ("after", "raised"),
    [
        (lambda: None, Stopped),
        (leave_if_asked, Stopped),
        (fail(RuntimeError("a worker is gone")), Stopped),
        (fail(UserError("The disk is full.", "Make room.")), UserError),
    ],
)
def test_the_block_ends_with(after: Callable[[], None], raised: type[BaseException]) -> None:
    def work() -> None:
        ask()
        after()

    heard(work, raised)


def test_a_suite_passes_it_on_to_its_workers(tmp_path: Path) -> None:
    script = tmp_path / "a_suite.py"
    script.write_text(SUITE)
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    while len(list(tmp_path.glob("vowel/*/config.json"))) < 2 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143, output
    assert "Traceback" not in output
    assert "stopped; the same command continues" in output
    assert len(list(tmp_path.glob("vowel/*/checkpoint.pt"))) == 2, output
