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


def in_matrices(weight: Tensor) -> Tensor:
    """A parameter or its gradient as a stack of matrices `[E, D, H]`, or as a vector."""
    return weight.reshape(-1) if weight.dim() < 2 else weight.reshape(-1, *weight.shape[-2:])


def zero_averages(weight: Tensor) -> dict[str, Tensor]:
    """Averages of squared gradients before the first update.

    Returns:
        `row` `[E, D]` and `column` `[E, H]` of matrices, or `square` of a vector.
    """
    zeros = torch.zeros((), dtype=arithmetic_dtype(weight), device=weight.device)
    size = in_matrices(weight).shape
    if len(size) == 1:
        return {"square": zeros.repeat(size)}
    return {"row": zeros.repeat(size[0], size[1]), "column": zeros.repeat(size[0], size[2])}


def arithmetic_dtype(weight: Tensor) -> torch.dtype:
    """What averages and arithmetic of a parameter are in: float32 at least."""
    return torch.promote_types(weight.dtype, torch.float32)


def update(weight: Tensor, gradient: Tensor, averages: dict[str, Tensor], rule: Rule) -> None:
    """Update matrices or a vector, and their averages, in place; all tensors of one dtype."""
    if "square" in averages:
        _full_update(weight, gradient, averages["square"], rule)
    else:
        _factored_update(weight, gradient, averages["row"], averages["column"], rule)


def _factored_update(
    weight_EDH: Tensor, gradient_EDH: Tensor, row_ED: Tensor, column_EH: Tensor, rule: Rule
) -> None:
    scratch_EDH = gradient_EDH.square()
    row_ED.lerp_(scratch_EDH.mean(dim=2), 1 - rule.beta2)
    column_EH.lerp_(scratch_EDH.mean(dim=1), 1 - rule.beta2)
    # An expert without a token so far has zero averages, and must stay as it is.
    tiny = torch.finfo(row_ED.dtype).tiny
    mean_E1 = row_ED.mean(dim=1, keepdim=True).clamp_min_(tiny)
    # Roots of the factors, not of the product: D + H roots per matrix in place of D H.
    root_ED = row_ED.div(mean_E1).div_(rule.correction).sqrt_()
    root_EH = column_EH.sqrt()
    torch.mul(root_ED.unsqueeze(2), root_EH.unsqueeze(1), out=scratch_EDH)
    weight_EDH.addcdiv_(gradient_EDH, scratch_EDH.add_(rule.eps), value=-rule.lr)


def _full_update(weight: Tensor, gradient: Tensor, square: Tensor, rule: Rule) -> None:
    square.lerp_(gradient.square(), 1 - rule.beta2)
    root = square.div(rule.correction).sqrt_().add_(rule.eps)
    weight.addcdiv_(gradient, root, value=-rule.lr)
