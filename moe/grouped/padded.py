"""Batched products over groups of neighbouring experts, padded to the largest of each group.

For a CPU without a C compiler, and any device or dtype that torch multiplies. Shapes as in
`moe.grouped.reference`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

MAX_PADDING = 1.5
"""A group grows while its padded rows stay under this multiple of its rows, plus eight each."""

GROUP_BYTES = 2**22
"""Matrices of a group, together: about what a core keeps in its second cache."""

FREE_ROWS = 8
"""A small product takes as long for 2 rows as for 8, so padding up to 8 rows costs nothing."""


class Group(NamedTuple):
    """Neighbouring experts that share one batched product."""

    experts: slice
    rows: slice
    most: int


def _groups(start_E1: Tensor, matrix_bytes: int, origin: int, stop: int) -> Iterator[Group]:
    starts = start_E1.tolist()
    limit = max(1, GROUP_BYTES // max(1, matrix_bytes))
    first, most = origin, 0
    for e in range(origin, stop):
        count = starts[e + 1] - starts[e]
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


def forward(rows_RD: Tensor, weight_EDH: Tensor, start_E1: Tensor) -> Tensor:
    """Each row times its expert's matrix, `[R, H]`."""
    out_RH = rows_RD.new_empty(rows_RD.shape[0], weight_EDH.shape[2])
    out_RH[int(start_E1[-1]) :] = 0
    matrix_bytes = weight_EDH[:1].nbytes
    for group in _groups(start_E1, matrix_bytes, 0, weight_EDH.shape[0]):
        weights = weight_EDH[group.experts]
        if len(weights) == 1:
            torch.mm(rows_RD[group.rows], weights[0], out=out_RH[group.rows])
            continue
        padded, slot = _padded(rows_RD, start_E1, group)
        out_RH[group.rows] = torch.bmm(padded, weights).flatten(0, 1)[slot]
    return out_RH


def backward_rows(d_RH: Tensor, weight_EDH: Tensor, start_E1: Tensor) -> Tensor:
    """Gradient by the rows, `[R, D]`."""
    return forward(d_RH, weight_EDH.mT, start_E1)


def backward_weight(rows_RD: Tensor, d_RH: Tensor, start_E1: Tensor, experts: slice) -> Tensor:
    """Gradient by the matrices of a range of experts, `[len(experts), D, H]`."""
    chosen = range(start_E1.shape[0] - 1)[experts]
    out_EDH = rows_RD.new_empty(len(chosen), rows_RD.shape[1], d_RH.shape[1])
    matrix_bytes = out_EDH[:1].nbytes
    for group in _groups(start_E1, matrix_bytes, chosen.start, chosen.stop):
        first, stop = group.experts.start - chosen.start, group.experts.stop - chosen.start
        if stop - first == 1:
            torch.mm(rows_RD[group.rows].mT, d_RH[group.rows], out=out_EDH[first])
            continue
        rows, _ = _padded(rows_RD, start_E1, group)
        d_rows, _ = _padded(d_RH, start_E1, group)
        torch.bmm(rows.mT, d_rows, out=out_EDH[first:stop])
    return out_EDH
