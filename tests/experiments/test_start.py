"""A command answers what it can see from its words before it imports what computes."""

import subprocess
import sys
from pathlib import Path

import pytest

import moe
from experiments.studies import STUDIES, late
from experiments.vowel.settings import Cost, Unit

ROOT = Path(__file__).resolve().parents[2]
# Each takes a good part of a second to import, torch more than one.
HEAVY = ("torch", "pandas", "scipy", "sklearn", "matplotlib")
# Prints which of them a command has imported when it leaves.
PROGRAM = f"""
import atexit, runpy, sys
atexit.register(lambda: print("imported", *[each for each in {HEAVY} if each in sys.modules]))
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def answer(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *command], cwd=ROOT, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["experiments.run", "study=vowel", "study.num_expert=3"], "study.num_experts"),
        (["experiments.run", "study=clusters", "study.num_expert=3"], "study.num_experts"),
        (["experiments.run", "study=translation", "study.device=gpu"], "cuda"),
        (["experiments.run", "study=vowels"], "study=vowels does not exist"),
        (["experiments.run", "study=vowel", "study.num_experts=0"], "out of range"),
        (["experiments.suite", "suite=vowe"], "suite=vowe does not exist"),
        (["experiments.suite", "suite=vowel", "study.num_seed=3"], "study.num_seeds"),
    ],
)
def test_a_slip_is_answered_without_what_computes(command: list[str], said: str) -> None:
    found = answer(*command)
    assert found.returncode == 1
    assert said in found.stderr
    assert found.stdout.splitlines()[-1] == "imported"


def test_the_help_is_printed_without_what_computes() -> None:
    found = answer("experiments.run", "study=translation", "--help")
    assert found.returncode == 0
    assert "study.num_experts" in found.stdout
    assert found.stdout.splitlines()[-1] == "imported"


def test_the_measure_sees_what_is_imported() -> None:
    found = answer("benchmarks.core", "--help")
    assert found.stdout.splitlines()[-1].split()[:2] == ["imported", "torch"]


@pytest.mark.parametrize("name", list(STUDIES))
def test_what_is_imported_late_exists_and_says_where_it_is_from(name: str) -> None:
    for function in vars(STUDIES[name]).values():
        if getattr(function, "__name__", "") == "call":
            module = sys.modules.get(function.__module__) or __import__(
                function.__module__, fromlist=["_"]
            )
            assert callable(getattr(module, function.__qualname__))


def test_a_late_function_is_called_with_what_it_is_given() -> None:
    assert late("math:hypot")(3.0, 4.0) == 5.0


@pytest.mark.parametrize(("settings", "core"), [(Cost, moe.Cost), (Unit, moe.Unit)])
def test_choices_of_the_settings_are_those_of_the_core(settings: type, core: type) -> None:
    pairs = [[(each.name, each.value) for each in kind] for kind in (settings, core)]  # type: ignore[attr-defined]
    assert pairs[0] == pairs[1]
