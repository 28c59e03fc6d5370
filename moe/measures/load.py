"""Measures of a vector with one number per expert: loads, importances or counts, `[..., E]`."""

import torch
from torch import Tensor

from moe.balance import cv_squared


def coefficient_of_variation(load_E: Tensor) -> Tensor:
    """Population standard deviation over mean, `[...]`; 0 for an even load.

    Source: Shazeer et al. (2017), table 6, which prints it (not its square, which is the loss).
    """
    return cv_squared(_floating(load_E)).sqrt()


def max_over_mean(load_E: Tensor) -> Tensor:
    """Largest load over mean load, `[...]`, 1 to E: how much longer the slowest expert takes.

    Source: Shazeer et al. (2017), table 6. Zero where there is no load at all.
    """
    load_E = _floating(load_E)
    mean = load_E.mean(dim=-1)
    return torch.where(mean > 0, load_E.amax(dim=-1) / mean, 0.0)


def utilisation(count_E: Tensor) -> Tensor:
    """Share of the experts that have at least one token, `[...]`."""
    return (count_E > 0).float().mean(dim=-1)


def effective_number(load_E: Tensor) -> Tensor:
    """Exponential of the entropy of the load's shares, `[...]`: 1 to E; 0 without any load."""
    load_E = _floating(load_E)
    total = load_E.sum(dim=-1, keepdim=True)
    shares_E = load_E / torch.where(total > 0, total, 1.0)
    entropy: Tensor = torch.special.entr(shares_E).sum(dim=-1)
    return torch.where(total.squeeze(-1) > 0, entropy.exp(), 0.0)


def _floating(load_E: Tensor) -> Tensor:
    return load_E if load_E.is_floating_point() else load_E.double()
