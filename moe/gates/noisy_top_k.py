"""The noisy top-k gate with the smooth load estimator.

The choice is one autograd node: written as single operations, the estimator needs three times the
passes over memory. Shapes: R rows (tokens, or copies of tokens), E experts, K chosen.
Source: Shazeer et al. (2017), equations 3 to 5 and 8 to 11.
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from moe.balance import load_loss
from moe.gates.base import (
    Gate,
    check_at_least,
    check_k,
    count_load,
    even_routing,
    gate_weight,
    linear,
)
from moe.operators import apply, cheap_to_call
from moe.routing import Routing

# Least standard deviation of the noise: softplus can underflow to zero, and is divided by.
SMALLEST_DEVIATION = 1e-20

# Densities below exp of this are taken as zero: subnormal numbers are slow on a CPU.
LEAST_EXPONENT = -60.0


class Choice(NamedTuple):
    """The k experts of every row.

    Attributes:
        logit_RK: their logits, noise included, the largest first.
        expert_RK: their ids.
        probability_RE: P(x, i), or None where there was no noise.
    """

    logit_RK: Tensor
    expert_RK: Tensor
    probability_RE: Tensor | None


def top_k(logits_RE: Tensor, k: int) -> Choice:
    """Choose the k largest logits of every row, without noise."""
    return Choice(*logits_RE.topk(k, dim=-1), None)


def noisy_top_k(
    product_R2E: Tensor, noise_RE: Tensor, k: int, noise_epsilon: float = 0.0
) -> Choice:
    """Choose the k largest of H(x)_i = (x W_g)_i + eps_i * softplus((x W_noise)_i).

    P(x, i) is the probability that expert i stays among the k if its own noise alone is drawn
    anew: Phi(((x W_g)_i - kth_excluding(H, k, i)) / softplus((x W_noise)_i)). With k = n no
    expert can be left out, so P = 1.

    Args:
        product_R2E: x W_g, then x W_noise, side by side: `[R, 2 E]`.
        noise_RE: eps, drawn from the standard normal distribution.
        k: experts per row.
        noise_epsilon: added to the noise's standard deviation.

    Returns:
        The choice; its logits and probabilities are differentiable in the product, once.
    """
    least = max(noise_epsilon, SMALLEST_DEVIATION)
    if k < noise_RE.shape[-1]:
        return Choice(*apply(_NoisyTopK, product_R2E, noise_RE, k, least)[:3])
    clean_RE, raw_RE = product_R2E.chunk(2, dim=-1)
    logits_RE = clean_RE + noise_RE * (F.softplus(raw_RE) + least)
    return top_k(logits_RE, k)._replace(probability_RE=torch.ones_like(noise_RE))


@cheap_to_call
class _NoisyTopK(torch.autograd.Function):
    @staticmethod
    def forward(product_R2E: Tensor, noise_RE: Tensor, k: int, least: float) -> tuple[Tensor, ...]:
        clean_RE, raw_RE = product_R2E.chunk(2, dim=-1)
        # Shazeer et al. (2017), eq. 4: H(x)_i = (x W_g)_i + N(0, 1) softplus((x W_noise)_i).
        deviation_RE = F.softplus(raw_RE).add_(least)
        noisy_RE = torch.addcmul(clean_RE, noise_RE, deviation_RE)
        # One more than k: the best expert that is left out is the threshold of those inside.
        top_Rk, index_Rk = noisy_RE.topk(k + 1, dim=-1)
        chosen_RK = index_Rk[:, :k].contiguous()
        # Eq. 9: P(x, i) = Phi(((x W_g)_i - kth_excluding(H(x), k, i)) / softplus((x W_noise)_i)).
        # An expert outside the k must beat the k-th; one inside, the best that was left out.
        distance_RE = torch.sub(clean_RE, top_Rk[:, k - 1 : k], out=noisy_RE)
        inside_RK = clean_RE.gather(1, chosen_RK) - top_Rk[:, k:]
        z_RE = distance_RE.scatter_(1, chosen_RK, inside_RK).div_(deviation_RE)
        choice = (top_Rk[:, :k].contiguous(), chosen_RK, torch.special.ndtr(z_RE))
        return *choice, deviation_RE, z_RE, index_Rk

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _, chosen_RK, _, deviation_RE, z_RE, index_Rk = output
        ctx.save_for_backward(inputs[1], deviation_RE, z_RE, index_Rk)
        ctx.least = inputs[3]
        ctx.mark_non_differentiable(chosen_RK, deviation_RE, z_RE, index_Rk)
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, d_logit_RK: Tensor | None, _: None, d_probability_RE: Tensor | None, *__: None
    ) -> tuple[Tensor, None, None, None]:
        noise_RE, deviation_RE, z_RE, index_Rk = ctx.saved_tensors
        d_probability = 0.0 if d_probability_RE is None else d_probability_RE
        d_logit = 0.0 if d_logit_RK is None else d_logit_RK
        # With z = (clean - threshold) / sigma: dP / dclean = phi(z) / sigma, the same by the
        # threshold with the other sign, and dP / dsigma = - z phi(z) / sigma.
        exponent_RE = z_RE.square().mul_(-0.5)
        slope_RE = torch.threshold_(exponent_RE, LEAST_EXPONENT, -math.inf).exp_()
        slope_RE.mul_(1 / math.sqrt(2 * math.pi)).mul_(d_probability).div_(deviation_RE)
        d_top_Rk = _thresholds_gradient(slope_RE, index_Rk)
        # A threshold is itself a noisy logit clean + noise sigma, as are those that were chosen.
        d_top_Rk[:, :-1] += d_logit
        d_clean_RE = slope_RE.scatter_add(1, index_Rk, d_top_Rk)
        d_deviation_RE = slope_RE.mul_(z_RE).neg_()
        d_deviation_RE.scatter_add_(1, index_Rk, d_top_Rk.mul_(noise_RE.gather(1, index_Rk)))
        # d softplus(r) / dr = sigmoid(r) = 1 - exp(- softplus(r)).
        sigmoid_RE = torch.sub(ctx.least, deviation_RE).expm1_().neg_()
        d_raw_RE = d_deviation_RE.mul_(sigmoid_RE)
        return torch.cat([d_clean_RE, d_raw_RE], dim=1), None, None, None


def _thresholds_gradient(slope_RE: Tensor, index_Rk: Tensor) -> Tensor:
    """What the distances hand on to the k-th and the next largest logit, `[R, K + 1]`."""
    d_top_Rk = torch.zeros_like(index_Rk, dtype=slope_RE.dtype)
    # Those inside are measured from the next largest, all others from the k-th.
    inside_R = slope_RE.gather(1, index_Rk[:, :-1]).sum(dim=1)
    d_top_Rk[:, -1] = -inside_R
    d_top_Rk[:, -2] = inside_R - slope_RE.sum(dim=1)
    return d_top_Rk


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
        """Make the gate.

        The class describes the arguments; device and dtype are those of the weights.

        Raises:
            ValueError: an argument out of range; the message names it and what is allowed.
        """
        super().__init__(num_features, num_experts)
        check_k("k", k, num_experts, "num_experts")
        check_at_least(0, noise_epsilon=noise_epsilon)
        self.k = k
        self.noise_epsilon = noise_epsilon
        self.noise_in_evaluation = noise_in_evaluation
        # Appendix A: both begin at zero, so that at first noise alone decides, and evenly.
        self.weight_D2E = gate_weight(num_features, 2, num_experts, device=device, dtype=dtype)

    @torch.no_grad()
    def set_logit_weight(self, weight_DE: Tensor) -> None:
        """Take over other weights W_g of the logits x W_g; those of the noise stay.

        Args:
            weight_DE: `[D, E]`.
        """
        self.weight_D2E[:, 0] = weight_DE

    def logit_gradient(self, loss: Tensor) -> Tensor:
        """The gradient of a loss by W_g, `[D, E]`; `weight_D2E.grad` stays as it is.

        Args:
            loss: a scalar that the gate's weights have a part in, and that they may move.
        """
        (gradient_D2E,) = torch.autograd.grad(loss, [self.weight_D2E])
        return gradient_D2E[:, 0]

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
            # Eq. 10: Load(X)_i = sum over x in X of P(x, i), which has a gradient.
            load_E = _sum_over_real(choice.probability_RE, mask_T)
        # Eqs. 3 and 5: softmax over the k that are kept; all others are minus infinity, so zero.
        weight_TK = torch.softmax(choice.logit_RK, dim=-1)
        losses = {"load": load_loss(load_E)}
        return even_routing(choice.expert_RK, weight_TK, mask_T, load_E, losses=losses)

    def _choice(self, tokens_TD: Tensor) -> Choice:
        if not self.has_noise:
            return top_k(linear(tokens_TD, self.weight_D2E[:, 0]), self.k)
        # One product for W_g and W_noise: the tokens are read once.
        product_T2E = linear(tokens_TD, self.weight_D2E.flatten(1))
        noise_TE = torch.randn_like(product_T2E[:, : self.num_experts])
        return noisy_top_k(product_T2E, noise_TE, self.k, self.noise_epsilon)


def _sum_over_real(probability_TE: Tensor, mask_T: Tensor | None) -> Tensor:
    if mask_T is None:
        # Load(X)_i = sum over x in X of P(x, i), equation 10.
        return probability_TE.sum(dim=0)
    # The same without padding, as a product: no masked copy of [T, E] is made.
    return mask_T.to(probability_TE.dtype) @ probability_TE
