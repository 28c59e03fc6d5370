"""The strictly balanced gate: every expert takes the same number of tokens from a batch."""

from enum import Enum

import torch
from torch import Tensor, nn

from moe.balance import importance_loss
from moe.gates.base import Gate, gate_weight, linear, without_padding
from moe.gates.checks import check_k
from moe.gates.picks import Picks, TieBreak, batchwise_loss, batchwise_picks, threshold_picks
from moe.routing import Routing, assignments_per_expert, sum_per_expert


class MaskInTraining(Enum):
    """Which mask decides who answers during training."""

    batchwise = "the m best tokens of every expert"
    threshold = "the learned thresholds, as in evaluation"


class StrictlyBalancedGate(Gate):
    """In training every expert takes its m = k T / n best tokens; later, thresholds decide.

    Source: Shazeer et al. (2017), appendix F: G(x)_i = g_i M_i / sum_j g_j M_j with g the softmax
    gate and M the mask; in evaluation M_i = 1 where g_i > T_i. The loss `batchwise`, in training
    only, moves the thresholds: see `moe.gates.picks.batchwise_loss`. Thresholds have the scale of
    1 / n and gradients the scale of token counts, so they want a step size of their own.

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
        threshold_E = torch.full((num_experts,), 1 / num_experts, device=device, dtype=dtype)
        self.threshold_E = nn.Parameter(threshold_E)

    def route(self, tokens_TD: Tensor, mask_T: Tensor | None) -> Routing:
        """Route a flat batch; see `moe.gates.base.Gate`."""
        softmax_TE = torch.softmax(linear(tokens_TD, self.weight_DE), dim=-1)
        probabilities_TE = without_padding(softmax_TE, mask_T, 0.0)
        if not self.training:
            picks = threshold_picks(probabilities_TE, self.threshold_E, mask_T)
            return self._routing(probabilities_TE, picks)
        picks = batchwise_picks(probabilities_TE, mask_T, self.k, self.tie_break)
        values_TE = probabilities_TE if self.loss_moves_gate else probabilities_TE.detach()
        loss = batchwise_loss(values_TE, self.threshold_E, picks, mask_T)
        if self.mask_in_training is MaskInTraining.threshold:
            picks = threshold_picks(probabilities_TE, self.threshold_E, mask_T)
        return self._routing(probabilities_TE, picks, {"batchwise": loss})

    def _routing(
        self, probabilities_TE: Tensor, picks: Picks, losses: dict[str, Tensor] | None = None
    ) -> Routing:
        weight_A = picks.shares(probabilities_TE)
        importance_E = sum_per_expert(weight_A, picks.expert_A, self.num_experts)
        load_E = assignments_per_expert(picks.expert_A, self.num_experts)
        return Routing(
            expert_A=picks.expert_A,
            weight_A=weight_A,
            start_T1=picks.start_T1,
            num_experts=self.num_experts,
            importance_E=importance_E,
            load_E=load_E.to(weight_A.dtype),
            probabilities_TE=probabilities_TE,
            losses={"importance": importance_loss(importance_E), **(losses or {})},
        )
