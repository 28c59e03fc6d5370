"""One update of Adam without a first moment, its second moment factored or in full.

Source: Shazeer et al. (2017), appendix D: beta1 is zero; "instead of maintaining a full matrix of
second-moment estimators, we maintain vectors of row-wise and column-wise averages of that matrix";
the estimate is their outer product divided by the mean of either. With t updates done:

    r <- beta2 r + (1 - beta2) mean_columns(g^2)
    c <- beta2 c + (1 - beta2) mean_rows(g^2)
    V = r c^T / mean(r)
    w <- w - lr g / (sqrt(V / (1 - beta2^t)) + eps)

Shapes: E matrices of D rows and H columns.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Rule(NamedTuple):
    """The numbers of one update.

    Attributes:
        lr: the step size.
        beta2: decay of the averages.
        eps: added to the root.
        correction: 1 - beta2^t, or 1 without bias correction.
    """

    lr: float
    beta2: float
    eps: float
    correction: float


def factored_update(
    weight_EDH: Tensor, gradient_EDH: Tensor, row_ED: Tensor, column_EH: Tensor, rule: Rule
) -> None:
    """Update matrices and their averages in place; all tensors of one dtype.

    A matrix whose gradients were all zero so far stays as it is.
    """
    scratch_EDH = gradient_EDH.square()
    row_ED.lerp_(scratch_EDH.mean(dim=2), 1 - rule.beta2)
    column_EH.lerp_(scratch_EDH.mean(dim=1), 1 - rule.beta2)
    tiny = torch.finfo(row_ED.dtype).tiny
    mean_E1 = row_ED.mean(dim=1, keepdim=True).clamp_min_(tiny)
    # Roots of the factors, not of the product: D + H roots per matrix in place of D H.
    root_ED = row_ED.div(mean_E1).div_(rule.correction).sqrt_()
    root_EH = column_EH.sqrt()
    torch.mul(root_ED.unsqueeze(2), root_EH.unsqueeze(1), out=scratch_EDH)
    weight_EDH.addcdiv_(gradient_EDH, scratch_EDH.add_(rule.eps), value=-rule.lr)


def full_update(weight: Tensor, gradient: Tensor, square: Tensor, rule: Rule) -> None:
    """Update a vector, or anything else without rows and columns, and its average in place."""
    square.lerp_(gradient.square(), 1 - rule.beta2)
    root = square.div(rule.correction).sqrt_().add_(rule.eps)
    weight.addcdiv_(gradient, root, value=-rule.lr)
