"""Grouped products on the GPU by our own kernels; never waits for the device.

The kernels are in `moe.grouped.triton_kernels`, and their operators are known to torch, so that
torch.compile takes them as they are. Shapes: R rows sorted by expert, E experts, K features in, N
features out; sources of rows have X rows: R, or any number where `index_R` says which one a row
reads. `start_E1` as in `moe.plan.Plan`.
"""

import importlib.util
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

from moe.grouped.triton_tiles import Product, Tile, tile_for
from moe.operators import register

SCHEMAS = {
    "rows_product": "(Tensor source_XK, Tensor? index_R, Tensor weight_EKN, Tensor start_E1, "
    "Tensor? scale_R, bool rectify) -> Tensor",
    "hidden_gradient": "(Tensor d_XK, Tensor index_R, Tensor weight_EKN, Tensor start_E1, "
    "Tensor scale_R, Tensor hidden_RN) -> (Tensor, Tensor)",
    "weight_gradient": "(Tensor source_XM, Tensor? index_R, Tensor d_RN, Tensor start_E1, "
    "int first, int stop) -> Tensor",
}


def rows_product(
    source_XK: Tensor,
    weight_EKN: Tensor,
    start_E1: Tensor,
    index_R: Tensor | None = None,
    scale_R: Tensor | None = None,
    rectify: bool = False,
) -> Tensor:
    """Multiply each row by its expert's matrix, `[R, N]`.

    Args:
        source_XK: the rows, or what `index_R` picks them from.
        weight_EKN: in any order of its dimensions in memory.
        start_E1: the rows' experts.
        index_R: which row of the source each row is.
        scale_R: multiplies each row of the product.
        rectify: replace negative elements of the product by zero.
    """
    out: Tensor = torch.ops.moe.rows_product(
        source_XK, index_R, weight_EKN, start_E1, scale_R, rectify
    )
    return out


def hidden_gradient(
    d_XK: Tensor,
    index_R: Tensor,
    weight_EKN: Tensor,
    start_E1: Tensor,
    scale_R: Tensor,
    hidden_RN: Tensor,
) -> tuple[Tensor, Tensor]:
    """Go back through a product whose rows were rectified, multiplied again and scaled.

    Args:
        d_XK: gradient by the sum of the scaled rows.
        index_R: which row of `d_XK` each row was added to.
        weight_EKN: the second matrix, transposed.
        start_E1: the rows' experts.
        scale_R: what the rows were scaled with.
        hidden_RN: the rectified rows.

    Returns:
        The gradient by the rows before they were rectified, `[R, N]`, and by the scales, `[R]`
        in float32.
    """
    out: tuple[Tensor, Tensor] = torch.ops.moe.hidden_gradient(
        d_XK, index_R, weight_EKN, start_E1, scale_R, hidden_RN
    )
    return out


def weight_gradient(
    source_XM: Tensor,
    d_RN: Tensor,
    start_E1: Tensor,
    experts: slice = slice(None),
    index_R: Tensor | None = None,
) -> Tensor:
    """Gradient by the matrices of a range of experts, `[len(experts), M, N]`.

    Args:
        source_XM: the rows that were multiplied, or what `index_R` picks them from.
        d_RN: gradient by the product.
        start_E1: the rows' experts.
        experts: the range, one by one.
        index_R: which row of the source each row is.
    """
    first, stop, _ = experts.indices(start_E1.shape[0] - 1)
    out: Tensor = torch.ops.moe.weight_gradient(
        source_XM, index_R, d_RN, start_E1, first, max(first, stop)
    )
    return out


def _precision(dtype: torch.dtype) -> str:
    # Set by torch's older switches too, whose own values raise once the newer one was used.
    may_round = torch.backends.cuda.matmul.fp32_precision == "tf32"
    return "tf32" if may_round and dtype is torch.float32 else "ieee"


def _blocks(size: int, block: int) -> int:
    return -(-size // block)


def on_device_of(tensor: Tensor) -> AbstractContextManager[object]:
    """Launch on the device where a tensor lies: Triton takes the current one, whatever it is."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def _options(tile: Tile, dtype: torch.dtype) -> dict[str, Any]:
    return {
        "PRECISION": _precision(dtype),
        "BLOCK_M": tile.m,
        "BLOCK_N": tile.n,
        "BLOCK_K": tile.k,
        "num_warps": tile.warps,
        "num_stages": tile.stages,
    }


def _launch_rows(
    source_XK: Tensor,
    index_R: Tensor | None,
    weight_EKN: Tensor,
    start_E1: Tensor,
    scale_R: Tensor | None,
    rectify: bool,
    hidden_RN: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    from moe.grouped.triton_kernels import rows_kernel

    source_XK, start_E1 = source_XK.contiguous(), start_E1.contiguous()
    num_rows = source_XK.shape[0] if index_R is None else index_R.shape[0]
    num_experts, k, n = weight_EKN.shape
    product = Product.rows if hidden_RN is None else Product.hidden
    tile = tile_for(product, source_XK.dtype, num_rows / num_experts, (k, n))
    out_RN = source_XK.new_empty(num_rows, n)
    scale_gradient_BR = None
    if hidden_RN is not None:
        # One sum per block of columns: added up below in a fixed order, not by atomic additions.
        shape = (_blocks(n, tile.n), num_rows)
        scale_gradient_BR = source_XK.new_empty(shape, dtype=torch.float32)
    if out_RN.numel():
        # Counted from above, so that no count is read from the device: each expert can have one
        # tile that is not full. A tile too many leaves at once.
        num_tiles = _blocks(num_rows, tile.m) + num_experts
        with on_device_of(source_XK):
            rows_kernel[(num_tiles * _blocks(n, tile.n),)](
                source_XK,
                index_R,
                weight_EKN,
                start_E1,
                scale_R,
                hidden_RN,
                out_RN,
                scale_gradient_BR,
                num_rows,
                num_experts,
                *weight_EKN.stride(),
                K=k,
                N=n,
                RECTIFY=rectify,
                **_options(tile, source_XK.dtype),
            )
    return out_RN, scale_gradient_BR


def _rows_product(*arguments: Any) -> Tensor:
    return _launch_rows(*arguments)[0]


def _hidden_gradient(
    d_XK: Tensor,
    index_R: Tensor,
    weight_EKN: Tensor,
    start_E1: Tensor,
    scale_R: Tensor,
    hidden_RN: Tensor,
) -> tuple[Tensor, Tensor]:
    d_RN, scale_gradient_BR = _launch_rows(
        d_XK, index_R, weight_EKN, start_E1, scale_R, False, hidden_RN.contiguous()
    )
    return d_RN, cast(Tensor, scale_gradient_BR).sum(0)


def _weight_gradient(
    source_XM: Tensor,
    index_R: Tensor | None,
    d_RN: Tensor,
    start_E1: Tensor,
    first: int,
    stop: int,
) -> Tensor:
    from moe.grouped.triton_kernels import weight_kernel

    source_XM, d_RN, start_E1 = source_XM.contiguous(), d_RN.contiguous(), start_E1.contiguous()
    m, n = source_XM.shape[1], d_RN.shape[1]
    out_EMN = source_XM.new_empty(stop - first, m, n)
    rows_per_expert = d_RN.shape[0] / max(1, start_E1.shape[0] - 1)
    tile = tile_for(Product.weight, source_XM.dtype, rows_per_expert, (m, n))
    if out_EMN.numel():
        with on_device_of(source_XM):
            weight_kernel[((stop - first) * _blocks(m, tile.m) * _blocks(n, tile.n),)](
                source_XM,
                index_R,
                d_RN,
                start_E1,
                out_EMN,
                first,
                M=m,
                N=n,
                **_options(tile, source_XM.dtype),
            )
    return out_EMN


def _rows_shape(
    source_XK: Tensor, index_R: Tensor | None, weight_EKN: Tensor, *_: object
) -> Tensor:
    rows = source_XK if index_R is None else index_R
    return source_XK.new_empty(rows.shape[0], weight_EKN.shape[2])


def _hidden_shape(d_XK: Tensor, index_R: Tensor, weight_EKN: Tensor, *_: object) -> Any:
    scale_gradient_R = d_XK.new_empty(index_R.shape[0], dtype=torch.float32)
    return _rows_shape(d_XK, index_R, weight_EKN), scale_gradient_R


def _weight_shape(
    source_XM: Tensor, _: Tensor | None, d_RN: Tensor, __: Tensor, first: int, stop: int
) -> Tensor:
    return source_XM.new_empty(stop - first, source_XM.shape[1], d_RN.shape[1])


def _rows_operations(source_XK: Tensor, index_R: Tensor | None, weight_EKN: Tensor, *_: Any) -> int:
    rows = source_XK if index_R is None else index_R
    return 2 * rows.shape[0] * weight_EKN.shape[1] * weight_EKN.shape[2]


def _weight_operations(source_XM: Tensor, _: Tensor | None, d_RN: Tensor, *__: Any) -> int:
    return 2 * d_RN.shape[0] * source_XM.shape[1] * d_RN.shape[1]


_Parts = tuple[Callable[..., Any], Callable[..., Any], Callable[..., int]]
_KERNELS: dict[str, _Parts] = {
    "rows_product": (_rows_product, _rows_shape, _rows_operations),
    "hidden_gradient": (_hidden_gradient, _hidden_shape, _rows_operations),
    "weight_gradient": (_weight_gradient, _weight_shape, _weight_operations),
}
for _name, _parts in _KERNELS.items():
    register(_name, SCHEMAS[_name], *_parts)


OLDEST_CAPABILITY = (8, 0)
DTYPES = {torch.float32, torch.bfloat16, torch.float16}


def refusal(device: str, dtype: torch.dtype) -> str | None:
    """Why this backend cannot run on this device with this dtype, or None if it can."""
    if importlib.util.find_spec("triton") is None:
        return "the package triton is not installed"
    if dtype not in DTYPES:
        return "its kernels multiply float32, bfloat16 and float16"
    if os.environ.get("TRITON_INTERPRET") == "1":
        # The interpreter multiplies bfloat16's bits as if they were whole numbers.
        return "Triton's interpreter has no bfloat16" if dtype is torch.bfloat16 else None
    if device != "cuda":
        return "its kernels run on NVIDIA GPUs"
    if torch.cuda.get_device_capability() < OLDEST_CAPABILITY:
        return "its kernels need an NVIDIA GPU of compute capability 8.0 or newer"
    return _failure_on_gpu()


@cache
def _failure_on_gpu() -> str | None:
    """What goes wrong when a smallest product is built and launched, or None if nothing does."""
    # Triton builds its launcher with a C compiler when it is first used, and fails in as many ways
    # as there are environments: only trying tells.
    try:
        rows_RD = torch.zeros(1, 1, device="cuda")
        start_E1 = torch.arange(2, device="cuda")
        rows_product(rows_RD, rows_RD[None], start_E1)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        return (
            f"its kernels cannot be built or started ({type(error).__name__}: {reason}); Triton "
            "needs a C compiler: install gcc, or set CC to the path of one"
        )
    return None


def forward(rows_RD: Tensor, weight_EDH: Tensor, start_E1: Tensor) -> Tensor:
    """Each row times its expert's matrix, `[R, H]`."""
    return rows_product(rows_RD, weight_EDH, start_E1)


def backward_rows(d_RH: Tensor, weight_EDH: Tensor, start_E1: Tensor) -> Tensor:
    """Gradient by the rows, `[R, D]`."""
    return rows_product(d_RH, weight_EDH.mT, start_E1)


def backward_weight(rows_RD: Tensor, d_RH: Tensor, start_E1: Tensor, experts: slice) -> Tensor:
    """Gradient by the matrices of a range of experts, `[len(experts), D, H]`."""
    return weight_gradient(rows_RD, d_RH, start_E1, experts)
