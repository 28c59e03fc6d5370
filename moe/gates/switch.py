"""The switch gate: the most probable expert, and a loss that evens out the load."""

import torch
from torch import Tensor

from moe.balance import switch_loss, z_loss
from moe.gates.base import (
    Gate,
    check_at_least,
    count_load,
    even_routing,
    gate_weight,
    linear,
    without_padding,
)
from moe.routing import Routing


class SwitchGate(Gate):
    """One expert per token, its answer multiplied by its probability.

    Of the three studies none uses it; it is here for those who train with the library.

    Source: Fedus, Zoph & Shazeer (2021), section 2; input jitter from their appendix, the loss `z`
    from Zoph et al. (2022).

    Attributes:
        weight_DE: the router's weights.
        jitter: in training every feature is multiplied by a number from 1 - jitter to 1 + jitter.
    """

    def __init__(
        self,
        num_features: int,
        num_experts: int,
        jitter: float = 0.0,
        init_scale: float = 0.1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Make the gate.

        Args:
            num_features: D.
            num_experts: E.
            jitter: see the class; the paper takes 0.01.
            init_scale: see `moe.gates.base.gate_weight`; the paper takes 0.1.
            device: of the weights.
            dtype: of the weights; tokens are routed in float32 at least, whatever it is.

        Raises:
            ValueError: an argument out of range; the message names it and what is allowed.
        """
        super().__init__(num_features, num_experts)
        check_at_least(0, jitter=jitter)
        self.jitter = jitter
        self.weight_DE = gate_weight(
            num_features, num_experts, init_scale=init_scale, device=device, dtype=dtype
        )

    def route(self, tokens_TD: Tensor, mask_T: Tensor | None) -> Routing:
        """Route a flat batch; see `moe.gates.base.Gate`."""
        logits_TE = linear(self._jittered(tokens_TD), self.weight_DE)
        probabilities_TE = without_padding(torch.softmax(logits_TE, dim=-1), mask_T, 0.0)
        # Fedus et al. (2021), eq. 2: y = p_i(x) E_i(x) for the i of the largest p_i alone.
        weight_T1, expert_T1 = probabilities_TE.max(dim=-1, keepdim=True)
        load_E = count_load(expert_T1, mask_T, self.num_experts)
        losses = {
            "switch": switch_loss(probabilities_TE, load_E),
            "z": z_loss(logits_TE, mask_T),
        }
        return even_routing(
            expert_T1,
            weight_T1,
            mask_T,
            load_E,
            probabilities_TE=probabilities_TE,
            losses=losses,
        )

    def _jittered(self, tokens_TD: Tensor) -> Tensor:
        if not (self.training and self.jitter > 0):
            return tokens_TD
        # x_d times u with u uniform in [1 - jitter, 1 + jitter], drawn for every feature.
        factor_TD = torch.empty_like(tokens_TD).uniform_(1 - self.jitter, 1 + self.jitter)
        return tokens_TD * factor_TD
