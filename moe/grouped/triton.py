"""Grouped products on the GPU by our own kernels; never waits for the device.

The kernels are in `moe.grouped.triton_kernels`. Shapes as in `moe.grouped.reference`; in the
gathering products T tokens stand for the rows that copy them, and `token_R` as in `moe.plan.Plan`.
"""

import importlib.util
import os

import torch
from torch import Tensor

from moe.grouped.triton_ops import rows_product, weight_gradient

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


def gathered_forward(
    tokens_TD: Tensor, token_R: Tensor, weight_EDH: Tensor, start_E1: Tensor
) -> Tensor:
    """`forward` of the tokens' copies, which are never made, `[R, H]`."""
    return rows_product(tokens_TD, weight_EDH, start_E1, token_R)


def gathered_backward_weight(
    tokens_TD: Tensor, token_R: Tensor, d_RH: Tensor, start_E1: Tensor, experts: slice
) -> Tensor:
    """`backward_weight` of the tokens' copies, which are never made, `[len(experts), D, H]`."""
    return weight_gradient(tokens_TD, d_RH, start_E1, experts, token_R)
