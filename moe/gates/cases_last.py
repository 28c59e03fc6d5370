"""The softmax gate of 1991 as a function, cases last: for many small mixtures at once."""

import torch
from torch import Tensor


def softmax_gate(
    weight_ED: Tensor, inputs_DN: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Give every case a probability for each expert.

    Source: Jacobs, Jordan, Nowlan & Hinton (1991), section 1: the gating network's outputs are
    normalised to p_i = exp(x_i) / sum_j exp(x_j).

    Args:
        weight_ED: gate weights `[..., E, D]`, the last feature being the bias.
        inputs_DN: `[D, N]`, shared by all runs.
        temperature: divides the logits. With weights that start at zero, gradient descent under
            temperature T is the same as under temperature 1 with the step divided by T squared.

    Returns:
        Logits and mixing proportions, both `[..., E, N]`; proportions sum to one over E.
    """
    logits_EN = weight_ED @ inputs_DN
    if temperature != 1.0:
        logits_EN = logits_EN / temperature
    return logits_EN, torch.softmax(logits_EN, dim=-2)
