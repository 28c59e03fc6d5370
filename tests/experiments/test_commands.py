"""Whole commands, given as a user would: sweeps, launchers, damaged files, a full disk."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from experiments.command_line import checked_arguments
from experiments.run_folder import read_finished
from experiments.runner.errors import UserError
from experiments.runner.storage import read_checkpoint

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "experiments.run"]
TINY = ["study.step_size=16", "study.num_seeds=3", "study.max_epochs=60"]
SWEEP = ["study=vowel", "study.cost=expected_error", "--multirun", "study.num_experts=2,4,8"]
# Every epoch is saved, so that a run can be stopped or run out of disk anywhere.
SAVED = ["study.stop_error=0", "study.snapshot_every=1", "study.checkpoint_seconds=0"]
LONG = ["study.num_seeds=32", "study.max_epochs=60", *SAVED]
EXPLORED = [*LONG, "study.step_grid=[8,16,22.6]", "study.exploration_epochs=60"]
RESULTS = ["metrics.csv", "curves.csv", "snapshots.npz"]

Contents = dict[str, dict[str, bytes]]


def command(*arguments: str, code: int = 0, **environment: str) -> str:
    """Give a command that must end with this exit code; return all that it printed."""
    done = subprocess.run(
        [*PROGRAM, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout
    assert "Traceback" not in done.stdout
    return done.stdout


def folders(runs_dir: Path) -> list[Path]:
    """The run folders of the vowel study, finished or not."""
    return sorted((runs_dir / "vowel").glob("[0-9a-f]*"))


def results(runs_dir: Path) -> Contents:
    """The results of the finished runs, by the digest of their settings; checksums must hold."""
    found = [read_finished(path).path for path in folders(runs_dir)]
    return {path.name: {name: (path / name).read_bytes() for name in RESULTS} for path in found}


def written(runs_dir: Path) -> dict[Path, int]:
    """When each file of the study was written."""
    files = (file for path in folders(runs_dir) for file in path.iterdir())
    return {file: file.stat().st_mtime_ns for file in files}


def setting(path: Path, name: str) -> object:
    return read_finished(path).config[name]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of a sweep, one after another; tests may read them only."""
    runs_dir = tmp_path_factory.mktemp("swept")
    command(f"runs_dir={runs_dir}", *TINY, *SWEEP)
    return runs_dir


@pytest.fixture
def copied(swept: Path, tmp_path: Path) -> Path:
    """The same runs, for a test to damage."""
    return shutil.copytree(swept, tmp_path / "runs")


def test_a_sweep_makes_a_folder_per_setting(swept: Path) -> None:
    found = folders(swept)
    assert sorted(setting(path, "num_experts") for path in found) == [2, 4, 8]  # type: ignore[type-var]
    assert {setting(path, "cost") for path in found} == {"expected_error"}


def test_a_repeated_sweep_computes_nothing(copied: Path) -> None:
    before = written(copied)
    printed = command(f"runs_dir={copied}", *TINY, *SWEEP)
    assert printed.count("already done") == 3
    assert written(copied) == before


@pytest.mark.parametrize(("launcher", "workers"), [("joblib", -1), ("cores", 2)])
def test_a_launcher_changes_no_bit(
    launcher: str, workers: int, swept: Path, tmp_path: Path
) -> None:
    printed = command(f"runs_dir={tmp_path}", *TINY, *SWEEP, f"hydra/launcher={launcher}")
    assert f"n_jobs={workers}," in printed
    assert results(tmp_path) == results(swept)


@pytest.mark.parametrize(
    ("words", "help_"),
    [
        (["hydra/launcher=slurmm"], r"Did you mean slurm\?"),
        (["hydra/launcher=slurm", "--cfg", "hydra"], "Leave out --multirun"),
    ],
)
def test_a_sweep_that_hydra_would_refuse_is_explained(
    words: list[str], help_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    monkeypatch.setattr(sys, "argv", ["program", f"runs_dir={runs}", *SWEEP, *words])
    with pytest.raises(UserError, match=help_):
        checked_arguments()
    assert not runs.exists()


# What a cluster offers, as far as the launcher asks: sbatch starts both jobs of the array at once.
SBATCH = """#!/bin/sh
cp "$1" "$BATCH"
for task in 0 1; do
    SLURM_JOB_ID=7$task SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task SLURM_NTASKS=1 \\
    SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0 \\
    sh "$BATCH" >"$BATCH.$task" 2>&1 &
done
echo Submitted batch job 7
"""
SRUN = """#!/bin/sh
while :; do
    case $1 in
    --output | --error) shift 2 ;;
    --*) shift ;;
    *) exec "$@" ;;
    esac
done
"""
SACCT = """#!/bin/sh
printf 'JobID|State|NodeList\\n7_0|RUNNING|node\\n7_1|RUNNING|node\\n'
"""


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """An environment in which Slurm's commands seem to exist."""
    programs = tmp_path / "slurm"
    programs.mkdir()
    for name, script in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT)):
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "BATCH": str(tmp_path / "batch")}


def test_slurm_gets_the_settings_of_its_file_and_the_runs_come_back(
    cluster: dict[str, str], swept: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    sweep = ["study.cost=expected_error", "--multirun", "study.num_experts=2,4"]
    slurm = ["hydra/launcher=slurm", "hydra.launcher.partition=cpu"]
    command(f"runs_dir={runs}", *TINY, *sweep, *slurm, **cluster)
    asked = Path(cluster["BATCH"]).read_text().splitlines()
    for line in ("partition=cpu", "time=60", "cpus-per-task=1", "array=0-1%2"):
        assert f"#SBATCH --{line}" in asked
    expected = results(swept)
    assert len(results(runs)) == 2
    assert results(runs).items() <= expected.items()


def test_slurm_settings_are_shown_without_slurm() -> None:
    shown = command("hydra/launcher=slurm", "hydra.launcher.partition=cpu", "--cfg", "hydra")
    launcher = yaml.safe_load(shown)["hydra"]["launcher"]
    asked = {key: launcher[key] for key in ("partition", "timeout_min", "cpus_per_task")}
    assert asked == {"partition": "cpu", "timeout_min": 60, "cpus_per_task": 1}


def test_a_sweep_without_slurm_says_where_to_start_it(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    (tmp_path / "empty").mkdir()
    printed = command(
        f"runs_dir={runs}",
        *TINY,
        *SWEEP,
        "hydra/launcher=slurm",
        code=1,
        PATH=str(tmp_path / "empty"),
    )
    assert "error: This launcher needs Slurm" in printed
    assert "hydra/launcher=cores" in printed
    assert not runs.exists()


def test_a_sweep_into_a_place_that_is_no_folder_is_a_readable_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    printed = command(f"runs_dir={tmp_path / 'file' / 'runs'}", *TINY, *SWEEP, code=1)
    assert "runs_dir=" in printed


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def damage(file: Path, how: Callable[[bytes], bytes]) -> None:
    file.write_bytes(how(file.read_bytes()))


def test_damaged_results_are_named_and_computed_again_by_force(copied: Path, swept: Path) -> None:
    broken = [path / name for path, name in zip(folders(copied), RESULTS, strict=True)]
    for file, how in zip(broken, (cut, flip, flip), strict=True):
        damage(file, how)
    damaged = {file: file.read_bytes() for file in broken}
    printed = command(f"runs_dir={copied}", *TINY, *SWEEP, code=1)
    assert all(f"error: The file {file} of a finished run" in printed for file in broken)
    assert printed.count("fix: Run again with force=true") == 3
    command(f"runs_dir={copied}", *TINY, *SWEEP, "force=true")
    assert results(copied) == results(swept)
    kept = copied / "vowel" / "superseded"
    for file, content in damaged.items():
        (old,) = kept.glob(f"{file.parent.name}-*")
        assert (old / file.name).read_bytes() == content


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """The results of the run that the tests below break off: with a step chosen by rule."""
    runs_dir = tmp_path_factory.mktemp("unbroken")
    command(f"runs_dir={runs_dir}", *EXPLORED)
    return results(runs_dir)


@pytest.mark.parametrize(
    ("name", "how"),
    [("checkpoint.pt", flip), ("exploration.csv", cut)],
    ids=["checkpoint changed", "exploration cut short"],
)
def test_a_damaged_file_of_an_unfinished_run_costs_time_and_nothing_else(
    name: str, how: Callable[[bytes], bytes], unbroken: Contents, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [*PROGRAM, f"runs_dir={tmp_path}", *EXPLORED], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    while not list(tmp_path.glob("vowel/*/checkpoint.pt")) and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    (path,) = folders(tmp_path)
    assert not (path / "manifest.json").exists()
    damage(path / name, how)
    damaged = (path / name).read_bytes()
    printed = command(f"runs_dir={tmp_path}", *EXPLORED)
    assert str(path / name) in printed
    assert results(tmp_path) == unbroken
    (kept,) = path.glob(f"{Path(name).stem}*.damaged-1")
    assert kept.read_bytes() == damaged


# In a namespace of its own, so that the mount ends with the script, however that ends.
FULL_DISK = """
disk=$1 size=$2 kept=$3
shift 3
mount -t tmpfs -o size=$size tmpfs "$disk" || exit 77
"$@" >"$kept/first.log" 2>&1
echo $? >"$kept/first.code"
cp -r "$disk" "$kept/first"
mount -o remount,size=64m "$disk"
"$@" >"$kept/second.log" 2>&1
echo $? >"$kept/second.code"
cp -r "$disk" "$kept/second"
"""


def on_a_small_disk(size: str, place: Path, *arguments: str) -> list[str]:
    """Give a command twice, on a disk of this size and on one with space; what it printed.

    `place` then has what lay on the disk after each, in `first` and `second`.
    """
    disk = place / "disk"
    disk.mkdir()
    script = ["sh", "-c", FULL_DISK, "sh", str(disk), size, str(place)]
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare, for a small disk of its own")
    done = subprocess.run(
        ["unshare", "--mount", *script, *PROGRAM, f"runs_dir={disk}", *arguments],
        cwd=ROOT,
        timeout=120,
        capture_output=True,
        text=True,
        check=False,
    )
    if not (place / "second.code").exists():
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    printed = [(place / f"{name}.log").read_text() for name in ("first", "second")]
    codes = [(place / f"{name}.code").read_text().strip() for name in ("first", "second")]
    assert codes == ["1", "0"], printed
    assert "Traceback" not in printed[0]
    assert "error: There is no space left to write in" in printed[0]
    assert "fix: Free some space and give the same command again" in printed[0]
    return printed


def test_a_full_disk_loses_nothing_and_the_run_ends_in_the_same_bits(
    unbroken: Contents, tmp_path: Path
) -> None:
    printed = on_a_small_disk("240k", tmp_path, *EXPLORED)
    (path,) = folders(tmp_path / "first")
    state = read_checkpoint(path / "checkpoint.pt", path.name)
    assert state is not None
    assert state["epoch"] > 0
    assert not list(path.glob(".tmp-*"))
    assert f"from epoch {state['epoch']}" in printed[1]
    assert results(tmp_path / "second") == unbroken


def test_a_full_disk_at_the_start_of_a_sweep_is_a_readable_error(
    swept: Path, tmp_path: Path
) -> None:
    # One page: enough for the first folder, and for no file in it.
    sweep = ["study.cost=expected_error", "--multirun", "study.num_experts=8"]
    on_a_small_disk("4k", tmp_path, *TINY, *sweep)
    (path,) = folders(tmp_path / "second")
    assert results(tmp_path / "second")[path.name] == results(swept)[path.name]
