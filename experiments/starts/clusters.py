"""The clusters study from another start, seed by seed.

Shapes: n examples, D features, K clusters, E experts.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from experiments.clusters import data
from experiments.clusters.data import Signals
from experiments.clusters.evaluation import accuracy, answer_of
from experiments.clusters.model import Inputs, Network, inputs_of
from experiments.clusters.training import objective, optimiser
from experiments.run_folder import RunFolder
from experiments.starts.measures import Row, agreements, references, row
from experiments.starts.settings import ClustersStartConfig, ExpertStart, GateStart
from moe.measures import expert_similarity, first_choices
from moe.routing import assignments_per_expert

Seed = dict[str, Any]


def run(
    config: ClustersStartConfig, folder: RunFolder, report: Callable[[str, float], None]
) -> dict[str, Any]:
    """Train all seeds from the start that the config asks for, on one data set.

    Writes start.csv (see `experiments.starts.measures.row`; loss is that of the batch),
    metrics.csv (seed, test_accuracy), choices.npz (each test example's expert without noise) and,
    if asked for, references.csv.

    Args:
        config: the settings.
        folder: a claimed run folder.
        report: called with a stage's name and the share of it that is done.

    Returns:
        Facts for the manifest: the seeds.
    """
    seeds = list(range(config.first_seed, config.first_seed + config.num_seeds))
    sample = data.load(config)
    train, test = (inputs_of(each, sample.signals, config) for each in (sample.train, sample.test))
    kept = folder.load_checkpoint() or {"done": []}
    # Seed by seed: an interrupted run goes on with the first seed that is not there.
    done: list[Seed] = kept["done"]
    for seed in seeds[len(done) :]:
        done.append(_train_seed(config, sample.signals, train, test, seed))
        folder.save_checkpoint({"done": done})
        report("seeds", len(done) / len(seeds))
    folder.write_table("start", pd.DataFrame([each for seed in done for each in seed["rows"]]))
    metrics = [{"seed": seed["seed"], "test_accuracy": seed["test_accuracy"]} for seed in done]
    folder.write_table("metrics", pd.DataFrame(metrics))
    groups = {"cluster": test.cluster_n.cpu().numpy()}
    folder.write_arrays(
        "choices", {"expert": torch.stack([seed["expert"] for seed in done]).numpy(), **groups}
    )
    if config.references:
        inputs_nD = test.sums_nD.double().cpu().numpy()
        folder.write_table("references", references(inputs_nD, groups))
    return {"seeds": seeds}


def begin(network: Network, signals: Signals, config: ClustersStartConfig, seed: int) -> None:
    """Give a fresh network the start that the config asks for."""
    weight_EDJ = network.experts.filters.weight.data
    signals = signals.to(weight_EDJ.device)
    # With equal weights no expert has a reason to part from the others but the noise or a tie.
    if config.expert_start is ExpertStart.identical:
        weight_EDJ[:] = weight_EDJ[:1].clone()
    if config.expert_noise:
        # A stream of its own, so that the noise is not the numbers that made the filters.
        random = np.random.default_rng([seed, config.num_experts])
        drawn = torch.from_numpy(random.standard_normal(tuple(weight_EDJ.shape)))
        noise = drawn.to(weight_EDJ.device)
        # A share of the filters' own spread, in published runs a thousandth of torch's.
        weight_EDJ += (config.expert_noise * weight_EDJ.std() * noise).float()
    if config.gate_start is GateStart.collapsed and network.gate is not None:
        # The gate has no bias; every example has the centre of its cluster, at least so large.
        least = config.input_scale * config.beta[0]
        direction_D = signals.centre_KD.sum(dim=0)
        # The centres are orthonormal: <sum_k c_k, x> is beta times the scale for a centre's own
        # patch, so that the first expert leads by `collapse` at least, but for the noise.
        network.gate.weight_DE.data[:, 0] = config.collapse / least * direction_D


def _train_seed(
    config: ClustersStartConfig, signals: Signals, train: Inputs, test: Inputs, seed: int
) -> Seed:
    network = Network(config, signals, seed)
    begin(network, signals, config, seed)
    is_frozen = config.gate_start is GateStart.frozen
    # A step of zero leaves the gate where it is, and its gradient can still be measured.
    step = optimiser(network, replace(config, gate_step=0.0) if is_frozen else config)
    rows: list[Row] = []
    device = train.rows.device
    # Noise of the gate is drawn from torch's generator, which others share.
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        # One measurement more than updates: the last one is of the trained network.
        for count in range(config.max_steps + 1):
            network.train()
            measured = _learn(network, train, config)
            if count % config.curve_every == 0 or count == config.max_steps:
                rows.append(_row(count, seed, network, train, *measured))
            if count < config.max_steps:
                step()
        answer = answer_of(network, test)
    assert answer.routing is not None
    return {
        "seed": seed,
        "rows": rows,
        "test_accuracy": float(accuracy(answer.margin_n, test.label_n)),
        "expert": first_choices(answer.routing).cpu(),
    }


def _learn(
    network: Network, train: Inputs, config: ClustersStartConfig
) -> tuple[float, torch.Tensor]:
    """Give the weights the gradients of a full batch.

    Returns:
        The task's loss, and each example's expert.
    """
    answer = network(train)
    loss, total = objective(answer, train.label_n, config)
    network.zero_grad()
    torch.autograd.backward(total)
    return float(loss.detach()), first_choices(answer.routing)


def _row(
    count: int, seed: int, network: Network, train: Inputs, loss: float, expert_n: torch.Tensor
) -> Row:
    assert network.gate is not None
    share_E = assignments_per_expert(expert_n, network.experts.num_experts).float()
    similarity = float(expert_similarity(network.experts.filters.weight))
    gradient = network.gate.weight_DE.grad
    # Of all that is minimised: where there is a balance loss, its share is in it.
    norm = 0.0 if gradient is None else float(gradient.norm())
    own = row(count, seed, loss, share_E, similarity, norm)
    return own | agreements(expert_n.cpu().numpy(), {"cluster": train.cluster_n.cpu().numpy()})
