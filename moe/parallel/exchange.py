"""Rows change ranks and order; both are differentiable.

Shapes: R rows before, S rows after, W ranks, `...` features.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def exchange(
    rows: Tensor, sent_W: Sequence[int], received_W: Sequence[int], group: dist.ProcessGroup | None
) -> Tensor:
    """Send consecutive rows to the ranks in turn; gradients travel back the same way.

    All ranks call this together, and again in the backward pass.

    Args:
        rows: `[R, ...]`, the first rank's first.
        sent_W: how many rows go to each rank; sums to R.
        received_W: how many rows come from each rank; sums to S.
        group: of processes.

    Returns:
        `[S, ...]`, rows from the first rank first.
    """
    received: Tensor = _Exchange.apply(  # type: ignore[no-untyped-call]
        rows, list(sent_W), list(received_W), group
    )
    return received


def reorder(rows: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
    """Take rows in another order, `rows[order]`.

    The inverse makes the backward pass another reading in order, not a scattered addition.
    """
    reordered: Tensor = _Reorder.apply(rows, order, inverse)  # type: ignore[no-untyped-call]
    return reordered


class _Exchange(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        sent_W: list[int],
        received_W: list[int],
        group: dist.ProcessGroup | None,
    ) -> Tensor:
        ctx.splits, ctx.group = (sent_W, received_W), group
        received = rows.new_empty(sum(received_W), *rows.shape[1:])
        dist.all_to_all_single(received, rows.contiguous(), received_W, sent_W, group=group)
        return received

    @staticmethod
    def backward(ctx: Any, *d_received: Tensor) -> tuple[Tensor | None, ...]:
        sent_W, received_W = ctx.splits
        return exchange(d_received[0], received_W, sent_W, ctx.group), None, None, None


class _Reorder(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(order, inverse)
        return rows.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, *d_rows: Tensor) -> tuple[Tensor, None, None]:
        order, inverse = ctx.saved_tensors
        return reorder(d_rows[0], inverse, order), None, None
