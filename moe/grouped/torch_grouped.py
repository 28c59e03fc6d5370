"""torch's own grouped product: the fast path for bfloat16 on recent NVIDIA GPUs.

There it never waits for the device; for other dtypes torch falls back to a loop on the host.
Shapes as in `moe.grouped.reference`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def _ends(start_E1: Tensor) -> Tensor:
    return start_E1[1:].to(torch.int32)


def _without_rows_of_no_expert(out_R: Tensor, start_E1: Tensor) -> Tensor:
    # torch leaves these rows unset, and an unset row may hold a NaN, which zero weights keep.
    position = torch.arange(out_R.shape[0], device=out_R.device)
    return out_R.masked_fill_((position >= start_E1[-1]).unsqueeze(-1), 0)


def forward(rows_RD: Tensor, weight_EDH: Tensor, start_E1: Tensor) -> Tensor:
    """Each row times its expert's matrix, `[R, H]`."""
    out_RH = F.grouped_mm(rows_RD, weight_EDH, offs=_ends(start_E1))
    return _without_rows_of_no_expert(out_RH, start_E1)


def backward_rows(d_RH: Tensor, weight_EDH: Tensor, start_E1: Tensor) -> Tensor:
    """Gradient by the rows, `[R, D]`."""
    return forward(d_RH, weight_EDH.mT, start_E1)


def backward_weight(rows_RD: Tensor, d_RH: Tensor, start_E1: Tensor, experts: slice) -> Tensor:
    """Gradient by the matrices of a range of experts, `[len(experts), D, H]`."""
    first, stop, _ = experts.indices(start_E1.shape[0] - 1)
    if stop - first == start_E1.shape[0] - 1:
        return F.grouped_mm(rows_RD.mT, d_RH, offs=_ends(start_E1))
    # The rows of earlier experts are multiplied too and thrown away: torch's groups start at zero.
    # A block's own rows would need their number on the host, which waits for the device.
    ends = torch.cat([start_E1[first : first + 1], start_E1[first + 1 : stop + 1]])
    return F.grouped_mm(rows_RD.mT, d_RH, offs=ends.to(torch.int32))[1:]
