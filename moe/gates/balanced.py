"""The strictly balanced gate: every expert takes the same number of tokens from a batch.

Shapes: T tokens, E experts, M tokens per expert, A assignments in the order of the tokens.
Source: Shazeer et al. (2017), appendix F.
"""

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn

from moe.balance import importance_loss
from moe.gates.base import Gate, check_k, gate_weight, linear, num_real_tokens, without_padding
from moe.routing import NO_EXPERT, Routing, assignments_per_expert, sum_per_expert


class TieBreak(Enum):
    """Which of several tokens an expert takes when it values them alike (in float32)."""

    random = "any of them, drawn anew in every pass"
    first = "the first of the batch"


@dataclass(frozen=True)
class Assignments:
    """Tokens taken by experts.

    Attributes:
        token_A: token of every assignment, ascending.
        expert_A: expert of every assignment; `NO_EXPERT` where padding left an expert short.
        start_T1: assignments of token t are `start_T1[t]` up to `start_T1[t + 1]`.
    """

    token_A: Tensor
    expert_A: Tensor
    start_T1: Tensor

    def values(self, value_TE: Tensor) -> Tensor:
        """The entries of `[T, E]` at the assignments, `[A]`; zero where there is no expert."""
        index_A = self.token_A * value_TE.shape[1] + self.expert_A.clamp(min=0)
        return self._of_experts(value_TE.flatten().gather(0, index_A))

    def of_experts(self, value_E: Tensor) -> Tensor:
        """The entries of `[E]` at the assignments, `[A]`; zero where there is no expert."""
        return self._of_experts(value_E.gather(0, self.expert_A.clamp(min=0)))

    def shares(self, value_TE: Tensor) -> Tensor:
        """Each assignment's entry over the sum of its token's, `[A]`."""
        value_A = self.values(value_TE)
        # sum_j g_j M_j of every token, the denominator of appendix F.
        total_T = sum_per_expert(value_A, self.token_A, value_TE.shape[0])
        # Values of a token can all underflow to zero: then its weights are zeros, not NaN.
        total_A = total_T.gather(0, self.token_A)
        return value_A / total_A.clamp(min=torch.finfo(value_A.dtype).tiny)

    def _of_experts(self, value_A: Tensor) -> Tensor:
        return value_A.masked_fill(self.expert_A == NO_EXPERT, 0.0)


def tokens_per_expert(k: int, num_tokens: int, num_experts: int) -> int:
    """m = k T / n rounded to the nearest, but at least one token, and no more than there are."""
    return min(num_tokens, max(1, (2 * k * num_tokens + num_experts) // (2 * num_experts)))


def _tokens_per_expert_of_real(k: int, num_real: Tensor, num_experts: int) -> Tensor:
    # In integers, since the number of real tokens is on the device and is not waited for.
    rounded = (2 * k * num_real + num_experts) // (2 * num_experts)
    return torch.minimum(num_real, rounded.clamp(min=1))


def batchwise_assignments(
    probabilities_TE: Tensor, mask_T: Tensor | None, k: int, tie_break: TieBreak
) -> Assignments:
    """Let every expert take the m real tokens that it values most.

    The number of assignments is fixed by T, padding included: where padding makes m smaller, the
    rest of an expert's assignments have `NO_EXPERT`.

    Args:
        probabilities_TE: the softmax gate's values, zeros for padding.
        mask_T: True for real tokens, or None.
        k: mean number of experts per token.
        tie_break: which of equal tokens is taken.
    """
    num_tokens, num_experts = probabilities_TE.shape
    # Appendix F: M_batchwise(X, m)_ji = 1 where X_ji is among expert i's m largest, m = k |X| / n.
    size = tokens_per_expert(k, num_tokens, num_experts)
    key_ET = _sort_keys(probabilities_TE.detach(), mask_T, tie_break)
    token_A = key_ET.topk(size, dim=1).indices.flatten()
    device = probabilities_TE.device
    num_real = num_real_tokens(probabilities_TE, mask_T)
    is_used_M = torch.arange(size, device=device) < _tokens_per_expert_of_real(
        k, num_real, num_experts
    )
    expert_E1 = torch.arange(num_experts, device=device).unsqueeze(-1)
    expert_A = torch.where(is_used_M, expert_E1, NO_EXPERT).flatten()
    # Found expert by expert; a routing lists assignments token by token.
    token_A, order_A = torch.sort(token_A, stable=True)
    boundary_T1 = torch.arange(num_tokens + 1, device=device)
    return Assignments(token_A, expert_A[order_A], torch.searchsorted(token_A, boundary_T1))


def _sort_keys(value_TE: Tensor, mask_T: Tensor | None, tie_break: TieBreak) -> Tensor:
    """Integers in the order of the values, no two alike, `[E, T]`: ties break in the low bits."""
    # The value in the high bits and the tie's order in the low ones. Floats that are not negative
    # have the order of their bits.
    bits_ET = value_TE.T.float().contiguous().view(torch.int32).long() << 31
    if tie_break is TieBreak.random:
        low_ET = torch.randint_like(bits_ET, 2**31)
    else:
        low_ET = torch.arange(value_TE.shape[0] - 1, -1, -1, device=value_TE.device)
    keys_ET = bits_ET + low_ET
    return keys_ET if mask_T is None else keys_ET.masked_fill(~mask_T, -1)


def threshold_assignments(
    probabilities_TE: Tensor, threshold_E: Tensor, mask_T: Tensor | None
) -> Assignments:
    """Let every token have the experts whose value lies above their threshold.

    Waits for the device: the number of assignments depends on the values.

    Args:
        probabilities_TE: the softmax gate's values.
        threshold_E: T; an expert takes a token where its value is strictly larger.
        mask_T: True for real tokens, or None.
    """
    # Appendix F: M_threshold(x, T)_i = 1 where x_i > T_i.
    is_above_TE = probabilities_TE.detach() > threshold_E.detach()
    if mask_T is not None:
        is_above_TE = is_above_TE & mask_T.unsqueeze(-1)
    token_A, expert_A = is_above_TE.nonzero(as_tuple=True)
    end_T = is_above_TE.sum(dim=1).cumsum(dim=0)
    return Assignments(token_A, expert_A, torch.cat([end_T.new_zeros(1), end_T]))


def batchwise_loss(
    values_TE: Tensor, threshold_E: Tensor, assigned: Assignments, mask_T: Tensor | None
) -> Tensor:
    """How far the thresholds are from the batchwise mask, a scalar, zero where both agree.

    L = sum_j sum_i (M_threshold - M_batchwise)_ji (X_ji - T_i), never negative. The masks are
    constants, so dL/dT_i is the number of tokens that expert i took less the number above its
    threshold.

    Args:
        values_TE: X, the softmax gate's values; detached if the loss shall move thresholds only.
        threshold_E: T.
        assigned: the batchwise mask.
        mask_T: True for real tokens, or None.
    """
    # Appendix F: L_batchwise = sum_j sum_i (M_threshold - M_batchwise)_ji (X_ji - T_i).
    # (X - T) where X > T is relu(X - T): the threshold mask needs no tensor of its own.
    above_TE = torch.relu(values_TE - threshold_E.to(values_TE.dtype))
    above_TE = above_TE if mask_T is None else above_TE.masked_fill(~mask_T.unsqueeze(-1), 0.0)
    taken_A = assigned.values(values_TE) - assigned.of_experts(threshold_E.to(values_TE.dtype))
    return above_TE.sum() - taken_A.sum()


class MaskInTraining(Enum):
    """Which mask decides who answers during training."""

    batchwise = "the m best tokens of every expert"
    threshold = "the learned thresholds, as in evaluation"


class StrictlyBalancedGate(Gate):
    """In training every expert takes its m = k T / n best tokens; later, thresholds decide.

    Source: Shazeer et al. (2017), appendix F: G(x)_i = g_i M_i / sum_j g_j M_j with g the softmax
    gate and M the mask; in evaluation M_i = 1 where g_i > T_i. The loss `batchwise`, in training
    only, moves the thresholds: see `batchwise_loss`. Thresholds have the scale of 1 / n
    and gradients the scale of token counts, so they want a step size of their own.

    What the paper leaves open, and what is done here:
        * Zero weights make all values alike, and all experts would take the same tokens. Ties are
          broken at random in training (`TieBreak`); `init_scale` gives random weights instead.
        * A token may be taken by no expert: it has no assignment, so that its output is zero and
          the caller's residual carries it. `moe.measures.num_unrouted_tokens` counts them.
        * Every expert has the same load, so there is no load loss.
        * The batchwise mask lets a token's experts depend on later tokens. In a decoder, train
          with `MaskInTraining.threshold`: thresholds look at one token at a time.
        * m is rounded to the nearest, at least 1. Thresholds start at 1 / n.

    With the batchwise mask A is n times m, whatever the tokens, and nothing waits for the device;
    thresholds choose as many as they choose, and that number is read from the device.

    Attributes:
        weight_DE: the gate's weights.
        threshold_E: T.
        k: mean number of experts per token.
    """

    def __init__(
        self,
        num_features: int,
        num_experts: int,
        k: int,
        init_scale: float = 0.0,
        tie_break: TieBreak = TieBreak.random,
        mask_in_training: MaskInTraining = MaskInTraining.batchwise,
        loss_moves_gate: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Make the gate.

        Args:
            num_features: D.
            num_experts: E.
            k: mean number of experts per token.
            init_scale: see `moe.gates.base.gate_weight`.
            tie_break: which of equal tokens an expert takes.
            mask_in_training: see the class.
            loss_moves_gate: whether the batchwise loss has a gradient by the gate's weights too.
            device: of the weights.
            dtype: of the weights; tokens are routed in float32 at least, whatever it is.

        Raises:
            ValueError: an argument out of range; the message names it and what is allowed.
        """
        super().__init__(num_features, num_experts)
        check_k("k", k, num_experts, "num_experts")
        if mask_in_training is MaskInTraining.threshold and init_scale == 0:
            raise ValueError(
                "init_scale is 0, but must be above 0 with MaskInTraining.threshold: with equal "
                "values either no expert or every expert would take a token"
            )
        self.k = k
        self.tie_break = tie_break
        self.mask_in_training = mask_in_training
        self.loss_moves_gate = loss_moves_gate
        self.weight_DE = gate_weight(
            num_features, num_experts, init_scale=init_scale, device=device, dtype=dtype
        )
        # What a softmax over n experts gives each in the mean.
        threshold_E = torch.full((num_experts,), 1 / num_experts, device=device, dtype=dtype)
        self.threshold_E = nn.Parameter(threshold_E)

    def route(self, tokens_TD: Tensor, mask_T: Tensor | None) -> Routing:
        """Route a flat batch; see `moe.gates.base.Gate`."""
        softmax_TE = torch.softmax(linear(tokens_TD, self.weight_DE), dim=-1)
        probabilities_TE = without_padding(softmax_TE, mask_T, 0.0)
        if not self.training:
            assigned = threshold_assignments(probabilities_TE, self.threshold_E, mask_T)
            return self._routing(probabilities_TE, assigned)
        assigned = batchwise_assignments(probabilities_TE, mask_T, self.k, self.tie_break)
        values_TE = probabilities_TE if self.loss_moves_gate else probabilities_TE.detach()
        loss = batchwise_loss(values_TE, self.threshold_E, assigned, mask_T)
        if self.mask_in_training is MaskInTraining.threshold:
            assigned = threshold_assignments(probabilities_TE, self.threshold_E, mask_T)
        return self._routing(probabilities_TE, assigned, {"batchwise": loss})

    def _routing(
        self,
        probabilities_TE: Tensor,
        assigned: Assignments,
        losses: dict[str, Tensor] | None = None,
    ) -> Routing:
        # Appendix F: G(x)_i = g(x)_i M_i / sum_j g(x)_j M_j.
        weight_A = assigned.shares(probabilities_TE)
        importance_E = sum_per_expert(weight_A, assigned.expert_A, self.num_experts)
        load_E = assignments_per_expert(assigned.expert_A, self.num_experts)
        return Routing(
            expert_A=assigned.expert_A,
            weight_A=weight_A,
            start_T1=assigned.start_T1,
            num_experts=self.num_experts,
            importance_E=importance_E,
            load_E=load_E.to(weight_A.dtype),
            probabilities_TE=probabilities_TE,
            losses={"importance": importance_loss(importance_E), **(losses or {})},
        )
