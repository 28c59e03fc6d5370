"""What is timed, and how: two limits, our backends, other libraries' code, and the gates.

Every contender runs forward and backward of the same experts with the same routing, to the
gradients of tokens, gate values and weights. Shapes: T tokens, E experts, D features, H hidden.
"""

import importlib.util
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.scaling.settings import ScalingConfig
from moe.dispatch import combine, dispatch
from moe.gates import Gate, HierarchicalGate, NoisyTopKGate
from moe.grouped import Backend, backends
from moe.plan import plan
from moe.routing import Routing, even_starts
from moe.stacked import FeedForwardExperts


def interleaved(
    contenders: Mapping[str, Callable[[], object]], num_rounds: int
) -> dict[str, list[float]]:
    """Seconds per round of each contender; one more round, the first, is left out."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    # All contenders in turn within a round, so that a machine that grows slower slows all of them.
    for _ in range(num_rounds + 1):
        for name, work in contenders.items():
            started = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - started)
    return {name: times[1:] for name, times in seconds.items()}


def ratios(times: Sequence[float], base: Sequence[float]) -> list[float]:
    """`times` over `base`, each round's over that of the same round."""
    return [time / other for time, other in zip(times, base, strict=True)]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median, with the lowest and the highest value behind it."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


@dataclass(frozen=True)
class Cell:
    """One size of the problem; `skew` is the exponent of Zipf's law over the experts."""

    num_tokens: int
    num_experts: int
    skew: float = 0.0
    k: int = 4
    num_features: int = 128
    num_hidden: int = 256

    @property
    def name(self) -> str:
        """The size in words, for a table."""
        tail = f", Zipf {self.skew:g}" if self.skew else ""
        return f"{self.num_tokens:,} tokens, {self.num_experts:,} experts{tail}"


class Problem:
    """Tensors of a cell, and the contenders that work on them."""

    def __init__(self, cell: Cell, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        """Draw everything from seed 0."""
        torch.manual_seed(0)
        self.cell = cell
        self.options: dict[str, Any] = {"device": device, "dtype": dtype}
        # Zipf's law: the expert of rank r is chosen in proportion to r^-skew.
        popularity_E = torch.arange(1.0, cell.num_experts + 1, device=device) ** -cell.skew
        expert_TK = torch.multinomial(popularity_E.expand(cell.num_tokens, -1), cell.k)
        self.expert_TK = expert_TK
        self.weight_TK = torch.softmax(torch.randn(cell.num_tokens, cell.k, **self.options), dim=-1)
        shape = (cell.num_tokens, cell.num_features)
        self.tokens_TD = torch.randn(shape, requires_grad=True, **self.options)
        # As from a layer above: `.sum().backward()` would give one with strides of zero, which
        # `F.grouped_mm` refuses.
        self.d_TD = torch.randn(shape, **self.options)
        self.experts = FeedForwardExperts(
            cell.num_experts, cell.num_features, cell.num_hidden, **self.options
        )
        self.weights = [stack.weight for stack in self.experts.stacks]

    def contenders(self, with_limits: bool = True) -> dict[str, Callable[[], None]]:
        """Each by its name; those of libraries that are not installed are left out.

        Args:
            with_limits: also `dense` and `traffic`, whose tensors are as large as the layer's.
        """
        found: dict[str, Callable[[], None]] = {}
        if with_limits:
            found |= {"dense": self._dense(), "traffic": self._traffic()}
        for backend in (Backend.native, Backend.triton, Backend.padded, Backend.torch_grouped):
            if backends.refusal(backend, self.options["device"], self.options["dtype"]) is None:
                found[f"ours, {backend.value}"] = self._layer(backend)
                if backend is Backend.triton:
                    found["ours, triton in one node"] = self._layer(backend, fused=True)
        found["F.grouped_mm"] = self._grouped_mm()
        if importlib.util.find_spec("transformers"):
            found["transformers grouped_mm"] = self._transformers()
        return found

    def _dense(self) -> Callable[[], None]:
        # The same arithmetic in one expert, without a gate.
        num_rows = self.cell.num_tokens * self.cell.k
        rows = torch.randn(num_rows, self.cell.num_features, requires_grad=True, **self.options)
        d_rows = torch.randn(num_rows, self.cell.num_features, **self.options)
        first, second = (weight[0].detach().clone().requires_grad_() for weight in self.weights)

        def work() -> None:
            _forget(rows, first, second)
            (torch.relu(rows @ first) @ second).backward(d_rows)  # type: ignore[no-untyped-call]

        return work

    def _traffic(self) -> Callable[[], None]:
        # Weights read forward and backward, gradients written: three times the weights of the
        # experts in use, at the speed of a copy, which reads and writes.
        # Experts without tokens need not be read.
        used = int((torch.bincount(self.expert_TK.flatten()) > 0).sum())
        num_moved = 3 * used * 2 * self.cell.num_features * self.cell.num_hidden
        source = torch.randn(num_moved // 2, **self.options)
        target = torch.empty_like(source)

        def work() -> None:
            target.copy_(source)

        return work

    def _layer(self, backend: Backend, fused: bool = False) -> Callable[[], None]:
        gate_values = self.weight_TK.flatten().requires_grad_()
        num_experts = self.cell.num_experts
        routing = Routing(
            expert_A=self.expert_TK.flatten(),
            weight_A=gate_values,
            start_T1=even_starts(self.cell.num_tokens, self.cell.k, gate_values.device),
            num_experts=num_experts,
            importance_E=torch.zeros(num_experts, **self.options),
            load_E=torch.zeros(num_experts, **self.options),
        )

        def work() -> None:
            _forget(self.tokens_TD, gate_values, *self.weights)
            for stack in self.experts.stacks:
                stack.backend = backend
            where = plan(routing)
            answers = self.experts.mixture(self.tokens_TD, gate_values, where) if fused else None
            if answers is None:
                rows = self.experts(dispatch(self.tokens_TD, where), where)
                answers = combine(rows, gate_values, where)
            answers.backward(self.d_TD)  # type: ignore[no-untyped-call]

        return work

    def _grouped_mm(self) -> Callable[[], None]:
        # The usual port: sort, gather, two grouped products, inverse gather, weighted sum.
        gate_values = self.weight_TK.clone().requires_grad_()
        first, second = self.weights

        def work() -> None:
            _forget(self.tokens_TD, gate_values, first, second)
            # Assignments by expert; order // k is the token of each, and the inverse brings answers
            # back.
            order = self.expert_TK.flatten().argsort(stable=True)
            counts = torch.bincount(self.expert_TK.flatten(), minlength=self.cell.num_experts)
            # `F.grouped_mm` wants where each expert's rows end, as int32.
            ends = counts.cumsum(0).to(torch.int32)
            rows = self.tokens_TD[order // self.cell.k]
            hidden = torch.relu(F.grouped_mm(rows, first, offs=ends))
            answers = F.grouped_mm(hidden, second, offs=ends)[order.argsort()]
            answers = answers.view(*self.expert_TK.shape, -1) * gate_values.unsqueeze(-1)
            answers.sum(dim=1).backward(self.d_TD)  # type: ignore[no-untyped-call]

        return work

    def _transformers(self) -> Callable[[], None]:
        from transformers.integrations.moe import grouped_mm_experts_forward

        # The attributes that its experts' classes have; without a gated activation.
        module = SimpleNamespace(
            up_proj=self.weights[0],
            down_proj=self.weights[1],
            num_experts=self.cell.num_experts,
            act_fn=torch.relu,
            has_gate=False,
            has_bias=False,
            has_post_expert_norm=False,
            is_transposed=True,
            _is_expert_parallel=False,
        )
        gate_values = self.weight_TK.clone().requires_grad_()

        def work() -> None:
            _forget(self.tokens_TD, gate_values, *self.weights)
            answers: Tensor = grouped_mm_experts_forward(
                module, self.tokens_TD, self.expert_TK, gate_values
            )
            answers.backward(self.d_TD)  # type: ignore[no-untyped-call]

        return work


def _forget(*tensors: Tensor) -> None:
    for tensor in tensors:
        tensor.grad = None


Work = Callable[[], object]


def contenders(config: ScalingConfig, num_experts: int) -> dict[str, Work]:
    """Functions that each run one contender forward and backward, by its name."""
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
    # About as many groups as experts in each: then both levels together have the fewest logits.
    groups = 1
    while (2 * groups) ** 2 <= num_experts and num_experts % (2 * groups) == 0:
        groups *= 2
    return groups


def _gate_work(gate: Gate, tokens_TD: Tensor) -> Work:
    def work() -> None:
        gate.zero_grad()
        tokens_TD.grad = None
        routing = gate(tokens_TD)
        # The balance losses too: without them half of a gate's backward pass would be missing.
        loss = routing.weight_A.sum() + routing.losses["importance"] + routing.losses["load"]
        torch.autograd.backward(loss)

    return work
