"""Mixture of rectified feed-forward experts in one node: neither copies nor answers are kept.

The first product reads tokens where they lie, the second scales its rows by the gate's values, and
the gradient by those values is taken from the hidden units' side, as in SonicMoE (Guo et al. 2025,
arXiv 2512.14080). Of tensors with R rows only the hidden units live until the backward pass.

Shapes: T tokens, R rows, A assignments, E experts, D features in, H hidden units, O features out;
see `moe.plan`.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from moe.dispatch import sum_per_token
from moe.grouped.linear import GradientSink, as_autocast, check_product, expert_blocks
from moe.grouped.triton import hidden_gradient, rows_product, weight_gradient
from moe.plan import Plan


def mixture_of_feed_forward(
    tokens_TD: Tensor,
    weight_A: Tensor,
    plan: Plan,
    first_EDH: Tensor,
    second_EHO: Tensor,
    sinks: tuple[GradientSink | None, GradientSink | None] = (None, None),
) -> Tensor:
    """Give every token to its experts and add up their answers: y = sum_i G(x)_i E_i(x).

    The same as `dispatch`, `FeedForwardExperts` and `combine` one after another.

    Args:
        tokens_TD: of a dtype that `moe.grouped.triton.refusal` takes.
        weight_A: the gate's values, `Routing.weight_A`, of any floating dtype.
        plan: of a routing of these tokens.
        first_EDH: into the hidden units, which are rectified.
        second_EHO: out of them.
        sinks: take the two weights' gradients, as in `moe.grouped.grouped_linear`.

    Returns:
        `[T, O]`, zeros for a token that no expert answers; differentiable in tokens, gate values
        and weights, once.

    Raises:
        TypeError: tokens and weights of unlike dtypes.
        ValueError: shapes or devices that do not fit.
    """
    tokens_TD, first_EDH, second_EHO = map(as_autocast, (tokens_TD, first_EDH, second_EHO))
    check_product(tokens_TD, first_EDH, plan.start_E1, False)
    check_product(first_EDH[0], second_EHO, plan.start_E1, False)
    out_TO: Tensor = _FeedForward.apply(  # type: ignore[no-untyped-call]
        tokens_TD,
        weight_A,
        first_EDH,
        second_EHO,
        plan.token_R,
        plan.assignment_R,
        plan.row_A,
        plan.start_T1,
        plan.start_E1,
        sinks,
    )
    return out_TO


def _weight_gradient(
    weight: Tensor, sink: GradientSink | None, gradient: Callable[[slice], Tensor]
) -> Tensor | None:
    if sink is None:
        return gradient(slice(None))
    for experts in expert_blocks(weight):
        sink(experts.start, gradient(experts))
    return None


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        tokens_TD: Tensor,
        weight_A: Tensor,
        first_EDH: Tensor,
        second_EHO: Tensor,
        token_R: Tensor,
        assignment_R: Tensor,
        row_A: Tensor,
        start_T1: Tensor,
        start_E1: Tensor,
        sinks: tuple[GradientSink | None, GradientSink | None],
    ) -> Tensor:
        # h_R = relu(x W_1), y_t = sum over t's rows of G_R (h_R W_2).
        weight_R = weight_A[assignment_R]
        hidden_RH = rows_product(tokens_TD, first_EDH, start_E1, token_R, rectify=True)
        rows_RO = rows_product(hidden_RH, second_EHO, start_E1, scale_R=weight_R)
        ctx.save_for_backward(tokens_TD, weight_R, first_EDH, second_EHO, hidden_RH)
        ctx.where, ctx.sinks = (token_R, row_A, start_T1, start_E1), sinks
        return sum_per_token(rows_RO, row_A, start_T1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *d_out: Tensor) -> tuple[Tensor | None, ...]:
        tokens_TD, weight_R, first_EDH, second_EHO, hidden_RH = ctx.saved_tensors
        token_R, row_A, start_T1, start_E1 = ctx.where
        d_TO = d_out[0].contiguous()
        # With u_R = dy_t W_2^T: dh_R = G_R u_R where h_R > 0, and dG_R = <h_R, u_R>, so that the
        # answers h_R W_2 are not needed.
        d_RH, d_weight_R = hidden_gradient(
            d_TO, token_R, second_EHO.mT, start_E1, weight_R, hidden_RH
        )
        needs_tokens, _, needs_first, needs_second = ctx.needs_input_grad[:4]
        d_tokens = d_first = d_second = None
        # Rows before weights: a sink may change the weights in place.
        if needs_tokens:
            rows_RD = rows_product(d_RH, first_EDH.mT, start_E1)
            d_tokens = sum_per_token(rows_RD, row_A, start_T1)
        if needs_first:
            d_first = _weight_gradient(
                first_EDH,
                ctx.sinks[0],
                lambda experts: weight_gradient(tokens_TD, d_RH, start_E1, experts, token_R),
            )
        if needs_second:
            d_RO = d_TO.index_select(0, token_R).mul_(weight_R.unsqueeze(-1))
            d_second = _weight_gradient(
                second_EHO,
                ctx.sinks[1],
                lambda experts: weight_gradient(hidden_RH, d_RO, start_E1, experts),
            )
        d_weight_A = d_weight_R[row_A].to(weight_R.dtype)
        return d_tokens, d_weight_A, d_first, d_second, None, None, None, None, None, None
