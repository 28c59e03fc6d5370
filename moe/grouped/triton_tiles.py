"""How large a tile each program of the Triton backend computes.

Shapes: a product of M rows by N columns over K inner features. In the products by rows M counts
an expert's rows; in the gradient by the weights K does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import NamedTuple

import torch

# Smaller sides than this the matrix units do not take.
SMALLEST = 16

# A tile is this much higher than the mean expert, so that most experts need only one.
ROOM_FOR_SKEW = 1.25

# Operands under way in one program: what every GPU since 2020 has room for.
FREE_BYTES = 96 * 2**10


class Product(Enum):
    """Which kernel computes."""

    rows = "rows"
    hidden = "hidden"
    weight = "weight"


class Tile(NamedTuple):
    """One program's share; sizes are powers of two.

    Attributes:
        m: rows.
        n: columns.
        k: inner features per step.
        warps: of 32 threads.
        stages: steps whose operands are under way at once.
    """

    m: int
    n: int
    k: int
    warps: int
    stages: int


# Largest tiles by bytes per element. Four bytes are multiplied without matrix units.
LARGEST = {
    (Product.rows, 2): Tile(128, 128, 64, 8, 3),
    (Product.rows, 4): Tile(64, 64, 32, 4, 3),
    (Product.hidden, 2): Tile(128, 128, 64, 8, 3),
    (Product.hidden, 4): Tile(64, 64, 32, 4, 3),
    (Product.weight, 2): Tile(128, 128, 64, 8, 3),
    (Product.weight, 4): Tile(64, 64, 32, 4, 3),
}

# Where tiles do not divide the matrix, masks and their addresses take registers: at most so many
# rows and columns, or a program spills (`make compile-gpu`).
LARGEST_MASKED = 64

_forced: dict[Product, Tile] = {}


@contextmanager
def forced(product: Product, tile: Tile) -> Iterator[None]:
    """Use one tile for a product whatever the shape, to measure it."""
    _forced[product] = tile
    try:
        yield
    finally:
        del _forced[product]


def tile_for(
    product: Product,
    dtype: torch.dtype,
    rows_per_expert: float,
    features: tuple[int, int],
) -> Tile:
    """Choose a tile from what is known without waiting for the device.

    Args:
        product: which kernel.
        dtype: of rows and weights.
        rows_per_expert: in the mean.
        features: of the two sides that are not rows: K and N, or M and N of the weights.

    Returns:
        A tile no larger than the product.
    """
    if product in _forced:
        return _forced[product]
    most = LARGEST[product, dtype.itemsize]
    rows = _power_of_two(ROOM_FOR_SKEW * rows_per_expert)
    first, n = (_power_of_two(size) for size in features)
    m, k = (first, rows) if product is Product.weight else (rows, first)
    m, n, k = min(most.m, m), min(most.n, n), min(most.k, k)
    is_whole = features[0] % k == 0 and features[1] % n == 0
    if product is not Product.weight and not is_whole:
        m, n = min(LARGEST_MASKED, m), min(LARGEST_MASKED, n)
    bytes_per_stage = (m + n) * k * dtype.itemsize
    return Tile(
        m,
        n,
        k,
        warps=most.warps if m * n == most.m * most.n else 4,
        stages=min(5, max(most.stages, FREE_BYTES // bytes_per_stage)),
    )


def _power_of_two(size: float) -> int:
    """The smallest power of two that holds a size and suits the matrix units."""
    power = SMALLEST
    while power < size:
        power *= 2
    return power
