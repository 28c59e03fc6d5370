"""The starts of the translation mixture. Shapes: T tokens, D features, E experts."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from experiments.questions.settings import ExpertStart, TranslationStartConfig
from experiments.translation.batches import Batch, collate, order
from experiments.translation.blocks import MoEBlock
from experiments.translation.encoded import Encoded
from experiments.translation.training import Training
from moe.layer import MoEOutput

# Ridge of the least squares by which a gate is collapsed.
_RIDGE = 1e-3


@torch.no_grad()
def begin_experts(block: MoEBlock, config: TranslationStartConfig) -> None:
    """Give a mixture the experts that the config asks for, in place."""
    generator = torch.Generator().manual_seed(config.seed)
    for stack in block.layer.stacks:
        if config.expert_start is ExpertStart.identical:
            stack.weight[:] = stack.weight[:1].clone()
        if config.expert_noise:
            noise = torch.randn(stack.weight.shape, generator=generator)
            stack.weight.add_(noise * stack.weight.std(), alpha=config.expert_noise)


@torch.no_grad()
def freeze(block: MoEBlock, config: TranslationStartConfig) -> None:
    """Hold the gate still, at random weights: at zeros all would go to the first k experts."""
    gate = block.layer.gate
    weight = gate.get_parameter("weight_D2E")
    generator = torch.Generator().manual_seed(config.seed)
    weight[:, 0] = torch.randn(weight[:, 0].shape, generator=generator) / config.width**0.5
    weight.requires_grad_(False)


@torch.no_grad()
def collapse(training: Training, train: Encoded) -> None:
    """Give the first expert a lead on (almost) every token, by least squares on one batch."""
    config: Any = training.config
    batch = first_batch(train, config.tokens_per_batch)
    ask = partial(training.model, batch.source_BS, batch.target_in_BT)
    for block in training.model.blocks():
        inputs_TD, _ = seen(block, ask)
        weight = block.layer.gate.get_parameter("weight_D2E")
        wanted_T = inputs_TD.new_full((len(inputs_TD),), config.collapse)
        gram_DD = inputs_TD.T @ inputs_TD + _RIDGE * torch.eye(inputs_TD.shape[1])
        weight[:, 0] = 0.0
        weight[:, 0, 0] = torch.linalg.solve(gram_DD, inputs_TD.T @ wanted_T)


def first_batch(pairs: Encoded, tokens_per_batch: int) -> Batch:
    """The first batch of the first epoch."""
    return collate(pairs, next(order(pairs, tokens_per_batch, 0, 0)))


def seen(block: MoEBlock, ask: Callable[[], object]) -> tuple[Tensor, MoEOutput]:
    """What a mixture is given, `[T, D]` without padding, and what it answers, while `ask` runs."""
    found: list[tuple[Tensor, MoEOutput]] = []

    def note(module: nn.Module, given: tuple[Tensor, Tensor], output: MoEOutput) -> None:
        inputs, mask = given
        found.append((inputs[mask].detach(), output))

    hook = block.layer.register_forward_hook(note)
    ask()
    hook.remove()
    return found[0]
