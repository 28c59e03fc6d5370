"""Experts whose weights are stacked, one matrix per expert, and experts of any other kind.

Experts take rows sorted by expert and their plan, and answer row by row; they know nothing about
gates. Shapes: R rows, E experts, D features in, H hidden units, O features out; P patches of S
features, J filters.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from math import sqrt
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe.grouped import Backend, GradientSink, as_autocast, chosen_backend, grouped_linear
from moe.plan import Plan


class Experts(Protocol):
    """What a mixture asks of its experts.

    Those with stacked weights also offer them, as `stacks: tuple[StackedLinear, ...]`.
    """

    num_experts: int

    def __call__(self, rows_RD: Tensor, plan: Plan) -> Tensor:
        """Answer each row with its expert, `[R, O]`; zeros for rows of no expert."""
        ...


class StackedLinear(nn.Module):
    """One linear map per expert.

    Source: Shazeer et al. (2017), whose parameter counts leave no room for a bias, so that there is
    none unless asked for.

    Attributes:
        weight: `[E, D, O]`. Initialised uniformly within 1 / sqrt(D), as torch's linear layers;
            no paper states its initialisation.
        bias: `[E, O]`, initialised alike, or None. It is no stack of matrices: to `FactoredAdam` it
            is a single one.
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
        bias: bool = False,
    ) -> None:
        """Make the experts.

        Args:
            num_experts: E.
            num_inputs: D.
            num_outputs: O.
            backend: what multiplies, see `moe.grouped.backends`.
            device: of the weights.
            dtype: of the weights.
            bias: whether each expert adds a vector of its own.

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
        # torch.nn.Linear's own: kaiming_uniform with a = sqrt(5) is U(-1 / sqrt(D), 1 / sqrt(D)).
        bound = 1 / sqrt(num_inputs)
        nn.init.uniform_(self.weight, -bound, bound)
        self.bias: nn.Parameter | None = None
        if bias:
            self.bias = nn.Parameter(self.weight.new_empty(num_experts, num_outputs))
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, rows_RD: Tensor, plan: Plan) -> Tensor:
        """Multiply each row by its expert's matrix, `[R, O]`; zeros for rows of no expert.

        Raises:
            ValueError: rows of another width than the experts', or another number of experts.
        """
        out_RO = grouped_linear(rows_RD, self.weight, plan, self.backend, self.sink)
        if self.bias is None:
            return out_RO
        # A last line of zeros, for the rows of no expert.
        bias_E1O = F.pad(self.bias.to(out_RO.dtype), (0, 0, 0, 1))
        return out_RO + F.embedding(plan.expert_of_rows(out_RO.shape[0]), bias_E1O)

    @property
    def stacks(self) -> "tuple[StackedLinear, ...]":
        """This layer itself, as the one stack that it is."""
        return (self,)

    def __getstate__(self) -> dict[str, Any]:
        # A copy's weights are no optimiser's: it has ordinary gradients.
        return {**vars(self), "sink": None}

    def extra_repr(self) -> str:
        """The sizes, for printing."""
        sizes = "num_experts={}, num_inputs={}, num_outputs={}".format(*self.weight.shape)
        return f"{sizes}, bias={self.bias is not None}"


class FeedForwardExperts(nn.Module):
    """Two linear maps with an activation between them, per expert.

    Source: Shazeer et al. (2017), section 4 and appendix E: 512-1024-512 and 512-2048-512, ReLU,
    no bias.
    """

    def __init__(
        self,
        num_experts: int,
        num_inputs: int,
        num_hidden: int,
        num_outputs: int | None = None,
        activation: Callable[[Tensor], Tensor] = torch.relu,
        **options: Any,
    ) -> None:
        """Make the experts.

        Args:
            num_experts: E.
            num_inputs: D.
            num_hidden: H.
            num_outputs: O; the inputs' width by default.
            activation: what is applied to the hidden units, element by element: a function or a
                module, whose parameters all experts share.
            options: bias (of both maps), backend, device and dtype, as for `StackedLinear`.

        Raises:
            ValueError: a size below one.
        """
        super().__init__()
        self.num_experts, self.activation = num_experts, activation
        self.first = StackedLinear(num_experts, num_inputs, num_hidden, **options)
        self.second = StackedLinear(num_experts, num_hidden, num_outputs or num_inputs, **options)

    @property
    def stacks(self) -> tuple[StackedLinear, ...]:
        """The weights into the hidden units, and those out of them."""
        return self.first, self.second

    @property
    def _is_rectified(self) -> bool:
        # These two alone are known to need nothing but their answer.
        return self.activation in (torch.relu, F.relu)

    def forward(self, rows_RD: Tensor, plan: Plan) -> Tensor:
        """Answer each row with its expert, `[R, O]`; rows of no expert give zeros."""
        # Shazeer et al. (2017), appendix E: E_i(x) = W_2 relu(W_1 x).
        hidden_RH = self.first(rows_RD, plan)
        # The backward pass of a rectifier needs its answer alone, so that it may work in place.
        hidden_RH = torch.relu_(hidden_RH) if self._is_rectified else self.activation(hidden_RH)
        answer_RO: Tensor = self.second(hidden_RH, plan)
        return answer_RO

    def mixture(self, tokens_TD: Tensor, weight_A: Tensor, plan: Plan) -> Tensor | None:
        """All of y = sum_i G(x)_i E_i(x) in one node, `[T, O]`, or None where there is none.

        There is one with the backend `triton`, the rectifier, and no bias, outside of torch's
        compiler. It keeps neither the tokens' copies nor the experts' answers, and has a first
        derivative only.

        Args:
            tokens_TD: the tokens.
            weight_A: the gate's values, `Routing.weight_A`.
            plan: of a routing of these tokens.
        """
        # torch's compiler cannot trace the choice of a backend, and fuses by itself.
        if torch.compiler.is_compiling() or self.first.bias is not None or not self._is_rectified:
            return None
        if chosen_backend(self.first.backend, as_autocast(tokens_TD)) is not Backend.triton:
            return None
        # Imported late: elsewhere Triton may be missing.
        from moe.grouped.triton_feed_forward import mixture_of_feed_forward

        weights = (self.first.weight, self.second.weight)
        sinks = (self.first.sink, self.second.sink)
        return mixture_of_feed_forward(tokens_TD, weight_A, plan, *weights, sinks)

    def extra_repr(self) -> str:
        """The activation, where it is no module, for printing."""
        return _named_activation(self.activation)


class ConvolutionalExperts(nn.Module):
    """Experts whose filters slide over patches; the activated responses are added up.

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
        """Make the experts.

        Args:
            num_experts: E.
            num_patches: P.
            patch_size: S.
            num_filters: J, of all heads together.
            activation: what is applied to every filter's response: a function or a module.
            num_heads: N.
            options: bias (of every filter), backend, device and dtype, as for `StackedLinear`.

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

    @property
    def stacks(self) -> tuple[StackedLinear, ...]:
        """The filters, as the one stack there is."""
        return (self.filters,)

    def forward(self, rows_RD: Tensor, plan: Plan) -> Tensor:
        """Answer each row with its expert, `[R, N]`; a row is its patches one after another."""
        num_rows = rows_RD.shape[0]
        # Chen et al. (2022), section 3: f_m(x) = sum_j sum_p activation(<w_mj, x_p>). The P patches
        # of a row are P rows of the same expert.
        patches = rows_RD.reshape(num_rows * self.num_patches, -1)
        per_patch = replace(plan, start_E1=plan.start_E1 * self.num_patches)
        response = self.activation(self.filters(patches, per_patch))
        answer_RN = response.view(num_rows, self.num_patches, self.num_heads, -1).sum(dim=(1, 3))
        # An activation may make something of the zeros of rows of no expert.
        is_answered_R = torch.arange(num_rows, device=rows_RD.device) < plan.start_E1[-1]
        return answer_RN.where(is_answered_R.unsqueeze(1), 0)

    def extra_repr(self) -> str:
        """The sizes, for printing."""
        sizes = f"num_patches={self.num_patches}, num_heads={self.num_heads}"
        return ", ".join(filter(None, [sizes, _named_activation(self.activation)]))


class ModuleExperts(nn.Module):
    """Any modules as experts. Each is called by itself, which is slow with many experts."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        """Take one module per expert; each maps `[n, D]` to `[n, O]`, also for n = 0.

        Their dtype and device are those of the rows, as for any module of torch.

        Raises:
            ValueError: no module.
            TypeError: something else than a module.
        """
        super().__init__()
        self.each = nn.ModuleList(modules)
        self.num_experts = len(self.each)
        _check_sizes(num_experts=self.num_experts)

    def forward(self, rows_RD: Tensor, plan: Plan) -> Tensor:
        """Answer each row with its expert, `[R, O]`."""
        # The counts are read from the device once, and every expert is called, also without rows.
        *counts, num_idle = [*plan.counts_E.tolist(), plan.num_rows - int(plan.start_E1[-1])]
        *groups, idle = torch.split(rows_RD, [*counts, num_idle])
        answers = [expert(group) for expert, group in zip(self.each, groups, strict=True)]
        return torch.cat([*answers, answers[0].new_zeros(len(idle), *answers[0].shape[1:])])


def _named_activation(activation: Callable[[Tensor], Tensor]) -> str:
    # A module prints itself.
    if isinstance(activation, nn.Module):
        return ""
    return f"activation={getattr(activation, '__name__', activation)}"


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} is {size}; it must be at least 1")
