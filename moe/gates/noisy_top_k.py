"""The noisy top-k gate with the smooth load estimator."""

import torch
from torch import Tensor

from moe.balance import load_loss
from moe.gates.base import Gate, count_load, even_routing, gate_weight, linear
from moe.gates.checks import check_at_least, check_k
from moe.gates.noisy import Choice, noisy_top_k, top_k
from moe.routing import Routing


class NoisyTopKGate(Gate):
    """k experts per token, chosen by noisy logits; the softmax is taken after the choice.

    Source: Shazeer et al. (2017), equations 3 to 5 (gate), 6 to 7 (importance), 8 to 11 (load);
    no bias; W_g and W_noise are zeros at first (appendix A). The paper does not say what happens
    in evaluation: its first author's code leaves the noise out and counts tokens for the load.

    Attributes:
        weight_D2E: W_g at `[:, 0]`, W_noise at `[:, 1]`.
        k: experts per token.
        noise_epsilon: added to the noise's standard deviation; the first author's code takes 0.01.
        noise_in_evaluation: whether there is noise outside training too.
    """

    def __init__(
        self,
        num_features: int,
        num_experts: int,
        k: int,
        noise_epsilon: float = 0.0,
        noise_in_evaluation: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Make the gate; for the arguments see the class, device and dtype are the weights'."""
        super().__init__(num_features, num_experts)
        check_k("k", k, num_experts, "num_experts")
        check_at_least(0, noise_epsilon=noise_epsilon)
        self.k = k
        self.noise_epsilon = noise_epsilon
        self.noise_in_evaluation = noise_in_evaluation
        self.weight_D2E = gate_weight(num_features, 2, num_experts, device=device, dtype=dtype)

    @property
    def has_noise(self) -> bool:
        """Whether the next pass draws noise."""
        return self.training or self.noise_in_evaluation

    def route(self, tokens_TD: Tensor, mask_T: Tensor | None) -> Routing:
        """Route a flat batch; see `moe.gates.base.Gate`."""
        choice = self._choice(tokens_TD)
        if choice.probability_RE is None:
            load_E = count_load(choice.expert_RK, mask_T, self.num_experts)
        else:
            load_E = _sum_over_real(choice.probability_RE, mask_T)
        weight_TK = torch.softmax(choice.logit_RK, dim=-1)
        losses = {"load": load_loss(load_E)}
        return even_routing(choice.expert_RK, weight_TK, mask_T, load_E, losses=losses)

    def _choice(self, tokens_TD: Tensor) -> Choice:
        if not self.has_noise:
            return top_k(linear(tokens_TD, self.weight_D2E[:, 0]), self.k)
        product_T2E = linear(tokens_TD, self.weight_D2E.flatten(1))
        noise_TE = torch.randn_like(product_T2E[:, : self.num_experts])
        return noisy_top_k(product_T2E, noise_TE, self.k, self.noise_epsilon)


def _sum_over_real(probability_TE: Tensor, mask_T: Tensor | None) -> Tensor:
    if mask_T is None:
        return probability_TE.sum(dim=0)
    return mask_T.to(probability_TE.dtype) @ probability_TE
