"""The three costs of the 1991 paper and their gradients, per case.

Each cost is a plain differentiable function; `gradients` gives the closed forms, of which the
paper states two (equations 1.4 and 1.5). Training uses the closed forms: they need half the passes
over memory that automatic differentiation needs.

Shapes: E experts, O outputs, N cases, `...` independent runs.
Source: Jacobs, Jordan, Nowlan & Hinton (1991), Neural Computation 3, section 1.
"""

from enum import Enum

import torch
from torch import Tensor

from moe.mixture import Mixture, blend


class Cost(Enum):
    """What a mixture minimises; equation numbers are the paper's."""

    blend_error = "1.1"
    expected_error = "1.2"
    mixture_likelihood = "1.3"


def _sum_outputs(value_ON: Tensor) -> Tensor:
    # A sum over one output is a copy of the whole tensor: a twentieth of a training step.
    return value_ON.squeeze(-2) if value_ON.shape[-2] == 1 else value_ON.sum(dim=-2)


def squared_errors(mixture: Mixture, targets_ON: Tensor) -> Tensor:
    """Each expert's squared distance to the target, ||d - o_i||^2, `[..., E, N]`."""
    return _sum_outputs((mixture.outputs_EON - targets_ON.unsqueeze(-3)).square())


def blend_error(mixture: Mixture, targets_ON: Tensor) -> Tensor:
    """Equation 1.1: squared error of the blend, `[..., N]`. Experts must cooperate."""
    return _sum_outputs((blend(mixture) - targets_ON).square())


def expected_error(mixture: Mixture, targets_ON: Tensor) -> Tensor:
    """Equation 1.2: the error expected when the gate picks one expert, `[..., N]`."""
    return (mixture.proportions_EN * squared_errors(mixture, targets_ON)).sum(dim=-2)


def _scores(mixture: Mixture, targets_ON: Tensor, variance: float) -> Tensor:
    return mixture.logits_EN - squared_errors(mixture, targets_ON) / (2 * variance)


def mixture_likelihood(mixture: Mixture, targets_ON: Tensor, variance: float = 1.0) -> Tensor:
    """Equation 1.3: minus the log likelihood under a mixture of Gaussians, `[..., N]`.

    The Gaussians' normalising constant is left out, as in the paper, whose variance is 1.

    Args:
        mixture: gate and experts' answers.
        targets_ON: desired outputs d, `[..., O, N]`.
        variance: of each expert's Gaussian.
    """
    log_joint = torch.logsumexp(_scores(mixture, targets_ON, variance), dim=-2)
    return torch.logsumexp(mixture.logits_EN, dim=-2) - log_joint


def responsibilities(mixture: Mixture, targets_ON: Tensor, variance: float = 1.0) -> Tensor:
    """Posterior probability h_i that expert i made the target (equation 1.5), `[..., E, N]`."""
    return torch.softmax(_scores(mixture, targets_ON, variance), dim=-2)


def cost(kind: Cost, mixture: Mixture, targets_ON: Tensor, variance: float = 1.0) -> Tensor:
    """The chosen cost per case, `[..., N]`; `variance` matters to equation 1.3 only."""
    if kind is Cost.blend_error:
        return blend_error(mixture, targets_ON)
    if kind is Cost.expected_error:
        return expected_error(mixture, targets_ON)
    return mixture_likelihood(mixture, targets_ON, variance)


def gradients(
    kind: Cost, mixture: Mixture, targets_ON: Tensor, variance: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Derivatives of the chosen cost by the gate's logits and by the experts' outputs, per case.

    Args:
        kind: which cost.
        mixture: gate and experts' answers.
        targets_ON: desired outputs, `[..., O, N]`.
        variance: of each expert's Gaussian (equation 1.3 only).

    Returns:
        `[..., E, N]` and `[..., E, O, N]`. The second is equation 1.4 for the expected error,
        -2 p_i (d - o_i), and equation 1.5 for the mixture likelihood, -h_i (d - o_i).
    """
    if kind is Cost.blend_error:
        return _blend_error_gradients(mixture, targets_ON)
    if kind is Cost.expected_error:
        return _expected_error_gradients(mixture, targets_ON)
    return _mixture_likelihood_gradients(mixture, targets_ON, variance)


def _blend_error_gradients(mixture: Mixture, targets_ON: Tensor) -> tuple[Tensor, Tensor]:
    blended_ON = blend(mixture)
    residual_EON = 2 * (blended_ON - targets_ON).unsqueeze(-3)
    apart_EON = mixture.outputs_EON - blended_ON.unsqueeze(-3)
    d_logits_EN = mixture.proportions_EN * _sum_outputs(residual_EON * apart_EON)
    return d_logits_EN, mixture.proportions_EN.unsqueeze(-2) * residual_EON


def _expected_error_gradients(mixture: Mixture, targets_ON: Tensor) -> tuple[Tensor, Tensor]:
    residual_EON = mixture.outputs_EON - targets_ON.unsqueeze(-3)
    weighted_EN = _sum_outputs(residual_EON.square()).mul_(mixture.proportions_EN)
    expected_N = weighted_EN.sum(dim=-2, keepdim=True)
    d_logits_EN = weighted_EN.addcmul_(mixture.proportions_EN, expected_N, value=-1)
    return d_logits_EN, residual_EON.mul_(2 * mixture.proportions_EN.unsqueeze(-2))


def _mixture_likelihood_gradients(
    mixture: Mixture, targets_ON: Tensor, variance: float
) -> tuple[Tensor, Tensor]:
    residual_EON = mixture.outputs_EON - targets_ON.unsqueeze(-3)
    errors_EN = _sum_outputs(residual_EON * residual_EON)
    scores_EN = torch.sub(mixture.logits_EN, errors_EN, alpha=0.5 / variance)
    responsibilities_EN = torch.softmax(scores_EN, dim=-2)
    d_outputs_EON = residual_EON.mul_(responsibilities_EN.unsqueeze(-2))
    if variance != 1.0:
        d_outputs_EON.div_(variance)
    return responsibilities_EN.neg_().add_(mixture.proportions_EN), d_outputs_EON
