"""Compile this package's C for the processor it runs on, once, with the compiler at hand.

Libraries stay in the user's cache. What lies there is run, so it is trusted only where nobody else
can have written it and where its bytes are the compiler's: a file's name holds their checksum.
"""

import ctypes
import hashlib
import itertools
import logging
import os
import platform
import re
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

log = logging.getLogger("moe.grouped")

# Sums may be reordered, which vector instructions need. Not -ffast-math: linked into a library it
# makes the whole process treat tiny numbers as zero.
FLAGS = (
    "-O3",
    "-std=gnu11",
    "-shared",
    "-fPIC",
    "-fassociative-math",
    "-fno-signed-zeros",
    "-fno-trapping-math",
    "-fno-math-errno",
    "-ffp-contract=fast",
)

# Time limit of the compiler, which takes five seconds on an idle core.
COMPILING_SECONDS = 120.0

# Time limit of the compiler's version line.
ANSWER_SECONDS = 20.0

# More than the compiler writes.
ROOM_BYTES = 2**21

CACHE_NAME = "moe-reproductions"


class CompilerError(Exception):
    """No library could be made; the message says why and what would help."""


def compiled(source: Path, *defines: str) -> ctypes.CDLL:
    """Compile a C file, or take it from the user's cache, and load it.

    The cache is `moe-reproductions` in XDG_CACHE_HOME or `~/.cache`; where that is missing, cannot
    be written or is not the user's alone, a private folder among the temporary ones. Its key holds
    the source, the flags, the compiler and the processor, so that machines that share a home
    folder do not run each other's code.

    Args:
        source: the C file; in a zipped package what `importlib.resources` gives for it.
        defines: macros, as `NAME=VALUE`.

    Raises:
        CompilerError: there is no compiler, it fails or takes too long, or no folder will do.
    """
    return _made(source, defines)[0]


def identity(source: Path, *defines: str) -> str:
    """What `compiled` gives, as text: the compiler's version, the flags, the source's checksum.

    Equal on two machines that compile the same source with the same compiler and flags, wherever
    their files lie. The processor is not in it, though its instructions decide roundings.

    Raises:
        CompilerError: as `compiled`.
    """
    return _made(source, defines)[1]


@cache
def _made(source: Path, defines: tuple[str, ...]) -> tuple[ctypes.CDLL, str]:
    compiler = _compiler()
    macros = [f"-D{define}" for define in defines]
    try:
        text, version = source.read_bytes(), _version(compiler)
        try:
            return _loaded(source.name, text, compiler, version, [*FLAGS, _tune_flag(), *macros])
        except subprocess.CalledProcessError:
            made = _loaded(source.name, text, compiler, version, [*FLAGS, *macros])
            log.warning(
                "%s refuses %s: kernels are compiled for any processor of this kind, and slower",
                shlex.join(compiler),
                _tune_flag(),
            )
            return made
    except subprocess.TimeoutExpired as error:
        raise CompilerError(
            f"{shlex.join(error.cmd)} was stopped after {error.timeout:.0f} seconds"
        ) from error
    except subprocess.CalledProcessError as error:
        raise CompilerError(f"{shlex.join(error.cmd)} failed: {error.output[:500]}") from error
    except OSError as error:
        raise CompilerError(f"{source.name} could not be compiled or loaded: {error}") from error


def _compiler() -> list[str]:
    """The compiler's command: CC, which may have arguments, or what is installed."""
    if os.name != "posix":
        raise CompilerError("kernels are compiled on Linux, macOS and other Unix systems only")
    named = os.environ.get("CC", "").strip()
    try:
        # A path with a space in it is no command with an argument.
        wanted = [[named]] if shutil.which(named) else [shlex.split(named)]
    except ValueError as error:
        raise CompilerError(
            f"CC is {named!r}, which a shell cannot read either: {error}"
        ) from error
    if not named:
        wanted = [["cc"], ["gcc"], ["clang"]]
    for program, *arguments in wanted:
        if path := shutil.which(program):
            return [path, *arguments]
    raise CompilerError(
        f"no C compiler found (looked for {', '.join(program for program, *_ in wanted)}): "
        "install gcc or clang, or name one in the environment variable CC"
    )


def _version(compiler: list[str]) -> str:
    """The first line of what the compiler says of itself, and the arguments that CC gives it."""
    answer = _run([*compiler, "--version"], ANSWER_SECONDS)[1]
    line = (answer.splitlines() or ["unknown compiler"])[0]
    # GCC begins with the name that it was called by, such as cc.
    line = re.sub(r"^\S+(?= \()", "gcc", line)
    options = itertools.dropwhile(lambda word: not word.startswith("-"), compiler)
    return " ".join([line, *options])


def _tune_flag() -> str:
    return "-mcpu=native" if platform.machine() in {"arm64", "aarch64"} else "-march=native"


def _processor() -> str:
    wanted = ("model name", "flags", "Features", "CPU part", "cpu\t", "isa")
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()} {platform.node()}"
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))


def _loaded(
    name: str, text: bytes, compiler: list[str], version: str, flags: list[str]
) -> tuple[ctypes.CDLL, str]:
    """The library and its identity, from the first folder that lets it be kept and loaded."""
    made_of = f"{version} {shlex.join(flags)} {name} {hashlib.sha256(text).hexdigest()[:16]}"
    command, reasons = [*compiler, *flags], []
    for folder in _folders():
        try:
            library = _library(folder, name, text, command, made_of)
            return ctypes.CDLL(str(library)), made_of
        except OSError as error:
            reasons.append(f"{folder}: {error}")
            log.warning("compiled kernels cannot be kept in %s: %s", folder, error)
    raise OSError("; ".join(reasons))


def _folders() -> Iterator[Path]:
    """Folders of this user alone, the best first."""
    if (cache_home := _cache_home()) and _is_private_folder(cache_home / CACHE_NAME):
        yield cache_home / CACHE_NAME
    temporary = Path(tempfile.gettempdir()) / f"{CACHE_NAME}-{os.geteuid()}"
    if _is_private_folder(temporary):
        yield temporary
    else:
        with tempfile.TemporaryDirectory(prefix=f"{CACHE_NAME}-") as fresh:
            yield Path(fresh)


def _cache_home() -> Path | None:
    """XDG_CACHE_HOME or `~/.cache`; the standard wants a relative path to be ignored."""
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if home.is_absolute():
        return home
    try:
        home = Path.home() / ".cache"
    except RuntimeError:  # no HOME, and a user without an entry in passwd
        return None
    return home if home.is_absolute() else None


@cache
def _is_private_folder(folder: Path) -> bool:
    """Make a folder where there is none; tell, once, why one is not used."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        reason = "" if _is_private(folder, stat.S_ISDIR) else "others can write to it or own it"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        log.warning(
            "%s is not used for compiled kernels (%s); they are compiled in the temporary folder. "
            "Set XDG_CACHE_HOME to a folder that is yours alone.",
            folder,
            reason,
        )
    return not reason


def _is_private(path: Path, is_kind: Callable[[int], bool]) -> bool:
    """Whether this is a file or folder itself, no link, that nobody else can have written."""
    state = path.lstat()
    others = stat.S_IWGRP | stat.S_IWOTH
    return is_kind(state.st_mode) and state.st_uid == os.geteuid() and not state.st_mode & others


def _library(folder: Path, name: str, text: bytes, command: list[str], made_of: str) -> Path:
    """The sound library of a folder, compiled where there is none."""
    key = hashlib.sha256("\n".join([made_of, *command, _processor()]).encode()).hexdigest()
    stem = f"{Path(name).stem}-{key[:16]}"
    if found := _sound(folder, stem):
        return found
    with _locked(folder) as is_alone:
        if is_alone:
            for left_over in folder.glob("build-*"):  # by a process that was killed
                shutil.rmtree(left_over, ignore_errors=True)
        return _sound(folder, stem) or _compile(folder, stem, name, text, command)


def _sound(folder: Path, stem: str) -> Path | None:
    for file in sorted(folder.glob(f"{stem}-*.so")):
        is_private = _is_private(file, stat.S_ISREG)
        if is_private and file.name == _file_name(stem, file.read_bytes()):
            return file
        log.warning(
            "the compiled kernel %s %s; it is compiled again",
            file,
            "is damaged" if is_private else "can be written by others",
        )
        file.unlink(missing_ok=True)
    return None


def _file_name(stem: str, content: bytes) -> str:
    # The stem counts too: a sound library under another one's name is none.
    return f"{stem}-{hashlib.sha256(stem.encode() + content).hexdigest()[:16]}.so"


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Keep other processes from compiling here; tells whether there are none that do.

    A lock that another process does not give up in the time of a compilation, or that the disk
    does not offer, is done without: then both compile, which does no harm.
    """
    import fcntl

    with (folder / "lock").open("w") as file:
        deadline = time.monotonic() + COMPILING_SECONDS
        is_alone = False
        while not is_alone and time.monotonic() < deadline:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_alone = True
            except BlockingIOError:
                time.sleep(0.1)
            except OSError:
                break
        yield is_alone


def _compile(folder: Path, stem: str, name: str, text: bytes, command: list[str]) -> Path:
    log.info("compiling %s, once for this processor", name)
    with tempfile.TemporaryDirectory(prefix="build-", dir=folder) as scratch:
        room, source, library = (Path(scratch, file) for file in ("room", name, "library.so"))
        # A full disk shows here by an error of its own, not in some compiler's words.
        room.write_bytes(bytes(ROOM_BYTES))
        room.unlink()
        source.write_bytes(text)
        command = [*command, str(source), "-o", str(library)]
        code, output, errors = _run(command, COMPILING_SECONDS, TMPDIR=scratch)
        if code or not library.is_file():
            said = (errors + output).strip() or f"exit status {code}, no library and no word why"
            raise subprocess.CalledProcessError(code, command, said)
        library.chmod(0o700)
        with library.open("rb") as file:
            content = file.read()
            os.fsync(file.fileno())
        # Renamed when whole and on the disk, so that nobody ever sees half a library.
        return library.replace(folder / _file_name(stem, content))


def _run(command: list[str], seconds: float, **environment: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a program that is killed, with all it started, in time."""
    with subprocess.Popen(
        command,
        env={**os.environ, "LC_ALL": "C", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except BaseException:
            with suppress(OSError):  # already gone
                os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, output, errors
