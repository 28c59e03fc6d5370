"""The commands as people give them: sweeps, launchers, suites, repeated and damaged runs."""

import errno
import io
import logging
import multiprocessing
import random
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml
from hydra.errors import ConfigCompositionException
from rich import box
from rich.table import Table

from experiments.command_line import (
    INTERRUPTED,
    _Messages,
    checked_arguments,
    console,
    errors_for_people,
    plain_arguments,
    print_error,
)
from experiments.compose import composed, typed
from experiments.execute import execute
from experiments.overrides import options
from experiments.run_folder import read_finished
from experiments.runner.errors import UserError
from experiments.studies import STUDIES
from experiments.vowel.settings import Coding, VowelConfig

ROOT = Path(__file__).resolve().parents[2]
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
    told = command("run", "study=vowel", *runs, "--multirun", "study.num_experts=2,3")
    assert "number of experts 3" in told
    drawn = f"reproductions.plot study=vowel {' '.join(runs)} study.num_experts=2,3"
    assert told.splitlines()[-1] == f"next: python -m {drawn}"
    found = folders(tmp_path)
    assert {read_finished(path).config["num_experts"] for path in found} == {2, 3}
    before = {path: (path / "manifest.json").stat().st_mtime_ns for path in found}
    printed = command("run", *runs, "study.num_experts=3")
    assert "already done; add force=true" in printed
    assert "test accuracy (%)" in printed
    assert "metrics.csv" not in printed
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


def test_tab_completion_is_hydras(arguments: pytest.MonkeyPatch) -> None:
    given(arguments, "-sc", "install=bash")
    checked_arguments()
    assert sorted(sys.argv[1:]) == ["-sc", "install=bash"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--num_experts", "8"], "There is no flag --num_experts."),
        (["--num-experts=8"], "There is no flag --num-experts=8."),
        (["study=clusters", "--num_experts", "8"], "There is no flag --num_experts."),
        (["--config-dir", "elsewhere"], "--config-dir"),
        (["--config-path=elsewhere"], "--config-path"),
        (["-cn", "mine"], "--config-name"),
        (["--experimental-rerun", "config.pickle"], "--experimental-rerun"),
        (["--cfg"], "expected one argument"),
        (["--cfg", "everything"], "invalid choice"),
    ],
)
def test_a_flag_that_does_not_exist_or_would_bypass_the_checks_is_refused(
    words: list[str], named: str, arguments: pytest.MonkeyPatch
) -> None:
    given(arguments, *words)
    with pytest.raises(UserError) as caught:
        checked_arguments()
    assert named in caught.value.problem
    if "num_experts" in named.replace("-", "_"):
        assert "write study.num_experts=8." in caught.value.fix
        given(arguments, *words)
        with pytest.raises(UserError, match=r"write study\.num_experts=8\."):
            plain_arguments("usage")


@pytest.mark.parametrize("word", ["'~/x'", '"~/x"', "~/x"])
@pytest.mark.parametrize("flag", [[], ["--multirun"]])
def test_the_home_folder_is_meant_by_its_sign(
    word: str, flag: list[str], arguments: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arguments.setenv("HOME", str(tmp_path / "home"))
    arguments.chdir(tmp_path)
    given(arguments, *flag, f"runs_dir={word}")
    overrides = checked_arguments()
    assert typed(composed(overrides)).runs_dir == str(tmp_path / "home" / "x")
    assert sorted(item.name for item in tmp_path.iterdir()) == (["home"] if flag else [])
    given(arguments, *flag, "runs_dir=~nobody.of.this.name/x")
    with pytest.raises(UserError, match=r"runs_dir=~nobody\.of\.this\.name/x"):
        checked_arguments()


def test_help_lists_what_may_be_chosen(
    arguments: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given(arguments, "study=clusters", "--help")
    with pytest.raises(SystemExit) as left:
        checked_arguments("what this is for")
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith("what this is for\n")
    assert all(name in printed for name in [*options("study"), *options("suite"), "runs_dir=runs"])
    settings = {item.name for item in fields(STUDIES["clusters"].schema)} - {"name"}
    assert all(f"\n  study.{name}=" in printed for name in settings)
    assert "at least 1" in printed
    assert "cubic or linear" in printed.replace("linear or cubic", "cubic or linear")
    assert "base_" not in printed
    given(arguments, "suite=translation", "-h")
    with pytest.raises(SystemExit):
        plain_arguments("what this is for", has_settings=True)
    assert "\n  study.beam_width=" in capsys.readouterr().out


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
    printed = capsys.readouterr()
    assert printed.err == f"error: {problem}\nfix: {fix}\n"
    assert printed.out == ""


def test_an_interrupt_ends_with_its_own_code_and_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended, errors_for_people():
        raise KeyboardInterrupt
    assert ended.value.code == INTERRUPTED == 130
    assert "continues" in capsys.readouterr().err


def ended(capsys: pytest.CaptureFixture[str], error: BaseException) -> tuple[object, str]:
    """The exit code, and what was printed to standard error, of a command that raises this."""
    with pytest.raises(SystemExit) as left, errors_for_people():
        raise error
    return left.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."),
        RuntimeError("CUDA out of memory. Tried to allocate 4.00 GiB."),
        RuntimeError("Storage size calculation overflowed with sizes=[999999999, 999999999]"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        PermissionError(errno.EACCES, "Permission denied", "/somewhere/else"),
        OSError(errno.ELOOP, "Too many levels of symbolic links", "/somewhere/else"),
        ConfigCompositionException("Could not override 'hydra.foo'."),
    ],
    ids=str,
)
def test_what_the_machine_refuses_is_an_error_for_people(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed = ended(capsys, error)
    assert code == 1
    assert printed.startswith("error: ")
    assert "\nfix: " in printed
    assert str(getattr(error, "filename", None) or "") in printed


def test_an_error_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="shapes"), errors_for_people():
        raise RuntimeError("shapes cannot be multiplied")


@pytest.mark.parametrize(
    "text",
    [
        "1:100: and :b: and :key:",
        "a\tb",
        "/data/run:x:1 [bold]",
        "  blanks  ",
        "é ∥ ≠ 漢字 😀",
        "a\nb",
    ],
)
def test_text_is_printed_to_the_letter(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.print(text)
    assert capsys.readouterr().out == f"{text}\n"


@pytest.mark.parametrize("sign", ["\x1b", "\x07", "\r", "\x00", "\x9b", "\u202e", "\udcff"])
def test_signs_that_act_in_a_terminal_are_shown_as_their_codes(
    sign: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_error(UserError(f"There is no folder a{sign}b.", "Choose another."))
    written = sign.encode("unicode_escape").decode()
    assert f"There is no folder a{written}b." in capsys.readouterr().err
    record = logging.makeLogRecord({"msg": f"the folder a{sign}b", "levelno": logging.WARNING})
    # Not by a logger: what pytest keeps of logs must be UTF-8.
    _Messages().handle(record)
    assert capsys.readouterr().err == f"warning: the folder a{written}b\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_that_lacks_a_character_shows_another(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal, encoding=encoding))
    with errors_for_people():
        console.print("two claims ∥ three")
        console.print(Table("∥", box=box.ROUNDED))
    assert terminal.getvalue().startswith(b"two claims ? three\n")


@pytest.mark.parametrize("closed", ["stdout", "stderr", "stdin"])
def test_a_closed_stream_stops_no_command(closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, closed, None)
    with errors_for_people():
        console.print("a result")
        print_error(UserError("It is wrong.", "Mend it."))
    getattr(sys, closed).close()


@pytest.mark.parametrize("columns", ["0", "1", "20"])
def test_a_narrow_terminal_cuts_no_text(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    path = "/a/long/path/" + "x" * 200
    console.print(path)
    assert capsys.readouterr().out == f"{path}\n"


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
