"""Routings made by hand, and the plainest mixture of experts: what the core must equal."""

import torch
from torch import Tensor

from moe.routing import NO_EXPERT, Routing, even_starts


def random_routing(
    num_tokens: int,
    num_experts: int,
    k: int,
    skew: float = 0.0,
    idle: float = 0.0,
    dtype: torch.dtype = torch.float64,
) -> Routing:
    """k different experts per token; Zipf's exponent is the skew, `idle` the share of no expert."""
    popularity = torch.arange(1, num_experts + 1, dtype=torch.float64) ** -skew
    keys = popularity.log() - torch.empty(num_tokens, num_experts).exponential_().log()
    expert_A = keys.topk(k, dim=-1).indices.flatten()
    weight_A = torch.softmax(torch.randn(num_tokens, k, dtype=dtype), dim=-1).flatten()
    is_idle = torch.rand(num_tokens * k) < idle
    zeros = torch.zeros(num_experts, dtype=dtype)
    return Routing(
        expert_A=expert_A.masked_fill(is_idle, NO_EXPERT),
        weight_A=weight_A.masked_fill(is_idle, 0).requires_grad_(),
        start_T1=even_starts(num_tokens, k, expert_A.device),
        num_experts=num_experts,
        importance_E=zeros,
        load_E=zeros,
    )


def plain_mixture(tokens_TD: Tensor, routing: Routing, w1: Tensor, w2: Tensor) -> Tensor:
    """One assignment after the other: y_t += G E(x_t), with rectified feed-forward experts."""
    outputs = [torch.zeros_like(tokens_TD[0]) for _ in range(routing.num_tokens)]
    for token in range(routing.num_tokens):
        for a in range(int(routing.start_T1[token]), int(routing.start_T1[token + 1])):
            expert = int(routing.expert_A[a])
            if expert != NO_EXPERT:
                hidden = torch.relu(tokens_TD[token] @ w1[expert])
                outputs[token] = outputs[token] + routing.weight_A[a] * (hidden @ w2[expert])
    return torch.stack(outputs) if outputs else tokens_TD.clone()
