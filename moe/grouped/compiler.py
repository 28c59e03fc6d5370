"""Compile this package's C for the processor it runs on, once, with the compiler at hand."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

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


class CompilerError(Exception):
    """No library could be made; the message says why and what would help."""


def _compiler() -> str:
    names = [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc", "clang"]
    for name in names:
        if path := shutil.which(name):
            return path
    raise CompilerError(
        f"no C compiler found (looked for {', '.join(names)}): install gcc or clang, or name one "
        "in the environment variable CC"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    wanted = ("model name", "flags", "Features")
    return "\n".join(
        sorted({line for line in info.read_text().splitlines() if line.startswith(wanted)})
    )


def _cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "moe-reproductions"


def _tune_flag() -> str:
    return "-mcpu=native" if platform.machine() in {"arm64", "aarch64"} else "-march=native"


@cache
def compiled(source: Path, *defines: str) -> ctypes.CDLL:
    """Compile a C file, or take it from the user's cache, and load it.

    The cache's key holds the source, the flags, the compiler and the processor, so that machines
    that share a home folder do not run each other's code.

    Args:
        source: the C file.
        defines: macros, as `NAME=VALUE`.

    Raises:
        CompilerError: there is no compiler, or it fails.
    """
    compiler = _compiler()
    flags = [*FLAGS, _tune_flag(), *(f"-D{define}" for define in defines)]
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    key = "\n".join([source.read_text(), compiler, version, *flags, _processor()])
    library = f"{source.stem}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.so"
    try:
        return ctypes.CDLL(str(_library(_cache_folder() / library, compiler, flags, source)))
    except OSError as error:
        raise CompilerError(f"{source.name} could not be compiled or loaded: {error}") from error


def _library(target: Path, compiler: str, flags: list[str], source: Path) -> Path:
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(suffix=".so", dir=target.parent)
    os.close(handle)
    command = [compiler, *flags, str(source), "-o", scratch]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        Path(scratch).unlink()
        raise CompilerError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
    # Renamed when whole: two processes that compile at once each leave a sound file.
    Path(scratch).replace(target)
    return target
