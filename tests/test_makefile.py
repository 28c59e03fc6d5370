"""The Makefile's promises: its help, the settings it passes on, and how it sets up.

Every test works in a copy of the Makefile, in a folder with a space in its name. Stand-ins for
Python take the place of real ones, so nothing is installed and no network is used.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reproductions.report import STUDIES

# Of the papers; the other reports are of questions and goals beside them.
THREE = {"vowel", "clusters", "translation"}
ROOT = Path(__file__).resolve().parents[1]

# A Python that makes environments holding a copy of itself, and fails at whatever arguments
# the file `failing` beside the Makefile names. What it is asked goes to the file `calls`.
STAND_IN = """#!/bin/bash
echo "$*" >> calls
if [ -f failing ] && [[ "$*" == *"$(cat failing)"* ]]; then exit 1; fi
case "$*" in
    *print*) echo 3.11 ;;
    "-m venv"*) rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder that holds the Makefile and a stand-in for Python."""
    folder = tmp_path / "a project"
    folder.mkdir()
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    stand_in = folder / "stand in python"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    return folder


def make(
    project: Path, *arguments: str, python: str = "./stand in python"
) -> subprocess.CompletedProcess[str]:
    """Run make in a project, free of what an enclosing make or shell has set."""
    inherited = {"PATH", "HOME", "TMPDIR", "LANG"}
    environment = {name: value for name, value in os.environ.items() if name in inherited}
    return subprocess.run(
        ["make", *arguments],
        cwd=project,
        env={**environment, "PYTHON": python},
        capture_output=True,
        text=True,
        check=False,
    )


def calls(project: Path) -> str:
    """Return what the stand-in was asked since the last look."""
    record = project / "calls"
    text = record.read_text()
    record.unlink()
    return text


def documented_targets() -> set[str]:
    """Return the targets with a `##` comment."""
    return set(re.findall(r"^([\w-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def phony_targets() -> set[str]:
    """Return the targets that are commands and not files."""
    lines = re.findall(r"^\.PHONY:(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return set(" ".join(lines).split())


def test_make_alone_lists_every_documented_target(project: Path) -> None:
    result = make(project)
    listed = {line.split()[0]: line for line in result.stdout.splitlines() if " min  " in line}
    assert result.returncode == 0
    assert set(listed) == documented_targets()


def test_every_command_but_the_help_is_documented() -> None:
    assert phony_targets() - {"help"} == documented_targets()


@pytest.mark.parametrize(
    ("target", "run_suite", "report_suite"),
    [
        ("reproduce-vowel", "vowel", "vowel"),
        ("reproduce-vowel-tuned", "vowel_tuned", "vowel_tuned"),
        ("reproduce-clusters", "clusters", "clusters"),
        ("reproduce-clusters-all", "clusters_all", "clusters"),
        ("reproduce-translation", "translation", "translation"),
        ("reproduce-translation-gpu", "translation_gpu", "translation_gpu"),
        ("questions", "questions", "questions"),
        ("scaling", "scaling", "scaling"),
    ],
)
def test_settings_reach_both_the_runs_and_their_report(
    project: Path, target: str, run_suite: str, report_suite: str
) -> None:
    result = make(project, target, "ARGS=study.num_seeds=3")
    assert result.returncode == 0, result.stderr
    run, report = calls(project).splitlines()[-2:]
    assert run.startswith(f"-m experiments.suite suite={run_suite} ")
    assert report.startswith(f"-m reproductions.report suite={report_suite} ")
    # Last, so that what the user gives wins over what the target gives.
    assert run.endswith(" study.num_seeds=3")
    assert report.endswith(" study.num_seeds=3")


def test_smoke_trains_all_studies_in_one_call_and_reports_each(project: Path) -> None:
    result = make(project, "smoke", "ARGS=study.num_seeds=2")
    assert result.returncode == 0, result.stderr
    run, *reports = (line for line in calls(project).splitlines() if "suite=" in line)
    assert run.startswith("-m experiments.suite suite=")
    suites = run.split()[2].removeprefix("suite=").split(",")
    assert set(suites) >= {f"{study}_smoke" for study in THREE}
    ends = [f"suite={suite} study.num_seeds=2" for suite in suites]
    assert reports == [f"-m reproductions.report {end}" for end in ends]


def test_smoke_fails_with_the_first_report_that_fails(project: Path) -> None:
    (project / "failing").write_text("reproductions.report suite=vowel_smoke")
    assert make(project, "smoke").returncode != 0
    assert calls(project).count("reproductions.report") == 1


def test_settings_of_the_multiverse_do_not_reach_the_report_of_the_study(project: Path) -> None:
    assert make(project, "multiverse-vowel", "ARGS=study.variances=[0.5]").returncode == 0
    run, report = calls(project).splitlines()[-2:]
    assert run == "-m experiments.suite suite=vowel_multiverse study.variances=[0.5]"
    assert report == "-m reproductions.report suite=vowel"


@pytest.mark.parametrize("study", ["clusters", "translation", "scaling", "questions"])
def test_every_study_has_a_target_that_only_reports(project: Path, study: str) -> None:
    assert make(project, f"report-{study}", "ARGS=study.num_seeds=3").returncode == 0
    (line,) = (line for line in calls(project).splitlines() if "suite=" in line)
    assert line == f"-m reproductions.report suite={study} study.num_seeds=3"


def test_only_make_publish_publishes(project: Path) -> None:
    targets = documented_targets() - {"publish", "clean-env"}
    shown = make(project, "--dry-run", *sorted(targets))
    assert shown.returncode == 0, shown.stderr
    assert "experiments.suite" in shown.stdout
    assert "reproductions.publish" not in shown.stdout
    assert make(project, "publish", "ARGS=study=vowel").returncode == 0
    assert calls(project).splitlines()[-1] == "-m reproductions.publish study=vowel"


@pytest.mark.parametrize(
    ("target", "studies"), [("reproduce", THREE), ("reproduce-all", set(STUDIES))]
)
def test_reproduce_runs_and_reports_its_studies_and_ends_with_the_front_page(
    project: Path, target: str, studies: set[str]
) -> None:
    result = make(project, target)
    assert result.returncode == 0, result.stderr
    lines = calls(project).splitlines()
    trained = [line.partition("suite=")[2].strip() for line in lines if "experiments.suite" in line]
    shown = [line.partition("suite=")[2].strip() for line in lines if "reproductions.rep" in line]
    assert sorted(",".join(trained).split(",")) == sorted(shown)
    assert set(shown) == studies
    assert shown[0] == "vowel"
    assert lines[-1] == "-m reproductions.front"


def test_a_failed_run_makes_no_report(project: Path) -> None:
    (project / "failing").write_text("experiments.suite")
    result = make(project, "reproduce-vowel")
    assert result.returncode != 0
    assert "reproductions.report" not in calls(project)


def test_a_missing_python_is_an_error_that_names_the_fix(project: Path) -> None:
    result = make(project, "setup", python="/nonexistent")
    assert result.returncode != 0
    assert "error: no Python 3.11 or newer among:\n/nonexistent\n" in result.stderr
    assert "fix: install Python 3.11 or newer, or name one: make setup PYTHON=" in result.stderr


def test_a_python_too_old_is_an_error_that_names_the_fix(project: Path) -> None:
    (project / "failing").write_text("version_info < (3, 11)")
    result = make(project, "setup")
    assert result.returncode != 0
    assert "fix: install Python 3.11 or newer" in result.stderr


def test_a_missing_venv_module_is_an_error_that_names_the_package(project: Path) -> None:
    (project / "failing").write_text("import ensurepip, venv")
    result = make(project, "setup")
    assert result.returncode != 0
    assert "python3.11-venv" in result.stderr


def test_set_up_is_done_once(project: Path) -> None:
    first = make(project, "setup")
    assert first.returncode == 0, first.stderr
    assert "minutes" in first.stdout
    calls(project)
    assert make(project, "report").returncode == 0
    assert calls(project) == "-m reproductions.report suite=vowel\n"


def test_an_unfinished_environment_is_made_again_from_nothing(project: Path) -> None:
    (project / "failing").write_text("pip install")
    failed = make(project, "setup")
    assert failed.returncode != 0
    assert "error: the packages could not be installed" in failed.stderr
    (project / "failing").unlink()
    calls(project)
    (project / ".venv" / "half-made").touch()
    assert make(project, "setup").returncode == 0
    assert "-m venv --clear .venv" in calls(project)
    assert not (project / ".venv" / "half-made").exists()


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_changed_requirements_are_installed_into_the_environment(project: Path, name: str) -> None:
    make(project, "setup")
    stamp = project / ".venv" / ".ready"
    os.utime(stamp, (0, 0))
    os.utime(project / name)
    calls(project)
    assert make(project, "setup").returncode == 0
    assert "--requirement requirements.txt" in calls(project)
    assert stamp.stat().st_mtime >= (project / name).stat().st_mtime


def test_an_interrupted_update_leaves_no_stamp(project: Path) -> None:
    make(project, "setup")
    os.utime(project / ".venv" / ".ready", (0, 0))
    (project / "failing").write_text("pip install")
    assert make(project, "setup").returncode != 0
    assert not (project / ".venv" / ".ready").exists()


def test_removing_the_environment_keeps_the_results(project: Path) -> None:
    make(project, "setup")
    (project / "runs").mkdir()
    assert make(project, "clean-env").returncode == 0
    assert not (project / ".venv").exists()
    assert (project / "runs").exists()
