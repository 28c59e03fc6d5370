"""The softmax gate: every expert for every token, or the k most probable."""

import torch
from torch import Tensor

from moe.gates.base import Gate, check_above, check_k, count_load, even_routing, gate_weight, linear
from moe.routing import Routing


class SoftmaxGate(Gate):
    """Mixing proportions over all experts, or over the k with the largest logits.

    Source: Jacobs, Jordan, Nowlan & Hinton (1991), section 1, for k = n; Shazeer et al. (2017),
    equations 2 and 5 without noise, for k < n: the softmax is taken after the choice, so that the
    k weights sum to one.

    Attributes:
        weight_DE: W_g.
        k: experts per token.
        temperature: divides the logits.
    """

    def __init__(
        self,
        num_features: int,
        num_experts: int,
        k: int | None = None,
        temperature: float = 1.0,
        init_scale: float = 0.1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Make the gate.

        Args:
            num_features: D.
            num_experts: E.
            k: experts per token; None for all of them.
            temperature: divides the logits.
            init_scale: see `moe.gates.base.gate_weight`. Without noise, zero weights would send
                all tokens to the same k experts.
            device: of the weights.
            dtype: of the weights; tokens are routed in float32 at least, whatever it is.

        Raises:
            ValueError: an argument out of range; the message names it and what is allowed.
        """
        super().__init__(num_features, num_experts)
        self.k = num_experts if k is None else k
        check_k("k", self.k, num_experts, "num_experts")
        check_above(0, temperature=temperature)
        self.temperature = temperature
        self.weight_DE = gate_weight(
            num_features, num_experts, init_scale=init_scale, device=device, dtype=dtype
        )

    def route(self, tokens_TD: Tensor, mask_T: Tensor | None) -> Routing:
        """Route a flat batch; see `moe.gates.base.Gate`."""
        # Jacobs et al. (1991), section 1: p_i = exp(x_i) / sum_j exp(x_j), x the logits.
        logits_TE = linear(tokens_TD, self.weight_DE) / self.temperature
        probabilities_TE = torch.softmax(logits_TE, dim=-1)
        if self.k == self.num_experts:
            weight_TK = probabilities_TE
            expert_TK = torch.arange(self.num_experts, device=tokens_TD.device)
            expert_TK = expert_TK.expand(tokens_TD.shape[0], -1)
        else:
            # Shazeer et al. (2017), eq. 3: G(x) = softmax(KeepTopK(H(x), k)), here H(x) = x W_g.
            kept_TK, expert_TK = logits_TE.topk(self.k, dim=-1)
            weight_TK = torch.softmax(kept_TK, dim=-1)
        load_E = count_load(expert_TK, mask_T, self.num_experts)
        return even_routing(expert_TK, weight_TK, mask_T, load_E, probabilities_TE=probabilities_TE)
