"""The mixture-of-experts layer: gate, dispatch, experts, combine."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from moe.dispatch import by_assignment, combine, dispatch
from moe.plan import Plan, plan
from moe.routing import Routing
from moe.stacked import StackedLinear


@dataclass(frozen=True)
class MoEOutput:
    """A layer's answer and how it came about.

    Attributes:
        outputs: `[..., O]`; zeros for padded tokens and tokens that no expert takes.
        routing: the gate's decision, with its auxiliary losses.
        plan: rows per expert.
        expert_outputs: the experts' own answers E_i(x), `[R, O]`, before the gate weighs them, in
            the order of the plan; zeros for rows of no expert. None of a fused layer.
    """

    outputs: Tensor
    routing: Routing
    plan: Plan
    expert_outputs: Tensor | None

    def answers(self) -> Tensor:
        """Give the experts' own answers by assignment, `[A, O]`, ordered as `Routing.weight_A`.

        Where every token has k experts, `answers().view(T, k, O)` is token by token.

        Raises:
            ValueError: the layer was fused, as it is by default on a GPU, and keeps no answers.
        """
        if self.expert_outputs is None:
            raise ValueError("a fused layer keeps no answers: make it with MoE(..., fused=False)")
        return by_assignment(self.expert_outputs, self.plan)


# What a layer returns is taken apart by torch's exporter, and by whatever else looks for tensors.
for _kind in (MoEOutput, Routing, Plan):
    torch.export.register_dataclass(_kind, serialized_type_name=f"moe.{_kind.__name__}")


class MoE(nn.Module):
    """A gate and the experts among which it distributes tokens: y = sum_i G(x)_i E_i(x).

    Source: Shazeer et al. (2017), equation 1. With a gate that gives every token to every expert
    this is the dense mixture of Jacobs et al. (1991). No token is ever dropped.
    """

    def __init__(
        self,
        gate: nn.Module,
        experts: nn.Module,
        check_finite: bool = False,
        fused: bool | None = None,
    ) -> None:
        """Join a gate and experts into a layer.

        Args:
            gate: a `moe.gates.Gate`, or any module with `num_experts` that maps `[..., D]` tokens
                and an optional `[...]` mask to a `Routing`.
            experts: see `moe.stacked.Experts`.
            fused: keep neither the tokens' copies nor the experts' answers for the backward pass,
                where the experts can: `FeedForwardExperts.mixture` says when. What is computed is
                the same, but `MoEOutput.expert_outputs` is None, and there may be no second
                derivative. By default it is done where it can be, which is on a GPU; with True
                `expert_outputs` is None elsewhere too, so that code cannot come to need it.
            check_finite: look for NaN and infinity in inputs, gate values and outputs, and raise
                an error that names the tensor. Waits for the device; off, it costs nothing.

        Raises:
            ValueError: gate and experts disagree about the number of experts.
        """
        super().__init__()
        counts = (getattr(gate, "num_experts", None), getattr(experts, "num_experts", None))
        if counts[0] != counts[1]:
            raise ValueError(f"the gate routes to {counts[0]} experts, but there are {counts[1]}")
        self.gate, self.experts = gate, experts
        self.check_finite, self.fused = check_finite, fused

    @property
    def stacks(self) -> tuple[StackedLinear, ...]:
        """The experts' stacked weights, for `FactoredAdam.attach`; none of other experts."""
        stacks: tuple[StackedLinear, ...] = getattr(self.experts, "stacks", ())
        return stacks

    def forward(
        self, inputs: Tensor, mask: Tensor | None = None, gate_inputs: Tensor | None = None
    ) -> MoEOutput:
        """Send every token to its experts and add up their weighted answers.

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
        # Experts know no sequences: one flat batch of tokens.
        tokens_TD = inputs.reshape(-1, inputs.shape[-1])
        self._check("inputs", tokens_TD)
        routing: Routing = self.gate(seen, mask)
        self._check("gate's values", routing.weight_A)
        where = plan(routing)
        outputs_TO, rows_RO = self._mixture(tokens_TD, routing.weight_A, where)
        self._check("outputs", outputs_TO)
        outputs = outputs_TO.view(*inputs.shape[:-1], outputs_TO.shape[-1])
        return MoEOutput(outputs, routing, where, None if self.fused is True else rows_RO)

    def _mixture(
        self, tokens_TD: Tensor, weight_A: Tensor, where: Plan
    ) -> tuple[Tensor, Tensor | None]:
        # Shazeer et al. (2017), eq. 1: y = sum_i G(x)_i E_i(x), over the experts that were chosen.
        fused = None if self.fused is False else getattr(self.experts, "mixture", None)
        outputs_TO = fused and fused(tokens_TD, weight_A, where)
        if outputs_TO is not None:
            return outputs_TO, None
        rows_RO = self.experts(dispatch(tokens_TD, where), where)
        return combine(rows_RO, weight_A, where), rows_RO

    def _check(self, name: str, tensor: Tensor) -> None:
        if self.check_finite and not torch.isfinite(tensor).all():
            bad = int((~torch.isfinite(tensor)).sum())
            raise ValueError(f"the layer's {name} hold {bad} NaN or infinite of {tensor.numel()}")
