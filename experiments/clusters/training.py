"""How one seed is trained: what is minimised, how weights move, when it ends.

Shapes: n examples, E experts, D features of a patch, J filters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite

import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.clusters.data import ClusterData
from experiments.clusters.evaluation import (
    Metrics,
    Records,
    answer_of,
    evaluate,
    expert_accuracy,
    init_cluster,
)
from experiments.clusters.model import Answer, Inputs, Network, inputs_of
from experiments.clusters.settings import ClustersConfig, Loss, Normalisation, Optimiser


def margin_loss(margin_n: Tensor, label_n: Tensor, loss: Loss) -> Tensor:
    """Mean loss of a sample, a scalar.

    `logistic`: log(1 + exp(-y F)), section 3. `bounded`: log(1 + exp(-y tanh(F / 2))), what the
    authors' code computes: softmax over two outputs, and then a cross-entropy that applies softmax
    again. Its least value is log(1 + 1 / e), about 0.3133.
    """
    if loss is Loss.bounded:
        margin_n = torch.tanh(margin_n / 2)
    # softplus(z) = log(1 + exp(z)), which does not overflow.
    return F.softplus(-label_n * margin_n).mean()


def objective(answer: Answer, label_n: Tensor, config: ClustersConfig) -> tuple[Tensor, Tensor]:
    """The loss, and the loss with the balance loss that is minimised; scalars."""
    loss = margin_loss(answer.margin_n, label_n, config.loss)
    if answer.routing is None or config.balance_weight == 0:
        return loss, loss
    # The appendix adds the balance loss of Fedus et al. (2021), with a coefficient.
    return loss, loss + config.balance_weight * answer.routing.losses["switch"]


Step = Callable[[], None]


def optimiser(network: Network, config: ClustersConfig) -> Step:
    """A function that moves the network along the gradients in its parameters' `grad`.

    `normalised` is algorithm 1 of the paper: gradient descent in which each expert's gradient is
    divided by its norm, and plain gradient descent for the gate. `adam` moves the filters by Adam.
    """
    filters = network.experts.filters.weight
    if config.optimiser is Optimiser.adam:
        # The authors' single networks; torch's Adam, with the decay in the gradient.
        adam = torch.optim.Adam([filters], config.step_size, weight_decay=config.weight_decay)
        move_filters: Step = adam.step
    else:

        def move_filters() -> None:
            _normalised_step(filters, config)

    def step() -> None:
        move_filters()
        if network.gate is not None:
            _plain_step(network.gate.weight_DE, config.gate_step)

    return step


@torch.no_grad()
def _plain_step(weight: Tensor, step_size: float) -> None:
    assert weight.grad is not None
    # Algorithm 1: theta <- theta - eta_r grad; the gate's gradient keeps its length.
    weight -= step_size * weight.grad


@torch.no_grad()
def _normalised_step(filters_EDJ: Tensor, config: ClustersConfig) -> None:
    gradient_EDJ = filters_EDJ.grad
    assert gradient_EDJ is not None
    if config.weight_decay:
        # As torch.optim.SGD has it: the decay is part of the gradient that is normalised.
        gradient_EDJ = gradient_EDJ + config.weight_decay * filters_EDJ
    # Algorithm 1: W_m <- W_m - eta grad_m / ||grad_m||_F for every expert m.
    filters_EDJ -= config.step_size * normalised(
        gradient_EDJ, config.normalisation, num_constant=int(config.bias)
    )


def normalised(gradient_EDJ: Tensor, normalisation: Normalisation, num_constant: int = 0) -> Tensor:
    """Divide each expert's gradient by its norm; an expert without a gradient does not move.

    Args:
        gradient_EDJ: of the experts' filters.
        normalisation: `frobenius`, the norm of all of an expert's weights (algorithm 1);
            `sum_of_norms`, that of the filters plus that of the biases (the authors' code);
            `separate`, filters and biases each by their own (their code of the entropy curves).
        num_constant: how many of the last features are constant: 1 with a bias.
    """
    if normalisation is Normalisation.none:
        return gradient_EDJ
    num_features = gradient_EDJ.shape[1] - num_constant
    # The authors' code keeps filters and biases as two parameters, and norms them one by one.
    parts = (gradient_EDJ[:, :num_features], gradient_EDJ[:, num_features:])
    norms = [part.flatten(1).norm(dim=1).view(-1, 1, 1) for part in parts]
    if normalisation is Normalisation.separate:
        return torch.cat([_over(*pair) for pair in zip(parts, norms, strict=True)], dim=1)
    if normalisation is Normalisation.sum_of_norms:
        return _over(gradient_EDJ, norms[0] + norms[1])
    # ||(w, b)||_F = sqrt(||w||^2 + ||b||^2).
    return _over(gradient_EDJ, torch.hypot(norms[0], norms[1]))


def _over(part: Tensor, norm: Tensor) -> Tensor:
    # Zero over zero would be NaN: an expert without examples has no gradient.
    return torch.where(norm > 0, part / norm, torch.zeros_like(part))


@dataclass(frozen=True)
class Trained:
    """What remains of a seed.

    Attributes:
        row: of metrics.csv.
        records: curve and snapshots.
        init_cluster: see `experiments.clusters.evaluation.init_cluster`, `[E]`.
        expert_accuracy: `[E, K]`.
    """

    row: Metrics
    records: Records
    init_cluster: torch.Tensor
    expert_accuracy: torch.Tensor


def train_seed(config: ClustersConfig, data: ClusterData, seed: int, keep_picture: bool) -> Trained:
    """Train and measure one seed; the same numbers, whatever was computed before.

    Args:
        config: the settings.
        data: of this seed.
        seed: of filters and routing noise, unless the settings fix one of them.
        keep_picture: keep every example's expert and prediction at each snapshot.
    """
    device = torch.device(config.device.value)
    signals = data.signals.to(device)
    train, test = (inputs_of(each, data.signals, config) for each in (data.train, data.test))
    network = Network(config, data.signals, seed if config.init_seed is None else config.init_seed)
    at_first = init_cluster(network, signals)
    records = Records(config, signals, keep_picture)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        # Drawn from torch's global stream, and left as it was for whoever runs next.
        noise_seed = seed if config.noise_seed is None else config.noise_seed
        torch.manual_seed(noise_seed)
        steps, stop = _descend(network, train, config, records, noise_seed)
        if not config.fresh_noise:
            torch.manual_seed(noise_seed)
        answer = answer_of(network, train)
        loss = float(margin_loss(answer.margin_n, train.label_n, config.loss))
        records.record(steps, network, train, answer, loss, last=True)
        measured = evaluate(network, train, test, at_first, config.num_clusters)
    row: Metrics = {"seed": seed, "steps": steps, "stop": stop, "diverged": not isfinite(loss)}
    row |= {"train_loss": loss, **measured}
    accuracy_EK = expert_accuracy(network, test, config.num_clusters)
    return Trained(row, records, at_first.cpu(), accuracy_EK.cpu())


def _descend(
    network: Network, train: Inputs, config: ClustersConfig, records: Records, noise_seed: int
) -> tuple[int, str]:
    """Returns the number of updates and what ended them."""
    step = optimiser(network, config)
    network.train()
    best = inf
    for count in range(config.max_steps):
        if not config.fresh_noise:
            # The same draws again at every step.
            torch.manual_seed(noise_seed)
        # The whole sample unless a batch size is set: algorithm 1 is full batch.
        batch = _batch(train, config.batch_size)
        answer = network(batch)
        loss, total = objective(answer, batch.label_n, config)
        records.record(count, network, batch, answer, loss.item(), last=False)
        # Before the update: the state that diverged is what is measured and kept.
        if not isfinite(loss.item()):
            return count, "diverged"
        network.zero_grad()
        torch.autograd.backward(total)
        step()
        # The authors' code asks only at steps that did not improve the loss.
        if loss.item() < best:
            best = loss.item()
        elif reason := _reason_to_stop(count, loss.item(), best, config):
            return count + 1, reason
    return config.max_steps, "last_step"


def _batch(train: Inputs, size: int) -> Inputs:
    if size == 0:
        return train
    return train.take(torch.randint(len(train.rows), (size,), device=train.rows.device))


def _reason_to_stop(count: int, loss: float, best: float, config: ClustersConfig) -> str | None:
    """The rule of the authors' code, asked at a step that did not improve the loss."""
    if not config.early_stop or count < config.stop_after:
        return None
    if loss > best + config.stop_rise:
        return "loss_rose"
    if config.stop_loss is not None and loss <= config.stop_loss:
        return "loss_low"
    return None
