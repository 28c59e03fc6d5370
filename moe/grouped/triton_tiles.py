"""How large a tile each program of the Triton backend computes.

Shapes: a product of M rows by N columns over K inner features. For `rows`, M is rows of an expert;
for `weight`, K is.
"""

from contextlib import contextmanager
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch

SMALLEST = 16
"""Fewer rows, columns or inner features than this the matrix units do not take."""

SHARED_BYTES = 96 * 2**10
"""What every GPU that this backend runs on lets one program keep close at hand."""


class Tile(NamedTuple):
    """One program's share: sizes are powers of two.

    Attributes:
        m: rows.
        n: columns.
        k: inner features per step.
        warps: of 32 threads.
        stages: steps whose operands are being loaded at once.
    """

    m: int
    n: int
    k: int
    warps: int
    stages: int


ROWS_TILES = {
    2: {
        16: Tile(16, 128, 64, 4, 5),
        32: Tile(32, 128, 64, 4, 4),
        64: Tile(64, 128, 64, 4, 4),
        128: Tile(128, 128, 64, 8, 3),
    },
}
