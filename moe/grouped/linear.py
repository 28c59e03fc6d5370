"""The one differentiable product that all stacked experts are made of.

Two operators of torch, each the other's derivative: `moe::grouped_product` multiplies rows with
their experts' matrices, and `moe::grouped_outer` is the gradient by these. So torch's compiler,
exporter and counter of operations see every product of the layer.

Shapes as in `moe.grouped.backends.Products`; X features in and Y features out of either direction.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, int64, strided
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from moe.grouped.backends import Backend, Products, chosen_backend, implementation
from moe.operators import apply, call, cheap_to_call, register
from moe.plan import Plan

GradientSink = Callable[[int, Tensor], None]
"""Takes the first expert of a block and the block's gradient `[B, D, H]`, while it is in cache."""

# Elements of a block by device: it stays in a core's cache.
SINK_BLOCK_ELEMENTS = {"cpu": 2**20}

# On other devices, where small kernels would take longer to start than to run.
SINK_BLOCK_ELEMENTS_ELSEWHERE = 2**26


def grouped_linear(
    rows_RD: Tensor,
    weight_EDH: Tensor,
    plan: Plan,
    backend: Backend = Backend.auto,
    sink: GradientSink | None = None,
) -> Tensor:
    """Multiply each row by the matrix of its expert.

    Under `torch.autocast` rows and matrices are converted first, as torch's own layers do.

    Args:
        rows_RD: rows sorted by expert, as `moe.dispatch.dispatch` gives them.
        weight_EDH: one matrix per expert, features in by features out.
        plan: the rows' plan.
        backend: see `moe.grouped.backends.chosen_backend`.
        sink: takes the weights' gradient block by block in the backward pass, instead of
            `weight_EDH.grad`: an optimiser that updates at once, so that the whole gradient never
            exists. There is no second derivative then.

    Returns:
        `[R, H]`, zeros where no expert answers; differentiable in rows and weights.

    Raises:
        TypeError: rows and weights of unlike dtypes, or not dense numbers with a fraction.
        ValueError: shapes or devices that do not fit, a plan of other rows, weights without
            memory, or a backend that cannot run.
        RuntimeError: a sink under torch's compiler.
    """
    rows_RD, weight_EDH = as_autocast(rows_RD), as_autocast(weight_EDH)
    if sink is None:
        out_RH: Tensor = apply(_Product, rows_RD, weight_EDH, plan.start_E1, False, backend.value)
    elif torch.compiler.is_compiling():
        raise RuntimeError(
            "weights that are updated in the backward pass (a sink, FactoredAdam.attach) cannot be "
            "compiled or exported: detach the layer, or leave it out with torch.compiler.disable"
        )
    else:
        out_RH = apply(_ProductIntoSink, rows_RD, weight_EDH, plan.start_E1, backend, sink)
    return out_RH


def expert_blocks(weight_EDH: Tensor) -> list[slice]:
    """The experts whose gradients a sink gets together, block by block."""
    num_experts, *matrix = weight_EDH.shape
    elements = SINK_BLOCK_ELEMENTS.get(weight_EDH.device.type, SINK_BLOCK_ELEMENTS_ELSEWHERE)
    size = max(1, elements // max(1, matrix[0] * matrix[1]))
    return [slice(e, min(e + size, num_experts)) for e in range(0, num_experts, size)]


def as_autocast(tensor: Tensor) -> Tensor:
    """Convert an operand as `torch.autocast` does where it is on; float64 stays as it is."""
    device = tensor.device.type
    may_change = tensor.is_floating_point() and tensor.dtype is not torch.float64
    if may_change and torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return tensor.to(torch.get_autocast_dtype(device))
    return tensor


@cheap_to_call
class _Product(Function):
    @staticmethod
    def forward(*arguments: Any) -> Tensor:
        out_RY: Tensor = torch.ops.moe.grouped_product(*arguments)
        return out_RY

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:3])
        ctx.transposed, ctx.backend = inputs[3:]

    @staticmethod
    def backward(ctx: Any, *d_out: Tensor) -> tuple[Tensor | None, ...]:
        rows_RX, weight_EDH, start_E1 = ctx.saved_tensors
        needs_rows, needs_weight = ctx.needs_input_grad[:2]
        # Y = X W: dX = dY W^T, the same product with the matrices transposed, and dW = X^T dY.
        d_RY = d_out[0].contiguous()
        d_rows = d_weight = None
        if needs_rows:
            way = (not ctx.transposed, ctx.backend)
            d_rows = call(_Product, d_RY, weight_EDH, start_E1, *way)
        if needs_weight:
            sides = (d_RY, rows_RX) if ctx.transposed else (rows_RX, d_RY)
            d_weight = call(_Outer, *sides, start_E1, ctx.backend)
        return d_rows, d_weight, None, None, None


@cheap_to_call
class _Outer(Function):
    @staticmethod
    def forward(*arguments: Any) -> Tensor:
        out_EDH: Tensor = torch.ops.moe.grouped_outer(*arguments)
        return out_EDH

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:3])
        ctx.backend = inputs[3]

    @staticmethod
    def backward(ctx: Any, *d_out: Tensor) -> tuple[Tensor | None, ...]:
        # O = X^T D per expert: dX = D dO^T and dD = X dO.
        rows_RD, d_RH, start_E1 = ctx.saved_tensors
        needs_rows, needs_d = ctx.needs_input_grad[:2]
        by_rows = by_d = None
        if needs_rows:
            by_rows = call(_Product, d_RH, d_out[0], start_E1, True, ctx.backend)
        if needs_d:
            by_d = call(_Product, rows_RD, d_out[0], start_E1, False, ctx.backend)
        return by_rows, by_d, None, None


class _ProductIntoSink(Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows_RD: Tensor,
        weight_EDH: Tensor,
        start_E1: Tensor,
        backend: Backend,
        sink: GradientSink,
    ) -> Tensor:
        ctx.save_for_backward(rows_RD, weight_EDH, start_E1)
        ctx.backend, ctx.sink = backend, sink
        return _Product.forward(rows_RD, weight_EDH, start_E1, False, backend.value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *d_out: Tensor) -> tuple[Tensor | None, ...]:
        rows_RD, weight_EDH, start_E1 = ctx.saved_tensors
        needs_rows, needs_weight = ctx.needs_input_grad[:2]
        d_RH, d_rows = d_out[0].contiguous(), None
        # Rows before weights: a sink may change the weights in place.
        if needs_rows:
            d_rows = _Product.forward(d_RH, weight_EDH, start_E1, True, ctx.backend.value)
        if needs_weight:
            products = _products(ctx.backend, rows_RD, start_E1)
            for experts in expert_blocks(weight_EDH):
                block = products.backward_weight(rows_RD, d_RH, start_E1, experts)
                ctx.sink(experts.start, block)
        return d_rows, None, None, None, None


def _products(backend: Backend, rows_RX: Tensor, start_E1: Tensor) -> Products:
    return implementation(chosen_backend(backend, rows_RX, start_E1.shape[0] - 1))


def _product(
    rows_RX: Tensor, weight_EDH: Tensor, start_E1: Tensor, transposed: bool, backend: str
) -> Tensor:
    check_product(rows_RX, weight_EDH, start_E1, transposed)
    check_memory(rows_RX, weight_EDH, start_E1)
    if not weight_EDH.numel():
        return _product_shape(rows_RX, weight_EDH, start_E1, transposed, backend).zero_()
    products = _products(Backend(backend), rows_RX, start_E1)
    function = products.backward_rows if transposed else products.forward
    return function(rows_RX, weight_EDH, start_E1).contiguous()


def _product_shape(
    rows_RX: Tensor, weight_EDH: Tensor, start_E1: Tensor, transposed: bool, backend: str
) -> Tensor:
    check_product(rows_RX, weight_EDH, start_E1, transposed)
    return rows_RX.new_empty(rows_RX.shape[0], weight_EDH.shape[1 if transposed else 2])


def _outer(rows_RD: Tensor, d_RH: Tensor, start_E1: Tensor, backend: str) -> Tensor:
    check_outer(rows_RD, d_RH, start_E1)
    check_memory(rows_RD, d_RH, start_E1)
    if not d_RH.shape[1] or not rows_RD.shape[1]:
        return _outer_shape(rows_RD, d_RH, start_E1, backend)
    products = _products(Backend(backend), rows_RD, start_E1)
    return products.backward_weight(rows_RD, d_RH, start_E1, slice(None)).contiguous()


def _outer_shape(rows_RD: Tensor, d_RH: Tensor, start_E1: Tensor, backend: str) -> Tensor:
    check_outer(rows_RD, d_RH, start_E1)
    return rows_RD.new_empty(start_E1.shape[0] - 1, rows_RD.shape[1], d_RH.shape[1])


def _num_rows(rows: Tensor, start_E1: Tensor) -> int:
    """Rows of experts, as far as numbers are known: not while torch traces."""
    is_known = type(start_E1) is Tensor and not start_E1.is_meta
    return int(start_E1[-1]) if is_known else rows.shape[0]


def _product_operations(rows_RX: Tensor, weight_EDH: Tensor, start_E1: Tensor, *_: Any) -> int:
    # A multiplication and an addition per row and weight of its expert.
    return 2 * _num_rows(rows_RX, start_E1) * weight_EDH.shape[1] * weight_EDH.shape[2]


def _outer_operations(rows_RD: Tensor, d_RH: Tensor, start_E1: Tensor, *_: Any) -> int:
    return 2 * _num_rows(rows_RD, start_E1) * rows_RD.shape[1] * d_RH.shape[1]


register(
    "grouped_product",
    "(Tensor rows_RX, Tensor weight_EDH, Tensor start_E1, bool transposed, str backend) -> Tensor",
    _product,
    _product_shape,
    _product_operations,
    _Product,
)
register(
    "grouped_outer",
    "(Tensor rows_RD, Tensor d_RH, Tensor start_E1, str backend) -> Tensor",
    _outer,
    _outer_shape,
    _outer_operations,
    _Outer,
)


# What a product may be given is checked once for all backends, before any address reaches C.


def check_product(rows_RX: Tensor, weight_EDH: Tensor, start_E1: Tensor, transposed: bool) -> None:
    """Check everything about a product that is known without the numbers.

    Raises:
        TypeError: dtypes or layouts.
        ValueError: devices or shapes.
    """
    _check_alike(start_E1, rows=rows_RX, weights=weight_EDH)
    if (rows_RX.dim(), weight_EDH.dim(), start_E1.dim()) != (2, 3, 1):
        raise ValueError(
            f"rows {list(rows_RX.shape)}, weights {list(weight_EDH.shape)}, start_E1 "
            f"{list(start_E1.shape)}: a grouped product takes [R, D], [E, D, H] and [E + 1]"
        )
    num_experts, num_inputs = weight_EDH.shape[0], weight_EDH.shape[2 if transposed else 1]
    if rows_RX.shape[1] != num_inputs or start_E1.shape[0] != num_experts + 1:
        raise ValueError(
            f"{num_experts} experts of {num_inputs} inputs got rows of {rows_RX.shape[1]} "
            f"features routed to {start_E1.shape[0] - 1} experts"
        )


def check_outer(rows_RD: Tensor, d_RH: Tensor, start_E1: Tensor) -> None:
    """Check everything about the gradient by the matrices that is known without the numbers.

    Raises:
        TypeError: dtypes or layouts.
        ValueError: devices or shapes.
    """
    _check_alike(start_E1, rows=rows_RD, gradients=d_RH)
    fits = (rows_RD.dim(), d_RH.dim(), start_E1.dim()) == (2, 2, 1)
    if not fits or rows_RD.shape[0] != d_RH.shape[0]:
        raise ValueError(
            f"rows {list(rows_RD.shape)}, gradients {list(d_RH.shape)}, start_E1 "
            f"{list(start_E1.shape)}: the gradient by the matrices takes [R, D], [R, H] and [E + 1]"
        )


def check_memory(rows_RX: Tensor, other: Tensor, start_E1: Tensor) -> None:
    """Check that operands lie in memory, and the experts' rows within the rows.

    Where reading a number would wait for the device, the rows are taken on trust.

    Raises:
        ValueError: they do not.
    """
    for tensor in (rows_RX, other, start_E1):
        if not _is_in_memory(tensor):
            raise ValueError(
                f"a tensor of shape {list(tensor.shape)} has no memory of that size: its storage "
                f"holds {tensor.untyped_storage().nbytes()} bytes (was it freed, or never filled?)"
            )
    if start_E1.device.type != "cpu":
        return
    first, end = int(start_E1[0]), int(start_E1[-1])
    if first != 0 or not 0 <= end <= rows_RX.shape[0]:
        raise ValueError(
            f"the plan has the experts' rows from {first} to {end}, but they begin at 0 and there "
            f"are {rows_RX.shape[0]}: is it the plan of another batch?"
        )


def _check_alike(start_E1: Tensor, **operands: Tensor) -> None:
    for name, tensor in {**operands, "start_E1": start_E1}.items():
        if tensor.layout is not strided or tensor.is_nested or tensor.is_quantized:
            kind = "nested" if tensor.is_nested else f"{tensor.layout} of {tensor.dtype}"
            raise TypeError(f"{name} are {kind}; a grouped product takes dense tensors")
    (name, one), (other_name, other) = operands.items()
    if one.dtype is not other.dtype:
        raise TypeError(
            f"{name} have dtype {one.dtype}, but {other_name} have dtype {other.dtype}: convert "
            "one of them (`tensor.to(dtype)`, `layer.to(dtype)`)"
        )
    if not one.is_floating_point():
        raise TypeError(f"{name} have dtype {one.dtype}, but a grouped product takes floats")
    if start_E1.dtype is not int64:
        raise TypeError(f"start_E1 has dtype {start_E1.dtype}, but must be torch.int64")
    if not one.device == other.device == start_E1.device:
        raise ValueError(
            f"{name} are on {one.device}, {other_name} on {other.device} and their plan on "
            f"{start_E1.device}: all must be on one device"
        )


def _is_in_memory(tensor: Tensor) -> bool:
    size = tensor.numel()
    if size and not tensor.is_contiguous():
        steps = zip(tensor.shape, tensor.stride(), strict=True)
        size = 1 + sum((num - 1) * step for num, step in steps)
    end = (tensor.storage_offset() + size) * tensor.itemsize
    return not size or end <= tensor.untyped_storage().nbytes()
