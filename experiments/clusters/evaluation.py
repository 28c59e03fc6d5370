"""What a network does once it is trained. Shapes: n examples, E experts, K clusters."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from experiments.clusters.model import Answer, Inputs, Network, whole_plan
from moe.measures import (
    counts_by_class,
    dispatch_entropy,
    effective_number,
    routing_agreement,
)

LIVE_SHARE = 0.01
"""An expert is live that gets more than this share of the training examples; not stated."""

OWN_SHARE = 0.95
"""One to one: each cluster's own expert gets at least this share of it; not stated."""

Metrics = dict[str, float | int | bool | str | None]


def accuracy(margin_n: Tensor, label_n: Tensor) -> Tensor:
    """Share of examples whose margin has the sign of their label, a scalar."""
    return (margin_n * label_n > 0).double().mean()


def counts_of(answer: Answer, inputs: Inputs, num_clusters: int) -> Tensor:
    """Examples of each cluster at each expert, `[K, E]`."""
    if answer.routing is None:
        return torch.bincount(inputs.cluster_n, minlength=num_clusters)[:, None]
    return counts_by_class(answer.routing, inputs.cluster_n, num_clusters)


@torch.no_grad()
def answer_of(network: Network, inputs: Inputs) -> Answer:
    """The network's answer as the protocol evaluates."""
    network.eval()
    answer: Answer = network(inputs)
    return answer


@contextmanager
def _without_noise(network: Network) -> Iterator[None]:
    if network.gate is None:
        yield
        return
    before = network.gate.noise_in_evaluation
    network.gate.noise_in_evaluation = False
    try:
        yield
    finally:
        network.gate.noise_in_evaluation = before


def evaluate(
    network: Network, train: Inputs, test: Inputs, init_cluster_E: Tensor, num_clusters: int
) -> Metrics:
    """The row of metrics.csv of one seed, from the columns that only the network decides.

    Args:
        network: at the end of its training.
        train: training sample.
        test: test sample.
        init_cluster_E: see `experiments.clusters.alignment.init_cluster`.
        num_clusters: K, of which a small sample may lack some.
    """
    on_train, on_test = answer_of(network, train), answer_of(network, test)
    row: Metrics = {
        "train_accuracy": float(accuracy(on_train.margin_n, train.label_n)),
        "test_accuracy": float(accuracy(on_test.margin_n, test.label_n)),
    }
    with _without_noise(network):
        clean, clean_test = answer_of(network, train), answer_of(network, test)
    row["clean_test_accuracy"] = float(accuracy(clean_test.margin_n, test.label_n))
    if on_train.routing is None:
        return row
    count_KE = counts_of(on_train, train, num_clusters)
    return {
        **row,
        "entropy": float(dispatch_entropy(count_KE)),
        "test_entropy": float(dispatch_entropy(counts_of(on_test, test, num_clusters))),
        "clean_entropy": float(dispatch_entropy(counts_of(clean, train, num_clusters))),
        "agreement": routing_agreement(on_train.routing, train.cluster_n),
        **_division_of_labour(
            count_KE, expert_accuracy(network, test, num_clusters), init_cluster_E
        ),
    }


def _division_of_labour(count_KE: Tensor, accuracy_EK: Tensor, init_cluster_E: Tensor) -> Metrics:
    load_E = count_KE.sum(dim=0).double()
    live_E = load_E > LIVE_SHARE * load_E.sum()
    expert_K = count_KE.argmax(dim=1)
    own_share_K = count_KE.amax(dim=1) / count_KE.sum(dim=1)
    own_KE = torch.nn.functional.one_hot(count_KE.argmax(dim=0), len(count_KE)).bool()
    is_there_EK = live_E[:, None] & accuracy_EK.isfinite()
    own, others = accuracy_EK[own_KE & is_there_EK], accuracy_EK[~own_KE & is_there_EK]
    clusters = torch.arange(len(expert_K), device=expert_K.device)
    return {
        "num_live_experts": int(live_E.sum()),
        "effective_experts": float(effective_number(load_E / load_E.sum())),
        "one_to_one": bool(
            len(set(expert_K.tolist())) == len(expert_K) and (own_share_K >= OWN_SHARE).all()
        ),
        "own_accuracy": float(own.mean()),
        "swapped_accuracy": float(others.mean()) if others.numel() else None,
        "init_predicts": int((init_cluster_E[expert_K] == clusters).sum()),
    }


@torch.no_grad()
def expert_accuracy(network: Network, inputs: Inputs, num_clusters: int) -> Tensor:
    """Accuracy of every expert on every cluster, whoever the gate would send there, `[E, K]`.

    NaN of a cluster that the sample lacks.
    """
    num_experts = network.experts.num_experts
    of_cluster_K = torch.bincount(inputs.cluster_n, minlength=num_clusters)
    rows = []
    for expert in range(num_experts):
        where = whole_plan(len(inputs.rows), inputs.rows.device, expert, num_experts)
        margin_n = network.experts(inputs.rows, where).squeeze(-1)
        right_n = (margin_n * inputs.label_n > 0).double()
        rows.append(torch.bincount(inputs.cluster_n, right_n, num_clusters) / of_cluster_K)
    return torch.stack(rows)
