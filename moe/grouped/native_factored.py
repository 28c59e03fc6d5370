"""The factored second moment's update in one pass over the memory: see factored.c.

For float32 on the CPU, where a C compiler is at hand; elsewhere torch's operators do the same.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from moe.grouped.compiler import CompilerError, compiled
from moe.grouped.native import threads

SOURCE = cast(Path, files("moe.grouped") / "factored.c")

# Weights that are updated in less time than waking another thread takes.
SMALL_UPDATE = 2**15


@cache
def _function() -> Callable[..., int] | None:
    try:
        function = compiled(SOURCE).update
    except CompilerError:
        # The layer's products need the same compiler, and say so once.
        return None
    size, address, number = ctypes.c_long, ctypes.c_void_p, ctypes.c_double
    function.restype = size
    function.argtypes = [size] * 4 + [address] * 4 + [number] * 4
    return cast(Callable[..., int], function)


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
    # The tensors, not their addresses: whoever interrupts the main thread must not free them.
    operands = (weight_EDH, gradient_EDH, row_ED, column_EH)
    num_experts, *sizes = weight_EDH.shape

    def work(first: int, last: int) -> int:
        addresses = (tensor.data_ptr() for tensor in operands)
        return function(first, last, *sizes, *addresses, *numbers)

    num_parts = min(torch.get_num_threads(), num_experts)
    if num_parts == 0 or weight_EDH.numel() == 0:
        return
    if weight_EDH.numel() < SMALL_UPDATE:
        num_parts = 1
    own, *others = pairwise(num_experts * part // num_parts for part in range(num_parts + 1))
    pool = threads(num_parts) if others else None
    helpers = [pool.submit(work, *part) for part in others] if pool else []
    if min([work(*own), *(helper.result() for helper in helpers)]) < 0:
        raise MemoryError("no memory for a column of the factored second moment")
