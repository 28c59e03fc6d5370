"""What a gate decides: which experts answer for which token, and with what weight.

Shapes: T tokens, E experts, A assignments (a token and one expert that answers for it). With k
experts per token A is T times k; a strictly balanced gate gives some tokens more experts than
others, so assignments are a flat list in the order of the tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

NO_EXPERT = -1
"""The expert id of an assignment that nobody computes, such as a padded position's."""


@dataclass(frozen=True)
class Routing:
    """A gate's decision for a batch of tokens.

    Attributes:
        expert_A: expert ids, int64, in the order of the tokens; `NO_EXPERT` where none answers.
        weight_A: the gate's value G(x)_i of every assignment; zero where no expert answers.
        start_T1: assignments of token t are `start_T1[t]` up to `start_T1[t + 1]`, int64.
        num_experts: E.
        importance_E: sum of the gate's values over the tokens (Shazeer et al. 2017, equation 6).
        load_E: number of tokens per expert: the smooth estimator where the gate has one
            (equation 10), otherwise the count.
        probabilities_TE: the gate's probabilities over all experts, where it computes them; rows
            of padded positions are zero. A hierarchical gate never builds this tensor.
        losses: auxiliary losses by name, scalars, not yet multiplied by a coefficient.
    """

    expert_A: Tensor
    weight_A: Tensor
    start_T1: Tensor
    num_experts: int
    importance_E: Tensor
    load_E: Tensor
    probabilities_TE: Tensor | None = None
    losses: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def num_tokens(self) -> int:
        """The number of tokens T, padded positions included."""
        return self.start_T1.shape[0] - 1


def even_starts(num_tokens: int, k: int, device: torch.device) -> Tensor:
    """`start_T1` of a routing in which every token has k assignments, `[T + 1]`."""
    return torch.arange(num_tokens + 1, device=device) * k


def assignments_per_expert(expert_A: Tensor, num_experts: int) -> Tensor:
    """How many assignments each expert has, `[E]`, int64; `NO_EXPERT` is not counted."""
    return sum_per_expert(torch.ones_like(expert_A), expert_A, num_experts)


def sum_per_expert(value_A: Tensor, expert_A: Tensor, num_experts: int) -> Tensor:
    """Sum a value over the assignments of each expert, `[E]`; differentiable in the value.

    `NO_EXPERT` is not counted. Never waits for the device, as `torch.bincount` does; the same sum,
    to the bit, in every run.
    """
    # NO_EXPERT is -1: everything moves up by one, and the first sum is dropped.
    zeros_E1, place_A = value_A.new_zeros(num_experts + 1), expert_A + 1
    if value_A.device.type == "cpu":
        return zeros_E1.index_add(0, place_A, value_A)[1:]
    # On a GPU index_add adds whichever thread comes first; index_put sorts the places before.
    return zeros_E1.index_put((place_A,), value_A, accumulate=True)[1:]
