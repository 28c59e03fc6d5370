"""Does a test turn red where the code is wrong? `make mutants`, or `python -m tests.mutants`.

Cosmic Ray changes one place of the code at a time (a sign, a comparison, a number by one), and the
tests nearest to it are run: first those that enter the changed function, the fastest of them
first, then the others of the same files, up to half a minute in all. A change that none of them
finds has survived, and is printed: it wants a law, or a line in `mutants.yaml` that says why it
changes nothing.

The places are drawn by a fixed seed, in turn from the core, the verdicts, the evidence and the
training loops, until the minutes are over; with another seed they are others. All of it happens in
a copy of the checkout. Each trial is a fork of one process that has the libraries loaded already.

Settings: minutes=10, seed=0, and only=TEXT for modules whose path contains it.
"""

import ast
import difflib
import multiprocessing
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# What the tests load in any case, and what takes most of their time: loaded once, before the forks.
import hydra
import hypothesis
import matplotlib.figure
import pandas
import pytest
import scipy.optimize
import scipy.stats
import sklearn.linear_model
import torch
import yaml

ROOT = Path(__file__).resolve().parents[1]
# An environment of its own: the tool asks for packages that nothing else here needs.
COSMIC_RAY = ROOT / ".venv-mutants" / "bin" / "cosmic-ray"
LOADED = (hydra, hypothesis, matplotlib, pandas, sklearn, torch)
GOAL = 0.95
# What hangs counts as found.
_MOST_SECONDS = 120
# The tests of one change may take as long as this together, or the slow ones stay out; so a change
# that survives may yet be found by a slow test, and the score is a lower bound.
_SECONDS_OF_TESTS = 30
# A test that takes longer stays out.
_MOST_SECONDS_OF_A_TEST = 5
# What a test enters is noted for so long: the test needs a multiple of its own time then.
_SECONDS_OF_TRACING = 1
PARTS = {
    "moe/": "core",
    "reproductions/verdicts/": "verdicts",
    "reproductions/": "evidence",
    "experiments/": "training",
}

_SENTENCES = "tests/reproductions/test_sentences.py"
_VERDICTS = tuple(
    f"tests/reproductions/verdicts/test_{name}.py"
    for name in ("claims", "estimates", "orders", "rules", "sources", "verdicts")
)
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
    **{
        f"reproductions/{study}/evidence.py": (
            f"tests/reproductions/{study}/test_evidence.py",
            _SENTENCES,
        )
        for study in ("clusters", "language_model", "questions", "scaling", "translation")
    },
    "reproductions/vowel/evidence.py": (
        "tests/reproductions/vowel/test_evidence.py",
        "tests/reproductions/vowel/test_evidence_of_runs.py",
        _SENTENCES,
    ),
    "reproductions/verdicts/evidence.py": (
        *_VERDICTS,
        _SENTENCES,
    ),
    "reproductions/verdicts/simulation.py": ("tests/reproductions/verdicts/test_power.py",),
    "reproductions/verdicts/power_text.py": ("tests/reproductions/verdicts/test_power.py",),
    "reproductions/verdicts/": _VERDICTS,
    "experiments/vowel/training.py": ("tests/experiments/vowel/test_training.py",),
    "experiments/clusters/training.py": (
        "tests/experiments/clusters/test_training.py",
        "tests/experiments/clusters/test_network.py",
    ),
    "experiments/language_model/training.py": ("tests/experiments/language_model/test_study.py",),
    "experiments/optimisers.py": (
        "tests/experiments/translation/test_training.py",
        "tests/experiments/language_model/test_study.py",
    ),
    "experiments/translation/training.py": ("tests/experiments/translation/test_training.py",),
}
EQUIVALENT = Path(__file__).with_suffix(".yaml")
# Unions in annotations; exceptions and decorators, whose change says little; identity in the place
# of equality, which for small numbers is the same; products of truths; what needs to be told names.
_LEFT_OUT = ("_BitOr_", "_BitAnd_Mul", "ExceptionReplacer", "RemoveDecorator", "_Is", "Variable")
_KEPT = ("_Is_IsNot", "_IsNot_Is")
_ORDER_OF_TEXTS = re.compile(r'[<>]=? "')


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
        f"[cosmic-ray]\nmodule-path = {list(paths)}\ntimeout = {_MOST_SECONDS}.0\n"
        'excluded-modules = []\ntest-command = "true"\n'
        '[cosmic-ray.distributor]\nname = "local"\n'
    )
    subprocess.run([COSMIC_RAY, "init", config, session], cwd=copy, check=True)
    rows = sqlite3.connect(session).execute(
        "select module_path, operator_name, occurrence, start_pos_row, start_pos_col "
        "from mutation_specs order by 1, 4, 5, 2, 3"
    )
    every = [Place(path, name, number, (row, column)) for path, name, number, row, column in rows]
    every = [each for each in every if is_of_use(each.operator)]
    random.Random(seed).shuffle(every)
    # One change of each place: a plus can become ten other things, and a comparison five.
    return list({(each.module, each.position): each for each in every}.values())


def is_of_use(operator: str) -> bool:
    """Whether the changes of this operator say something about the tests."""
    return operator.endswith(_KEPT) or not any(word in operator for word in _LEFT_OUT)


@dataclass
class Nearest:
    """A pytest plugin that runs tests in a given order, and notes what they take and enter.

    Without an order it runs them all.
    """

    order: Mapping[str, int] | None = None
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    # By the module and the first line of a function: the tests that enter it.
    entered: dict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    failed: set[str] = field(default_factory=set)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put the tests into their order, and leave out the others."""
        if self.order is not None:
            order = self.order
            items[:] = sorted(
                (item for item in items if item.nodeid in order),
                key=lambda item: order[item.nodeid],
            )

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Note which functions of the copy a test enters."""
        if self.order is not None:
            yield
            return

        end = time.monotonic() + _SECONDS_OF_TRACING

        # It gives no tracer of lines back, so that only calls are noted, which is faster.
        def enters(frame: Any, event: str, _: object) -> None:
            code = frame.f_code
            self.entered[code.co_filename, code.co_firstlineno].add(item.nodeid)
            if time.monotonic() > end:
                sys.settrace(None)

        sys.settrace(enters)
        try:
            yield
        finally:
            sys.settrace(None)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how long a test took, and whether it failed."""
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.add(report.nodeid)


@dataclass
class Known:
    """What first runs told of files of tests, without any change.

    Attributes:
        seconds: of each test that is of use, by its file.
        entered: the tests that enter a function, by its module and first line.
    """

    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    entered: dict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))

    def learn(self, file: str, copy: Path) -> None:
        """Run a file of tests, unless that was done before."""
        if file in self.seconds:
            return
        done = forked(lambda: _first_run(file, copy), 10 * 60)
        if not done or not done[0]:
            sys.exit(f"error: {file} cannot be run.\nfix: try it with pytest, and mend it.")
        seconds, entered, failed = done
        self.seconds[file] = {name: took for name, took in seconds.items() if name not in failed}
        for place, names in entered.items():
            self.entered[place] |= names - failed
        if failed:
            print(f"left out    {len(failed)} tests of {file}: slow, or red without a change")


_FirstRun = tuple[dict[str, float], dict[tuple[str, int], set[str]], set[str]]


def _first_run(file: str, copy: Path) -> _FirstRun:
    nearest = Nearest()
    tested(copy, [file], nearest)
    start = f"{copy}{os.sep}"
    entered = {
        (name.removeprefix(start), line): found
        for (name, line), found in nearest.entered.items()
        if name.startswith(start)
    }
    return dict(nearest.seconds), entered, nearest.failed


def tested(copy: Path, tests: Sequence[str], nearest: Nearest) -> int:
    """Run tests in this process, which is a fork, on the copy; gives pytest's exit status."""
    os.chdir(copy)
    sys.path[:] = [str(copy), *(each for each in sys.path if each not in ("", str(ROOT)))]
    for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
        del sys.modules[name]
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    stop = [f"--timeout={_MOST_SECONDS_OF_A_TEST}"] if nearest.order is None else ["-x"]
    # Hypothesis is loaded already, as is meant; as a warning it would be an error.
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider"]
    return int(pytest.main(["-q", *stop, *quiet, *tests], plugins=[nearest]))


def forked(job: Callable[[], Any], seconds: float) -> Any:
    """What a job gives in a fork of its own, or None where it takes longer or breaks."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)

    def work() -> None:
        # A group of its own, so that what the tests started ends with it.
        os.setsid()
        there.send(job())

    process = context.Process(target=work)
    process.start()
    there.close()
    try:
        return here.recv() if here.poll(seconds) else None
    except EOFError:
        return None
    finally:
        if process.pid and process.is_alive():
            process.join(1)
        if process.pid and process.is_alive():
            os.killpg(process.pid, signal.SIGKILL)
        process.join()


def function_of(text: str, row: int) -> int | None:
    """The first line of the innermost function around a row; None outside functions."""
    found = [
        min([node.lineno, *(each.lineno for each in node.decorator_list)])
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.lineno <= row <= (node.end_lineno or 0)
    ]
    return max(found, default=None)


def order_of(place: Place, known: Known, copy: Path) -> dict[str, int]:
    """The tests for a place: those that enter its function first, the fastest of them first."""
    first_line = function_of((copy / place.module).read_text("utf-8"), place.position[0])
    enter = known.entered.get((place.module, first_line or 0), set())
    seconds: dict[str, float] = {}
    for file in tests_of(place.module):
        seconds |= known.seconds[file]
    order, total = {}, 0.0
    for name in sorted(seconds, key=lambda name: (name not in enter, seconds[name])):
        total += seconds[name]
        if total <= _SECONDS_OF_TESTS:
            order[name] = len(order)
    return order


def is_found(tests: Sequence[str], order: Mapping[str, int], copy: Path) -> bool:
    """Whether one of these tests fails, or none ends."""

    def job() -> int:
        # Two changes within a second would look alike to Python's cache of compiled files.
        sys.dont_write_bytecode = True
        return tested(copy, tests, Nearest(order))

    return forked(job, _MOST_SECONDS) != 0


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


@cache
def equivalent() -> dict[str, dict[str, list[str]]]:
    """Changes that change nothing, by the module and the reason."""
    found: dict[str, dict[str, list[str]]] = yaml.safe_load(EQUIVALENT.read_text("utf-8"))
    return found


def not_python(path: Path) -> str | None:
    """Why a change is none: two stars that unpack a mapping look like a product to the tool."""
    try:
        ast.parse(path.read_text("utf-8"))
    except SyntaxError:
        return "no longer Python"
    return None


def reason(place: Place, diff: Sequence[str]) -> str | None:
    """Why a change changes nothing, where that is known."""
    lines = [line[1:].strip() for line in diff if line.startswith("+")]
    # Nothing that is made is assigned to later, frozen or not.
    if all(line == "@dataclass(frozen=False)" for line in lines):
        return "may be assigned to, and is not"
    # The star in `def f(run, *, most)` looks like a product.
    if all(line.startswith("def ") or line in {"/,", "**,"} for line in lines):
        return "the mark of a signature"
    if all("strict=False" in line for line in lines):
        return "the check that two lengths agree, which they do"
    # Left out even where it changes something: texts are equal or not, and `!=` is tried as well.
    if all(_ORDER_OF_TEXTS.search(line) for line in lines):
        return "an order of texts, which nobody writes by mistake"
    known = equivalent().get(place.module, {})
    return next((why for why, changes in known.items() if set(lines) & set(changes)), None)


@dataclass
class Score:
    """How many changes of one part were tried and found, and how many there are in all."""

    num_places: int
    num_tried: int = 0
    num_found: int = 0

    def text(self) -> str:
        """The share of changes that were found, with its exact 95 % interval."""
        if not self.num_tried:
            return f"none of {self.num_places:,} tried"
        found = scipy.stats.binomtest(self.num_found, self.num_tried)
        low, high = found.proportion_ci(0.95)
        return (
            f"{self.num_found} of {self.num_tried} killed, {found.statistic:.0%} "
            f"({low:.0%} to {high:.0%}); {self.num_places:,} places in all"
        )


def part_of(module: str) -> str:
    """The part that a module belongs to."""
    return next(part for start, part in PARTS.items() if module.startswith(start))


def in_turn(every: Sequence[Place]) -> list[Place]:
    """The places of all parts in turn, so that every part is seen however short the time is."""
    parts: dict[str, list[Place]] = defaultdict(list)
    for place in every:
        parts[part_of(place.module)].append(place)
    rounds = zip_longest(*parts.values())
    return [place for place in chain.from_iterable(rounds) if place is not None]


def tried(place: Place, known: Known, copy: Path) -> bool | None:
    """Whether tests find a change, which is told; None where it changes nothing."""
    where = f"{place.module}:{place.position[0]}"
    for diff in changed(place, copy):
        if why := not_python(copy / place.module) or reason(place, diff):
            print(f"equivalent  {where}  {why}", flush=True)
            return None
        found = is_found(tests_of(place.module), order_of(place, known, copy), copy)
        print(f"{'killed' if found else 'SURVIVED':<11} {where}  {place.operator}", flush=True)
        if not found:
            print("\n".join(f"    {line}" for line in diff), flush=True)
        return found
    return None


def run(minutes: float, seed: int, only: str) -> float:
    """Try changes until the minutes are over; returns the share of them that tests found."""
    end = time.monotonic() + 60 * minutes
    known = Known()
    scores: dict[str, Score] = {}
    with TemporaryDirectory(prefix="moe-mutants-") as scratch:
        copy = Path(scratch).resolve()
        copied(copy)
        every = in_turn(places(modules(only), copy, seed))
        for place in every:
            scores.setdefault(part_of(place.module), Score(0)).num_places += 1
        for place in every:
            for file in tests_of(place.module):
                known.learn(file, copy)
            found = tried(place, known, copy)
            score = scores[part_of(place.module)]
            score.num_tried += found is not None
            score.num_found += bool(found)
            if time.monotonic() > end:
                break
    for part, score in scores.items():
        print(f"{part:<9} {score.text()}")
    num_tried = sum(score.num_tried for score in scores.values())
    num_found = sum(score.num_found for score in scores.values())
    print(f"together  {num_found} of {num_tried} killed; the goal is {GOAL:.0%}")
    return num_found / num_tried if num_tried else 0.0


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
