"""What all gates do alike: take tokens of any leading shape, leave out padding, count.

Shapes: T tokens, D features, E experts, K experts per token.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn

from moe.balance import importance_loss
from moe.routing import (
    NO_EXPERT,
    Routing,
    assignments_per_expert,
    even_starts,
    sum_per_expert,
)


def check_at_least(low: float, **arguments: float) -> None:
    """Raise ValueError for the first named argument that lies below `low` or is not a number."""
    for name, value in arguments.items():
        if not value >= low:
            raise ValueError(f"{name} is {value}, but must be at least {low}")


def check_above(low: float, **arguments: float) -> None:
    """Raise ValueError for the first named argument that does not lie above `low`."""
    for name, value in arguments.items():
        if not value > low:
            raise ValueError(f"{name} is {value}, but must be above {low}")


def check_k(name: str, k: int, available: int, what: str) -> None:
    """Raise ValueError unless k choices can be made among what is available.

    Args:
        name: of the argument.
        k: its value.
        available: the most that can be chosen.
        what: the name of that limit.
    """
    if not 1 <= k <= available:
        raise ValueError(f"{name} is {k}, but must be from 1 to {what} = {available}")


def check_divides(num_groups: int, num_experts: int) -> None:
    """Raise ValueError unless the experts fall into groups of the same size."""
    if num_experts % num_groups:
        raise ValueError(f"num_groups is {num_groups}, but must divide num_experts = {num_experts}")


# Up to so many experts a softmax along the tokens is the faster one on a CPU.
_NARROW = 32


class Gate(nn.Module, ABC):
    """Decides which experts answer for which token.

    Computes in float32 at least, whatever the tokens' dtype and automatic casting, because a small
    error in a logit can send a token to another expert.

    Attributes:
        num_features: D.
        num_experts: E.
    """

    def __init__(self, num_features: int, num_experts: int) -> None:
        super().__init__()
        check_at_least(1, num_features=num_features, num_experts=num_experts)
        self.num_features = num_features
        self.num_experts = num_experts

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Routing:
        """Route tokens.

        Args:
            tokens: `[..., D]`; the leading dimensions are flattened to T.
            mask: `[...]`, True for real tokens, False for padding, which is never routed nor
                counted; None where all are real.

        Returns:
            The routing of the T tokens.

        Raises:
            ValueError: the shapes do not fit the gate or each other, or the mask is not boolean.
        """
        self._check(tokens, mask)
        tokens_TD = tokens.reshape(-1, self.num_features)
        mask_T = None if mask is None else mask.reshape(-1)
        # Autocast would round logits to 8 bits of precision, and send tokens elsewhere.
        with _without_autocast(tokens.device.type):
            tokens_TD = tokens_TD.to(torch.promote_types(tokens.dtype, torch.float32))
            # Whatever lies in padding, a NaN included, must not reach the weights' gradients.
            return self.route(without_padding(tokens_TD, mask_T, 0.0), mask_T)

    def extra_repr(self) -> str:
        """The sizes and settings, for printing."""
        kinds = (int, float, Enum)
        return ", ".join(
            f"{name}={value.name if isinstance(value, Enum) else value}"
            for name, value in vars(self).items()
            if isinstance(value, kinds) and name != "training"
        )

    @abstractmethod
    def route(self, tokens_TD: Tensor, mask_T: Tensor | None) -> Routing:
        """Route a flat batch whose padded positions are zeros."""

    def _check(self, tokens: Tensor, mask: Tensor | None) -> None:
        if tokens.dim() == 0 or tokens.shape[-1] != self.num_features:
            raise ValueError(
                f"tokens have shape {list(tokens.shape)}, but must be [..., {self.num_features}]"
            )
        if mask is None:
            return
        if mask.dtype is not torch.bool:
            raise ValueError(f"mask has dtype {mask.dtype}, but must be torch.bool")
        if mask.shape != tokens.shape[:-1]:
            raise ValueError(
                f"mask has shape {list(mask.shape)}, but must be {list(tokens.shape[:-1])}, "
                "the tokens' leading dimensions"
            )


def _without_autocast(device: str) -> AbstractContextManager[Any]:
    if not torch.amp.is_autocast_available(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)


def gate_weight(
    num_features: int,
    *shape: int,
    init_scale: float = 0.0,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Parameter:
    """Make a gate's weight matrix `[D, *shape]`.

    Args:
        num_features: D.
        shape: what follows D.
        init_scale: 0 for zeros; s for a normal distribution of variance s / D, cut at two
            standard deviations (Fedus et al. 2021, section 2.4).
        device: of the weights.
        dtype: of the weights.
    """
    check_at_least(0, init_scale=init_scale)
    # Shazeer et al. (2017), appendix A: zeros, so that no expert is preferred at first.
    weight = torch.zeros(num_features, *shape, device=device, dtype=dtype)
    if init_scale > 0:
        deviation = (init_scale / num_features) ** 0.5
        # Fedus et al. (2021), section 2.4: sigma = sqrt(s / n), redrawn beyond two sigma.
        nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    return nn.Parameter(weight)


def linear(tokens_TD: Tensor, weight_DE: Tensor) -> Tensor:
    """Compute the logits x W_g, `[T, E]`, in the tokens' dtype. No gate has a bias."""
    return tokens_TD @ weight_DE.to(tokens_TD.dtype)


def softmax_over_experts(logits_TE: Tensor) -> Tensor:
    """Turn logits into the probabilities of every token's experts, `[T, E]`."""
    if logits_TE.shape[1] > _NARROW:
        return torch.softmax(logits_TE, dim=-1)
    # On a CPU torch takes eight times as long for few numbers next to each other.
    return torch.softmax(logits_TE.T.contiguous(), dim=0).T


def without_padding(value: Tensor, mask_T: Tensor | None, filler: float) -> Tensor:
    """Fill the padded positions of `[T, ...]`; gradients stop there."""
    if mask_T is None:
        return value
    return value.masked_fill(~mask_T.view(-1, *[1] * (value.dim() - 1)), filler)


def num_real_tokens(tokens_TD: Tensor, mask_T: Tensor | None) -> Tensor:
    """Count the tokens that are not padding: a scalar on the tokens' device."""
    if mask_T is None:
        return torch.full((), tokens_TD.shape[0], device=tokens_TD.device)
    return mask_T.sum()


def count_load(expert_TK: Tensor, mask_T: Tensor | None, num_experts: int) -> Tensor:
    """Count the real tokens of each expert, `[E]`, float32."""
    expert_A = without_padding(expert_TK, mask_T, NO_EXPERT).flatten()
    return assignments_per_expert(expert_A, num_experts).float()


def even_routing(
    expert_TK: Tensor,
    weight_TK: Tensor,
    mask_T: Tensor | None,
    load_E: Tensor,
    *,
    probabilities_TE: Tensor | None = None,
    losses: Mapping[str, Tensor] | None = None,
) -> Routing:
    """Make the routing of a gate that gives every real token K experts.

    Args:
        expert_TK: expert ids.
        weight_TK: the gate's values.
        mask_T: True for real tokens, or None.
        load_E: the smooth load, where the gate has one; otherwise see `count_load`.
        probabilities_TE: the probabilities over all experts, where the gate computes them.
        losses: the gate's own losses, joined to the importance loss.
    """
    # Padding keeps its place in the list, with no expert and no weight: shapes depend on T alone.
    expert_A = without_padding(expert_TK, mask_T, NO_EXPERT).flatten()
    weight_A = without_padding(weight_TK, mask_T, 0.0).flatten()
    num_experts = load_E.shape[0]
    # Shazeer et al. (2017), eq. 6: Importance(X)_i = sum over x in X of G(x)_i.
    importance_E = sum_per_expert(weight_A, expert_A, num_experts)
    if probabilities_TE is not None:
        probabilities_TE = without_padding(probabilities_TE, mask_T, 0.0)
    return Routing(
        expert_A=expert_A,
        weight_A=weight_A,
        start_T1=even_starts(expert_TK.shape[0], expert_TK.shape[1], expert_TK.device),
        num_experts=num_experts,
        importance_E=importance_E,
        load_E=load_E,
        probabilities_TE=probabilities_TE,
        losses={"importance": importance_loss(importance_E), **(losses or {})},
    )
