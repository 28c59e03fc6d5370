"""The exact shorter way to the answers of linear and cubic experts.

A linear expert's answer is one inner product with the sum of its filters. In a cubic expert the
patches that hold a multiple of a signal enter only through the filters' inner products with the
2K signals: the sum over filters of (a t_j + b_j)^3, t_j = <w_j, signal>, is a polynomial in a,
whose coefficients all examples of an expert share. Only Gaussian noise needs the d dimensions.

Shapes: n examples, P patches, D features of a patch (d, and a constant one with a bias), E experts,
J filters, N heads, S = 2K signals, Q powers of their amounts.
"""

import torch
from torch import Tensor

from experiments.clusters.data import Examples, Signals, unshuffled

NUM_SIGNAL_PATCHES = 3


def powers(examples: Examples, signals: Signals, bias: bool) -> Tensor:
    """Powers of how much of each signal an example has, summed over its patches, `[n, Q]`.

    Cubes; with a bias also squares, the amounts, and the number of patches.
    """
    signal_SD = torch.cat([signals.feature_KD, signals.centre_KD])
    amount_nPS = unshuffled(examples)[:, :NUM_SIGNAL_PATCHES] @ signal_SD.T
    exponents = (3, 2, 1) if bias else (3,)
    columns = [amount_nPS.pow(exponent).sum(dim=1) for exponent in exponents]
    if bias:
        columns.append(amount_nPS.new_full((len(amount_nPS), 1), NUM_SIGNAL_PATCHES))
    return torch.cat(columns, dim=1)


def cubic_coefficients(
    filters_EDJ: Tensor, signal_SD: Tensor, num_heads: int, bias: bool
) -> Tensor:
    """What each power is worth to each expert's heads, `[E, Q, N]`."""
    product_ESJ = signal_SD @ filters_EDJ[:, : signal_SD.shape[1]]
    columns = [product_ESJ.pow(3)]
    if bias:
        bias_E1J = filters_EDJ[:, -1:]
        columns.append(3 * product_ESJ.square() * bias_E1J)
        columns.append(3 * product_ESJ * bias_E1J.square())
        columns.append(bias_E1J.pow(3))
    return torch.cat([_per_head(column, num_heads) for column in columns], dim=1)


def linear_coefficients(filters_EDJ: Tensor, num_heads: int) -> Tensor:
    """What each feature is worth to each linear expert's heads, `[E, D, N]`."""
    return _per_head(filters_EDJ, num_heads)


def _per_head(weight_EXJ: Tensor, num_heads: int) -> Tensor:
    num_experts, num_inputs, _ = weight_EXJ.shape
    return weight_EXJ.reshape(num_experts, num_inputs, num_heads, -1).sum(dim=3)
