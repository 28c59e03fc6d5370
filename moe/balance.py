"""Losses that keep the experts' shares even. None is multiplied by a coefficient here.

Shapes: T tokens, E experts.
"""

import torch
from torch import Tensor

# Added to the squared mean: the loss of a batch without tokens is zero, not a NaN.
EPSILON = 1e-10


def cv_squared(value_E: Tensor) -> Tensor:
    """Compute the squared coefficient of variation, `[...]`: variance over squared mean.

    Source: Shazeer et al. (2017), section 4. The paper does not say which variance; its first
    author's published code takes the population's and adds 1e-10 to the squared mean.

    Args:
        value_E: one number per expert, `[..., E]`.
    """
    # CV(v)^2 = var(v) / mean(v)^2.
    mean = value_E.mean(dim=-1, keepdim=True)
    variance = (value_E - mean).square().mean(dim=-1)
    return variance / (mean.squeeze(-1).square() + EPSILON)


def importance_loss(importance_E: Tensor) -> Tensor:
    """Compute CV(Importance)^2, a scalar.

    Source: Shazeer et al. (2017), equation 7, without w_importance.

    Args:
        importance_E: sum of the gate's values per expert, `[E]`.
    """
    # Shazeer et al. (2017), eq. 7: L_importance(X) = w_importance CV(Importance(X))^2.
    return cv_squared(importance_E)


def load_loss(load_E: Tensor) -> Tensor:
    """Compute CV(Load)^2, a scalar; it has a gradient where the load is the smooth estimator.

    Source: Shazeer et al. (2017), equation 11, without w_load.

    Args:
        load_E: tokens per expert, or its estimate, `[E]`.
    """
    # Shazeer et al. (2017), eq. 11: L_load(X) = w_load CV(Load(X))^2.
    return cv_squared(load_E)


def switch_loss(scores_TE: Tensor, count_E: Tensor) -> Tensor:
    """Compute E sum_i f_i P_i of a gate with one expert per token: a scalar, 1 if even.

    Source: Fedus, Zoph & Shazeer (2021), equations 4 to 6, without alpha.

    Args:
        scores_TE: the gate's probabilities, `[T, E]`, zeros for padding; P_i is their mean.
        count_E: tokens per expert; f_i is the share of the tokens, and has no gradient.
    """
    # Fedus et al. (2021), eqs. 4 to 6: loss = alpha N sum_i f_i P_i, f_i the share of the tokens
    # that go to expert i and P_i the mean probability of expert i.
    num_tokens = count_E.detach().sum().clamp(min=1)
    share_E = count_E.detach() / num_tokens
    mean_E = scores_TE.sum(dim=0) / num_tokens
    return count_E.shape[0] * (share_E * mean_E).sum()


def z_loss(logits_TE: Tensor, mask_T: Tensor | None = None) -> Tensor:
    """Average logsumexp(logits)^2 over the real tokens: a scalar that keeps logits small.

    Source: Zoph et al. (2022), "ST-MoE", equation 5, without its coefficient.

    Args:
        logits_TE: the gate's logits, `[T, E]`.
        mask_T: True for real tokens, or None.
    """
    # Zoph et al. (2022), eq. 5: L_z = 1 / B sum_b (log sum_j exp(x_bj))^2.
    square_T = torch.logsumexp(logits_TE, dim=-1).square()
    if mask_T is None:
        return square_T.sum() / max(1, square_T.shape[0])
    return square_T.masked_fill(~mask_T, 0.0).sum() / mask_T.sum().clamp(min=1)
