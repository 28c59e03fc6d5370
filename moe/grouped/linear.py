"""The one differentiable product that all stacked experts are made of."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from moe.grouped.backends import Backend, implementation
from moe.plan import Plan

GradientSink = Callable[[int, Tensor], None]
"""Takes the first expert of a block and the block's gradient `[B, D, H]`, while it is in cache."""

SINK_BLOCK_ELEMENTS = {"cpu": 2**20}
"""Elements of a block by device: it stays in a core's cache."""

SINK_BLOCK_ELEMENTS_ELSEWHERE = 2**26
"""On other devices, where small kernels would take longer to start than to run."""


def grouped_linear(
    rows_RD: Tensor,
    weight_EDH: Tensor,
    plan: Plan,
    backend: Backend,
    sink: GradientSink | None = None,
) -> Tensor:
    """Multiply each row by the matrix of its expert.

    Args:
        rows_RD: rows sorted by expert, as `moe.dispatch.dispatch` gives them.
        weight_EDH: one matrix per expert, features in by features out.
        plan: the rows' plan.
        backend: see `moe.grouped.backends.chosen_backend`.
        sink: takes the weights' gradient block by block in the backward pass, instead of
            `weight_EDH.grad`: an optimiser that updates at once, so that the whole gradient never
            exists.

    Returns:
        `[R, H]`, zeros where no expert answers; differentiable in rows and weights.
    """
    out_RH: Tensor = _GroupedLinear.apply(  # type: ignore[no-untyped-call]
        rows_RD, weight_EDH, plan.start_E1, backend, sink
    )
    return out_RH


class _GroupedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows_RD: Tensor,
        weight_EDH: Tensor,
        start_E1: Tensor,
        backend: Backend,
        sink: GradientSink | None,
    ) -> Tensor:
        ctx.save_for_backward(rows_RD, weight_EDH, start_E1)
        ctx.backend, ctx.sink = backend, sink
        return implementation(backend).forward(rows_RD, weight_EDH, start_E1)

    @staticmethod
    def backward(ctx: Any, *d_out: Tensor) -> tuple[Tensor | None, ...]:
        rows_RD, weight_EDH, start_E1 = ctx.saved_tensors
        product = implementation(ctx.backend)
        d_RH = d_out[0].contiguous()
        needs_rows, needs_weight = ctx.needs_input_grad[:2]
        # Rows before weights: a sink may change the weights in place.
        d_rows = product.backward_rows(d_RH, weight_EDH, start_E1) if needs_rows else None
        d_weight = None
        if needs_weight and ctx.sink is None:
            d_weight = product.backward_weight(rows_RD, d_RH, start_E1, slice(None))
        elif needs_weight:
            for experts in expert_blocks(weight_EDH):
                block = product.backward_weight(rows_RD, d_RH, start_E1, experts)
                ctx.sink(experts.start, block)
        return d_rows, d_weight, None, None, None


def expert_blocks(weight_EDH: Tensor) -> list[slice]:
    """The experts whose gradients a sink gets together, block by block."""
    num_experts, *matrix = weight_EDH.shape
    elements = SINK_BLOCK_ELEMENTS.get(weight_EDH.device.type, SINK_BLOCK_ELEMENTS_ELSEWHERE)
    size = max(1, elements // (matrix[0] * matrix[1]))
    return [slice(e, min(e + size, num_experts)) for e in range(0, num_experts, size)]
