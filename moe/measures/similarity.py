"""How alike the experts themselves are, from their stacked weights.

Experts are taken a few at a time, so that no temporary is as large as the weights.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK_ELEMENTS = 2**24
"""Weights that are normalised at a time, at most, unless one expert has more."""


def expert_similarities(weight_E: Tensor) -> Tensor:
    """Cosine of every pair of experts, `[E, E]`.

    Args:
        weight_E: stacked weights `[E, ...]`. An expert whose weights are all zero has cosine 0
            with every expert, itself included.
    """
    flat_EP = weight_E.detach().flatten(1)
    num_experts = flat_EP.shape[0]
    cosine_EE = torch.empty(
        num_experts, num_experts, dtype=_working(flat_EP), device=flat_EP.device
    )
    for rows, left in _unit_blocks(flat_EP):
        for columns, right in _unit_blocks(flat_EP):
            cosine_EE[rows, columns] = left @ right.T
    return cosine_EE


def expert_similarity(weight_E: Tensor) -> Tensor:
    """Mean cosine over all pairs of different experts, a scalar; 0 for a single expert.

    Needs one pass over the weights: the squared length of the sum of unit vectors holds the
    cosines of all pairs.

    Args:
        weight_E: stacked weights, `[E, ...]`.
    """
    flat_EP = weight_E.detach().flatten(1)
    num_experts, num_weights = flat_EP.shape
    total_P = torch.zeros(num_weights, dtype=_working(flat_EP), device=flat_EP.device)
    own = total_P.new_zeros(())
    for _, unit_BP in _unit_blocks(flat_EP):
        total_P += unit_BP.sum(dim=0)
        own += unit_BP.square().sum()
    return (total_P.square().sum() - own) / max(1, num_experts * (num_experts - 1))


def _working(weight: Tensor) -> torch.dtype:
    return torch.promote_types(weight.dtype, torch.float32)


def _unit_blocks(flat_EP: Tensor) -> Iterator[tuple[slice, Tensor]]:
    size = max(1, BLOCK_ELEMENTS // max(1, flat_EP.shape[1]))
    for first in range(0, flat_EP.shape[0], size):
        experts = slice(first, min(first + size, flat_EP.shape[0]))
        block_BP = flat_EP[experts].to(_working(flat_EP))
        yield experts, torch.nn.functional.normalize(block_BP, dim=-1)
