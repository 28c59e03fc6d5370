"""One plain matrix product per expert: what every other backend must equal.

Shapes: R rows sorted by expert, E experts, D features in, H features out; `start_E1` as in
`moe.plan.Plan`. Rows from `start_E1[E]` on belong to no expert and give zeros.
"""

from itertools import pairwise

import torch
from torch import Tensor


def _groups(start_E1: Tensor) -> list[slice]:
    starts = start_E1.tolist()
    return [slice(first, last) for first, last in pairwise(starts)]


def forward(rows_RD: Tensor, weight_EDH: Tensor, start_E1: Tensor) -> Tensor:
    """Each row times its expert's matrix, `[R, H]`."""
    out_RH = rows_RD.new_empty(rows_RD.shape[0], weight_EDH.shape[2])
    out_RH[int(start_E1[-1]) :] = 0
    for weight_DH, group in zip(weight_EDH, _groups(start_E1), strict=True):
        torch.mm(rows_RD[group], weight_DH, out=out_RH[group])
    return out_RH


def backward_rows(d_RH: Tensor, weight_EDH: Tensor, start_E1: Tensor) -> Tensor:
    """Gradient by the rows, `[R, D]`: each row's gradient times its expert's transpose."""
    return forward(d_RH, weight_EDH.mT, start_E1)


def backward_weight(rows_RD: Tensor, d_RH: Tensor, start_E1: Tensor, experts: slice) -> Tensor:
    """Gradient by the matrices of a range of experts, `[len(experts), D, H]`."""
    groups = _groups(start_E1)[experts]
    out_EDH = rows_RD.new_empty(len(groups), rows_RD.shape[1], d_RH.shape[1])
    for out_DH, group in zip(out_EDH, groups, strict=True):
        torch.mm(rows_RD[group].mT, d_RH[group], out=out_DH)
    return out_EDH
