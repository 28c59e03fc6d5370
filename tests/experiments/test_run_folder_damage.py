"""Damaged run folders: damage is always found, explained, and never runs code."""

import json
import logging
import pickle
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.run_folder import claimed, read_finished, run_digest
from experiments.runner.errors import UserError
from tests.experiments.test_run_folder import IDENTITY, METRICS, finish_run

FINISHED_FILES = ["config.json", "identity.json", "manifest.json", "metrics.csv", "snapshots.npz"]


class Trap:
    """Makes a folder when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.mkdir, (self.marker,)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "vowel" / run_digest(IDENTITY)


def save(path: Path) -> bytes:
    with claimed(path, IDENTITY) as folder:
        folder.save_checkpoint({"weights": torch.ones(50), "epoch": 3})
    return (path / "checkpoint.pt").read_bytes()


def flip(data: bytes, position: int) -> bytes:
    flipped = bytearray(data)
    flipped[position] ^= 1
    return bytes(flipped)


def assert_set_aside(path: Path, damaged: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (path / "checkpoint.pt").write_bytes(damaged)
    caplog.clear()
    with claimed(path, IDENTITY) as folder:
        num_before = len(list(path.glob("checkpoint.damaged-*")))
        assert folder.load_checkpoint() is None
        assert folder.load_checkpoint() is None
    assert not (path / "checkpoint.pt").exists()
    assert (path / f"checkpoint.damaged-{num_before + 1}").read_bytes() == damaged
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "starts again from its beginning" in record.getMessage()


def test_checkpoint_cut_short_is_set_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = save(path)
    for length in [0, 1, 31, 32, 33, len(whole) // 2, len(whole) - 1]:
        assert_set_aside(path, whole[:length], caplog)


def test_checkpoint_with_a_flipped_bit_is_set_aside(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = save(path)
    for position in [*range(0, len(whole), len(whole) // 20), len(whole) - 1]:
        assert_set_aside(path, flip(whole, position), caplog)


def test_damaged_checkpoint_does_not_stop_the_run_from_finishing(path: Path) -> None:
    (path / "checkpoint.pt").write_bytes(flip(save(path), 100))
    with claimed(path, IDENTITY) as folder:
        assert folder.load_checkpoint() is None
    finish_run(path)
    assert sorted(read_finished(path).manifest["files"]) == sorted(
        set(FINISHED_FILES) - {"manifest.json"}
    )


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_checkpoint_that_would_run_code_does_not(
    path: Path, tmp_path: Path, form: str, sealed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    save(path)
    marker = tmp_path / "code ran"
    forged = tmp_path / "forged"
    if form == "pickle":
        forged.write_bytes(pickle.dumps({"weights": Trap(marker)}, protocol=2))
        pickle.loads(forged.read_bytes())
    else:
        torch.save({"weights": Trap(marker)}, forged)
        torch.load(forged, weights_only=False)
    marker.rmdir()  # The trap works: an unrestricted reader made the folder.

    content = forged.read_bytes()
    assert_set_aside(path, content + sha256(content).digest() if sealed else content, caplog)
    assert not marker.exists()


def assert_damage_is_explained(path: Path, name: str) -> None:
    with pytest.raises(UserError) as caught:
        read_finished(path)
    assert str(path / name) in caught.value.problem
    assert "force=true" in caught.value.fix


@pytest.mark.parametrize("name", FINISHED_FILES)
def test_flipped_bits_of_a_finished_run_are_found(path: Path, name: str) -> None:
    finish_run(path)
    whole = (path / name).read_bytes()
    # The last byte of a JSON file is a line end, which carries no content.
    for position in range(0, len(whole) - 1, max(1, len(whole) // 10)):
        (path / name).write_bytes(flip(whole, position))
        assert_damage_is_explained(path, name)


@pytest.mark.parametrize("name", FINISHED_FILES)
@pytest.mark.parametrize("rest", [b"", b"[]", b"{}"])
def test_replaced_file_of_a_finished_run_is_found(path: Path, name: str, rest: bytes) -> None:
    finish_run(path)
    (path / name).write_bytes(rest)
    assert_damage_is_explained(path, name)


@pytest.mark.parametrize("name", sorted(set(FINISHED_FILES) - {"manifest.json"}))
def test_missing_file_of_a_finished_run_is_found(path: Path, name: str) -> None:
    finish_run(path)
    (path / name).unlink()
    assert_damage_is_explained(path, name)


OTHER = {"study": "vowel", "config": {"seed": 4, "step": 0.1}}


def test_finished_folder_under_another_runs_name_is_refused(path: Path) -> None:
    other = path.with_name(run_digest(OTHER))
    finish_run(path)
    shutil.copytree(path, other)
    with pytest.raises(UserError, match=f"{other.name} holds another run, {path.name}") as caught:
        read_finished(other)
    assert "force=true" in caught.value.fix
    read_finished(path)


def test_manifest_of_another_run_is_refused(path: Path) -> None:
    finish_run(path)
    with claimed(path.with_name(run_digest(OTHER)), OTHER) as folder:
        folder.write_json("config", {"seed": 3})
        folder.write_table("metrics", METRICS)
        folder.write_arrays("snapshots", {"weights": np.arange(6.0).reshape(2, 3)})
        folder.finish({})
    shutil.copy(path / "manifest.json", folder.path)
    assert_damage_is_explained(folder.path, "identity.json")


def test_what_an_unfinished_run_left_is_not_taken_for_another_runs(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with claimed(path, IDENTITY) as folder:
        folder.write_table("exploration", METRICS)
        folder.save_checkpoint({"epoch": 3})
    other = path.with_name(run_digest(OTHER))
    shutil.copytree(path, other)
    checksums = path.parent / ".checksums"
    shutil.copytree(checksums / path.name, checksums / other.name)
    with claimed(other, OTHER) as folder:
        assert folder.load_checkpoint() is None
        assert not (other / "exploration.csv").exists()
    assert len(list(other.glob("*.damaged-1"))) == 2
    said = " ".join(record.getMessage() for record in caplog.records)
    assert f"belongs to another run, {path.name}" in said
    assert "exploration.csv" in said
    with claimed(path, IDENTITY) as folder:
        assert folder.load_checkpoint() == {"epoch": 3}
        assert (path / "exploration.csv").exists()


def test_edited_fact_in_a_manifest_is_found(path: Path) -> None:
    finish_run(path, note="measured")
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "note": "invented"}))
    assert_damage_is_explained(path, "manifest.json")


def test_damaged_run_is_kept_when_it_is_computed_again(path: Path) -> None:
    finish_run(path)
    (path / "metrics.csv").write_text("damaged")
    finish_run(path, force=True)
    read_finished(path)
    [kept] = (path.parent / "superseded").iterdir()
    assert (kept / "metrics.csv").read_text() == "damaged"
