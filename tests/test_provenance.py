"""Provenance: the digest follows what code does, and the manifest states the facts."""

import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from experiments.provenance import code_digest, git_state, manifest

SOURCE = '''
"""A module."""

class Expert:
    """An expert."""

    def output(self, x: float) -> float:
        """Its output."""
        return 2 * x

async def train() -> None:
    """Train."""
'''
OTHER_LAYOUT = """
# The same module, bare.
class Expert:
    def output(
        self,
        x: float,
    ) -> float:
        return (2 * x)  # doubled

async def train() -> None: 'Another docstring.'
"""

Digest = Callable[[str], str]
STARTED = datetime(2024, 5, 6, 12, tzinfo=timezone(timedelta(hours=2)))


@pytest.fixture
def digest_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Digest:
    monkeypatch.syspath_prepend(str(tmp_path))

    def digest(source: str) -> str:
        (tmp_path / "study_code.py").write_text(source)
        return code_digest(["study_code"])

    return digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "study_package"
    (folder / "inner").mkdir(parents=True)
    for name in ["__init__.py", "gate.py", "inner/__init__.py", "inner/expert.py"]:
        (folder / name).write_text(f"NAME = {name!r}\n")
    return folder


def test_comments_docstrings_and_layout_do_not_change_the_digest(digest_of: Digest) -> None:
    assert digest_of(SOURCE) == digest_of(OTHER_LAYOUT)


@pytest.mark.parametrize(
    ("old", "new"), [("2 * x", "3 * x"), ("x: float", "x: int"), ("async def", "def")]
)
def test_changed_code_changes_the_digest(digest_of: Digest, old: str, new: str) -> None:
    assert digest_of(SOURCE) != digest_of(SOURCE.replace(old, new))


def test_string_that_is_a_value_changes_the_digest(digest_of: Digest) -> None:
    assert digest_of("def f():\n    return 'a'") != digest_of("def f():\n    return 'b'")


@pytest.mark.parametrize("name", ["__init__.py", "gate.py", "inner/expert.py"])
def test_every_module_of_a_package_counts(package: Path, name: str) -> None:
    before = code_digest(["study_package"])
    (package / name).write_text("NAME = 'changed'\n")
    assert code_digest(["study_package"]) != before


def test_new_and_renamed_modules_change_the_digest(package: Path) -> None:
    digests = [code_digest(["study_package"])]
    (package / "router.py").write_text("")
    digests.append(code_digest(["study_package"]))
    (package / "router.py").rename(package / "router2.py")
    digests.append(code_digest(["study_package"]))
    assert len(set(digests)) == 3


@pytest.mark.usefixtures("package")
def test_order_and_repetition_of_modules_do_not_matter() -> None:
    one = code_digest(["study_package.gate", "study_package.inner"])
    assert one == code_digest(["study_package.inner", "study_package.gate"])
    assert one == code_digest(["study_package.inner", "study_package.gate", "study_package.gate"])
    assert code_digest(["study_package", "study_package.gate"]) == code_digest(["study_package"])


def test_unknown_module_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        code_digest(["no_such_module"])


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_git_state_is_the_commit_and_whether_files_differ(tmp_path: Path) -> None:
    git(tmp_path, "init")
    assert git_state(tmp_path) == (None, None)
    git(tmp_path, "commit", "--allow-empty", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_state(tmp_path) == (commit, False)
    (tmp_path / "new.py").write_text("")
    assert git_state(tmp_path) == (commit, True)


def test_git_state_outside_a_checkout_is_unknown(tmp_path: Path) -> None:
    assert git_state(tmp_path) == (None, None)


def test_git_state_without_git_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "first")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert git_state(tmp_path) == (None, None)


def test_manifest_states_the_facts_and_is_json() -> None:
    command = ["python", "-m", "reproductions", "note=two words"]
    record = json.loads(json.dumps(manifest(command, STARTED, 1.5, num_runs=25)))
    assert shlex.split(record["command"]) == command
    assert datetime.fromisoformat(record["started_utc"]) == STARTED
    assert record["started_utc"].endswith("+00:00")
    assert record["wall_seconds"] == 1.5
    assert record["num_runs"] == 25
    assert record["versions"]["python"] == platform.python_version()
    assert set(record["versions"]) == {"python", "torch", "numpy", "hydra", "pandas"}


def test_measured_facts_of_the_manifest_are_plausible() -> None:
    record = json.loads(json.dumps(manifest(sys.argv, datetime.now(UTC), 0.0)))
    assert record["cpu"]
    assert record["num_cores"] >= 1
    assert record["num_threads"] >= 1
    # A process that has imported torch holds tens of MiB, and no more than the machine has.
    assert 20 * 2**20 < record["peak_memory_bytes"] < record["memory_bytes"]


def test_studys_own_facts_cannot_replace_the_common_ones() -> None:
    assert manifest([], STARTED, 1.0, platform="another")["platform"] == platform.platform()
