"""Whole commands that are killed, doubled, damaged or misdirected."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.execute import execute
from experiments.run_folder import read_finished
from experiments.vowel.settings import VowelConfig

ROOT = Path(__file__).resolve().parents[2]
STUDY = VowelConfig(
    num_seeds=4, step_size=16.0, stop_error=0.0, max_epochs=1500, checkpoint_seconds=0.0
)
SETTINGS = [
    f"study.{key}={value}"
    for key, value in (
        ("num_seeds", 4),
        ("step_size", 16),
        ("stop_error", 0),
        ("max_epochs", 1500),
        ("checkpoint_seconds", 0),
    )
]


def _hear_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(runs_dir: Path, module: str = "run", *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"experiments.{module}", f"runs_dir={runs_dir}", *SETTINGS]
    return subprocess.Popen(
        [*command, *more],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # A shell's background jobs inherit that interrupts are ignored.
        preexec_fn=_hear_interrupts,
        start_new_session=True,
    )


def results(runs_dir: Path) -> list[bytes]:
    folder = next((runs_dir / "vowel").glob("[0-9a-f]*"))
    read_finished(folder)
    return [(folder / name).read_bytes() for name in ("metrics.csv", "curves.csv", "snapshots.npz")]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    runs_dir = tmp_path_factory.mktemp("unbroken")
    execute(STUDY, str(runs_dir))
    return results(runs_dir)


def wait_for_checkpoint(runs_dir: Path, process: subprocess.Popen[str]) -> None:
    while not list(runs_dir.glob("vowel/*/checkpoint.pt")) and process.poll() is None:
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_stopped_run_continues_to_the_same_bits(
    tmp_path: Path, unbroken: list[bytes], number: signal.Signals, code: int
) -> None:
    process = start(tmp_path)
    wait_for_checkpoint(tmp_path, process)
    time.sleep(0.05)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert not list(tmp_path.glob("vowel/*/manifest.json"))
    again = start(tmp_path)
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert results(tmp_path) == unbroken


def test_two_equal_runs_at_once_do_not_mix(tmp_path: Path, unbroken: list[bytes]) -> None:
    both = [start(tmp_path), start(tmp_path)]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sum("already done" in output for output in outputs) == 1
    assert results(tmp_path) == unbroken


def test_an_unwritable_folder_is_a_readable_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    process = start(tmp_path / "file" / "runs")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "error:" in output
    assert "runs_dir" in output
    assert "Traceback" not in output


def test_a_suite_outlives_a_killed_run_and_ends_at_once_by_ctrl_c(tmp_path: Path) -> None:
    endless = ["suite=vowel_table1", "study.max_epochs=10000000", "num_workers=2"]
    process = start(tmp_path, "suite", *endless)
    # The name of a file that is being written holds the process that writes it.
    while not (written := list(tmp_path.glob("vowel/*/.tmp-*-checkpoint.pt"))):
        assert process.poll() is None
        time.sleep(0.001)
    os.kill(int(written[0].name.split("-")[1]), signal.SIGKILL)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("error:"):
            break
    assert "was ended by SIGKILL" in line
    assert "The others were kept." in line
    assert process.stdout.readline().startswith("fix: Give the same command again")
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert output.endswith("stopped; the same command continues from the last checkpoint\n")
    assert "Traceback" not in output


def test_ctrl_c_while_libraries_are_imported_ends_in_silence(tmp_path: Path) -> None:
    process = start(tmp_path)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode in (-signal.SIGINT, 130)
    assert "Traceback" not in output
