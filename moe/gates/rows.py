"""Rows sorted by expert: reorder them and sum them, without scattered additions.

Shapes: R rows, A assignments, E experts; see `moe.plan`.
"""

import torch
from torch import Tensor

from moe.dispatch import reorder, sum_rows
from moe.plan import Plan


def in_order_of_assignments(value_R: Tensor, plan: Plan) -> Tensor:
    """Bring `[R, ...]` into the order of the assignments, `[A, ...]`; differentiable."""
    return reorder(value_R, plan.row_A, plan.assignment_R)


def sum_per_expert_of_rows(value_RB: Tensor, plan: Plan) -> Tensor:
    """Sum the rows of each expert, `[E, B]`; differentiable. Rows of no expert are left out."""
    # One sum more than experts: the last one takes all rows that are left.
    start_E2 = torch.cat([plan.start_E1, plan.start_E1.new_full((1,), plan.num_rows)])
    row_R = torch.arange(plan.num_rows, device=value_RB.device)
    expert_R = torch.searchsorted(plan.start_E1[1:].contiguous(), row_R, right=True)
    return sum_rows(value_RB, expert_R, start_E2)[:-1]
