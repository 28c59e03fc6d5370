"""The digest of a study's code follows all that its code needs, and nothing else."""

import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from experiments.runner.closure import PACKAGES, ROOT, closure, versions
from experiments.studies import STUDIES

# A small project: what decides `experiments.study`, and files that are in its neighbourhood.
PROJECT = {
    "experiments/__init__.py": '"""Studies."""',
    "experiments/study.py": '''
"""A study."""

from experiments.data import load
from moe import Gate
from moe.measures import entropy

def run(x: float) -> float:
    """Its output."""
    from experiments import late
    return 2 * entropy(Gate(load(late.VALUE * x)))
''',
    "experiments/data.py": "import sklearn.cluster\nfrom . import relative\nload = relative.load",
    "experiments/relative.py": "def load(x): return x",
    "experiments/late.py": "VALUE = 3",
    "experiments/command.py": "import rich\nfrom experiments.study import run",
    "moe/__init__.py": '''
"""The core."""
from moe.gates import Gate, Other
from moe.setup import start
__all__ = ["Gate", "Other"]
start()
''',
    "moe/setup.py": "def start(): pass",
    "moe/unused.py": "import torch",
    "moe/gates/__init__.py": "from moe.gates.base import Gate\nfrom moe.gates.other import Other",
    "moe/gates/base.py": "Gate = abs",
    "moe/gates/other.py": "from moe.unused import torch\nOther = abs\nGate = round",
    "moe/measures.py": """
import importlib
from pathlib import Path
SOURCE = Path(__file__).with_name("kernel.c")
NAMES = ["fast"]
def entropy(x, name=NAMES[0]): return importlib.import_module(f"moe.{name}").entropy(x)
""",
    "moe/kernel.c": "int x;",
    "moe/fast.py": "import numpy.random as draws\ndef entropy(x): return x",
    "moe/slow.py": "def entropy(x): return x",
}
INSIDE = {
    *(name for name in PROJECT if name.startswith("experiments/") and "command" not in name),
    *("moe/setup.py", "moe/gates/base.py", "moe/measures.py", "moe/kernel.c", "moe/fast.py"),
}

Project = Callable[[dict[str, str]], Path]


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    def written(changes: dict[str, str]) -> Path:
        root = tmp_path_factory.mktemp("project")
        for name, text in {**PROJECT, **changes}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return root

    return written


def digest(root: Path) -> str:
    return closure(("experiments.study",), root).digest


def test_it_holds_the_sources_and_libraries_that_the_code_needs(project: Project) -> None:
    found = closure(("experiments.study",), project({}))
    # What an __init__ without code of its own passes on is not code.
    own = INSIDE - {"experiments/__init__.py"} | {"moe/__init__.py"}
    assert set(found.sources) == own
    assert found.libraries == ("numpy", "sklearn")


@pytest.mark.parametrize("name", sorted(INSIDE))
def test_a_change_of_what_it_holds_changes_the_digest(project: Project, name: str) -> None:
    assert digest(project({name: PROJECT[name] + "\nCHANGED = 1\n"})) != digest(project({}))


@pytest.mark.parametrize("name", sorted({*PROJECT} - INSIDE - {"moe/__init__.py"}))
def test_a_change_of_anything_else_does_not(project: Project, name: str) -> None:
    changed = PROJECT[name] + ("\n# A comment." if "__init__" in name else "\nCHANGED = 1\n")
    assert digest(project({name: changed})) == digest(project({}))


@pytest.mark.parametrize(
    "name", ["moe/stray.py", "moe/stray.c", "experiments/fast.py", "moe/gates/kernel.c"]
)
def test_stray_files_do_not_change_it(project: Project, name: str) -> None:
    assert digest(project({name: "VALUE = 1"})) == digest(project({}))


def test_comments_docstrings_and_layout_do_not_change_it(project: Project) -> None:
    bare = """
from experiments.data import load
# The same module, bare.
from moe import Gate
from moe.measures import entropy
def run(
    x: float,
) -> float:
    'Another docstring.'
    from experiments import late
    return (2 * entropy(Gate(load(late.VALUE * x))))  # doubled
"""
    assert digest(project({"experiments/study.py": bare})) == digest(project({}))


@pytest.mark.parametrize(("old", "new"), [("2 *", "3 *"), ("moe import Gate", "moe import Other")])
def test_changed_code_changes_it(project: Project, old: str, new: str) -> None:
    changed = PROJECT["experiments/study.py"].replace(old, new)
    assert digest(project({"experiments/study.py": changed})) != digest(project({}))


def test_a_name_that_a_package_takes_from_elsewhere_changes_it(project: Project) -> None:
    names = {"experiments/late.py": "import moe.gates.other\nVALUE = 3"}
    other = {"moe/gates/__init__.py": "from moe.gates.other import Gate, Other"}
    assert digest(project(names)) != digest(project({**names, **other}))


def test_a_module_that_is_missing_or_cannot_be_known_is_an_error(project: Project) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"experiments\.missing"):
        closure(("experiments.missing",), project({}))
    unknown = "import importlib\ndef load(name): return importlib.import_module(name)"
    with pytest.raises(ValueError, match="line 2"):
        digest(project({"experiments/data.py": unknown}))


def test_versions_are_those_of_the_distributions_tools_left_out() -> None:
    found = versions(("hydra", "no_such_package", "numpy", "sklearn"))
    assert found == {name: version(name) for name in ("numpy", "scikit-learn")}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("*.pyc"))
    return root


def studys(name: str) -> tuple[str, ...]:
    return (STUDIES[name].run.__module__,)


@pytest.mark.parametrize(
    ("study", "file", "old", "new"),
    [
        ("translation", "moe/grouped/native.c", "DEPTH = 32", "DEPTH = 4"),
        ("scaling", "moe/grouped/native.c", "DEPTH = 32", "DEPTH = 4"),
        ("translation", "moe/grouped/native.py", "LARGE_EXPERT = 96", "LARGE_EXPERT = 97"),
        ("vowel", "experiments/vowel/settings.py", "_FIRST_SEED = ", "_FIRST_SEED = 1 + "),
        ("vowel_start", "moe/measures.py", "def effective_number(", "def effective_number_("),
        ("clusters_start", "moe/measures.py", "def first_choices(", "def first_choices_("),
        ("translation_start", "moe/measures.py", "def first_choices(", "def _choices("),
    ],
)
def test_edits_that_changed_numbers_unseen_change_it(
    copy: Path, tmp_path: Path, study: str, file: str, old: str, new: str
) -> None:
    before = closure(studys(study), copy)
    assert before == closure(studys(study))
    root = Path(shutil.copytree(copy, tmp_path / "edited"))
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new))
    assert closure(studys(study), root).digest != before.digest


@pytest.mark.parametrize("study", sorted(STUDIES))
def test_what_runs_and_reports_is_outside(study: str) -> None:
    found = closure(studys(study))
    outside = ("command_line", "suite", "compose", "execute", "benchmark.", "translate.")
    assert not [name for name in found.sources for part in outside if part in name]
    assert {"numpy", "torch"} <= set(found.libraries)
    assert "rich" not in found.libraries
