"""Linear experts with an output unit, and the derivative of that unit.

Shapes: E experts, O outputs, D features (the last one constant), N cases; `...` is any number of
leading dimensions, one entry per independent run (seeds, settings). Cases come last: a mixture of
1991 has 4 or 8 experts, so vector instructions find work along the cases only.
"""

from enum import Enum

import torch
from torch import Tensor


class Unit(Enum):
    """What an expert applies to its linear response."""

    logistic = "logistic"
    linear = "linear"
    softmax = "softmax"


def with_bias(inputs_DN: Tensor) -> Tensor:
    """Append a constant feature, so that a bias is one more weight.

    Args:
        inputs_DN: features, `[..., D, N]`.

    Returns:
        `[..., D + 1, N]`, the last feature equal to one.
    """
    return torch.cat([inputs_DN, torch.ones_like(inputs_DN[..., :1, :])], dim=-2)


def apply_unit(response: Tensor, unit: Unit) -> Tensor:
    """Turn linear responses `[..., O, N]` into outputs of the same shape (softmax: over O)."""
    if unit is Unit.logistic:
        return torch.sigmoid(response)
    if unit is Unit.softmax:
        return torch.softmax(response, dim=-2)
    return response


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
        d_response: Tensor = torch.ops.aten.sigmoid_backward(d_output, output)
        return d_response
    if unit is Unit.softmax:
        return output * (d_output - (d_output * output).sum(dim=-2, keepdim=True))
    return d_output


def linear_experts(weight_EOD: Tensor, inputs_DN: Tensor, unit: Unit = Unit.logistic) -> Tensor:
    """Outputs of experts that each draw one linear border per output.

    Source: Jacobs, Jordan, Nowlan & Hinton (1991), section 3: an expert can form a linear decision
    surface only, the place where its output is 0.5.

    Args:
        weight_EOD: `[..., E, O, D]`, the last feature being the bias (see `with_bias`).
        inputs_DN: `[D, N]`, shared by all experts and runs.
        unit: what is applied to the linear response.

    Returns:
        Outputs `[..., E, O, N]`.
    """
    return apply_unit(weight_EOD @ inputs_DN, unit)
