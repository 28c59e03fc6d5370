"""Compiled kernels: found again, trusted only where they are sound, and made wherever it goes."""

import ctypes
import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from moe.grouped import compiler, native
from moe.grouped.compiler import CACHE_NAME, CompilerError, compiled, identity

SOURCE_TEXT = "int answer(void) { return ANSWER; }\n"


@pytest.fixture(autouse=True)
def _like_a_new_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Folders of the test's own, and nothing remembered before or after it."""
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.delenv("CC", raising=False)
    caplog.set_level(logging.INFO, "moe.grouped")
    _forget()
    yield
    _forget()


def _forget() -> None:
    compiler._made.cache_clear()
    compiler._is_private_folder.cache_clear()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler")
    file = tmp_path / "tiny.c"
    file.write_text(SOURCE_TEXT)
    return file


def _answer(source: Path, value: int = 7) -> int:
    """What the compiled function answers, in a process that knows nothing yet."""
    _forget()
    return int(compiled(source, f"ANSWER={value}").answer())


def _kept(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.so"))


def _program(folder: Path, text: str) -> str:
    """A program that stands for a compiler."""
    file = folder / "my-cc"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


def _warnings(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING)


def test_a_library_is_compiled_once(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert _answer(source) == 7
    (library,) = _kept(tmp_path / "home" / CACHE_NAME)
    made = library.stat()
    assert _answer(source) == 7
    assert library.stat() == made
    assert _answer(source, 8) == 8
    assert len(_kept(tmp_path)) == 2
    assert stat.S_IMODE(library.parent.stat().st_mode) == stat.S_IMODE(made.st_mode) == 0o700
    assert _warnings(caplog) == ""


def _halve(library: Path) -> None:
    os.truncate(library, library.stat().st_size // 2)


def _empty(library: Path) -> None:
    os.truncate(library, 0)


def _flip_a_bit(library: Path) -> None:
    content = bytearray(library.read_bytes())
    content[len(content) // 3] ^= 1
    library.write_bytes(content)


def _open_to_all(library: Path) -> None:
    library.chmod(0o777)


def _replace_by_a_link(library: Path) -> None:
    library.rename(library.with_name("elsewhere"))
    library.symlink_to("elsewhere")


DAMAGES = [_halve, _empty, _flip_a_bit, _open_to_all, _replace_by_a_link]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_library_that_is_not_as_it_was_written_is_compiled_again(
    damage: Callable[[Path], None],
    source: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _answer(source)
    (library,) = _kept(tmp_path)
    sound = library.read_bytes()
    # A copy is damaged: the loader still holds the file itself.
    copy = library.with_name("copy")
    shutil.copy(library, copy)
    copy.replace(library)
    damage(library)
    assert _answer(source) == 7
    assert f"{library} " in _warnings(caplog)
    assert "compiled again" in _warnings(caplog)
    assert library.read_bytes() == sound


def test_a_sound_library_under_the_name_of_another_is_not_taken(
    source: Path, tmp_path: Path
) -> None:
    _answer(source, 1)
    (first,) = _kept(tmp_path)
    _answer(source, 2)
    (second,) = set(_kept(tmp_path)) - {first}
    taken_name = first.name.split("-")[1]
    own_sum = second.name.split("-")[2]
    first.unlink()
    second.rename(second.with_name(f"tiny-{taken_name}-{own_sum}"))
    assert _answer(source, 1) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("what", ["folder", "library"])
def test_what_belongs_to_another_user_is_not_run(
    what: str, source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _answer(source)
    (library,) = _kept(tmp_path)
    os.chown({"folder": library.parent, "library": library}[what], 65534, 65534)
    assert _answer(source) == 7
    kept_elsewhere = _kept(tmp_path / "temporary")
    assert bool(kept_elsewhere) == (what == "folder")
    assert "others can write to it" in _warnings(caplog) or "can be written" in _warnings(caplog)
    assert all(file.stat().st_uid == 0 for file in kept_elsewhere or _kept(tmp_path))


def _open(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)


def _link(folder: Path) -> None:
    target = folder.with_name("target")
    target.mkdir()
    folder.symlink_to(target)


def _file(folder: Path) -> None:
    folder.write_text("")


@pytest.mark.parametrize("spoil", [_open, _link, _file])
def test_a_folder_that_is_not_private_is_not_used(
    spoil: Callable[[Path], None],
    source: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spoil(tmp_path / "home" / CACHE_NAME)
    assert _answer(source) == 7
    (library,) = _kept(tmp_path)
    assert library.parent == tmp_path / "temporary" / f"{CACHE_NAME}-{os.geteuid()}"
    assert stat.S_IMODE(library.parent.stat().st_mode) == 0o700
    assert "Set XDG_CACHE_HOME" in _warnings(caplog)


def test_where_no_folder_will_do_the_library_lives_for_one_process(
    source: Path, tmp_path: Path
) -> None:
    _open(tmp_path / "home" / CACHE_NAME)
    _link(tmp_path / "temporary" / f"{CACHE_NAME}-{os.geteuid()}")
    assert _answer(source) == 7
    assert _kept(tmp_path) == []


def test_a_full_disk_is_left_for_another_folder(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write = Path.write_bytes

    def full(file: Path, content: bytes) -> int:
        if (tmp_path / "home") in file.parents:
            raise OSError(28, "No space left on device")
        return write(file, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert _answer(source) == 7
    assert [file.parent.parent.name for file in _kept(tmp_path)] == ["temporary"]
    assert "No space left" in _warnings(caplog)


def test_a_library_that_may_not_be_loaded_here_is_loaded_elsewhere(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = ctypes.CDLL

    def refuse(path: str) -> ctypes.CDLL:
        if str(tmp_path / "home") in path:
            raise OSError(f"{path}: failed to map segment from shared object")
        return load(path)

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert _answer(source) == 7
    monkeypatch.setattr(ctypes, "CDLL", lambda path: load(path + " is not allowed"))
    with pytest.raises(CompilerError, match=r"tiny\.c could not be compiled or loaded: .*allowed"):
        _answer(source)


def test_without_a_home_the_temporary_folder_is_taken(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(user: int) -> None:
        raise KeyError(user)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert _answer(source) == 7
    assert [file.parent.parent.name for file in _kept(tmp_path)] == ["temporary"]


@pytest.mark.parametrize("relative", ["", "cache", "./home"])
def test_a_relative_cache_is_ignored(
    relative: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", relative)
    monkeypatch.setenv("HOME", str(tmp_path / "a home"))
    assert _answer(source) == 7
    assert [file.parent for file in _kept(tmp_path)] == [tmp_path / "a home/.cache" / CACHE_NAME]


@pytest.mark.parametrize("name", ["with a space", "-rf *[a]", "é\nnew"])
def test_odd_folders_are_folders(
    name: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
    assert _answer(source) == 7
    assert _answer(source) == 7
    assert len(_kept(tmp_path / name)) == 1


def test_a_compiler_may_have_arguments(
    source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CC", f"env cc '-DANSWER=40 + 2' -I'{tmp_path}'")
    assert compiled(source).answer() == 42
    assert "-DANSWER=40 + 2" in identity(source)


def test_a_path_with_a_space_is_one_program(
    source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "my compilers"
    folder.mkdir()
    monkeypatch.setenv("CC", _program(folder, 'echo "a warning" >&2; exec cc "$@"'))
    assert _answer(source) == 7


def test_what_a_library_is_made_of_names_no_path(source: Path, tmp_path: Path) -> None:
    text = identity(source, "ANSWER=7")
    assert str(tmp_path) not in text
    assert "/" not in text
    assert text == identity(source, "ANSWER=7") != identity(source, "ANSWER=8")
    source.write_text(SOURCE_TEXT + "\n")
    _forget()
    assert identity(source, "ANSWER=7") != text


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
def test_one_compiler_under_two_names_is_one_compiler(
    source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    texts = []
    (tmp_path / "cross-linux-gnu-cc").symlink_to(shutil.which("gcc") or "")
    for name in ("gcc", tmp_path / "cross-linux-gnu-cc"):
        monkeypatch.setenv("CC", str(name))
        _forget()
        texts.append(identity(source, "ANSWER=7"))
    assert texts[0] == texts[1]


NAMED_BADLY = {
    "no-such-compiler": r"looked for no-such-compiler\): install gcc or clang",
    "gcc 'unbalanced": "CC is .* No closing quotation",
    "true": "true .*failed: exit status 0, no library",
    "false": "false .*failed: exit status 1",
}


@pytest.mark.parametrize("named", NAMED_BADLY)
def test_a_named_compiler_that_is_none_is_an_error(
    named: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", named)
    with pytest.raises(CompilerError, match=NAMED_BADLY[named]):
        compiled(source)


def test_a_compiler_that_fails_says_what_it_said(source: Path, tmp_path: Path) -> None:
    source.write_text("int broken(void) { return nothing; }")
    with pytest.raises(CompilerError, match="nothing"):
        compiled(source)
    assert [file.name for file in (tmp_path / "home" / CACHE_NAME).iterdir()] == ["lock"]


@pytest.mark.parametrize("answers", ["", '[ "$1" = --version ] && exit; '])
def test_a_compiler_that_hangs_is_stopped_with_all_it_started(
    answers: str, source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    beat = tmp_path / "beat"
    child = f"(while sleep 0.05; do echo >> {beat}; done)"
    monkeypatch.setenv("CC", _program(tmp_path, f"{answers}{child} & wait"))
    monkeypatch.setattr(compiler, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(compiler, "COMPILING_SECONDS", 0.5)
    with pytest.raises(CompilerError, match=r"my-cc .*was stopped after"):
        compiled(source)
    size = beat.stat().st_size if beat.exists() else 0
    time.sleep(0.5)
    assert not beat.exists() or beat.stat().st_size == size


def test_a_compiler_that_cannot_tune_compiles_without(
    source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refuse = 'for word; do case $word in -m*=native) echo "no $word" >&2; exit 1; esac; done; '
    monkeypatch.setenv("CC", _program(tmp_path, refuse + 'exec cc "$@"'))
    assert _answer(source) == 7
    assert "native" not in identity(source, "ANSWER=7")
    assert "slower" in _warnings(caplog)


def test_a_library_for_another_processor_does_not_stay_in_the_way(
    source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    foreign = '[ "$1" = --version ] && exec cc "$@"; for to; do :; done; echo foreign > "$to"'
    monkeypatch.setenv("CC", _program(tmp_path, foreign))
    with pytest.raises(CompilerError, match="could not be compiled or loaded"):
        _answer(source)
    monkeypatch.delenv("CC")
    assert _answer(source) == 7


def test_what_a_killed_compiler_left_is_removed(source: Path, tmp_path: Path) -> None:
    left = tmp_path / "home" / CACHE_NAME / "build-killed"
    left.mkdir(parents=True)
    left.parent.chmod(0o700)
    (left / "half").write_text("half a library")
    _answer(source)
    assert not left.exists()


def test_no_processor_file_and_no_locks_are_no_obstacle(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    def absent(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr("fcntl.flock", no_locks)
    monkeypatch.setattr(Path, "read_text", absent)
    assert _answer(source) == 7


def test_a_source_in_a_zipped_package_is_compiled(source: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as archive:
        archive.write(source, "moe/tiny.c")
    assert _answer(cast(Path, zipfile.Path(tmp_path / "package.zip", "moe/tiny.c"))) == 7
    with pytest.raises(CompilerError, match="missing"):
        compiled(tmp_path / "missing.c")


def _processes(program: Path, source: Path, count: int) -> list[subprocess.Popen[str]]:
    # By its path: importing the package would import torch, which takes seconds.
    file = compiler.__file__
    code = (
        "import runpy, pathlib\n"
        f"made = runpy.run_path({file!r})['compiled'](pathlib.Path({str(source)!r}), 'ANSWER=7')\n"
        "print(made.answer())"
    )
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "CC": str(program), "TMPDIR": tempfile.gettempdir()}
    pipe = subprocess.PIPE
    return [
        subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)
        for _ in range(count)
    ]


def test_processes_that_start_at_once_compile_once(source: Path, tmp_path: Path) -> None:
    program = _program(tmp_path, f'echo "$@" >> {tmp_path}/calls; sleep 0.2; exec cc "$@"')
    for process in _processes(Path(program), source, 6):
        assert process.communicate()[0] == "7\n"
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len([call for call in calls if call != "--version"]) == 1
    assert len(_kept(tmp_path)) == 1


def test_a_process_that_is_killed_while_compiling_holds_nobody_up(
    source: Path, tmp_path: Path
) -> None:
    hangs = _program(tmp_path, '[ "$1" = --version ] && exec cc "$@"; sleep 3')
    (process,) = _processes(Path(hangs), source, 1)
    folder = tmp_path / "home" / CACHE_NAME
    while not list(folder.glob("build-*/tiny.c")):
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert list(folder.glob("build-*"))
    assert _answer(source) == 7
    assert not list(folder.glob("build-*"))


@pytest.mark.parametrize("program", ["gcc", "clang"])
@pytest.mark.parametrize("real", native.REALS.values())
def test_the_kernels_compile_without_a_warning(program: str, real: str, tmp_path: Path) -> None:
    if not shutil.which(program):
        pytest.skip(f"no {program}")
    source = tmp_path / "native.c"
    source.write_bytes(native.SOURCE.read_bytes())
    strict = ["-Wall", "-Wextra", "-Werror", "-std=gnu11", "-c", f"-DREAL={real}"]
    for tuned in ([], ["-march=native"]):
        command = [program, *strict, *tuned, str(source), "-o", str(tmp_path / "native.o")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
