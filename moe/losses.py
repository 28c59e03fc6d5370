"""The three costs of 1991, per case, on what a dense mixture computed.

A mixture comes from the layer (`mixture_of`) or from the batched form (`moe.batched_mixture`); its
costs are the same functions. All are differentiable.

Shapes: E experts, O outputs, N cases, `...` independent runs.
Source: Jacobs, Jordan, Nowlan & Hinton (1991), Neural Computation 3, section 1. There d is the
target, o_i an expert's output, and p_i its mixing proportion.
"""

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from moe.layer import MoEOutput


class Cost(Enum):
    """What a mixture minimises; equation numbers are the paper's."""

    blend_error = "1.1"
    expected_error = "1.2"
    mixture_likelihood = "1.3"


@dataclass(frozen=True)
class Mixture:
    """What a mixture computed for a set of cases.

    Attributes:
        logits_EN: the gate's logits, `[..., E, N]`, up to a constant per case.
        proportions_EN: mixing proportions p_i, `[..., E, N]`, summing to one over E.
        outputs_EON: the experts' outputs o_i, `[..., E, O, N]`.
    """

    logits_EN: Tensor
    proportions_EN: Tensor
    outputs_EON: Tensor


def mixture_of(output: MoEOutput) -> Mixture:
    """What a layer computed whose gate gives every case to every expert, cases last.

    Args:
        output: of N tokens and a gate such as `SoftmaxGate(k=None)`.

    Raises:
        ValueError: some expert does not answer some case, or the gate gives no probabilities.
    """
    routing = output.routing
    num_cases, num_experts = routing.num_tokens, routing.num_experts
    answers_AO, probabilities_NE = output.answers(), routing.probabilities_TE
    if answers_AO.shape[0] != num_cases * num_experts or probabilities_NE is None:
        raise ValueError("the gate does not give every case to every expert with a probability")
    answers_NEO = answers_AO.view(num_cases, num_experts, -1)
    # Logits up to a constant. A probability that underflows has no gradient, as in the softmax.
    least = torch.finfo(probabilities_NE.dtype).tiny
    return Mixture(
        probabilities_NE.clamp_min(least).log().T, probabilities_NE.T, answers_NEO.permute(1, 2, 0)
    )


def sum_outputs(value_ON: Tensor) -> Tensor:
    """Sum over the outputs, `[..., N]`."""
    # A sum over one output is a copy of the whole tensor: a twentieth of a training step.
    return value_ON.squeeze(-2) if value_ON.shape[-2] == 1 else value_ON.sum(dim=-2)


def blend(mixture: Mixture) -> Tensor:
    """Gate-weighted mean of the experts' outputs, `[..., O, N]`."""
    # sum_i p_i o_i, in equation 1.1.
    return (mixture.outputs_EON * mixture.proportions_EN.unsqueeze(-2)).sum(dim=-3)


def squared_errors(mixture: Mixture, targets_ON: Tensor) -> Tensor:
    """Each expert's squared distance to the target, ||d - o_i||^2, `[..., E, N]`."""
    return sum_outputs((mixture.outputs_EON - targets_ON.unsqueeze(-3)).square())


def blend_error(mixture: Mixture, targets_ON: Tensor) -> Tensor:
    """Equation 1.1: squared error of the blend, `[..., N]`. Experts must cooperate."""
    # Jacobs et al. (1991), eq. 1.1: E = ||d - sum_i p_i o_i||^2
    return sum_outputs((blend(mixture) - targets_ON).square())


def expected_error(mixture: Mixture, targets_ON: Tensor) -> Tensor:
    """Equation 1.2: the error expected when the gate picks one expert, `[..., N]`."""
    # Jacobs et al. (1991), eq. 1.2: E = sum_i p_i ||d - o_i||^2
    return (mixture.proportions_EN * squared_errors(mixture, targets_ON)).sum(dim=-2)


def _scores(mixture: Mixture, targets_ON: Tensor, variance: float) -> Tensor:
    # log p_i - ||d - o_i||^2 / (2 s), up to a constant per case; the paper's variance s is 1.
    return mixture.logits_EN - squared_errors(mixture, targets_ON) / (2 * variance)


def mixture_likelihood(mixture: Mixture, targets_ON: Tensor, variance: float = 1.0) -> Tensor:
    """Equation 1.3: minus the log likelihood under a mixture of Gaussians, `[..., N]`.

    The Gaussians' normalising constant is left out, as in the paper, whose variance is 1.

    Args:
        mixture: gate and experts' answers.
        targets_ON: desired outputs d, `[..., O, N]`.
        variance: of each expert's Gaussian.
    """
    # Jacobs et al. (1991), eq. 1.3: E = -log sum_i p_i exp(-||d - o_i||^2 / 2). In logarithms, so
    # that it stays finite where all experts are far off.
    log_joint = torch.logsumexp(_scores(mixture, targets_ON, variance), dim=-2)
    return torch.logsumexp(mixture.logits_EN, dim=-2) - log_joint


def responsibilities(mixture: Mixture, targets_ON: Tensor, variance: float = 1.0) -> Tensor:
    """Posterior probability h_i that expert i made the target (equation 1.5), `[..., E, N]`."""
    # h_i = p_i exp(-||d - o_i||^2 / 2) / sum_j p_j exp(-||d - o_j||^2 / 2), in equation 1.5.
    return torch.softmax(_scores(mixture, targets_ON, variance), dim=-2)


def cost(kind: Cost, mixture: Mixture, targets_ON: Tensor, variance: float = 1.0) -> Tensor:
    """The chosen cost per case, `[..., N]`; `variance` matters to equation 1.3 only."""
    if kind is Cost.blend_error:
        return blend_error(mixture, targets_ON)
    if kind is Cost.expected_error:
        return expected_error(mixture, targets_ON)
    return mixture_likelihood(mixture, targets_ON, variance)
