"""Which backend multiplies: by device and dtype, or by the user's choice.

A choice is logged once, by the logger `moe.grouped`: as a warning where a faster backend is missing
something that could be installed. Backends look at the shape themselves.
"""

import importlib
import logging
from enum import Enum
from functools import cache
from typing import Protocol, cast

import torch
from torch import Tensor

from moe.grouped.torch_backends import Padded, Reference, TorchGrouped

log = logging.getLogger("moe.grouped")


class Backend(Enum):
    """How rows meet their experts' matrices."""

    auto = "auto"
    reference = "reference"
    padded = "padded"
    native = "native"
    torch_grouped = "torch_grouped"
    triton = "triton"


# As `make benchmark-core` and `make benchmark-gpu` print them.
FASTEST_FIRST = {
    "cpu": [Backend.native, Backend.torch_grouped, Backend.padded],
    "cuda": [Backend.triton, Backend.torch_grouped, Backend.padded],
}

# Rows per expert below which several threads share experts out in padded batches, where there is no
# compiler. With 32 rows padded products won there and with 256 torch's grouped ones did; on one
# thread the grouped ones won at every size (docs/speed.md).
FEW_ROWS = 64

# What the fastest backend of a device multiplies where nothing is missing.
FAST_DTYPES = {
    "cpu": {torch.float32, torch.float64},
    "cuda": {torch.float32, torch.bfloat16, torch.float16},
}

# What it costs where something is.
COST = {
    "cpu": "up to 5 times slower with many experts, and rounded otherwise",
    "cuda": "slower, and rounded otherwise",
}

IN_BATCHES = f", as several threads share experts of fewer than {FEW_ROWS} rows"

OF_TORCH: dict[Backend, "Products"] = {
    Backend.reference: Reference(),
    Backend.padded: Padded(),
    Backend.torch_grouped: TorchGrouped(),
}

# What native multiplies as it is; it converts other dtypes, which torch's products need not.
WHOLE = {torch.float32, torch.float64}


class Products(Protocol):
    """What a backend offers.

    Shapes: R rows sorted by expert, E experts with a D x H matrix each. Rows of expert e are
    `start_E1[e]` up to `start_E1[e + 1]`; rows from `start_E1[E]` on have no expert and give zeros.
    """

    def forward(self, rows_RD: Tensor, weight_EDH: Tensor, start_E1: Tensor) -> Tensor:
        """Each row times its expert's matrix, `[R, H]`."""
        ...

    def backward_rows(self, d_RH: Tensor, weight_EDH: Tensor, start_E1: Tensor) -> Tensor:
        """Gradient by the rows, `[R, D]`."""
        ...

    def backward_weight(
        self, rows_RD: Tensor, d_RH: Tensor, start_E1: Tensor, experts: slice
    ) -> Tensor:
        """Gradient by the matrices of a range of experts, `[len(experts), D, H]`."""
        ...


@cache
def implementation(backend: Backend) -> Products:
    """The products of a backend; the modules of native and triton are imported when first used."""
    if backend in OF_TORCH:
        return OF_TORCH[backend]
    return cast(Products, importlib.import_module(f"moe.grouped.{backend.value}"))


@cache
def refusal(backend: Backend, device: str, dtype: torch.dtype) -> str | None:
    """Why a backend cannot run on this device with this dtype, or None if it can."""
    if backend is Backend.native:
        if device != "cpu" or dtype not in {*WHOLE, torch.bfloat16, torch.float16}:
            return "native multiplies float32, float64, bfloat16 and float16 on the CPU"
        from moe.grouped import native

        return native.unavailable(dtype)
    if backend is Backend.torch_grouped and dtype is torch.float64:
        return "torch's grouped product has no float64"
    if backend is Backend.triton:
        from moe.grouped import triton

        return triton.refusal(device, dtype)
    return None


def chosen_backend(wanted: Backend, rows_RD: Tensor, num_experts: int = 0) -> Backend:
    """Settle which backend multiplies.

    Args:
        wanted: `Backend.auto`, or the user's choice.
        rows_RD: the rows to multiply.
        num_experts: that share the rows, where it is known: without a C compiler the choice hangs
            on the rows that each of them has.

    Returns:
        A backend that can run; the choice is logged once per device, dtype and kind of share.

    Raises:
        ValueError: the user's choice cannot run here; the message says why.
    """
    device, dtype = rows_RD.device.type, rows_RD.dtype
    if wanted is Backend.auto:
        has_few_rows = device == "cpu" and rows_RD.shape[0] < FEW_ROWS * num_experts
        return _fastest(device, dtype, has_few_rows and torch.get_num_threads() > 1)
    if reason := refusal(wanted, device, dtype):
        able = [backend.value for backend in Backend if not refusal(backend, device, dtype)]
        raise ValueError(
            f"backend {wanted.value} cannot run: {reason}. Backends that can: {', '.join(able)}"
        )
    return wanted


@cache
def _fastest(device: str, dtype: torch.dtype, in_batches: bool = False) -> Backend:
    order = FASTEST_FIRST.get(device, [Backend.padded])
    if in_batches:
        order = [Backend.native, Backend.padded]
    unfit = set() if dtype in WHOLE else {Backend.native}
    # torch's grouped product has no float64, and of halves on the CPU it was not measured.
    if device == "cpu" and dtype is not torch.float32:
        unfit.add(Backend.torch_grouped)
    order = [backend for backend in order if backend not in unfit]
    reasons = {backend: refusal(backend, device, dtype) for backend in order}
    backend = next(backend for backend, reason in reasons.items() if reason is None)
    log.info("%s on %s: backend %s", str(dtype).removeprefix("torch."), device, backend.value)
    # A missing compiler or package is worth a warning; a dtype that a backend never takes is not.
    for faster in order[: order.index(backend)]:
        if dtype in FAST_DTYPES[device]:
            _warn_once(
                f"backend {faster.value} cannot run: {reasons[faster]}. Backend {backend.value} "
                f"multiplies instead{IN_BATCHES if in_batches else ''}: {COST[device]}."
            )
        else:
            log.info("not backend %s: %s", faster.value, reasons[faster])
    return backend


@cache
def _warn_once(message: str) -> None:
    log.warning("%s", message)
