"""Share a kernel's experts out over the threads that torch's own operators use: see team.c.

torch's threads are OpenMP's. After each operator they wait in a spin for the next one, so that
threads beside them would fight for the same cores: a layer of 64 experts took as long on two
threads as on one. Where torch's OpenMP library cannot be found, plain threads do the work.
"""

import ctypes
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from moe.grouped.compiler import compiled

SOURCE = cast(Path, files("moe.grouped") / "team.c")

# Work is handed out in pieces, because skewed routing makes some experts dearer than others.
PIECES_PER_THREAD = 16


class Arguments(ctypes.Structure):
    """A kernel's struct, and the tensors that its addresses are of."""

    operands: tuple[Tensor, ...]


class _Team(ctypes.Structure):
    """As `struct team` in team.c."""

    _fields_ = (
        ("kernel", ctypes.c_void_p),
        ("arguments", ctypes.c_void_p),
        ("next", ctypes.c_long),
        ("end", ctypes.c_long),
        ("size", ctypes.c_long),
        ("sum", ctypes.c_long),
        ("lowest", ctypes.c_long),
    )
    held: Arguments


def share(
    kernel: Callable[..., int], experts: range, arguments: Arguments, num_threads: int
) -> int:
    """Call a kernel for all experts, piece by piece.

    Args:
        kernel: of a compiled library, `long kernel(long first, long last, const void *arguments)`.
        experts: which.
        arguments: the kernel's struct, which holds on to the tensors that it points to.
        num_threads: how many threads share the work, this one included.

    Returns:
        The sum of the kernel's answers, or -1 where one was negative.
    """
    pieces = 1 if num_threads == 1 else num_threads * PIECES_PER_THREAD
    address = ctypes.cast(cast(Any, kernel), ctypes.c_void_p)
    size = max(1, -(-len(experts) // pieces))
    team = _Team(address, ctypes.addressof(arguments), experts.start, experts.stop, size, 0, 0)
    # Whoever interrupts the main thread must not free what plain threads still work on.
    team.held = arguments
    work, of_team = work_off(), ctypes.byref(team)
    if num_threads == 1:
        work(of_team)
    elif (parallel := _parallel()) and _owner() == os.getpid():
        parallel(work, of_team, num_threads, 0)
    else:
        helpers = [_threads(num_threads).submit(work, of_team) for _ in range(num_threads - 1)]
        work(of_team)
        for helper in helpers:
            helper.result()
    return int(team.lowest or team.sum)


@cache
def work_off() -> Any:
    """The function of that name in team.c.

    Raises:
        CompilerError: it cannot be compiled.
    """
    function = compiled(SOURCE).work_off
    function.restype, function.argtypes = None, [ctypes.c_void_p]
    return function


@cache
def _parallel() -> Any:
    """`GOMP_parallel(function, data, num_threads, flags)` of the library that torch uses, or None.

    GCC's libgomp has it, and the libraries of LLVM and Intel offer it under the same name.
    """
    for path in _openmp_libraries():
        try:
            # Only a library that is loaded already: a second one would have threads of its own.
            library = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
            function = library.GOMP_parallel
        except (OSError, AttributeError):
            continue
        function.restype = None
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        return function
    return None


def _openmp_libraries() -> Iterator[Path]:
    folder = Path(torch.__file__).parent
    # Next to torch's own libraries, or where a wheel's builder put what it copied into the wheel.
    for place in (folder / "lib", folder.with_name("torch.libs")):
        for name in ("libgomp*", "libiomp5*", "libomp*"):
            yield from sorted(place.glob(name))


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    """Threads that work beside this one, kept for the next call."""
    return ThreadPoolExecutor(count, thread_name_prefix="moe-native")


@cache
def _owner() -> int:
    """The process that first shared work out over torch's threads."""
    return os.getpid()


# A process that was forked off has none of its parent's threads: it would wait for them forever.
os.register_at_fork(after_in_child=_threads.cache_clear)
