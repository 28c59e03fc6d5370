"""Optimisers of the models with sparse experts, as one: Adam, and factored moments for experts.

Experts are updated inside the backward pass, so that their gradients never pile up (appendix D of
Shazeer et al. 2017). They are no part of the clipped norm: their gradients are gone by then.
"""

from collections.abc import Sequence
from math import isfinite
from typing import Any, Protocol

import torch
from torch import nn

from experiments.runner.errors import UserError
from moe.optimisers import FactoredAdam
from moe.stacked import StackedLinear


class BlownUp(UserError):
    """A training whose loss is no finite number any more."""


def finite(loss: float, where: str) -> float:
    """The loss, if it is a number.

    Args:
        loss: of a step.
        where: which step, for the error.

    Raises:
        BlownUp: it is not finite.
    """
    if not isfinite(loss):
        raise BlownUp(
            f"The loss is {loss} at {where}.",
            "Take a smaller study.learning_rate; the last checkpoint is kept.",
        )
    return loss


class Rates(Protocol):
    """Settings of the optimisers; the rates of gate and experts are shares of the first."""

    learning_rate: float
    gate_learning_rate: float
    expert_learning_rate: float
    factored: bool
    clip_norm: float


class Optimisers:
    """Adam for what every word uses; for the experts as well, or the factored second moment."""

    def __init__(
        self,
        others: Sequence[nn.Parameter],
        of_gate: Sequence[nn.Parameter],
        stacks: Sequence[StackedLinear],
        config: Rates,
        seed: int,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        in_backward: bool = True,
    ) -> None:
        """Share out the weights.

        Args:
            others: all weights but those of experts; their gradients are clipped together.
            of_gate: those among them that belong to gates.
            stacks: the experts.
            config: the rates, and whether the experts' moment is factored.
            seed: of the stochastic rounding.
            betas: of Adam; torch's own where nothing is stated.
            in_backward: whether factored experts are updated in the backward pass; blocks of
                gradients are never summed then, so that a step takes one batch.
        """
        self.clipped, self.clip_norm = others, config.clip_norm
        of_experts = [] if config.factored else [stack.weight for stack in stacks]
        gates = {id(weight) for weight in of_gate}
        # The gate and the experts may learn at another rate than the rest. In trials on small
        # models the gate's rate decided how soon its logits outgrow the noise that they start in.
        groups = [
            ([weight for weight in others if id(weight) not in gates], 1.0),
            (list(of_gate), config.gate_learning_rate),
            (of_experts, config.expert_learning_rate),
        ]
        self.shares = [[share for weights, share in groups if weights]]
        # The paper trains everything else by Adam (appendices C and E).
        self.each: list[torch.optim.Optimizer] = [
            torch.optim.Adam(
                [{"params": weights} for weights, _ in groups if weights],
                lr=config.learning_rate,
                betas=betas,
                # One call for all weights: on a CPU torch's default, a loop over them, took eight
                # times as long for 134 million weights.
                fused=True,
            )
        ]
        if stacks and config.factored:
            factored = FactoredAdam(
                [stack.weight for stack in stacks],
                lr=config.expert_learning_rate * config.learning_rate,
                stochastic_rounding=True,
                seed=seed,
            )
            for stack in stacks if in_backward else []:
                factored.attach(stack)
            self.each.append(factored)
            self.shares.append([config.expert_learning_rate])

    def begin(self, learning_rate: float) -> None:
        """Prepare a step: no gradients, and its learning rate."""
        for optimiser, shares in zip(self.each, self.shares, strict=True):
            optimiser.zero_grad(set_to_none=True)
            for group, share in zip(optimiser.param_groups, shares, strict=True):
                group["lr"] = share * learning_rate

    def step(self) -> None:
        """Clip and update; factored experts were updated in the backward pass."""
        nn.utils.clip_grad_norm_(self.clipped, self.clip_norm)
        for optimiser in self.each:
            optimiser.step()

    def state(self) -> list[dict[str, Any]]:
        """For a checkpoint."""
        return [optimiser.state_dict() for optimiser in self.each]

    def load(self, states: list[dict[str, Any]]) -> None:
        """From a checkpoint."""
        for optimiser, state in zip(self.each, states, strict=True):
            optimiser.load_state_dict(state)
