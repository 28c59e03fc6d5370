"""What is minimised, and how fast.

Shapes: B sentences, T target positions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.translation.batches import Batch
from experiments.translation.settings import TranslationConfig
from experiments.translation.subwords import PAD
from experiments.translation.translator import Output


def cross_entropy(output: Output, batch: Batch, smoothing: float = 0.0) -> Tensor:
    """Mean over the target's subwords, ends included, in nats; a scalar."""
    return F.cross_entropy(
        output.logits.flatten(0, 1),
        batch.target_out_BT.flatten(),
        ignore_index=PAD,
        label_smoothing=smoothing,
    )


def balance(output: Output, config: TranslationConfig) -> Tensor:
    """The weighted sum of the auxiliary losses of all mixtures, a scalar.

    Source: Shazeer et al. (2017), equations 7, 11 and 20; that layers are summed is not stated.
    """
    weights = {
        "importance": config.importance_weight,
        "load": config.load_weight,
        "batchwise": config.batchwise_weight,
    }
    losses = [
        weights[name] * loss
        for each in output.moe.values()
        for name, loss in each.routing.losses.items()
    ]
    return torch.stack(losses).sum() if losses else output.logits.new_zeros(())


def learning_rate(step: int, config: TranslationConfig) -> float:
    """Up in a line, constant, then by the inverse square root of the step.

    Source: Shazeer et al. (2017), appendix E.
    """
    if step < config.warm_up_steps:
        return config.learning_rate * (step + 1) / config.warm_up_steps
    steady = config.warm_up_steps + config.constant_steps
    if step < steady:
        return config.learning_rate
    return float(config.learning_rate * (steady / (step + 1)) ** 0.5)
