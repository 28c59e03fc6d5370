"""What is kept of a training while it runs. Shapes: n examples, E experts, K clusters."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from experiments.clusters.alignment import alignment
from experiments.clusters.data import Signals
from experiments.clusters.evaluation import accuracy, counts_of
from experiments.clusters.model import Answer, Inputs, Network
from experiments.clusters.settings import ClustersConfig
from moe.measures import dispatch_entropy

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

    def see(
        self, step: int, network: Network, inputs: Inputs, answer: Answer, loss: float, last: bool
    ) -> None:
        """Note a step's forward pass, where the settings ask for it or it is the last.

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
