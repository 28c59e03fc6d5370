"""Adam for what every word uses; the factored second moment for the experts.

Experts are updated inside the backward pass, so that their gradients never pile up (appendix D of
Shazeer et al. 2017), unless a step takes several batches; they are not part of the clipped norm.
"""

from typing import Any

import torch
from torch import nn

from experiments.translation.settings import TranslationConfig
from experiments.translation.translator import Translator
from moe.optimisers import FactoredAdam


class Optimisers:
    """Both optimisers as one."""

    def __init__(self, model: Translator, config: TranslationConfig) -> None:
        """Share out the weights; with several batches per step gradients of experts are kept."""
        self.clip_norm = config.clip_norm
        stacks = [stack for block in model.blocks() for stack in block.layer.stacks]
        held = {id(stack.weight) for stack in stacks}
        of_experts = [] if config.factored else [stack.weight for stack in stacks]
        self.others = [weight for weight in model.parameters() if id(weight) not in held]
        # The gate may learn at another rate than the rest: its logits must outgrow the noise that
        # they start in. Clipping goes by the norm of both together.
        of_gate = [weight for block in model.blocks() for weight in block.layer.gate.parameters()]
        gates = {id(weight) for weight in of_gate}
        plain = [weight for weight in self.others if id(weight) not in gates]
        groups = [(plain, 1.0)] + [(of_gate, config.gate_learning_rate)] * bool(of_gate)
        groups += [(of_experts, config.expert_learning_rate)] * bool(of_experts)
        self.shares = [[share for _, share in groups]]
        # The paper trains everything else by Adam (appendices C and E).
        self.each: list[torch.optim.Optimizer] = [
            # Its betas are torch's own, since the paper does not state any.
            torch.optim.Adam(
                [{"params": weights} for weights, _ in groups],
                lr=config.learning_rate,
                fused=True,
            )
        ]
        if stacks and config.factored:
            factored = FactoredAdam(
                [stack.weight for stack in stacks],
                lr=config.expert_learning_rate * config.learning_rate,
                stochastic_rounding=True,
                seed=config.seed,
            )
            # Blocks of gradients are used at once and never summed: over several batches experts
            # have ordinary gradients.
            for stack in stacks if config.batches_per_step == 1 else []:
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
        """Clip and update; the experts were updated in the backward pass."""
        # By the norm of what is left: gradients of experts are gone by now.
        nn.utils.clip_grad_norm_(self.others, self.clip_norm)
        for optimiser in self.each:
            optimiser.step()

    def state(self) -> list[dict[str, Any]]:
        """For a checkpoint."""
        return [optimiser.state_dict() for optimiser in self.each]

    def load(self, states: list[dict[str, Any]]) -> None:
        """From a checkpoint."""
        for optimiser, state in zip(self.each, states, strict=True):
            optimiser.load_state_dict(state)
