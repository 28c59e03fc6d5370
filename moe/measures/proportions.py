"""How a gate uses its experts, measured from mixing proportions `[..., E, N]`.

E experts, N cases, `...` independent runs.
"""

import torch
from torch import Tensor


def importance(proportions_EN: Tensor) -> Tensor:
    """Mean mixing proportion of each expert over the cases, `[..., E]`, summing to one.

    Source: Shazeer et al. (2017), equation 6, divided by the number of cases.
    """
    return proportions_EN.mean(dim=-1)


def effective_number_of_experts(proportions_EN: Tensor) -> Tensor:
    """Exponential of the importance's entropy, `[...]`: from 1 (one expert) to E (all alike)."""
    entropy: Tensor = torch.special.entr(importance(proportions_EN)).sum(dim=-1)
    return entropy.exp()


def live_experts(proportions_EN: Tensor, threshold: float) -> Tensor:
    """Whether each expert's proportion passes the threshold for at least one case, `[..., E]`.

    Source: Jacobs et al. (1991), section 3: unused experts have mixing proportions that are
    effectively 0 for all cases.
    """
    return proportions_EN.amax(dim=-1) > threshold


def num_dominant_experts(proportions_EN: Tensor, min_share: float) -> Tensor:
    """Number of experts that hold the largest proportion for a share of the cases, `[...]`.

    Args:
        proportions_EN: mixing proportions of the cases in question.
        min_share: the share of the cases (0 to 1) that an expert must win to count.
    """
    winners_N = proportions_EN.argmax(dim=-2, keepdim=True)
    won_EN = torch.zeros_like(proportions_EN).scatter_(-2, winners_N, 1.0)
    return (won_EN.mean(dim=-1) >= min_share).sum(dim=-1)
