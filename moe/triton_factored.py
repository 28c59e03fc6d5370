"""The factored update of `moe.optimisers` on a GPU; needs Triton to be imported.

The gradient is read twice and the weight once, and the weight is written: eight bytes for a
bfloat16 weight, where one operator of torch after the other moves about a hundred. The second
reading goes backwards, so that it finds the end of the first in the cache.

Shapes: E experts with one D x H matrix each; B blocks of rows.
"""

import triton
import triton.language as tl
from torch import Tensor

from moe.grouped.triton import on_device_of

BLOCK_D, BLOCK_H, WARPS = 32, 128, 4
# Averages of so many columns, or rows, at a time.
BLOCK_AVERAGES = 1024


def factored_update(
    weight_EDH: Tensor,
    gradient_EDH: Tensor,
    row_ED: Tensor,
    column_EH: Tensor,
    rule: tuple[float, float, float, float],
    seed: int | None,
) -> None:
    """Update matrices and their averages in place, as `moe.optimisers.update` does.

    Args:
        weight_EDH: float32 or bfloat16, contiguous.
        gradient_EDH: of any of these dtypes.
        row_ED: averages of the rows' squares, float32.
        column_EH: of the columns'.
        rule: a `moe.optimisers.Rule`.
        seed: of stochastic rounding, for bfloat16; None rounds to the nearest.
    """
    lr, beta2, eps, correction = rule
    num_experts, d, h = weight_EDH.shape
    if not weight_EDH.numel():
        return
    blocks_d, blocks_h = triton.cdiv(d, BLOCK_D), triton.cdiv(h, BLOCK_H)
    gradient_EDH = gradient_EDH.contiguous()
    square_BEH = column_EH.new_empty(blocks_d, num_experts, h)
    mean_E = row_ED.new_empty(num_experts)
    sizes = {"D": d, "H": h}
    tile = {"BLOCK_D": BLOCK_D, "BLOCK_H": BLOCK_H, "num_warps": WARPS}
    with on_device_of(weight_EDH):
        squares_kernel[(num_experts * blocks_d,)](
            gradient_EDH, row_ED, square_BEH, num_experts, 1 - beta2, **sizes, **tile
        )
        averages_kernel[(num_experts,)](
            row_ED, column_EH, square_BEH, mean_E, num_experts, 1 - beta2,
            BLOCKS=blocks_d, BLOCK=BLOCK_AVERAGES, **sizes,
        )  # fmt: skip
        update_kernel[(num_experts * blocks_d * blocks_h,)](
            weight_EDH, gradient_EDH, row_ED, column_EH, mean_E, lr, eps, correction,
            # Always of 64 bits, so that one kernel serves all seeds.
            2**62 + (seed or 0) % 2**61,
            IS_STOCHASTIC=seed is not None, **sizes, **tile,
        )  # fmt: skip


@triton.jit(do_not_specialize=["num_experts"])
def squares_kernel(
    gradient_EDH: tl.tensor,
    row_ED: tl.tensor,
    square_BEH: tl.tensor,
    num_experts: tl.tensor,
    share: tl.tensor,
    D: tl.constexpr,
    H: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_H: tl.constexpr,
) -> None:
    """Rows' averages, and the columns' sums of squares over BLOCK_D rows, per program."""
    blocks: tl.constexpr = tl.cdiv(D, BLOCK_D)
    expert = (tl.program_id(0) // blocks).to(tl.int64)
    block = (tl.program_id(0) % blocks).to(tl.int64)
    d_D = block * BLOCK_D + tl.arange(0, BLOCK_D)
    h_H = tl.arange(0, BLOCK_H)
    row_DH = gradient_EDH + (expert * D + d_D)[:, None] * H + h_H[None, :]
    is_row_D = d_D < D
    sum_D = tl.zeros((BLOCK_D,), tl.float32)
    for h in range(0, H, BLOCK_H):
        is_column_H = h_H < H - h
        is_inside_DH = is_row_D[:, None] & is_column_H[None, :]
        g_DH = tl.load(row_DH + h, mask=is_inside_DH, other=0.0).to(tl.float32)
        sum_D += tl.sum(g_DH * g_DH, axis=1)
        out_H = square_BEH + (block * num_experts + expert) * H + h + h_H
        tl.store(out_H, tl.sum(g_DH * g_DH, axis=0), mask=is_column_H)
    # r <- beta2 r + (1 - beta2) mean_columns(g^2).
    at_D = row_ED + expert * D + d_D
    r_D = tl.load(at_D, mask=is_row_D, other=0.0)
    tl.store(at_D, r_D + share * (sum_D / H - r_D), mask=is_row_D)


@triton.jit(do_not_specialize=["num_experts"])
def averages_kernel(
    row_ED: tl.tensor,
    column_EH: tl.tensor,
    square_BEH: tl.tensor,
    mean_E: tl.tensor,
    num_experts: tl.tensor,
    share: tl.tensor,
    BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
    D: tl.constexpr,
    H: tl.constexpr,
) -> None:
    """The columns' averages, and the mean of the rows', of one expert per program."""
    expert = tl.program_id(0).to(tl.int64)
    x_X = tl.arange(0, BLOCK)
    for h in range(0, H, BLOCK):
        is_inside_X = x_X < H - h
        sum_X = tl.zeros((BLOCK,), tl.float32)
        for block in range(BLOCKS):
            at_X = square_BEH + (block * num_experts + expert) * H + h + x_X
            sum_X += tl.load(at_X, mask=is_inside_X, other=0.0)
        # c <- beta2 c + (1 - beta2) mean_rows(g^2).
        c_X = column_EH + expert * H + h + x_X
        old_X = tl.load(c_X, mask=is_inside_X, other=0.0)
        tl.store(c_X, old_X + share * (sum_X / D - old_X), mask=is_inside_X)
    total_X = tl.zeros((BLOCK,), tl.float32)
    for d in range(0, D, BLOCK):
        total_X += tl.load(row_ED + expert * D + d + x_X, mask=x_X < D - d, other=0.0)
    tl.store(mean_E + expert, tl.sum(total_X, axis=0) / D)


@triton.jit
def _random_bits(
    seed: tl.tensor, group_DG: tl.tensor, BLOCK_D: tl.constexpr, BLOCK_H: tl.constexpr
) -> tl.tensor:
    """Sixteen random bits for each element: a draw of 128 bits serves a group of eight."""
    a_DG, b_DG, c_DG, d_DG = tl.randint4x(seed, group_DG)
    four_DG22 = tl.join(tl.join(a_DG, b_DG), tl.join(c_DG, d_DG)).to(tl.uint32, bitcast=True)
    eight_DG222 = tl.join(four_DG22 & 0xFFFF, four_DG22 >> 16)
    return tl.reshape(eight_DG222, (BLOCK_D, BLOCK_H))


@triton.jit(do_not_specialize=["seed"])
def update_kernel(
    weight_EDH: tl.tensor,
    gradient_EDH: tl.tensor,
    row_ED: tl.tensor,
    column_EH: tl.tensor,
    mean_E: tl.tensor,
    lr: tl.tensor,
    eps: tl.tensor,
    correction: tl.tensor,
    seed: tl.tensor,
    IS_STOCHASTIC: tl.constexpr,
    D: tl.constexpr,
    H: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_H: tl.constexpr,
) -> None:
    """Change one tile of a matrix per program: w <- w - lr g / (sqrt(V / correction) + eps)."""
    blocks: tl.constexpr = tl.cdiv(H, BLOCK_H)
    tiles: tl.constexpr = tl.cdiv(D, BLOCK_D) * blocks
    # From the end: what was read last is still in the cache.
    place = tl.num_programs(0) - 1 - tl.program_id(0)
    expert = (place // tiles).to(tl.int64)
    d_D = (place % tiles // blocks) * BLOCK_D + tl.arange(0, BLOCK_D)
    h_H = (place % blocks) * BLOCK_H + tl.arange(0, BLOCK_H)
    is_inside_DH = (d_D < D)[:, None] & (h_H < H)[None, :]
    at_DH = (expert * D + d_D.to(tl.int64))[:, None] * H + h_H[None, :]
    g_DH = tl.load(gradient_EDH + at_DH, mask=is_inside_DH, other=0.0).to(tl.float32)
    w_DH = tl.load(weight_EDH + at_DH, mask=is_inside_DH, other=0.0).to(tl.float32)
    # V = r c^T / mean(r); an expert without a token so far has a mean of zero, and stays.
    mean = tl.load(mean_E + expert)
    # Not `maximum`, which on a GPU turns NaN into the other number.
    mean = tl.where(mean < 1.1754943508222875e-38, 1.1754943508222875e-38, mean)
    r_D = tl.load(row_ED + expert * D + d_D, mask=d_D < D, other=0.0)
    c_H = tl.load(column_EH + expert * H + h_H, mask=h_H < H, other=0.0)
    root_DH = tl.sqrt(r_D / mean / correction)[:, None] * tl.sqrt(c_H)[None, :]
    w_DH -= lr * (g_DH / (root_DH + eps))
    if IS_STOCHASTIC:
        # See `moe.optimisers.round_stochastically`: noise in the bits that are dropped.
        group_G = (place % blocks) * (BLOCK_H // 8) + tl.arange(0, BLOCK_H // 8)
        group_DG = d_D[:, None] * (blocks * (BLOCK_H // 8)) + group_G[None, :]
        noise_DH = _random_bits(seed + expert, group_DG, BLOCK_D, BLOCK_H)
        bits_DH = (w_DH.to(tl.uint32, bitcast=True) + noise_DH) & 0xFFFF0000
        # NaN stays NaN: on a GPU its bits are all ones, and noise would carry them round to zero.
        w_DH = tl.where(w_DH == w_DH, bits_DH.to(tl.float32, bitcast=True), w_DH)
    tl.store(weight_EDH + at_DH, w_DH.to(weight_EDH.dtype.element_ty), mask=is_inside_DH)
