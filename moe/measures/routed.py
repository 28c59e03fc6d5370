"""What can be read off a routing, token by token. Shapes as in `moe.routing`."""

import torch
from torch import Tensor

from moe.plan import token_of_assignments
from moe.routing import NO_EXPERT, Routing


def num_unrouted_tokens(routing: Routing, mask: Tensor | None = None) -> Tensor:
    """Number of real tokens that no expert answers for, a scalar, int64.

    Args:
        routing: a gate's decision.
        mask: the mask that the gate was given, any shape, or None.
    """
    is_answered_A = (routing.expert_A != NO_EXPERT).long()
    zeros_T = torch.zeros(routing.num_tokens, dtype=torch.int64, device=is_answered_A.device)
    num_experts_T = zeros_T.index_add(0, token_of_assignments(routing), is_answered_A)
    is_unrouted_T = num_experts_T == 0
    return (is_unrouted_T if mask is None else is_unrouted_T & mask.flatten()).sum()


def first_choices(routing: Routing) -> Tensor:
    """Each token's expert of the largest weight, `[T]`; `NO_EXPERT` where none answers.

    Of experts with the same weight, the one assigned first.
    """
    token_A = token_of_assignments(routing)
    num_tokens, num_assignments = routing.num_tokens, token_A.shape[0]
    weight_A = routing.weight_A.detach().masked_fill(routing.expert_A == NO_EXPERT, -torch.inf)
    best_T = weight_A.new_full((num_tokens,), -torch.inf).scatter_reduce(
        0, token_A, weight_A, "amax"
    )
    position_A = torch.arange(num_assignments, device=token_A.device)
    is_best_A = (weight_A == best_T[token_A]) & (routing.expert_A != NO_EXPERT)
    # A position past the end stands for no expert.
    first_T = token_A.new_full((num_tokens,), num_assignments).scatter_reduce(
        0, token_A, torch.where(is_best_A, position_A, num_assignments), "amin"
    )
    return torch.cat([routing.expert_A, routing.expert_A.new_tensor([NO_EXPERT])])[first_T]
