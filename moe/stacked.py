"""Experts whose weights are stacked, one matrix per expert, and experts of any other kind.

Experts take rows sorted by expert and their plan, and answer row by row; they know nothing about
gates. Shapes: R rows, E experts, D features in, H hidden units, O features out; P patches of S
features, J filters.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import sqrt
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from moe.grouped import Backend, GradientSink, grouped_linear
from moe.plan import Plan


class Experts(Protocol):
    """What a mixture asks of its experts."""

    num_experts: int

    def __call__(self, rows_RD: Tensor, plan: Plan) -> Tensor:
        """Answer each row with its expert, `[R, O]`; zeros for rows of no expert."""
        ...


class StackedLinear(nn.Module):
    """One linear map per expert, without bias.

    Source: Shazeer et al. (2017), whose parameter counts leave no room for a bias. Jacobs et al.
    (1991) have one: append a constant feature (`moe.with_bias`).

    Attributes:
        weight: `[E, D, O]`. Initialised uniformly within 1 / sqrt(D), as torch's linear layers;
            no paper states its initialisation.
        sink: takes the weights' gradient in the backward pass instead of `weight.grad`; see
            `moe.grouped.grouped_linear`. `None` for ordinary gradients.
    """

    def __init__(
        self,
        num_experts: int,
        num_inputs: int,
        num_outputs: int,
        backend: Backend = Backend.auto,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Make the experts.

        Raises:
            ValueError: a size below one.
        """
        super().__init__()
        _check_sizes(num_experts=num_experts, num_inputs=num_inputs, num_outputs=num_outputs)
        self.num_experts, self.backend = num_experts, backend
        self.sink: GradientSink | None = None
        self.weight = nn.Parameter(
            torch.empty(num_experts, num_inputs, num_outputs, device=device, dtype=dtype)
        )
        bound = 1 / sqrt(num_inputs)
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, rows_RD: Tensor, plan: Plan) -> Tensor:
        """Multiply each row by its expert's matrix, `[R, O]`.

        Raises:
            ValueError: rows of another width than the experts', or another number of experts.
        """
        return grouped_linear(rows_RD, self.weight, plan, self.backend, self.sink)

    def __getstate__(self) -> dict[str, Any]:
        # A copy's weights are no optimiser's: it has ordinary gradients.
        return {**vars(self), "sink": None}

    def extra_repr(self) -> str:
        """The sizes, for printing."""
        return "num_experts={}, num_inputs={}, num_outputs={}".format(*self.weight.shape)


class FeedForwardExperts(nn.Module):
    """Two linear maps with a rectifier between them, per expert.

    Source: Shazeer et al. (2017), section 4 and appendix E: 512-1024-512 and 512-2048-512, ReLU.
    """

    def __init__(
        self,
        num_experts: int,
        num_inputs: int,
        num_hidden: int,
        num_outputs: int | None = None,
        **options: Any,
    ) -> None:
        """Make the experts.

        Args:
            num_experts: E.
            num_inputs: D.
            num_hidden: H.
            num_outputs: O; the inputs' width by default.
            options: backend, device and dtype, as for `StackedLinear`.
        """
        super().__init__()
        self.num_experts = num_experts
        self.first = StackedLinear(num_experts, num_inputs, num_hidden, **options)
        self.second = StackedLinear(num_experts, num_hidden, num_outputs or num_inputs, **options)

    def forward(self, rows_RD: Tensor, plan: Plan) -> Tensor:
        """Answer each row with its expert, `[R, O]`."""
        hidden_RH = torch.relu_(self.first(rows_RD, plan))
        answer_RO: Tensor = self.second(hidden_RH, plan)
        return answer_RO


class ConvolutionalExperts(nn.Module):
    """Filters that slide over patches, an activation, and a sum over patches and filters.

    Source: Chen et al. (2022), section 3: f_m(x) = sum_j sum_p activation(<w_mj, x_p>). Their code
    has two heads, each the sum of a bank of filters of its own.

    Attributes:
        filters: `[E, S, J]`; head h of an expert has filters h J / N up to (h + 1) J / N, N heads.
    """

    def __init__(
        self,
        num_experts: int,
        num_patches: int,
        patch_size: int,
        num_filters: int,
        activation: Callable[[Tensor], Tensor],
        num_heads: int = 1,
        **options: Any,
    ) -> None:
        """Make the experts; `options` as for `StackedLinear`.

        Raises:
            ValueError: a size below one, or filters that cannot be shared out evenly.
        """
        super().__init__()
        _check_sizes(num_patches=num_patches, num_heads=num_heads)
        if num_filters % num_heads:
            raise ValueError(f"num_heads = {num_heads} must divide num_filters = {num_filters}")
        self.num_experts, self.num_patches, self.activation = num_experts, num_patches, activation
        self.num_heads = num_heads
        self.filters = StackedLinear(num_experts, patch_size, num_filters, **options)

    def forward(self, rows_RD: Tensor, plan: Plan) -> Tensor:
        """Answer each row with its expert, `[R, N]`; a row is its patches one after another."""
        num_rows = rows_RD.shape[0]
        patches = rows_RD.reshape(num_rows * self.num_patches, -1)
        per_patch = replace(plan, start_E1=plan.start_E1 * self.num_patches)
        response = self.activation(self.filters(patches, per_patch))
        return response.view(num_rows, self.num_patches, self.num_heads, -1).sum(dim=(1, 3))


class ModuleExperts(nn.Module):
    """Any modules as experts, one call per expert: slow with many experts."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        """Take one module per expert; each maps `[n, D]` to `[n, O]`, also for n = 0.

        Raises:
            ValueError: no module.
        """
        super().__init__()
        _check_sizes(num_experts=len(modules))
        self.num_experts = len(modules)
        self.each = nn.ModuleList(modules)

    def forward(self, rows_RD: Tensor, plan: Plan) -> Tensor:
        """Answer each row with its expert, `[R, O]`."""
        *counts, num_idle = [*plan.counts_E.tolist(), plan.num_rows - int(plan.start_E1[-1])]
        *groups, idle = torch.split(rows_RD, [*counts, num_idle])
        answers = [expert(group) for expert, group in zip(self.each, groups, strict=True)]
        return torch.cat([*answers, answers[0].new_zeros(len(idle), *answers[0].shape[1:])])


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} is {size}; it must be at least 1")
