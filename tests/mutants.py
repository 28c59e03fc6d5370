"""Does a test turn red where the code is wrong? `make mutants`, or `python -m tests.mutants`.

Cosmic Ray changes one place of the code at a time (a sign, a comparison, a number by one), and the
tests nearest to it are run. A change that no test finds has survived, and is printed: it wants a
law, or a line in `EQUIVALENT` that says why it changes nothing. The places are drawn by a fixed
seed from the core, the evidence and the training loops, until the minutes are over; with another
seed they are others. All of it happens in a copy of the checkout.

Settings: minutes=10, seed=0, and only=TEXT for modules whose path contains it.
"""

import difflib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
# An environment of its own: the tool asks for packages that nothing else here needs.
COSMIC_RAY = ROOT / ".venv-mutants" / "bin" / "cosmic-ray"
GOAL = 0.95
# Longer than any of the tests takes alone; what hangs counts as found.
_SECONDS = 300

# What is changed, and the tests that are nearest to it, by the beginning of the path; the first
# that fits counts. What needs a GPU, a compiler or several processes is left out.
TESTS: dict[str, tuple[str, ...]] = {
    "moe/gates/balanced.py": ("tests/moe/test_balanced_gate.py", "tests/moe/test_gates.py"),
    "moe/gates/noisy_top_k.py": ("tests/moe/test_noisy_gates.py", "tests/moe/test_gates.py"),
    "moe/gates/": ("tests/moe/test_gates.py", "tests/moe/test_gate_use.py"),
    "moe/balance.py": ("tests/moe/test_balance.py",),
    "moe/batched_mixture.py": ("tests/moe/test_laws.py",),
    "moe/dispatch.py": ("tests/moe/test_plan.py", "tests/moe/test_layer.py"),
    "moe/layer.py": ("tests/moe/test_layer.py", "tests/moe/test_gate_use.py"),
    "moe/linear_experts.py": ("tests/moe/test_laws.py",),
    "moe/losses.py": ("tests/moe/test_laws.py",),
    "moe/measures.py": ("tests/moe/test_measures.py", "tests/moe/test_laws.py"),
    "moe/memory.py": ("tests/moe/test_memory.py",),
    "moe/optimisers.py": ("tests/moe/test_optimisers.py",),
    "moe/plan.py": ("tests/moe/test_plan.py", "tests/moe/test_layer.py"),
    "moe/routing.py": ("tests/moe/test_plan.py", "tests/moe/test_gates.py"),
    "moe/stacked.py": ("tests/moe/test_layer.py",),
    "reproductions/clusters/evidence.py": (
        "tests/reproductions/clusters/test_evidence.py",
        "tests/reproductions/test_sentences.py",
    ),
    "reproductions/questions/evidence.py": (
        "tests/reproductions/questions/test_evidence.py",
        "tests/reproductions/test_sentences.py",
    ),
    "reproductions/scaling/evidence.py": (
        "tests/reproductions/scaling/test_evidence.py",
        "tests/reproductions/test_sentences.py",
    ),
    "reproductions/translation/evidence.py": (
        "tests/reproductions/translation/test_evidence.py",
        "tests/reproductions/test_sentences.py",
    ),
    "reproductions/vowel/evidence.py": (
        "tests/reproductions/vowel/test_evidence.py",
        "tests/reproductions/vowel/test_evidence_of_runs.py",
    ),
    "reproductions/verdicts/evidence.py": (
        "tests/reproductions/verdicts",
        "tests/reproductions/test_sentences.py",
    ),
    "experiments/vowel/training.py": ("tests/experiments/vowel/test_training.py",),
    "experiments/clusters/training.py": (
        "tests/experiments/clusters/test_training.py",
        "tests/experiments/clusters/test_network.py",
        "tests/experiments/clusters/test_study.py",
    ),
    "experiments/translation/training.py": ("tests/experiments/translation/test_training.py",),
    "experiments/language_model/training.py": ("tests/experiments/test_language_model.py",),
}
# Changes that change nothing, by the module and the changed line: why.
EQUIVALENT: dict[tuple[str, str], str] = {}
# Unions in annotations; exceptions and decorators, whose change says little; identity in the place
# of equality, which for small numbers is the same; and what needs to be told names.
_LEFT_OUT = ("_BitOr_", "ExceptionReplacer", "RemoveDecorator", "_Is", "Variable")


@dataclass(frozen=True)
class Place:
    """A change that the tool can make: the module, the operator, and which of its places."""

    module: str
    operator: str
    occurrence: int
    position: tuple[int, int]


def modules(only: str) -> list[str]:
    """The modules that are changed, whose paths contain this text."""
    found = {
        path.relative_to(ROOT).as_posix()
        for start in TESTS
        for path in (sorted((ROOT / start).glob("*.py")) if start[-1] == "/" else [ROOT / start])
    }
    return sorted(path for path in found if only in path)


def tests_of(module: str) -> tuple[str, ...]:
    """The tests nearest to a module."""
    return next(tests for start, tests in TESTS.items() if module.startswith(start))


def copied(target: Path) -> None:
    """Copy the checkout as it stands, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(lambda each: (ROOT / each).is_file(), listed.stdout.splitlines()):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)


def places(paths: Sequence[str], copy: Path, seed: int) -> list[Place]:
    """Every place that can be changed, with one change drawn for each, in an order drawn too."""
    config, session = copy / "mutants.toml", copy / "mutants.sqlite"
    config.write_text(
        f"[cosmic-ray]\nmodule-path = {list(paths)}\ntimeout = {_SECONDS}.0\n"
        'excluded-modules = []\ntest-command = "true"\n'
        '[cosmic-ray.distributor]\nname = "local"\n'
    )
    subprocess.run([COSMIC_RAY, "init", config, session], cwd=copy, check=True)
    rows = sqlite3.connect(session).execute(
        "select module_path, operator_name, occurrence, start_pos_row, start_pos_col "
        "from mutation_specs order by 1, 4, 5, 2, 3"
    )
    every = [Place(path, name, number, (row, column)) for path, name, number, row, column in rows]
    every = [each for each in every if not any(word in each.operator for word in _LEFT_OUT)]
    random.Random(seed).shuffle(every)
    # One change of each place: a plus can become ten other things, and a comparison five.
    return list({(each.module, each.position): each for each in every}.values())


def is_found(tests: Sequence[str], copy: Path) -> bool:
    """Whether one of these tests fails, or none ends."""
    # Two changes within a second would look alike to Python's cache of compiled files.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def changed(place: Place, copy: Path) -> Iterator[list[str]]:
    """Make a change, give its diff, and undo it."""
    path = copy / place.module
    before = path.read_text("utf-8")
    subprocess.run(
        [COSMIC_RAY, "apply", place.module, place.operator, str(place.occurrence)],
        cwd=copy,
        check=True,
    )
    after = path.read_text("utf-8")
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    try:
        yield [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    finally:
        path.write_text(before, "utf-8")


def reason(place: Place, diff: Sequence[str]) -> str | None:
    """Why a change changes nothing, where that is known."""
    lines = [line[1:].strip() for line in diff if line.startswith("+")]
    # The star in `def f(run, *, most)` looks like a product.
    if all(line.startswith("def ") or line in {"/,", "**,"} for line in lines):
        return "the mark of a signature"
    return next(
        (EQUIVALENT[place.module, line] for line in lines if (place.module, line) in EQUIVALENT),
        None,
    )


def run(minutes: float, seed: int, only: str) -> float:
    """Try changes until the minutes are over; returns the share of them that tests found."""
    end, num_found, num_tried = time.monotonic() + 60 * minutes, 0, 0
    sound: dict[tuple[str, ...], bool] = {}
    with TemporaryDirectory(prefix="moe-mutants-") as scratch:
        copy = Path(scratch)
        copied(copy)
        for place in places(modules(only), copy, seed):
            tests = tests_of(place.module)
            # Tests that fail anyway would find every change.
            if not sound.setdefault(tests, tests in sound or not is_found(tests, copy)):
                sys.exit(f"error: {tests} fail without any change.\nfix: mend them first.")
            for diff in changed(place, copy):
                if why := reason(place, diff):
                    print(f"equivalent  {place.module}:{place.position[0]}  {why}", flush=True)
                    continue
                found = is_found(tests, copy)
                num_found, num_tried = num_found + found, num_tried + 1
                word = "killed" if found else "SURVIVED"
                print(
                    f"{word:<11} {place.module}:{place.position[0]}  {place.operator}", flush=True
                )
                if not found:
                    print("\n".join(f"    {line}" for line in diff), flush=True)
            if time.monotonic() > end:
                break
    share = num_found / num_tried if num_tried else 0.0
    print(f"{num_found} of {num_tried} killed ({share:.0%}; the goal is {GOAL:.0%})")
    return share


def main() -> None:
    """Run with the settings of the command line."""
    given = dict(item.split("=", 1) for item in sys.argv[1:])
    if unknown := set(given) - {"minutes", "seed", "only"}:
        sys.exit(
            f"error: There is no setting {min(unknown)}.\nfix: minutes=10 seed=0 only=moe/gates"
        )
    if not COSMIC_RAY.exists():
        sys.exit(f"error: {COSMIC_RAY} is not there.\nfix: make mutants installs it.")
    share = run(float(given.get("minutes", 10)), int(given.get("seed", 0)), given.get("only", ""))
    sys.exit(share < GOAL)


if __name__ == "__main__":
    main()
