"""What is minimised. Shapes: n examples."""

import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.clusters.model import Answer
from experiments.clusters.settings import ClustersConfig, Loss


def margin_loss(margin_n: Tensor, label_n: Tensor, loss: Loss) -> Tensor:
    """Mean loss of a sample, a scalar.

    `logistic`: log(1 + exp(-y F)), section 3. `bounded`: log(1 + exp(-y tanh(F / 2))), what the
    authors' code computes: softmax over two outputs, and then a cross-entropy that applies softmax
    again. Its least value is log(1 + 1 / e), about 0.3133.
    """
    if loss is Loss.bounded:
        margin_n = torch.tanh(margin_n / 2)
    return F.softplus(-label_n * margin_n).mean()


def objective(answer: Answer, label_n: Tensor, config: ClustersConfig) -> tuple[Tensor, Tensor]:
    """The loss, and the loss with the balance loss that is minimised; scalars."""
    loss = margin_loss(answer.margin_n, label_n, config.loss)
    if answer.routing is None or config.balance_weight == 0:
        return loss, loss
    return loss, loss + config.balance_weight * answer.routing.losses["switch"]
