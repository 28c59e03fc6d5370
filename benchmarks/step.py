"""A whole training step at 2,048 experts: gate, experts, balance losses, optimiser.

The usual way (a flat noisy top-k gate, `F.grouped_mm`, Adam as it comes) against this package's
(a two-level gate, the fastest backend, fused Adam; or the factored second moment, updated inside
the backward pass). Both keep freed memory, which favours the usual way: by default it does not.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table

from experiments.scaling.timing import interleaved, ratios, spread
from moe.balance import importance_loss
from moe.gates import Gate, HierarchicalGate, NoisyTopKGate
from moe.grouped import Backend
from moe.layer import MoE
from moe.memory import keep_memory
from moe.optimisers import FactoredAdam
from moe.stacked import FeedForwardExperts

BALANCE = 0.01  # Shazeer et al. (2017), section 5.3: w_importance = w_load = 0.01.


@dataclass(frozen=True)
class Size:
    """The layer's size."""

    num_tokens: int = 4_096
    num_experts: int = 2_048
    num_groups: int = 64
    num_features: int = 128
    num_hidden: int = 256


def _flat(size: Size) -> Gate:
    return NoisyTopKGate(size.num_features, size.num_experts, k=4)


def _two_level(size: Size) -> Gate:
    return HierarchicalGate(size.num_features, size.num_experts, size.num_groups)


def step(
    size: Size,
    gate: Gate,
    backend: Backend,
    optimiser_of: Callable[[MoE], torch.optim.Optimizer],
) -> Callable[[], None]:
    """A function that takes one training step of a freshly made layer."""
    # All contenders begin with the same weights and tokens where their sizes agree.
    torch.manual_seed(0)
    experts = FeedForwardExperts(
        size.num_experts, size.num_features, size.num_hidden, backend=backend
    )
    layer = MoE(gate, experts)
    tokens = torch.randn(size.num_tokens, size.num_features)
    optimiser = optimiser_of(layer)

    def work() -> None:
        optimiser.zero_grad(set_to_none=True)
        output = layer(tokens)
        # L = L_task + w (CV(Importance)^2 + CV(Load)^2) (equations 7 and 11).
        balance = importance_loss(output.routing.importance_E) + output.routing.losses["load"]
        loss = (output.outputs - tokens).square().mean() + BALANCE * balance
        loss.backward()
        optimiser.step()

    return work


def _factored(layer: MoE) -> torch.optim.Optimizer:
    optimiser = FactoredAdam(layer.parameters(), lr=1e-3)
    # Gradients of experts are used in blocks, and never stand whole in memory (appendix D).
    for stack in layer.stacks:
        optimiser.attach(stack)
    return optimiser


def contenders(size: Size) -> dict[str, Callable[[], None]]:
    """The steps to compare, the usual way first."""
    return {
        # Adam as it comes is a loop over the weights on a CPU.
        "flat gate, F.grouped_mm, Adam": step(
            size,
            _flat(size),
            Backend.torch_grouped,
            lambda layer: torch.optim.Adam(layer.parameters()),
        ),
        "two-level gate, ours, fused Adam": step(
            size,
            _two_level(size),
            Backend.auto,
            lambda layer: torch.optim.Adam(layer.parameters(), fused=True),
        ),
        "two-level gate, ours, factored in backward": step(
            size, _two_level(size), Backend.auto, _factored
        ),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    keep_memory()
    size = Size()
    seconds = interleaved(contenders(size), options.rounds)
    usual = next(iter(seconds.values()))
    title = f"training step, {size.num_tokens:,} tokens, {size.num_experts:,} experts"
    table = Table("step", "ms", "times faster", title=title)
    for name, times in seconds.items():
        table.add_row(name, spread([1e3 * time for time in times], 0), spread(ratios(usual, times)))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
