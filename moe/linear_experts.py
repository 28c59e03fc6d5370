"""Linear experts with an output unit: the experts of 1991, for the layer `moe.MoE`.

Shapes: R rows, E experts, D features, O outputs.
"""

from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn

from moe.plan import Plan
from moe.stacked import StackedLinear


class Unit(Enum):
    """What an expert applies to its linear response."""

    logistic = "logistic"
    linear = "linear"
    softmax = "softmax"


def apply_unit(response: Tensor, unit: Unit, dim: int = -2) -> Tensor:
    """Turn linear responses into outputs of the same shape.

    Args:
        response: linear responses; `[..., O, N]` where cases come last.
        unit: the unit.
        dim: where the outputs lie, which only a softmax needs to know.
    """
    if unit is Unit.logistic:
        return torch.sigmoid(response)
    if unit is Unit.softmax:
        return torch.softmax(response, dim=dim)
    return response


class LinearExperts(nn.Module):
    """Experts that each draw one linear border per output.

    Source: Jacobs, Jordan, Nowlan & Hinton (1991), section 3: an expert can form a linear decision
    surface only, the place where its output is 0.5. A constant feature gives each expert its bias.

    Attributes:
        linear: the stacked weights, `[E, D, O]`.
        unit: what is applied to the linear response.
    """

    def __init__(
        self,
        num_experts: int,
        num_inputs: int,
        num_outputs: int,
        unit: Unit = Unit.logistic,
        **options: Any,
    ) -> None:
        """Make the experts.

        Args:
            num_experts: E.
            num_inputs: D.
            num_outputs: O.
            unit: what is applied to the linear response.
            options: bias, backend, device and dtype, as for `StackedLinear`.

        Raises:
            ValueError: a size below one.
        """
        super().__init__()
        self.num_experts, self.unit = num_experts, unit
        self.linear = StackedLinear(num_experts, num_inputs, num_outputs, **options)

    @property
    def stacks(self) -> tuple[StackedLinear, ...]:
        """The one stack of weights that there is."""
        return (self.linear,)

    def forward(self, rows_RD: Tensor, plan: Plan) -> Tensor:
        """Answer each row with its expert, `[R, O]`; every row is taken to have an expert."""
        # Jacobs et al. (1991), section 3: o_i = unit(W_i x).
        return apply_unit(self.linear(rows_RD, plan), self.unit, dim=-1)

    def extra_repr(self) -> str:
        """The unit, for printing."""
        return f"unit={self.unit.name}"
