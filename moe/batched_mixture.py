"""A fast path for the dense mixture of 1991: many small mixtures at once, cases last, no autograd.

It computes what `MoE(SoftmaxGate(k=None), LinearExperts)` computes with the costs of `moe.losses`,
and tests hold outputs, costs and gradients of the two equal in float64. Training through closed
forms takes a half to a third of the time of automatic differentiation, and a seventh of that of
the sparse path: they need half the passes over memory.

Shapes: E experts, O outputs, D features (the last one constant), N cases, `...` any number of
leading dimensions, one entry per independent run (seeds, settings). Cases come last: a mixture of
1991 has 4 or 8 experts, so vector instructions find work along the cases only.
Source: Jacobs, Jordan, Nowlan & Hinton (1991), Neural Computation 3, sections 1 and 3.
"""

import torch
from torch import Tensor

from moe.linear_experts import Unit, apply_unit
from moe.losses import Cost, Mixture, blend, sum_outputs


def with_bias(inputs_DN: Tensor) -> Tensor:
    """Append a constant feature, so that a bias is one more weight.

    Args:
        inputs_DN: features, `[..., D, N]`.

    Returns:
        `[..., D + 1, N]`, the last feature equal to one.
    """
    return torch.cat([inputs_DN, torch.ones_like(inputs_DN[..., :1, :])], dim=-2)


def softmax_gate(
    weight_ED: Tensor, inputs_DN: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Give every case a probability for each expert.

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
    # Jacobs et al. (1991), section 1: p_i = exp(x_i) / sum_j exp(x_j)
    return logits_EN, torch.softmax(logits_EN, dim=-2)


def linear_experts(weight_EOD: Tensor, inputs_DN: Tensor, unit: Unit = Unit.logistic) -> Tensor:
    """Outputs of experts that each draw one linear border per output, `[..., E, O, N]`.

    Args:
        weight_EOD: `[..., E, O, D]`, the last feature being the bias (see `with_bias`).
        inputs_DN: `[D, N]`, shared by all experts and runs.
        unit: what is applied to the linear response.
    """
    return apply_unit(weight_EOD @ inputs_DN, unit)


def mixture_of_linear_experts(
    gate_ED: Tensor,
    experts_EOD: Tensor,
    inputs_DN: Tensor,
    unit: Unit = Unit.logistic,
    temperature: float = 1.0,
) -> Mixture:
    """Run a softmax gate and linear experts on the same cases.

    Args:
        gate_ED: gate weights `[..., E, D]`.
        experts_EOD: expert weights `[..., E, O, D]`.
        inputs_DN: `[D, N]`, the last feature constant.
        unit: the experts' output unit.
        temperature: the gate's temperature.

    Returns:
        The mixture's logits, proportions and outputs.
    """
    logits_EN, proportions_EN = softmax_gate(gate_ED, inputs_DN, temperature)
    return Mixture(logits_EN, proportions_EN, linear_experts(experts_EOD, inputs_DN, unit))


def gradients(
    kind: Cost, mixture: Mixture, targets_ON: Tensor, variance: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Derivatives of a cost by the gate's logits and by the experts' outputs, per case.

    Args:
        kind: which cost.
        mixture: gate and experts' answers.
        targets_ON: desired outputs, `[..., O, N]`.
        variance: of each expert's Gaussian (equation 1.3 only).

    Returns:
        `[..., E, N]` and `[..., E, O, N]`. The paper states two of them, equations 1.4 and 1.5:
        those of the expected error and of the mixture likelihood by an expert's output.
    """
    if kind is Cost.blend_error:
        return _blend_error_gradients(mixture, targets_ON)
    if kind is Cost.expected_error:
        return _expected_error_gradients(mixture, targets_ON)
    return _mixture_likelihood_gradients(mixture, targets_ON, variance)


def _blend_error_gradients(mixture: Mixture, targets_ON: Tensor) -> tuple[Tensor, Tensor]:
    # Of equation 1.1, with the blend b = sum_i p_i o_i:
    # dE/dx_i = 2 p_i (b - d) . (o_i - b), and dE/do_i = 2 p_i (b - d)
    blended_ON = blend(mixture)
    # 2 (b - d), which both gradients share.
    residual_EON = 2 * (blended_ON - targets_ON).unsqueeze(-3)
    apart_EON = mixture.outputs_EON - blended_ON.unsqueeze(-3)
    d_logits_EN = mixture.proportions_EN * sum_outputs(residual_EON * apart_EON)
    return d_logits_EN, mixture.proportions_EN.unsqueeze(-2) * residual_EON


def _expected_error_gradients(mixture: Mixture, targets_ON: Tensor) -> tuple[Tensor, Tensor]:
    residual_EON = mixture.outputs_EON - targets_ON.unsqueeze(-3)
    weighted_EN = sum_outputs(residual_EON.square()).mul_(mixture.proportions_EN)
    expected_N = weighted_EN.sum(dim=-2, keepdim=True)
    # Of equation 1.2: dE/dx_i = p_i (||d - o_i||^2 - E)
    d_logits_EN = weighted_EN.addcmul_(mixture.proportions_EN, expected_N, value=-1)
    # Jacobs et al. (1991), eq. 1.4: dE/do_i = -2 p_i (d - o_i)
    return d_logits_EN, residual_EON.mul_(2 * mixture.proportions_EN.unsqueeze(-2))


def _mixture_likelihood_gradients(
    mixture: Mixture, targets_ON: Tensor, variance: float
) -> tuple[Tensor, Tensor]:
    residual_EON = mixture.outputs_EON - targets_ON.unsqueeze(-3)
    errors_EN = sum_outputs(residual_EON * residual_EON)
    # log p_i - ||d - o_i||^2 / (2 s), up to a constant that the softmax over experts cancels.
    scores_EN = torch.sub(mixture.logits_EN, errors_EN, alpha=0.5 / variance)
    # `moe.losses.responsibilities` h_i, from errors that are at hand already.
    responsibilities_EN = torch.softmax(scores_EN, dim=-2)
    # Jacobs et al. (1991), eq. 1.5: dE/do_i = -h_i (d - o_i), over the variance if it is not 1
    d_outputs_EON = residual_EON.mul_(responsibilities_EN.unsqueeze(-2))
    if variance != 1.0:
        d_outputs_EON.div_(variance)
    # Of equation 1.3: dE/dx_i = p_i - h_i
    return responsibilities_EN.neg_().add_(mixture.proportions_EN), d_outputs_EON


def unit_gradient(d_output: Tensor, output: Tensor, unit: Unit) -> Tensor:
    """Carry a cost's gradient from a unit's output back to its linear response.

    Args:
        d_output: derivative of the cost by the output, `[..., O, N]`.
        output: the output itself, same shape.
        unit: the unit that made the output.

    Returns:
        Derivative by the linear response, same shape.
    """
    if unit is Unit.logistic:
        # Of o = 1 / (1 + exp(-x)): do/dx = o (1 - o)
        d_response: Tensor = torch.ops.aten.sigmoid_backward(d_output, output)
        return d_response
    if unit is Unit.softmax:
        # Of o_k = exp(x_k) / sum_l exp(x_l): dE/dx_k = o_k (dE/do_k - sum_l o_l dE/do_l)
        return output * (d_output - (d_output * output).sum(dim=-2, keepdim=True))
    return d_output


def weight_gradients(
    d_logits_EN: Tensor,
    d_outputs_EON: Tensor,
    mixture: Mixture,
    inputs_DN: Tensor,
    unit: Unit = Unit.logistic,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Chain a cost's gradients (see `gradients`) to the weights, as means over the cases.

    Args:
        d_logits_EN: derivative of the cost by the gate's logits, per case, `[..., E, N]`.
        d_outputs_EON: derivative by the experts' outputs, per case, `[..., E, O, N]`.
        mixture: the mixture that was differentiated.
        inputs_DN: the inputs it was computed from, `[D, N]`.
        unit: the experts' output unit.
        temperature: the gate's temperature.

    Returns:
        Gradients of the mean cost by the gate's weights `[..., E, D]` and by the experts'
        `[..., E, O, D]`.
    """
    # dE/dW = sum_n dE/da_n x_n'. The mean is taken in the inputs, the smaller of the two factors.
    cases_ND = inputs_DN.mT / inputs_DN.shape[-1]
    d_response = unit_gradient(d_outputs_EON, mixture.outputs_EON, unit)
    # Logits are W x / T, so that dE/dW gains 1 / T.
    return d_logits_EN @ (cases_ND / temperature), d_response @ cases_ND
