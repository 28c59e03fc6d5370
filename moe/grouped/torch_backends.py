"""Grouped products of torch's own operations: the reference, padded batches, and `grouped_mm`.

Shapes as in `moe.grouped.backends.Products`.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# A group grows while its padded rows stay under this multiple of its rows, plus eight each.
MAX_PADDING = 1.5

# Matrices of a group, together: about what a core keeps in its second cache.
GROUP_BYTES = 2**22

# A small product takes as long for 2 rows as for 8, so padding up to 8 rows costs nothing.
FREE_ROWS = 8


class Reference:
    """One product per expert, in turn: what all backends must equal."""

    @staticmethod
    def forward(rows_RD: Tensor, weight_EDH: Tensor, start_E1: Tensor) -> Tensor:
        """Each row times its expert's matrix, `[R, H]`."""
        out_RH = rows_RD.new_empty(rows_RD.shape[0], weight_EDH.shape[2])
        out_RH[int(start_E1[-1]) :] = 0
        for weight_DH, group in zip(weight_EDH, _groups(start_E1), strict=True):
            torch.mm(rows_RD[group], weight_DH, out=out_RH[group])
        return out_RH

    @staticmethod
    def backward_rows(d_RH: Tensor, weight_EDH: Tensor, start_E1: Tensor) -> Tensor:
        """Gradient by the rows, `[R, D]`: each row's gradient times its expert's transpose."""
        return Reference.forward(d_RH, weight_EDH.mT, start_E1)

    @staticmethod
    def backward_weight(rows_RD: Tensor, d_RH: Tensor, start_E1: Tensor, experts: slice) -> Tensor:
        """Gradient by the matrices of a range of experts, `[len(experts), D, H]`."""
        groups = _groups(start_E1)[experts]
        out_EDH = rows_RD.new_empty(len(groups), rows_RD.shape[1], d_RH.shape[1])
        for out_DH, group in zip(out_EDH, groups, strict=True):
            torch.mm(rows_RD[group].mT, d_RH[group], out=out_DH)
        return out_EDH


class Padded:
    """Batched products over groups of neighbouring experts, padded to the largest of each group.

    For a CPU without a C compiler, and any device or dtype that torch multiplies.
    """

    @staticmethod
    def forward(rows_RD: Tensor, weight_EDH: Tensor, start_E1: Tensor) -> Tensor:
        """Each row times its expert's matrix, `[R, H]`."""
        out_RH = rows_RD.new_empty(rows_RD.shape[0], weight_EDH.shape[2])
        out_RH[int(start_E1[-1]) :] = 0
        matrix_bytes = weight_EDH[:1].nbytes
        for group in _neighbours(start_E1, matrix_bytes, 0, weight_EDH.shape[0]):
            weights = weight_EDH[group.experts]
            if len(weights) == 1:
                torch.mm(rows_RD[group.rows], weights[0], out=out_RH[group.rows])
                continue
            # [experts, most, D] @ [experts, D, H]; the rows of padding are never taken out again.
            padded, slot = _padded(rows_RD, start_E1, group)
            out_RH[group.rows] = torch.bmm(padded, weights).flatten(0, 1)[slot]
        return out_RH

    @staticmethod
    def backward_rows(d_RH: Tensor, weight_EDH: Tensor, start_E1: Tensor) -> Tensor:
        """Gradient by the rows, `[R, D]`."""
        return Padded.forward(d_RH, weight_EDH.mT, start_E1)

    @staticmethod
    def backward_weight(rows_RD: Tensor, d_RH: Tensor, start_E1: Tensor, experts: slice) -> Tensor:
        """Gradient by the matrices of a range of experts, `[len(experts), D, H]`."""
        chosen = range(start_E1.shape[0] - 1)[experts]
        out_EDH = rows_RD.new_empty(len(chosen), rows_RD.shape[1], d_RH.shape[1])
        matrix_bytes = out_EDH[:1].nbytes
        for group in _neighbours(start_E1, matrix_bytes, chosen.start, chosen.stop):
            first, stop = group.experts.start - chosen.start, group.experts.stop - chosen.start
            if stop - first == 1:
                torch.mm(rows_RD[group.rows].mT, d_RH[group.rows], out=out_EDH[first])
                continue
            rows, _ = _padded(rows_RD, start_E1, group)
            d_rows, _ = _padded(d_RH, start_E1, group)
            torch.bmm(rows.mT, d_rows, out=out_EDH[first:stop])
        return out_EDH


class TorchGrouped:
    """torch's own grouped product: the fast path for bfloat16 on recent NVIDIA GPUs.

    There it never waits for the device; for other dtypes torch falls back to a loop on the host.
    """

    @staticmethod
    def forward(rows_RD: Tensor, weight_EDH: Tensor, start_E1: Tensor) -> Tensor:
        """Each row times its expert's matrix, `[R, H]`."""
        out_RH = F.grouped_mm(rows_RD, weight_EDH, offs=_ends(start_E1))
        return _without_rows_of_no_expert(out_RH, start_E1)

    @staticmethod
    def backward_rows(d_RH: Tensor, weight_EDH: Tensor, start_E1: Tensor) -> Tensor:
        """Gradient by the rows, `[R, D]`."""
        return TorchGrouped.forward(d_RH, weight_EDH.mT, start_E1)

    @staticmethod
    def backward_weight(rows_RD: Tensor, d_RH: Tensor, start_E1: Tensor, experts: slice) -> Tensor:
        """Gradient by the matrices of a range of experts, `[len(experts), D, H]`."""
        first, stop, _ = experts.indices(start_E1.shape[0] - 1)
        if stop - first == start_E1.shape[0] - 1:
            return F.grouped_mm(rows_RD.mT, d_RH, offs=_ends(start_E1))
        # The rows of earlier experts are multiplied too and thrown away: torch's groups start at
        # zero. A block's own rows would need their number on the host, which waits for the device.
        ends = torch.cat([start_E1[first : first + 1], start_E1[first + 1 : stop + 1]])
        return F.grouped_mm(rows_RD.mT, d_RH, offs=ends.to(torch.int32))[1:]


def _groups(start_E1: Tensor) -> list[slice]:
    starts = start_E1.tolist()
    return [slice(first, last) for first, last in pairwise(starts)]


class Group(NamedTuple):
    """Neighbouring experts that share one batched product."""

    experts: slice
    rows: slice
    most: int


def _neighbours(start_E1: Tensor, matrix_bytes: int, origin: int, stop: int) -> Iterator[Group]:
    starts = start_E1.tolist()
    # Sizes are read once: this backend waits for the device.
    limit = max(1, GROUP_BYTES // max(1, matrix_bytes))
    first, most = origin, 0
    for e in range(origin, stop):
        count = starts[e + 1] - starts[e]
        # Were this expert in the group too, all would be padded to the largest.
        larger = max(most, count)
        size = e + 1 - first
        padded, real = larger * size, starts[e + 1] - starts[first]
        if e > first and (size > limit or padded > MAX_PADDING * real + FREE_ROWS * size):
            yield Group(slice(first, e), slice(starts[first], starts[e]), most)
            first, larger = e, count
        most = larger
    if stop > origin:
        yield Group(slice(first, stop), slice(starts[first], starts[stop]), most)


def _padded(rows: Tensor, start_E1: Tensor, group: Group) -> tuple[Tensor, Tensor]:
    starts = start_E1[group.experts.start : group.experts.stop + 1]
    position = torch.arange(group.rows.start, group.rows.stop, device=rows.device)
    expert = torch.repeat_interleave(
        torch.arange(len(starts) - 1, device=rows.device), starts.diff(), output_size=len(position)
    )
    slot = expert * group.most + position - starts[expert]
    padded = rows.new_zeros((len(starts) - 1) * group.most, rows.shape[1])
    padded[slot] = rows[group.rows]
    return padded.view(len(starts) - 1, group.most, rows.shape[1]), slot


def _ends(start_E1: Tensor) -> Tensor:
    return start_E1[1:].to(torch.int32)


def _without_rows_of_no_expert(out_R: Tensor, start_E1: Tensor) -> Tensor:
    # torch leaves these rows unset, and an unset row may hold a NaN, which zero weights keep.
    position = torch.arange(out_R.shape[0], device=out_R.device)
    return out_R.masked_fill_((position >= start_E1[-1]).unsqueeze(-1), 0)
