"""Carry tokens to their experts and the experts' answers back.

Both directions are sums over a token's assignments, in a fixed order and without scattered
additions, so that results are the same in every run. `embedding_bag` is that sum in one pass over
memory: 20 times faster than gather, multiply, add.

Shapes: T tokens, R rows, A assignments, D features; see `moe.plan`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from moe.operators import apply, call, cheap_to_call
from moe.plan import Plan


def dispatch(tokens_TD: Tensor, plan: Plan) -> Tensor:
    """Copy every token to the rows of its experts.

    Args:
        tokens_TD: the tokens.
        plan: of a routing of these tokens.

    Returns:
        Rows sorted by expert, `[R, D]`; differentiable.

    Raises:
        ValueError: another number of tokens than were routed.
    """
    if tokens_TD.shape[0] != plan.num_tokens:
        raise ValueError(f"{tokens_TD.shape[0]} tokens, but the gate routed {plan.num_tokens}")
    rows_RD: Tensor = apply(_Copies, tokens_TD, plan.token_R, plan.row_A, plan.start_T1)
    return rows_RD


def combine(rows_RD: Tensor, weight_A: Tensor, plan: Plan) -> Tensor:
    """Add up the answers of each token's experts: y = sum_i G(x)_i E_i(x).

    Source: Shazeer et al. (2017), equation 1.

    Args:
        rows_RD: the experts' answers, sorted by expert; zeros where no expert answers.
        weight_A: the gate's values, `Routing.weight_A`.
        plan: that the rows were dispatched with.

    Returns:
        `[T, D]`, zeros for a token that no expert answers; differentiable in rows and weights.
    """
    # Gates compute in float32; under autocast the answers may be bfloat16.
    weight_A = weight_A.to(rows_RD.dtype)
    where = (plan.token_R, plan.assignment_R, plan.row_A, plan.start_T1)
    tokens_TD: Tensor = apply(_WeightedSums, rows_RD, weight_A, *where)
    return tokens_TD


def reorder(rows: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
    """Take rows in another order, `rows[order]`; differentiable.

    The inverse makes the backward pass another reading in order, not a scattered addition.
    """
    reordered: Tensor = apply(_Reorder, rows, order, inverse)
    return reordered


def by_assignment(rows: Tensor, plan: Plan) -> Tensor:
    """Bring rows `[R, ...]` into the order of the assignments, `[A, ...]`; differentiable."""
    return reorder(rows, plan.row_A, plan.assignment_R)


def sum_rows(rows: Tensor, bag_R: Tensor, start_B1: Tensor) -> Tensor:
    """Sum rows that lie next to each other, `[B, D]`; differentiable.

    Args:
        rows: `[R, D]`.
        bag_R: the sum that a row enters, ascending.
        start_B1: the rows of sum b are `start_B1[b]` up to `start_B1[b + 1]`.
    """
    in_order_R = torch.arange(rows.shape[0], device=rows.device)
    sums: Tensor = apply(_Sums, rows, bag_R, in_order_R, start_B1)
    return sums


def sum_per_token(
    rows_RD: Tensor, row_A: Tensor, start_T1: Tensor, weight_A: Tensor | None = None
) -> Tensor:
    """Add up each token's rows, `[T, D]`, weighted if so asked: no gradient, see `combine`."""
    return F.embedding_bag(
        row_A,
        rows_RD,
        offsets=start_T1,
        mode="sum",
        per_sample_weights=weight_A,
        include_last_offset=True,
    )


@cheap_to_call
class _Copies(Function):
    @staticmethod
    def forward(tokens_TD: Tensor, token_R: Tensor, row_A: Tensor, start_T1: Tensor) -> Tensor:
        return tokens_TD.index_select(0, token_R)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *d_rows: Tensor) -> tuple[Tensor | None, ...]:
        return call(_Sums, d_rows[0].contiguous(), *ctx.saved_tensors), None, None, None


@cheap_to_call
class _Sums(Function):
    @staticmethod
    def forward(rows_RD: Tensor, token_R: Tensor, row_A: Tensor, start_T1: Tensor) -> Tensor:
        return sum_per_token(rows_RD, row_A, start_T1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *d_sums: Tensor) -> tuple[Tensor | None, ...]:
        return call(_Copies, d_sums[0], *ctx.saved_tensors), None, None, None


@cheap_to_call
class _WeightedSums(Function):
    @staticmethod
    def forward(
        rows_RD: Tensor,
        weight_A: Tensor,
        token_R: Tensor,
        assignment_R: Tensor,
        row_A: Tensor,
        start_T1: Tensor,
    ) -> Tensor:
        return sum_per_token(rows_RD, row_A, start_T1, weight_A)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *d_tokens: Tensor) -> tuple[Tensor | None, ...]:
        rows_RD, weight_A, token_R, assignment_R, row_A, start_T1 = ctx.saved_tensors
        needs_rows, needs_weight = ctx.needs_input_grad[:2]
        # y_t = sum_a G_a E_a: dE_a = G_a dy_t and dG_a = <E_a, dy_t>, with dy_t copied to its rows.
        d_RD = call(_Copies, d_tokens[0], token_R, row_A, start_T1)
        d_rows = d_weight = None
        if needs_weight:
            d_weight_R = torch.linalg.vecdot(rows_RD, d_RD)
            d_weight = call(_Reorder, d_weight_R, row_A, assignment_R)
        if needs_rows:
            weight_R1 = call(_Reorder, weight_A, assignment_R, row_A).unsqueeze(-1)
            # In place where no graph holds the copies: they are as large as the rows.
            d_rows = d_RD * weight_R1 if torch.is_grad_enabled() else d_RD.mul_(weight_R1)
        return d_rows, d_weight, None, None, None, None


@cheap_to_call
class _Reorder(Function):
    @staticmethod
    def forward(rows: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        return rows.index_select(0, order)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *d_rows: Tensor) -> tuple[Tensor | None, ...]:
        order, inverse = ctx.saved_tensors
        return call(_Reorder, d_rows[0], inverse, order), None, None
