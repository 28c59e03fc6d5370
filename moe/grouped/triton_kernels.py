"""The kernels of the Triton backend; needs Triton to be imported.

Work is cut into tiles of BLOCK_M neighbouring rows. Tiles of expert e begin at tile
`start_E1[e] // BLOCK_M + e`: at least as far apart as e needs tiles, and known without a sum over
the experts before it. So no map from tiles to experts is ever made or read back; a tile past its
expert's last row leaves at once.

Shapes: M, N and K are the rows, columns and inner features of one tile or matrix. Sources of
rows have X rows: R, or any number where `index_R` says which one a row reads. Offsets inside one
tile of a matrix are 32 bits wide, all others 64: stacked weights pass 2**31 elements.
"""

import triton
import triton.language as tl


@triton.jit
def _rows_of_tile(
    tile: tl.tensor,
    start_E1: tl.tensor,
    num_rows: tl.tensor,
    num_experts: tl.tensor,
    BLOCK_M: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Find a tile's expert, its first row and the end of its expert's rows.

    Rows of no expert are those of an expert numbered `num_experts`.
    """
    # A search by halves for the last expert whose first tile is not after this one.
    expert = 0
    above = num_experts + 1
    while above - expert > 1:
        middle = (expert + above) // 2
        is_before = tl.load(start_E1 + middle) // BLOCK_M + middle <= tile
        expert = tl.where(is_before, middle, expert)
        above = tl.where(is_before, above, middle)
    start = tl.load(start_E1 + expert)
    end = tl.load(start_E1 + expert + 1, mask=expert < num_experts, other=num_rows)
    return expert, start + (tile - start // BLOCK_M - expert) * BLOCK_M, end


@triton.jit
def _product(
    source_M: tl.tensor,
    matrix: tl.tensor,
    stride_K: tl.tensor,
    stride_N: tl.tensor,
    num_columns: tl.tensor,
    K: tl.constexpr,
    IS_WHOLE: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
) -> tl.tensor:
    """Multiply rows, given by their addresses, by BLOCK_N columns of a matrix."""
    n_N = tl.arange(0, BLOCK_N)
    k_K = tl.arange(0, BLOCK_K)
    left_MK = source_M[:, None] + k_K[None, :]
    right_KN = matrix + k_K[:, None] * stride_K + n_N[None, :] * stride_N
    # Sums are float32, whatever the operands are.
    sum_MN = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for k in range(0, K, BLOCK_K):
        # Where tiles divide the matrix no mask is needed, and loads are as wide as they can be.
        if IS_WHOLE:
            a_MK = tl.load(left_MK)
            b_KN = tl.load(right_KN)
        else:
            is_inside_K = k_K < K - k
            is_inside_KN = is_inside_K[:, None] & (n_N < num_columns)[None, :]
            a_MK = tl.load(left_MK, mask=is_inside_K[None, :], other=0.0)
            b_KN = tl.load(right_KN, mask=is_inside_KN, other=0.0)
        sum_MN = tl.dot(a_MK, b_KN, sum_MN, input_precision=PRECISION)
        left_MK += BLOCK_K
        right_KN += BLOCK_K * stride_K
    return sum_MN


@triton.jit(do_not_specialize=["num_rows", "num_experts"])
def rows_kernel(
    source_XK: tl.tensor,
    index_R: tl.tensor,
    weight_EKN: tl.tensor,
    start_E1: tl.tensor,
    scale_R: tl.tensor,
    hidden_RN: tl.tensor,
    out_RN: tl.tensor,
    scale_gradient_BR: tl.tensor,
    num_rows: tl.tensor,
    num_experts: tl.tensor,
    stride_E: tl.tensor,
    stride_K: tl.tensor,
    stride_N: tl.tensor,
    K: tl.constexpr,
    N: tl.constexpr,
    RECTIFY: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
) -> None:
    """Multiply each row by its expert's matrix, one tile per program.

    What may follow the product, before it is rounded and stored:

    - RECTIFY: negative elements become zero.
    - `scale_R`: each row times its number.
    - `hidden_RN`, what RECTIFY once gave: the product is the gradient by it and becomes the
      gradient by what was rectified. Its inner products with `hidden_RN` are the gradient by
      `scale_R`; the part of column block b goes to `scale_gradient_BR[b]`.
    """
    blocks: tl.constexpr = tl.cdiv(N, BLOCK_N)
    block = tl.program_id(0) % blocks
    expert, first, end = _rows_of_tile(
        tl.program_id(0) // blocks, start_E1, num_rows, num_experts, BLOCK_M
    )
    if first >= end:
        return
    column = block.to(tl.int64) * BLOCK_N
    m_M = tl.arange(0, BLOCK_M)
    n_N = tl.arange(0, BLOCK_N)
    is_row_M = m_M < end - first
    is_inside_MN = is_row_M[:, None] & (n_N < N - column)[None, :]
    corner = first * N + column
    at_MN = m_M[:, None] * N + n_N[None, :]
    scale_corner = block.to(tl.int64) * num_rows + first
    if expert == num_experts:
        zero_MN = tl.zeros((BLOCK_M, BLOCK_N), out_RN.dtype.element_ty)
        tl.store(out_RN + corner + at_MN, zero_MN, mask=is_inside_MN)
        if hidden_RN is not None:
            zero_M = tl.zeros((BLOCK_M,), tl.float32)
            tl.store(scale_gradient_BR + scale_corner + m_M, zero_M, mask=is_row_M)
        return

    # Rows past the end are read as the last one, which needs no mask, and never stored.
    row_M = tl.minimum(first + m_M, end - 1)
    source_M = row_M if index_R is None else tl.load(index_R + row_M).to(tl.int64)
    out_MN = _product(
        source_XK + source_M * K,
        weight_EKN + expert.to(tl.int64) * stride_E + column * stride_N,
        stride_K,
        stride_N,
        N - column,
        K,
        K % BLOCK_K == 0 and N % BLOCK_N == 0,
        PRECISION,
        BLOCK_M,
        BLOCK_N,
        BLOCK_K,
    )
    if hidden_RN is not None:
        hidden_MN = tl.load(hidden_RN + corner + at_MN, mask=is_inside_MN, other=0.0)
        # h = relu(z): d by the scale is <dh, h>, and dz = dh where h > 0.
        inner_M = tl.sum(out_MN * hidden_MN.to(tl.float32), axis=1)
        tl.store(scale_gradient_BR + scale_corner + m_M, inner_M, mask=is_row_M)
        out_MN = tl.where(hidden_MN > 0, out_MN, 0.0)
    if RECTIFY:
        out_MN = tl.maximum(out_MN, 0.0)
    if scale_R is not None:
        out_MN *= tl.load(scale_R + row_M).to(tl.float32)[:, None]
    out_MN = out_MN.to(out_RN.dtype.element_ty)
    tl.store(out_RN + corner + at_MN, out_MN, mask=is_inside_MN)


@triton.jit(do_not_specialize=["first_expert"])
def weight_kernel(
    source_XM: tl.tensor,
    index_R: tl.tensor,
    d_RN: tl.tensor,
    start_E1: tl.tensor,
    out_EMN: tl.tensor,
    first_expert: tl.tensor,
    M: tl.constexpr,
    N: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
) -> None:
    """Add up each expert's outer products of rows and their gradients, one tile per program.

    The rows are walked in order, BLOCK_K at a time: the same sum in every run.
    """
    blocks: tl.constexpr = tl.cdiv(N, BLOCK_N)
    tiles: tl.constexpr = tl.cdiv(M, BLOCK_M) * blocks
    # Programs of one expert are neighbours, so that its rows are still in the cache.
    tile = tl.program_id(0) % tiles
    slot = (tl.program_id(0) // tiles).to(tl.int64)
    start = tl.load(start_E1 + first_expert + slot)
    count = (tl.load(start_E1 + first_expert + slot + 1) - start).to(tl.int32)
    m_M = (tile // blocks) * BLOCK_M + tl.arange(0, BLOCK_M)
    n_N = (tile % blocks) * BLOCK_N + tl.arange(0, BLOCK_N)
    k_K = tl.arange(0, BLOCK_K)
    is_m_M = m_M < M
    is_n_N = n_N < N
    sum_MN = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for k in range(0, count, BLOCK_K):
        is_row_K = k_K < count - k
        row_K = start + k + k_K
        source_K = row_K
        if index_R is not None:
            source_K = tl.load(index_R + row_K, mask=is_row_K, other=0).to(tl.int64)
        a_KM = tl.load(
            source_XM + source_K[:, None] * M + m_M[None, :],
            mask=is_row_K[:, None] & is_m_M[None, :],
            other=0.0,
        )
        b_KN = tl.load(
            d_RN + row_K[:, None] * N + n_N[None, :],
            mask=is_row_K[:, None] & is_n_N[None, :],
            other=0.0,
        )
        sum_MN = tl.dot(tl.trans(a_KM), b_KN, sum_MN, input_precision=PRECISION)
    out_MN = out_EMN + slot * M * N + m_M.to(tl.int64)[:, None] * N + n_N[None, :]
    is_inside_MN = is_m_M[:, None] & is_n_N[None, :]
    tl.store(out_MN, sum_MN.to(out_EMN.dtype.element_ty), mask=is_inside_MN)
