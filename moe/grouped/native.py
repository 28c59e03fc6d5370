"""The CPU backend for many experts with few rows each: kernels in C, see native.c.

Large experts, whose products are bound by arithmetic, go to torch's matrix product instead. Numbers
of two bytes are multiplied as float32 and rounded once.
Shapes as in `moe.grouped.backends.Products`.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from moe.grouped import compiler, team
from moe.grouped.compiler import CompilerError, compiled

SOURCE = cast(Path, files("moe.grouped") / "native.c")
REALS = {torch.float32: "float", torch.float64: "double"}
# Rows from which torch's own product, on all threads, may be the faster one (see the benchmark).
LARGE_EXPERT = 96

# Features out from which these kernels keep up with it, if they fill whole vectors: with 256 rows
# per expert and 256 hidden units a layer took 90 ms of one core, with torch's products 104.
WIDE, LANES = 64, 16

# An expert of a larger part of one thread's rows would leave other threads waiting.
LARGEST_PART = 4

# Reading an expert's matrix takes about as long as computing this many rows.
MATRIX_COST_IN_ROWS = 8

# Multiplications that take less time than waking another thread.
SMALL_PRODUCT = 2**20

# A weight gradient up to this size is read again at once, so it is written into the cache.
CACHED_BLOCK_BYTES = 2**24


@cache
def unavailable(dtype: torch.dtype = torch.float32) -> str | None:
    """Why this backend cannot run here, or None if it can."""
    try:
        # Half-precision operands are multiplied in float32.
        _library(dtype if dtype in REALS else torch.float32)
        team.work_off()
    except CompilerError as error:
        return str(error)
    return None


def identity() -> str:
    """What decides, beside the processor, how this backend rounds: compiler, flags and source.

    Raises:
        CompilerError: this backend cannot run here.
    """
    return compiler.identity(SOURCE, f"REAL={REALS[torch.float32]}")


def _library(dtype: torch.dtype) -> ctypes.CDLL:
    return compiled(SOURCE, f"REAL={REALS[dtype]}")


class _Product(team.Arguments):
    """As `struct product` in native.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("start", "a", "b", "out")),
        *((name, ctypes.c_long) for name in ("rows", "most", "D", "H", "origin", "past_cache")),
    )


@cache
def _function(name: str, dtype: torch.dtype) -> Callable[..., int]:
    return cast(Callable[..., int], getattr(_library(dtype), name))


def _most_rows(num_rows: int, features_out: int) -> int:
    """The most rows of an expert that these kernels multiply; larger ones are torch's."""
    if features_out < WIDE or features_out % LANES:
        return LARGE_EXPERT
    return max(LARGE_EXPERT, num_rows // (LARGEST_PART * torch.get_num_threads()))


def _large(start_E1: Tensor, experts: range, most: int) -> list[tuple[int, slice]]:
    counts = start_E1.diff()[experts.start : experts.stop]
    large = (counts > most).nonzero().squeeze(1) + experts.start
    return [
        (e, slice(first, last))
        for e, first, last in zip(
            large.tolist(), start_E1[large].tolist(), start_E1[large + 1].tolist(), strict=True
        )
    ]


def forward(rows_RD: Tensor, weight_EDH: Tensor, start_E1: Tensor) -> Tensor:
    """Each row times its expert's matrix, `[R, H]`."""
    if rows_RD.dtype not in REALS:
        return forward(rows_RD.float(), weight_EDH.float(), start_E1).to(rows_RD.dtype)
    experts = range(weight_EDH.shape[0])
    rows_RD, weight_EDH = rows_RD.contiguous(), weight_EDH.contiguous()
    out_RH = _rows_like(rows_RD, weight_EDH.shape[2], start_E1)
    for e, group in _run("forward", start_E1, experts, rows_RD, weight_EDH, out_RH):
        torch.mm(rows_RD[group], weight_EDH[e], out=out_RH[group])
    return out_RH


def backward_rows(d_RH: Tensor, weight_EDH: Tensor, start_E1: Tensor) -> Tensor:
    """Gradient by the rows, `[R, D]`."""
    if d_RH.dtype not in REALS:
        return backward_rows(d_RH.float(), weight_EDH.float(), start_E1).to(d_RH.dtype)
    experts = range(weight_EDH.shape[0])
    d_RH, weight_EDH = d_RH.contiguous(), weight_EDH.contiguous()
    out_RD = _rows_like(d_RH, weight_EDH.shape[1], start_E1)
    for e, group in _run("backward_rows", start_E1, experts, d_RH, weight_EDH, out_RD):
        torch.mm(d_RH[group], weight_EDH[e].mT, out=out_RD[group])
    return out_RD


def backward_weight(rows_RD: Tensor, d_RH: Tensor, start_E1: Tensor, experts: slice) -> Tensor:
    """Gradient by the matrices of a range of experts, `[len(experts), D, H]`."""
    if rows_RD.dtype not in REALS:
        halves = backward_weight(rows_RD.float(), d_RH.float(), start_E1, experts)
        return halves.to(rows_RD.dtype)
    chosen = range(start_E1.shape[0] - 1)[experts]
    rows_RD, d_RH = rows_RD.contiguous(), d_RH.contiguous()
    out_EDH = rows_RD.new_empty(len(chosen), rows_RD.shape[1], d_RH.shape[1])
    rest = (chosen.start, out_EDH.nbytes > CACHED_BLOCK_BYTES)
    for e, group in _run("backward_weight", start_E1, chosen, rows_RD, d_RH, out_EDH, *rest):
        torch.mm(rows_RD[group].mT, d_RH[group], out=out_EDH[e - chosen.start])
    return out_EDH


def _rows_like(rows: Tensor, features: int, start_E1: Tensor) -> Tensor:
    out = rows.new_empty(rows.shape[0], features)
    out[int(start_E1[-1]) :] = 0
    return out


def _run(
    name: str, start_E1: Tensor, experts: range, a: Tensor, b: Tensor, out: Tensor, *rest: int
) -> list[tuple[int, slice]]:
    """Do all experts but the large ones, which are returned, each with its rows."""
    if not len(experts):
        return []
    features = (b.shape[1], b.shape[2]) if b.dim() == 3 else (a.shape[1], b.shape[1])
    num_rows = int(start_E1[experts.stop]) - int(start_E1[experts.start])
    most = _most_rows(num_rows, features[1])
    operands = (start_E1.contiguous(), a, b, out)
    addresses = (tensor.data_ptr() for tensor in operands)
    product = _Product(*addresses, a.shape[0], most, *features, *rest)
    product.operands = operands
    cost = num_rows + MATRIX_COST_IN_ROWS * len(experts)
    is_small = cost * features[0] * features[1] < SMALL_PRODUCT
    num_threads = 1 if is_small else torch.get_num_threads()
    left_out = team.share(_function(name, a.dtype), experts, product, num_threads)
    if left_out < 0:
        raise ValueError("start_E1 does not ascend: the plan is damaged")
    return _large(start_E1, experts, most) if left_out else []
