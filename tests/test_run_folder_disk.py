"""Run folders on a disk that is full or refuses to be written."""

import errno
import os
from pathlib import Path

import pytest

from experiments.atomic import temporary_path
from experiments.errors import UserError
from experiments.run_folder import claimed
from tests.test_run_folder import IDENTITY, METRICS, content_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "vowel" / "run"


def fail_with(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_explained_and_leaves_the_old_file(
    path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with claimed(path, IDENTITY) as folder:
        folder.save_checkpoint({"epoch": 3})
        before = content_of(path)
        fail_with(code, monkeypatch)
        with pytest.raises(UserError) as caught:
            folder.save_checkpoint({"epoch": 4})
        assert content_of(path) == before
    assert str(path) in caught.value.problem
    assert "MiB free" in caught.value.problem
    assert "runs_dir=" in caught.value.fix
    monkeypatch.undo()
    with claimed(path, IDENTITY) as folder:
        assert folder.load_checkpoint() == {"epoch": 3}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_device_that_is_full_leaves_nothing_behind(path: Path) -> None:
    with claimed(path, IDENTITY) as folder:
        before = content_of(path)
        temporary_path(path / "metrics.csv").symlink_to("/dev/full")
        with pytest.raises(UserError, match="no space left"):
            folder.write_table("metrics", METRICS)
        assert content_of(path) == before


def test_full_disk_at_the_end_leaves_the_run_unfinished(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with claimed(path, IDENTITY) as folder:
        folder.write_json("config", {})
        folder.save_checkpoint({"epoch": 3})
        fail_with(errno.ENOSPC, monkeypatch)
        with pytest.raises(UserError):
            folder.finish({})
        assert not folder.is_finished()
        assert folder.load_checkpoint() == {"epoch": 3}


@pytest.mark.parametrize("below", ["", "study", "study/run"])
def test_folder_below_a_file_is_explained(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / below / "run"
    with pytest.raises(UserError) as caught, claimed(path, IDENTITY):
        pass
    assert str(path) in caught.value.problem
    assert "runs_dir=" in caught.value.fix


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_folder_that_cannot_be_made_is_explained(
    path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match=os.strerror(code)) as caught, claimed(path, IDENTITY):
        pass
    assert str(path) in caught.value.problem
