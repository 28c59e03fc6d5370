"""The top-1 gate with uniform noise on its logits."""

from enum import Enum

import torch
from torch import Tensor

from moe.balance import switch_loss
from moe.gates.base import (
    Gate,
    check_at_least,
    count_load,
    even_routing,
    gate_weight,
    without_padding,
)
from moe.routing import Routing


class GateValue(Enum):
    """What multiplies the chosen expert's answer."""

    probability = "as written"
    noisy_logit = "as coded"


class UniformNoiseGate(Gate):
    """One expert per token: the largest logit after uniform noise.

    Source: Chen et al. (2022), section 3: m* = argmax_m h_m + r_m with r_m uniform in [0, 1), and
    the expert's answer multiplied by softmax(h)_m*, which the noise does not enter. The authors'
    code multiplies by h_m* + r_m instead. An input of several patches is the sum of its patches.

    The loss `switch` is that of Fedus et al. (2021) on the values: on probabilities, or on noisy
    logits as in the authors' code.

    Attributes:
        weight_DE: the router's weights, zeros at first.
        value: what multiplies the expert's answer.
        noise_scale: the noise is uniform from 0 up to it.
        noise_in_evaluation: whether there is noise outside training too.
    """

    def __init__(
        self,
        num_features: int,
        num_experts: int,
        value: GateValue = GateValue.probability,
        noise_scale: float = 1.0,
        noise_in_evaluation: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Make the gate.

        The class describes the arguments; device and dtype are those of the weights.

        Raises:
            ValueError: an argument out of range; the message names it and what is allowed.
        """
        super().__init__(num_features, num_experts)
        check_at_least(0, noise_scale=noise_scale)
        self.value = value
        self.noise_scale = noise_scale
        self.noise_in_evaluation = noise_in_evaluation
        self.weight_DE = gate_weight(num_features, num_experts, device=device, dtype=dtype)

    def route(self, tokens_TD: Tensor, mask_T: Tensor | None) -> Routing:
        """Route a flat batch; see `moe.gates.base.Gate`."""
        # Experts first: with few experts on a CPU the product, the softmax and the search for the
        # largest are two to ten times as fast along the tokens, the gradient most of all.
        # Contiguous, because autograd takes the product of the gradient by the weight's layout.
        logits_ET = self.weight_DE.to(tokens_TD.dtype).T.contiguous() @ tokens_TD.T
        probabilities_ET = torch.softmax(logits_ET, dim=0)
        noisy_ET = logits_ET
        if self.training or self.noise_in_evaluation:
            # Chen et al. (2022), section 3: h_m(x; theta) + r_m with r_m uniform in [0, 1).
            noise_TE = torch.rand(logits_ET.T.shape, dtype=logits_ET.dtype, device=logits_ET.device)
            noisy_ET = logits_ET + self.noise_scale * noise_TE.T
        is_probability = self.value is GateValue.probability
        # Written: pi_m = softmax(h)_m, without noise; coded: the noisy logit itself.
        value_ET = probabilities_ET if is_probability else noisy_ET
        # m* = argmax_m h_m + r_m; `max` finds it four times as fast as `argmax`.
        expert_1T = noisy_ET.detach().max(dim=0, keepdim=True).indices
        load_E = count_load(expert_1T.T, mask_T, self.num_experts)
        return even_routing(
            expert_1T.T,
            value_ET.gather(0, expert_1T).T,
            mask_T,
            load_E,
            probabilities_TE=probabilities_ET.T,
            losses={"switch": switch_loss(without_padding(value_ET.T, mask_T, 0.0), load_E)},
        )
