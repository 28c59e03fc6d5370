"""Run folders on a disk that is full or refuses to be written."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.run_folder import RunFolder, claimed, read_finished, run_digest
from experiments.runner.errors import UserError
from experiments.runner.storage import temporary_path
from tests.experiments.test_run_folder import IDENTITY, METRICS, content_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "vowel" / run_digest(IDENTITY)


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


@pytest.mark.parametrize("code", sorted(errno.errorcode))
def test_whatever_the_system_says_is_an_error_for_people_and_leaves_the_old_file(
    path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with claimed(path, IDENTITY) as folder:
        before = content_of(path)
        fail_with(code, monkeypatch)
        with pytest.raises(UserError) as caught:
            folder.write_json("config", {})
        assert content_of(path) == before
    assert os.strerror(code) in caught.value.problem or "no space" in caught.value.problem
    assert str(path) in caught.value.problem
    assert caught.value.fix.endswith(".")


def test_a_disk_with_space_but_too_many_files_is_named_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with claimed(path, IDENTITY) as folder:
        disk = os.statvfs(path)
        without = os.statvfs_result((*disk[:5], max(disk.f_files, 1), 0, 0, *disk[8:]))
        monkeypatch.setattr(os, "statvfs", lambda _: without)
        fail_with(errno.ENOSPC, monkeypatch)
        with pytest.raises(UserError, match="too many files") as caught:
            folder.write_json("config", {})
    assert caught.value.fix.startswith("Delete files")


def looped(place: Path) -> Path:
    (place / "loop").symlink_to(place / "loop")
    return place / "loop"


def linked_nowhere(place: Path) -> Path:
    (place / "link").symlink_to(place / "nowhere" / "at" / "all")
    return place / "link"


@pytest.mark.parametrize(
    "made",
    [looped, linked_nowhere, lambda place: place / ("x" * 300)],
    ids=["loop", "link", "long"],
)
def test_a_folder_that_cannot_exist_is_explained(
    made: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = made(tmp_path) / "vowel" / "run"
    with pytest.raises(UserError) as caught, claimed(path, IDENTITY):
        pass
    assert str(path) in caught.value.problem
    assert "runs_dir=" in caught.value.fix or "check the path" in caught.value.fix


@pytest.mark.parametrize("name", ["config.json", "checkpoint.pt", "metrics.csv"])
def test_a_folder_in_the_place_of_a_file_is_explained(path: Path, name: str) -> None:
    with claimed(path, IDENTITY) as folder:
        (path / name).mkdir()
        with pytest.raises(UserError, match=name) as caught:
            {
                "config.json": lambda: folder.write_json("config", {}),
                "checkpoint.pt": lambda: folder.save_checkpoint({"epoch": 3}),
                "metrics.csv": lambda: folder.write_table("metrics", METRICS),
            }[name]()
    assert "move it away" in caught.value.fix


@pytest.mark.parametrize("removed", [".", "..", "../.."])
def test_a_folder_that_is_removed_while_it_is_used_is_explained(path: Path, removed: str) -> None:
    with claimed(path, IDENTITY) as folder:
        shutil.rmtree((path / removed).resolve())
        with pytest.raises(UserError, match="No such file") as caught:
            folder.write_json("config", {})
    assert "same command" in caught.value.fix
    with claimed(path, IDENTITY) as folder:
        finish(folder)
    assert read_finished(path)


def finish(folder: RunFolder) -> None:
    folder.write_json("config", {})
    folder.write_table("metrics", METRICS)
    folder.finish({"digest": folder.path.name})


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("owner", [os, Path], ids=["lock", "folder"])
def test_a_finished_run_can_be_read_where_nothing_can_be_written(
    path: Path, code: int, owner: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    with claimed(path, IDENTITY) as folder:
        finish(folder)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(owner, "open" if owner is os else "mkdir", refuse)
    before = content_of(path)
    with claimed(path, IDENTITY) as folder:
        assert folder.is_finished()
        assert read_finished(path).table("metrics").equals(METRICS)
    with pytest.raises(UserError), claimed(path, IDENTITY, force=True):
        pass
    assert content_of(path) == before
