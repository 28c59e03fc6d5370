"""What a grouped product may be given, checked once for all backends and before any address.

Shapes as in `moe.grouped.reference`; X features in and Y features out of either direction.
"""

from torch import Tensor, int64, strided


def check_product(rows_RX: Tensor, weight_EDH: Tensor, start_E1: Tensor, transposed: bool) -> None:
    """Check everything about a product that is known without the numbers.

    Raises:
        TypeError: dtypes or layouts.
        ValueError: devices or shapes.
    """
    _check_alike(start_E1, rows=rows_RX, weights=weight_EDH)
    if (rows_RX.dim(), weight_EDH.dim(), start_E1.dim()) != (2, 3, 1):
        raise ValueError(
            f"rows {list(rows_RX.shape)}, weights {list(weight_EDH.shape)}, start_E1 "
            f"{list(start_E1.shape)}: a grouped product takes [R, D], [E, D, H] and [E + 1]"
        )
    num_experts, num_inputs = weight_EDH.shape[0], weight_EDH.shape[2 if transposed else 1]
    if rows_RX.shape[1] != num_inputs or start_E1.shape[0] != num_experts + 1:
        raise ValueError(
            f"{num_experts} experts of {num_inputs} inputs got rows of {rows_RX.shape[1]} "
            f"features routed to {start_E1.shape[0] - 1} experts"
        )


def check_outer(rows_RD: Tensor, d_RH: Tensor, start_E1: Tensor) -> None:
    """Check everything about the gradient by the matrices that is known without the numbers.

    Raises:
        TypeError: dtypes or layouts.
        ValueError: devices or shapes.
    """
    _check_alike(start_E1, rows=rows_RD, gradients=d_RH)
    fits = (rows_RD.dim(), d_RH.dim(), start_E1.dim()) == (2, 2, 1)
    if not fits or rows_RD.shape[0] != d_RH.shape[0]:
        raise ValueError(
            f"rows {list(rows_RD.shape)}, gradients {list(d_RH.shape)}, start_E1 "
            f"{list(start_E1.shape)}: the gradient by the matrices takes [R, D], [R, H] and [E + 1]"
        )


def check_memory(rows_RX: Tensor, other: Tensor, start_E1: Tensor) -> None:
    """Check that operands lie in memory, and the experts' rows within the rows.

    Where reading a number would wait for the device, the rows are taken on trust.

    Raises:
        ValueError: they do not.
    """
    for tensor in (rows_RX, other, start_E1):
        if not _is_in_memory(tensor):
            raise ValueError(
                f"a tensor of shape {list(tensor.shape)} has no memory of that size: its storage "
                f"holds {tensor.untyped_storage().nbytes()} bytes (was it freed, or never filled?)"
            )
    if start_E1.device.type != "cpu":
        return
    first, end = int(start_E1[0]), int(start_E1[-1])
    if first != 0 or not 0 <= end <= rows_RX.shape[0]:
        raise ValueError(
            f"the plan has the experts' rows from {first} to {end}, but they begin at 0 and there "
            f"are {rows_RX.shape[0]}: is it the plan of another batch?"
        )


def _check_alike(start_E1: Tensor, **operands: Tensor) -> None:
    for name, tensor in {**operands, "start_E1": start_E1}.items():
        if tensor.layout is not strided or tensor.is_nested or tensor.is_quantized:
            kind = "nested" if tensor.is_nested else f"{tensor.layout} of {tensor.dtype}"
            raise TypeError(f"{name} are {kind}; a grouped product takes dense tensors")
    (name, one), (other_name, other) = operands.items()
    if one.dtype is not other.dtype:
        raise TypeError(
            f"{name} have dtype {one.dtype}, but {other_name} have dtype {other.dtype}: convert "
            "one of them (`tensor.to(dtype)`, `layer.to(dtype)`)"
        )
    if not one.is_floating_point():
        raise TypeError(f"{name} have dtype {one.dtype}, but a grouped product takes floats")
    if start_E1.dtype is not int64:
        raise TypeError(f"start_E1 has dtype {start_E1.dtype}, but must be torch.int64")
    if not one.device == other.device == start_E1.device:
        raise ValueError(
            f"{name} are on {one.device}, {other_name} on {other.device} and their plan on "
            f"{start_E1.device}: all must be on one device"
        )


def _is_in_memory(tensor: Tensor) -> bool:
    size = tensor.numel()
    if size and not tensor.is_contiguous():
        steps = zip(tensor.shape, tensor.stride(), strict=True)
        size = 1 + sum((num - 1) * step for num, step in steps)
    end = (tensor.storage_offset() + size) * tensor.itemsize
    return not size or end <= tensor.untyped_storage().nbytes()
