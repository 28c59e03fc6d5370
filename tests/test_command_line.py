"""The commands as people give them: sweeps, launchers, suites, repeated and damaged runs."""

import multiprocessing
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from experiments.command_line import (
    INTERRUPTED,
    checked_arguments,
    errors_for_people,
    plain_arguments,
)
from experiments.errors import UserError
from experiments.execute import execute
from experiments.run_folder import read_finished
from experiments.vowel.settings import Coding, VowelConfig

ROOT = Path(__file__).resolve().parents[1]
TINY = ["study.step_size=16", "study.num_seeds=2", "study.max_epochs=30"]
TINY_STUDY = VowelConfig(step_size=16.0, num_seeds=2, max_epochs=30, coding=Coding.bit_1010)

# Children start from a small server that holds no threads of this process.
processes = multiprocessing.get_context("forkserver")


def command(module: str, *arguments: str) -> str:
    """Give a command that must succeed; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", f"experiments.{module}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def folders(runs_dir: Path) -> list[Path]:
    """The finished run folders of the vowel study, each read with its checksums."""
    found = sorted((runs_dir / "vowel").glob("[0-9a-f]*"))
    return [read_finished(path).path for path in found]


def test_a_sweep_makes_a_folder_per_value_and_knows_its_runs_again(tmp_path: Path) -> None:
    runs = [f"runs_dir={tmp_path}", *TINY]
    # With overrides on both sides of the flag, as the help shows it.
    command("run", "study=vowel", *runs, "--multirun", "study.num_experts=2,3")
    found = folders(tmp_path)
    assert {read_finished(path).config["num_experts"] for path in found} == {2, 3}
    before = {path: (path / "manifest.json").stat().st_mtime_ns for path in found}
    printed = command("run", *runs, "study.num_experts=3")
    assert "already done; add force=true" in printed
    assert {path: (path / "manifest.json").stat().st_mtime_ns for path in found} == before


def test_the_cores_launcher_runs_a_sweep(tmp_path: Path) -> None:
    sweep = ["--multirun", "hydra/launcher=cores", "study.num_experts=2,3"]
    command("run", f"runs_dir={tmp_path}", *TINY, *sweep)
    assert {read_finished(path).config["num_experts"] for path in folders(tmp_path)} == {2, 3}


def test_the_slurm_launcher_composes_without_slurm(tmp_path: Path) -> None:
    printed = command("run", f"runs_dir={tmp_path}", "hydra/launcher=slurm", "--cfg", "hydra")
    launcher = yaml.safe_load(printed)["hydra"]["launcher"]
    assert launcher["_target_"].endswith("SlurmLauncher")
    assert launcher["timeout_min"] == 60
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_studies_the_suites_and_an_example() -> None:
    printed = command("run", "--help")
    assert "vowel_multiverse" in printed
    assert "vowel_table1" in printed
    assert "python -m experiments.run study=vowel --multirun" in printed


def test_a_suite_trains_equal_runs_once(tmp_path: Path) -> None:
    # experts_4 and experts_8 become one; the nets have no experts and stay two.
    printed = command(
        "suite", "suite=vowel_table1", f"runs_dir={tmp_path}", *TINY, "study.num_experts=8"
    )
    found = [read_finished(path).config for path in folders(tmp_path)]
    sizes = [(config["system"], config["num_experts"], config["num_hidden"]) for config in found]
    assert sorted(sizes) == [("backprop", 8, 6), ("backprop", 8, 12), ("mixture", 8, 6)]
    assert sum(str(tmp_path / "vowel") in line for line in printed.splitlines()) == 3


@pytest.fixture
def arguments(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let a test set the command line."""
    monkeypatch.setattr(sys, "argv", ["program"])
    return monkeypatch


def given(arguments: pytest.MonkeyPatch, *words: str) -> None:
    arguments.setattr(sys, "argv", ["program", *words])


def test_overrides_may_stand_on_both_sides_of_a_flag(arguments: pytest.MonkeyPatch) -> None:
    given(arguments, "study=vowel", "--multirun", "study.num_experts=2,3", "runs_dir=here")
    overrides = ["study=vowel", "study.num_experts=2,3", "runs_dir=here"]
    assert checked_arguments() == overrides
    # Hydra, which reads the same line after us, finds them side by side.
    assert sys.argv == ["program", *overrides, "--multirun"]


def test_a_flag_keeps_its_own_value(arguments: pytest.MonkeyPatch) -> None:
    given(arguments, "--cfg", "job", "study=vowel")
    assert checked_arguments() == ["study=vowel"]
    assert sys.argv[1:] == ["study=vowel", "--cfg", "job"]


def test_errors_are_found_before_hydra_starts(arguments: pytest.MonkeyPatch) -> None:
    for flags in ([], ["--multirun"]):
        given(arguments, *flags, "study.num_expert=3")
        with pytest.raises(UserError, match=r"Did you mean study\.num_experts"):
            checked_arguments()


def test_a_command_without_hydra_flags_says_so(arguments: pytest.MonkeyPatch) -> None:
    given(arguments, "suite=vowel", "--multirun")
    with pytest.raises(UserError, match="--multirun"):
        plain_arguments("usage")


def test_a_suites_help_runs_nothing(
    arguments: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given(arguments, "suite=vowel", "--help")
    with pytest.raises(SystemExit) as ended:
        plain_arguments("what this is for")
    assert ended.value.code == 0
    assert "what this is for" in capsys.readouterr().out


def test_an_error_is_printed_as_problem_and_fix_to_the_letter(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Square brackets are markup to the console that prints them.
    problem, fix = "study.units=[logistik] is [/] wrong.", "Allowed: [bold], [a,b]."
    with pytest.raises(SystemExit) as ended, errors_for_people():
        raise UserError(problem, fix)
    assert ended.value.code == 1
    assert capsys.readouterr().out == f"error: {problem}\nfix: {fix}\n"


def test_an_interrupt_ends_with_its_own_code_and_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended, errors_for_people():
        raise KeyboardInterrupt
    assert ended.value.code == INTERRUPTED == 130
    assert "continues" in capsys.readouterr().out


RESULTS = ["metrics.csv", "curves.csv", "snapshots.npz"]


def contents(path: Path) -> dict[str, bytes]:
    return {name: (path / name).read_bytes() for name in RESULTS}


def last_checkpoint(runs_dir: Path) -> int:
    """When the last checkpoint was written; 0 where there is none."""
    return sum(file.stat().st_mtime_ns for file in runs_dir.glob("vowel/*/checkpoint.pt"))


def start_and_kill(config: VowelConfig, runs_dir: Path, seconds: float) -> None:
    """Run in another process; SIGKILL it this long after the first checkpoint that it writes."""
    before = last_checkpoint(runs_dir)
    child = processes.Process(target=execute, args=(config, str(runs_dir)))
    child.start()
    while child.is_alive() and last_checkpoint(runs_dir) == before:
        time.sleep(0.001)
    child.join(seconds)
    child.kill()
    child.join()


def test_a_run_killed_at_random_moments_ends_in_the_same_bits(tmp_path: Path) -> None:
    config = replace(
        TINY_STUDY, num_seeds=8, max_epochs=800, stop_error=0.0, checkpoint_seconds=0.0
    )
    unbroken = execute(config, str(tmp_path / "unbroken")).path
    chance = random.Random(1991)
    start_and_kill(config, tmp_path / "killed", 0.0)
    assert last_checkpoint(tmp_path / "killed") > 0
    for _ in range(2):
        start_and_kill(config, tmp_path / "killed", chance.uniform(0.0, 0.2))
    continued = execute(config, str(tmp_path / "killed"))
    assert continued.path.name == unbroken.name
    assert contents(continued.path) == contents(unbroken)
    assert not list(continued.path.glob("checkpoint*"))


class Stopped(Exception):
    """Ends a run from its progress report."""


def stop(stage: str, share: float) -> None:
    if share > 0.5:
        raise Stopped


@pytest.mark.parametrize("damage", ["cut short", "a changed byte", "empty"])
def test_a_damaged_checkpoint_costs_time_and_nothing_else(damage: str, tmp_path: Path) -> None:
    config = replace(TINY_STUDY, max_epochs=100, checkpoint_seconds=0.0)
    unbroken = execute(config, str(tmp_path / "unbroken")).path
    with pytest.raises(Stopped):
        execute(config, str(tmp_path / "damaged"), report=stop)
    (checkpoint,) = (tmp_path / "damaged").glob("vowel/*/checkpoint.pt")
    whole = checkpoint.read_bytes()
    middle = len(whole) // 2
    damaged = {
        "cut short": whole[:middle],
        "a changed byte": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "empty": b"",
    }
    checkpoint.write_bytes(damaged[damage])
    continued = execute(config, str(tmp_path / "damaged"))
    assert not continued.was_done
    assert contents(continued.path) == contents(unbroken)
    assert (continued.path / "checkpoint.damaged-1").read_bytes() == damaged[damage]


def test_a_damaged_result_is_refused_until_it_is_computed_again_by_force(tmp_path: Path) -> None:
    path = execute(TINY_STUDY, str(tmp_path)).path
    sound = contents(path)
    damaged = sound["metrics.csv"].replace(b"exhausted", b"converged")
    (path / "metrics.csv").write_bytes(damaged)
    with pytest.raises(UserError) as caught:
        execute(TINY_STUDY, str(tmp_path))
    assert "metrics.csv" in caught.value.problem
    assert "force=true" in caught.value.fix
    again = execute(TINY_STUDY, str(tmp_path), force=True)
    assert not again.was_done
    assert contents(again.path) == sound
    (kept,) = (tmp_path / "vowel" / "superseded").iterdir()
    assert kept.name.startswith(path.name)
    assert (kept / "metrics.csv").read_bytes() == damaged


def test_a_finished_run_is_not_computed_again(tmp_path: Path) -> None:
    first = execute(TINY_STUDY, str(tmp_path))
    again = execute(TINY_STUDY, str(tmp_path))
    assert (first.was_done, again.was_done) == (False, True)
    assert first.path == again.path
