"""Rows change ranks; differentiable.

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
