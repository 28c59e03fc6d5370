"""Train one seed."""

from dataclasses import dataclass
from math import inf, isfinite

import torch

from experiments.clusters.alignment import init_cluster
from experiments.clusters.data import ClusterData
from experiments.clusters.descent import optimiser
from experiments.clusters.evaluation import Metrics, answer_of, evaluate, expert_accuracy
from experiments.clusters.model import Inputs, Network, inputs_of
from experiments.clusters.objective import margin_loss, objective
from experiments.clusters.records import Records
from experiments.clusters.settings import ClustersConfig


@dataclass(frozen=True)
class Trained:
    """What remains of a seed.

    Attributes:
        row: of metrics.csv.
        records: curve and snapshots.
        init_cluster: see `experiments.clusters.alignment.init_cluster`, `[E]`.
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
        noise_seed = seed if config.noise_seed is None else config.noise_seed
        torch.manual_seed(noise_seed)
        steps, stop = _descend(network, train, config, records, noise_seed)
        if not config.fresh_noise:
            torch.manual_seed(noise_seed)
        answer = answer_of(network, train)
        loss = float(margin_loss(answer.margin_n, train.label_n, config.loss))
        records.see(steps, network, train, answer, loss, last=True)
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
            torch.manual_seed(noise_seed)
        batch = _batch(train, config.batch_size)
        answer = network(batch)
        loss, total = objective(answer, batch.label_n, config)
        records.see(count, network, batch, answer, loss.item(), last=False)
        if not isfinite(loss.item()):
            return count, "diverged"
        network.zero_grad()
        torch.autograd.backward(total)
        step()
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
