"""The dense mixture of 1991: every expert answers every case, the gate weighs the answers.

Shapes: E experts, O outputs, D features, N cases, `...` independent runs.
"""

from dataclasses import dataclass

from torch import Tensor

from moe.experts import Unit, linear_experts, unit_gradient
from moe.gates import softmax_gate


@dataclass(frozen=True)
class Mixture:
    """What a mixture computed for a set of cases.

    Attributes:
        logits_EN: the gate's logits, `[..., E, N]`.
        proportions_EN: mixing proportions p_i, `[..., E, N]`, summing to one over E.
        outputs_EON: the experts' outputs o_i, `[..., E, O, N]`.
    """

    logits_EN: Tensor
    proportions_EN: Tensor
    outputs_EON: Tensor


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


def blend(mixture: Mixture) -> Tensor:
    """Gate-weighted mean of the experts' outputs, `[..., O, N]`."""
    return (mixture.outputs_EON * mixture.proportions_EN.unsqueeze(-2)).sum(dim=-3)


def weight_gradients(
    d_logits_EN: Tensor,
    d_outputs_EON: Tensor,
    mixture: Mixture,
    inputs_DN: Tensor,
    unit: Unit = Unit.logistic,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Chain a cost's gradients (see `moe.losses.gradients`) to the weights, as means over cases.

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
    cases_ND = inputs_DN.mT / inputs_DN.shape[-1]
    d_response = unit_gradient(d_outputs_EON, mixture.outputs_EON, unit)
    return d_logits_EN @ (cases_ND / temperature), d_response @ cases_ND
