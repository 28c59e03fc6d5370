"""Rows sorted by expert: reorder them and sum them, without scattered additions.

Shapes: R rows, A assignments, E experts; see `moe.plan`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from moe.plan import Plan


def in_order_of_assignments(value_R: Tensor, plan: Plan) -> Tensor:
    """Bring `[R, ...]` into the order of the assignments, `[A, ...]`; differentiable."""
    value_A: Tensor = _Reorder.apply(value_R, plan)  # type: ignore[no-untyped-call]
    return value_A


def sum_per_expert_of_rows(value_RB: Tensor, plan: Plan) -> Tensor:
    """Sum the rows of each expert, `[E, B]`; differentiable. Rows of no expert are left out."""
    value_EB: Tensor = _SumPerExpert.apply(value_RB, plan)  # type: ignore[no-untyped-call]
    return value_EB


class _Reorder(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value_R: Tensor, plan: Plan) -> Tensor:
        ctx.plan = plan
        return value_R.index_select(0, plan.row_A)

    @staticmethod
    def backward(ctx: Any, *d_value: Tensor) -> tuple[Tensor, None]:
        return d_value[0].index_select(0, ctx.plan.assignment_R), None


class _SumPerExpert(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value_RB: Tensor, plan: Plan) -> Tensor:
        ctx.plan = plan
        rows_R = torch.arange(plan.num_rows, device=value_RB.device)
        # One bag more than experts: the last bag takes all rows that are left, whatever its end.
        sum_E1B = F.embedding_bag(rows_R, value_RB, offsets=plan.start_E1, mode="sum")
        return sum_E1B[:-1]

    @staticmethod
    def backward(ctx: Any, *d_value: Tensor) -> tuple[Tensor, None]:
        # A last line of zeros, for the rows of no expert.
        d_E1B = F.pad(d_value[0], (0, 0, 0, 1))
        return d_E1B.index_select(0, _expert_of_rows(ctx.plan)), None


def _expert_of_rows(plan: Plan) -> Tensor:
    position_R = torch.arange(plan.num_rows, device=plan.start_E1.device)
    return torch.searchsorted(plan.start_E1[1:].contiguous(), position_R, right=True)
