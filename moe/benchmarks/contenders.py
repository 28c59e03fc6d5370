"""What the layer is measured against: two limits, our backends, and other libraries' code.

Every contender runs forward and backward of the same experts with the same routing, to the
gradients of tokens, gate values and weights. Shapes: T tokens, E experts, D features, H hidden.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from moe.dispatch import combine, dispatch
from moe.grouped import Backend, backends
from moe.plan import plan
from moe.routing import Routing, even_starts
from moe.stacked import FeedForwardExperts


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
        """For a table."""
        tail = f", Zipf {self.skew:g}" if self.skew else ""
        return f"{self.num_tokens:,} tokens, {self.num_experts:,} experts{tail}"


class Problem:
    """Tensors of a cell, and the contenders that work on them."""

    def __init__(self, cell: Cell, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        """Draw everything from seed 0."""
        torch.manual_seed(0)
        self.cell = cell
        self.options: dict[str, Any] = {"device": device, "dtype": dtype}
        popularity_E = torch.arange(1.0, cell.num_experts + 1, device=device) ** -cell.skew
        expert_TK = torch.multinomial(popularity_E.expand(cell.num_tokens, -1), cell.k)
        self.expert_TK = expert_TK
        self.weight_TK = torch.softmax(torch.randn(cell.num_tokens, cell.k, **self.options), dim=-1)
        shape = (cell.num_tokens, cell.num_features)
        self.tokens_TD = torch.randn(shape, requires_grad=True, **self.options)
        self.d_TD = torch.randn(shape, **self.options)
        self.experts = FeedForwardExperts(
            cell.num_experts, cell.num_features, cell.num_hidden, **self.options
        )
        self.weights = (self.experts.first.weight, self.experts.second.weight)

    def contenders(self) -> dict[str, Callable[[], None]]:
        """Each by its name; those of libraries that are not installed are left out."""
        found: dict[str, Callable[[], None]] = {"dense": self._dense(), "traffic": self._traffic()}
        for backend in (Backend.native, Backend.triton, Backend.padded, Backend.torch_grouped):
            if backends.refusal(backend, self.options["device"], self.options["dtype"]) is None:
                found[f"ours, {backend.value}"] = self._layer(backend)
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
        used = int((torch.bincount(self.expert_TK.flatten()) > 0).sum())
        num_moved = 3 * used * 2 * self.cell.num_features * self.cell.num_hidden
        source = torch.randn(num_moved // 2, **self.options)
        target = torch.empty_like(source)

        def work() -> None:
            target.copy_(source)

        return work

    def _layer(self, backend: Backend) -> Callable[[], None]:
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
            self.experts.first.backend = self.experts.second.backend = backend
            where = plan(routing)
            rows = self.experts(dispatch(self.tokens_TD, where), where)
            combine(rows, gate_values, where).backward(self.d_TD)  # type: ignore[no-untyped-call]

        return work

    def _grouped_mm(self) -> Callable[[], None]:
        # The usual port: sort, gather, two grouped products, inverse gather, weighted sum.
        gate_values = self.weight_TK.clone().requires_grad_()
        first, second = self.weights

        def work() -> None:
            _forget(self.tokens_TD, gate_values, first, second)
            order = self.expert_TK.flatten().argsort(stable=True)
            counts = torch.bincount(self.expert_TK.flatten(), minlength=self.cell.num_experts)
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
