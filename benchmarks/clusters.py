"""Time per step of the clusters study against the paper written down plainly.

Every round times all contenders in turn on one thread, so each ratio is taken within one run. The
plain reference convolves a masked copy of all data for every expert, as the authors' notebooks do.
The floor is the time of the two products with the noise patches and the two with the gate's inputs,
at the speed of torch's largest product on this thread, or of moving their bytes, if that is more.
"""

import argparse
import statistics
from dataclasses import replace

import torch
from rich.console import Console
from rich.table import Table

from experiments.clusters import data
from experiments.clusters.model import Network, inputs_of
from experiments.clusters.reference import reference_loss
from experiments.clusters.settings import Activation, ClustersConfig
from experiments.clusters.training import margin_loss, optimiser
from experiments.scaling.timing import interleaved, ratios, spread

_PUBLISHED_STEPS = 501
# Steps until the gate has begun to choose: an untrained one spreads its load evenly.
_WARM_UP = 60


class Contender:
    """A network in the middle of its training, and one more step of it, three ways."""

    def __init__(self, config: ClustersConfig) -> None:
        """Train until the gate has begun to choose."""
        self.config, self.sample = config, data.load(config)
        train = self.sample.train
        self.network = Network(config, self.sample.signals, 0)
        self.inputs = inputs_of(train, self.sample.signals, config)
        plain = replace(config, decompose=False)
        self.full = Network(plain, self.sample.signals, 0)
        self.full_inputs = inputs_of(train, self.sample.signals, plain)
        step = optimiser(self.network, config)
        for _ in range(_WARM_UP):
            self.decomposed()
            step()
        # The same weights: only the way to the answer differs.
        self.full.load_state_dict(self.network.state_dict())

    def decomposed(self) -> torch.Tensor:
        """The loss, with its gradients left at the weights, by the shorter way of `model`."""
        return self._grouped(self.network, self.inputs)

    def grouped(self) -> torch.Tensor:
        """The loss and gradients with examples grouped by expert, and every patch in full."""
        return self._grouped(self.full, self.full_inputs)

    def _grouped(self, network: Network, inputs: object) -> torch.Tensor:
        # The same noise in every way and round, so that all choose the same experts.
        torch.manual_seed(0)
        network.zero_grad()
        loss = margin_loss(network(inputs).margin_n, self.inputs.label_n, self.config.loss)
        torch.autograd.backward(loss)
        return loss.detach()

    def reference(self) -> torch.Tensor:
        """The loss, with its gradients left at the weights, by the plain reference."""
        torch.manual_seed(0)
        assert self.full.gate is not None
        weights = (self.full.experts.filters.weight, self.full.gate.weight_DE)
        noise = torch.rand(len(self.inputs.label_n), self.config.num_experts)
        self.full.zero_grad()
        loss = reference_loss(*weights, self.sample.train, noise, self.config)
        torch.autograd.backward(loss)
        return loss.detach()

    def agreement(self) -> str:
        """How far the losses and gradients of the three ways lie apart."""
        losses, gradients = [], []
        for way, network in (
            (self.decomposed, self.network),
            (self.grouped, self.full),
            (self.reference, self.full),
        ):
            losses.append(float(way()))
            gradients.append(network.experts.filters.weight.grad.clone())  # type: ignore[union-attr]
        largest = gradients[-1].abs().max()
        apart = max(float((each - gradients[-1]).abs().max() / largest) for each in gradients)
        return f"losses within {max(losses) - min(losses):.1e}, gradients within {apart:.1e}"


def floor_seconds(config: ClustersConfig) -> float:
    """What the inevitable products of one step take by themselves."""
    # A linear expert needs one product with the sum of its filters; the gate has a column per
    # expert.
    filters = 1 if config.activation is Activation.linear else config.num_filters
    columns = filters + config.num_experts
    # Two operations per multiply-add, forward and backward by the weights.
    num_flops = 2 * 2 * config.num_train * config.dim * columns
    num_bytes = 2 * 4 * config.num_train * (2 * config.dim + columns)
    big = torch.rand(1024, 1024)
    lots = torch.rand(16_000_000)
    probes = interleaved({"product": lambda: big @ big, "sum": lots.sum}, num_rounds=9)
    per_flop = statistics.median(probes["product"]) / (2 * 1024**3)
    per_byte = statistics.median(probes["sum"]) / (4 * len(lots))
    return max(num_flops * per_flop, num_bytes * per_byte)


def main() -> None:
    """Time a step of both mixtures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="how often each is timed (9)")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    console = Console(width=110)
    for activation in (Activation.cubic, Activation.linear):
        config = ClustersConfig(activation=activation)
        contender = Contender(config)
        console.print(f"\n{activation.value} experts, one thread: {contender.agreement()}")
        _print(console, contender, rounds)


def _print(console: Console, contender: Contender, rounds: int) -> None:
    ways = {
        "plain reference": contender.reference,
        "grouped by expert": contender.grouped,
        "grouped, shorter way": contender.decomposed,
    }
    times = interleaved(ways, rounds)
    floor = floor_seconds(contender.config)
    table = Table(
        "", "ms per step", f"s for {_PUBLISHED_STEPS} steps", "times faster", "over floor"
    )
    for name, seconds in times.items():
        own = statistics.median(seconds)
        table.add_row(
            name,
            f"{1e3 * own:.1f}",
            f"{_PUBLISHED_STEPS * own:.1f}",
            spread(ratios(times["plain reference"], seconds), 1),
            f"{own / floor:.1f}",
        )
    table.add_row("floor", f"{1e3 * floor:.1f}", f"{_PUBLISHED_STEPS * floor:.1f}", "", "1")
    console.print(table)


if __name__ == "__main__":
    main()
