"""What is timed: two limits, our backends, other libraries' code, and the gates.

Shapes: T tokens, D features.
"""

from collections.abc import Callable
from math import isqrt

import torch
from torch import Tensor

from experiments.scaling.settings import ScalingConfig
from moe.benchmarks.contenders import Cell, Problem
from moe.gates import Gate, HierarchicalGate, NoisyTopKGate

Work = Callable[[], object]


def contenders(config: ScalingConfig, num_experts: int) -> dict[str, Work]:
    """Forward and backward of each, by name."""
    cell = Cell(
        config.num_tokens,
        num_experts,
        config.skew,
        config.k,
        config.num_features,
        config.num_hidden,
    )
    problem = Problem(cell)
    return {**problem.contenders(), **_gates(config, num_experts, problem.tokens_TD)}


def _gates(config: ScalingConfig, num_experts: int, tokens_TD: Tensor) -> dict[str, Work]:
    flat = NoisyTopKGate(config.num_features, num_experts, config.k)
    found: dict[str, Work] = {"gate, flat": _gate_work(flat, tokens_TD)}
    groups = num_groups(num_experts)
    k_each = isqrt(config.k)
    if k_each**2 == config.k and min(groups, num_experts // groups) >= k_each:
        gate = HierarchicalGate(config.num_features, num_experts, groups, k_each, k_each)
        found["gate, two levels"] = _gate_work(gate, tokens_TD)
    return found


def num_groups(num_experts: int) -> int:
    """The largest power of two up to the square root of the experts that divides them."""
    groups = 1
    while (2 * groups) ** 2 <= num_experts and num_experts % (2 * groups) == 0:
        groups *= 2
    return groups


def _gate_work(gate: Gate, tokens_TD: Tensor) -> Work:
    def work() -> None:
        gate.zero_grad()
        tokens_TD.grad = None
        routing = gate(tokens_TD)
        loss = routing.weight_A.sum() + routing.losses["importance"] + routing.losses["load"]
        torch.autograd.backward(loss)

    return work
