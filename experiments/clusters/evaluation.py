"""What is measured of a network, once it is trained and while it is.

Shapes: n examples, E experts, K clusters, D features of a patch, J filters.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from experiments.clusters.data import Signals
from experiments.clusters.model import Answer, Inputs, Network, plan_of_one_expert
from experiments.clusters.settings import ClustersConfig
from moe.measures import (
    counts_by_class,
    dispatch_entropy,
    effective_number,
    routing_agreement,
)

# An expert is live that gets more than this share of the training examples; not stated.
LIVE_SHARE = 0.01

# One to one: each cluster's own expert gets at least this share of it; not stated.
OWN_SHARE = 0.95

Metrics = dict[str, float | int | bool | str | None]


def accuracy(margin_n: Tensor, label_n: Tensor) -> Tensor:
    """Share of examples whose margin has the sign of their label, a scalar."""
    # y F(x) > 0; a margin of exactly zero is wrong.
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
        init_cluster_E: see `experiments.clusters.evaluation.init_cluster`.
        num_clusters: K, of which a small sample may lack some.
    """
    on_train, on_test = answer_of(network, train), answer_of(network, test)
    row: Metrics = {
        "train_accuracy": float(accuracy(on_train.margin_n, train.label_n)),
        "test_accuracy": float(accuracy(on_test.margin_n, test.label_n)),
    }
    # The paper does not say whether it evaluates with noise; both are measured.
    with _without_noise(network):
        clean, clean_test = answer_of(network, train), answer_of(network, test)
    row["clean_test_accuracy"] = float(accuracy(clean_test.margin_n, test.label_n))
    if on_train.routing is None:
        return row
    count_KE = counts_of(on_train, train, num_clusters)
    return {
        **row,
        # Equation 6.1: H = -sum_m sum_k (n_km / n) log(n_km / n_m), in nats, at most log K.
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
    # Experts with a stray example are not at work.
    live_E = load_E > LIVE_SHARE * load_E.sum()
    expert_K = count_KE.argmax(dim=1)
    own_share_K = count_KE.amax(dim=1) / count_KE.sum(dim=1)
    # Cluster by expert: true where the cluster sends that expert most of what it gets.
    own_KE = torch.nn.functional.one_hot(count_KE.argmax(dim=0), len(count_KE)).bool()
    is_there_EK = live_E[:, None] & accuracy_EK.isfinite()
    own, others = accuracy_EK[own_KE & is_there_EK], accuracy_EK[~own_KE & is_there_EK]
    # Section 5 asks whether the expert that won a cluster is one of its M_k at the start.
    clusters = torch.arange(len(expert_K), device=expert_K.device)
    return {
        "num_live_experts": int(live_E.sum()),
        "effective_experts": float(effective_number(load_E / load_E.sum())),
        # As many different experts as clusters, and each has nearly all of its cluster.
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
    # Expert by expert: all of them at once would copy every example E times.
    for expert in range(num_experts):
        where = plan_of_one_expert(len(inputs.rows), inputs.rows.device, expert, num_experts)
        margin_n = network.experts(inputs.rows, where).squeeze(-1)
        right_n = (margin_n * inputs.label_n > 0).double()
        # Weighted counts: right answers by cluster over examples by cluster.
        rows.append(torch.bincount(inputs.cluster_n, right_n, num_clusters) / of_cluster_K)
    return torch.stack(rows)


@torch.no_grad()
def alignment(network: Network, signals: Signals) -> dict[str, Tensor]:
    """How much each expert and each gate vector has of each signal, `[E, K]`.

    Source: Chen et al. (2022), appendix, figures of inner products.

    Returns:
        expert_feature and expert_centre: max over filters of |<w, v_k>| and |<w, c_k>|;
        gate_feature and gate_centre: <theta, v_k> and <theta, c_k>, where there is a gate.
    """
    filters_EDJ = network.experts.filters.weight[:, : signals.feature_KD.shape[1]]
    # With a bias the last feature is constant, and no signal has it.
    found = {
        "expert_feature": (signals.feature_KD @ filters_EDJ).abs().amax(dim=2),
        "expert_centre": (signals.centre_KD @ filters_EDJ).abs().amax(dim=2),
    }
    if network.gate is not None:
        weight_ED = network.gate.weight_DE.T
        found["gate_feature"] = weight_ED @ signals.feature_KD.T
        found["gate_centre"] = weight_ED @ signals.centre_KD.T
    return found


@torch.no_grad()
def init_cluster(network: Network, signals: Signals) -> Tensor:
    """The cluster whose feature an expert's filters see best, `[E]`; asked of a fresh network.

    Source: Chen et al. (2022), section 5: M_k holds the experts whose argmax over k' and j of
    <v_k', w_mj(0)> is k. With a second head, whose filters count negatively, of - <v_k', w_mj(0)>.
    """
    experts = network.experts
    filters_EDJ = experts.filters.weight[:, : signals.feature_KD.shape[1]]
    banks = (signals.feature_KD @ filters_EDJ).chunk(experts.num_heads, dim=2)
    # max over j of <v_k, w_mj>, or of - <v_k, w_mj> in the head that is subtracted.
    best_EK = torch.stack([bank.amax(2) for bank in (banks[0], *(-bank for bank in banks[1:]))])
    return best_EK.amax(dim=0).argmax(dim=1)


CURVE = ("step", "loss", "train_accuracy", "entropy")


@dataclass
class Records:
    """Curve and snapshots of one seed.

    Attributes:
        curve: rows of `CURVE`; the entropy of a single network is NaN.
        steps: of the snapshots.
        snapshots: arrays by name, one tensor per snapshot.
    """

    config: ClustersConfig
    signals: Signals
    keep_picture: bool
    curve: list[list[float]] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    snapshots: dict[str, list[Tensor]] = field(default_factory=dict)

    def record(
        self, step: int, network: Network, inputs: Inputs, answer: Answer, loss: float, last: bool
    ) -> None:
        """Record a step's forward pass, where the settings ask for it or it is the last.

        Args:
            step: updates before it.
            network: as it answered.
            inputs: what it answered.
            answer: its answer.
            loss: of the answer.
            last: whether training is over.
        """
        if last or step % self.config.curve_every == 0:
            self._add_point(step, inputs, answer, loss)
        if last or step % self.config.snapshot_every == 0:
            self._add_snapshot(step, network, inputs, answer)

    def _add_point(self, step: int, inputs: Inputs, answer: Answer, loss: float) -> None:
        # A single network divides nothing.
        entropy = torch.nan
        if answer.routing is not None:
            entropy = float(dispatch_entropy(counts_of(answer, inputs, self.config.num_clusters)))
        right = float(accuracy(answer.margin_n.detach(), inputs.label_n))
        self.curve.append([step, loss, right, entropy])

    def _add_snapshot(self, step: int, network: Network, inputs: Inputs, answer: Answer) -> None:
        found = {
            "counts": counts_of(answer, inputs, self.config.num_clusters),
            **alignment(network, self.signals),
        }
        if self.keep_picture:
            found["predictions"] = answer.margin_n.detach().sign().to(torch.int8)
            if answer.routing is not None:
                found["choices"] = answer.routing.expert_A.to(torch.int16)
        self.steps.append(step)
        for name, tensor in found.items():
            self.snapshots.setdefault(name, []).append(tensor.cpu().clone())
