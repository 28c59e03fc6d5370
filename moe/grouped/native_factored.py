"""The factored second moment's update in one pass over the memory: see factored.c.

For float32 on the CPU, where a C compiler is at hand; elsewhere torch's operators do the same.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from moe.grouped import team
from moe.grouped.compiler import CompilerError, compiled

SOURCE = cast(Path, files("moe.grouped") / "factored.c")

# Weights that are updated in less time than waking another thread takes.
SMALL_UPDATE = 2**15


class _Update(team.Arguments):
    """As `struct update` in factored.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("w", "g", "row", "column")),
        *((name, ctypes.c_long) for name in ("D", "H")),
        *((name, ctypes.c_double) for name in ("lr", "beta2", "eps", "correction")),
    )


@cache
def _function() -> Callable[..., int] | None:
    try:
        team.work_off()
        return cast(Callable[..., int], compiled(SOURCE).update)
    except CompilerError:
        # The layer's products need the same compiler, and say so once.
        return None


def can_update(*tensors: Tensor) -> bool:
    """Whether these can be updated here: dense float32 in the CPU's memory, and a compiler."""
    return _function() is not None and all(
        type(tensor.data) is Tensor
        and tensor.device.type == "cpu"
        and tensor.dtype is torch.float32
        and tensor.is_contiguous()
        for tensor in tensors
    )


def update(
    weight_EDH: Tensor,
    gradient_EDH: Tensor,
    row_ED: Tensor,
    column_EH: Tensor,
    numbers: tuple[float, float, float, float],
) -> None:
    """Update weights and averages in place; see `moe.optimisers`.

    Args:
        weight_EDH: one matrix per expert.
        gradient_EDH: its gradient.
        row_ED: averages of the squared gradient over the columns.
        column_EH: averages over the rows.
        numbers: lr, beta2, eps, and 1 - beta2^t.

    Raises:
        MemoryError: not even one column fits into memory.
    """
    function = _function()
    assert function is not None
    operands = (weight_EDH, gradient_EDH, row_ED, column_EH)
    num_experts, *sizes = weight_EDH.shape
    if weight_EDH.numel() == 0:
        return
    arguments = _Update(*(tensor.data_ptr() for tensor in operands), *sizes, *numbers)
    arguments.operands = operands
    num_threads = 1 if weight_EDH.numel() < SMALL_UPDATE else torch.get_num_threads()
    if team.share(function, range(num_experts), arguments, num_threads) < 0:
        raise MemoryError("no memory for a column of the factored second moment")
