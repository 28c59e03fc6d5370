"""The mixture-of-experts layer: gate, dispatch, experts, combine."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from moe.dispatch import combine, dispatch, reorder
from moe.plan import Plan, plan
from moe.routing import Routing
from moe.stacked import Experts

Gate = Callable[[Tensor, Tensor | None], Routing]


@dataclass(frozen=True)
class MoEOutput:
    """A layer's answer and how it came about.

    Attributes:
        outputs: `[..., O]`; zeros for padded tokens and tokens that no expert takes.
        routing: the gate's decision, with its auxiliary losses.
        plan: rows per expert.
        expert_outputs: the experts' own answers E_i(x), `[R, O]`, before the gate weighs them, in
            the order of the plan; zeros for rows of no expert.
    """

    outputs: Tensor
    routing: Routing
    plan: Plan
    expert_outputs: Tensor

    def answers(self) -> Tensor:
        """The experts' own answers by assignment, `[A, O]`, as `Routing.weight_A` is ordered.

        Where every token has k experts, `answers().view(T, k, O)` is token by token.
        """
        return reorder(self.expert_outputs, self.plan.row_A, self.plan.assignment_R)


# What a layer returns is taken apart by torch's exporter, and by whatever else looks for tensors.
for _kind in (MoEOutput, Routing, Plan):
    torch.export.register_dataclass(_kind, serialized_type_name=f"moe.{_kind.__name__}")


class MoE(nn.Module):
    """A gate and the experts among which it distributes tokens: y = sum_i G(x)_i E_i(x).

    Source: Shazeer et al. (2017), equation 1. With a gate that gives every token to every expert
    this is the dense mixture of Jacobs et al. (1991). No token is ever dropped.
    """

    def __init__(self, gate: nn.Module, experts: nn.Module, check_finite: bool = False) -> None:
        """Put a layer together.

        Args:
            gate: maps `[..., D]` tokens and an optional `[...]` mask to a `Routing`; see
                `moe.gates`.
            experts: see `moe.stacked`.
            check_finite: look for NaN and infinity in inputs, gate values and outputs, and raise
                an error that names the tensor. Waits for the device; off, it costs nothing.

        Raises:
            ValueError: gate and experts disagree about the number of experts.
        """
        super().__init__()
        counts = (getattr(gate, "num_experts", None), getattr(experts, "num_experts", None))
        if counts[0] != counts[1]:
            raise ValueError(f"the gate routes to {counts[0]} experts, but there are {counts[1]}")
        self.gate, self.experts, self.check_finite = gate, experts, check_finite

    def forward(
        self, inputs: Tensor, mask: Tensor | None = None, gate_inputs: Tensor | None = None
    ) -> MoEOutput:
        """Run the layer.

        Args:
            inputs: tokens `[..., D]`.
            mask: `[...]`, true for tokens, false for padding; all are tokens by default.
            gate_inputs: `[..., D']`, what the gate sees of the same tokens, if something else than
                the experts: in Chen et al. (2022), section 3, the sum of the patches.

        Raises:
            ValueError: a mask or gate inputs of another shape; with `check_finite`, a NaN or
                infinity.
        """
        seen = inputs if gate_inputs is None else gate_inputs
        if seen.shape[:-1] != inputs.shape[:-1]:
            raise ValueError(
                f"the gate's inputs have shape {list(seen.shape)}; for inputs {list(inputs.shape)} "
                f"they must begin with {list(inputs.shape[:-1])}"
            )
        if mask is not None and mask.shape != inputs.shape[:-1]:
            raise ValueError(
                f"the mask has shape {list(mask.shape)}; for inputs {list(inputs.shape)} it must "
                f"be {list(inputs.shape[:-1])}"
            )
        tokens_TD = inputs.reshape(-1, inputs.shape[-1])
        self._check("inputs", tokens_TD)
        routing = cast(Gate, self.gate)(seen, mask)
        self._check("gate's values", routing.weight_A)
        where = plan(routing)
        rows_RO = cast(Experts, self.experts)(dispatch(tokens_TD, where), where)
        outputs_TO = combine(rows_RO, routing.weight_A, where)
        self._check("outputs", outputs_TO)
        outputs = outputs_TO.view(*inputs.shape[:-1], outputs_TO.shape[-1])
        return MoEOutput(outputs, routing, where, rows_RO)

    def _check(self, name: str, tensor: Tensor) -> None:
        if self.check_finite and not torch.isfinite(tensor).all():
            bad = int((~torch.isfinite(tensor)).sum())
            raise ValueError(f"the layer's {name} hold {bad} NaN or infinite of {tensor.numel()}")
