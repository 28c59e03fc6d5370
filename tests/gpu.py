"""Where tests of the GPU run: on one, or, to rehearse their code, on the CPU at toy size.

MOE_REHEARSE_GPU=1 TRITON_INTERPRET=1 python -m pytest -m gpu tests
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

REHEARSED = os.environ.get("MOE_REHEARSE_GPU") == "1"
DEVICE = torch.device("cpu" if REHEARSED else "cuda")

needs_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not REHEARSED and not torch.cuda.is_available(), reason="there is no CUDA device"
    ),
    # Triton's interpreter uses NumPy in a way that NumPy is giving up.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:triton"),
]


def at_toy_size(size: int, toy: int) -> int:
    """A size, or in a rehearsal the smaller one of both."""
    return min(size, toy) if REHEARSED else size


def synchronize() -> None:
    """Wait for the device."""
    if not REHEARSED:
        torch.cuda.synchronize()


@contextmanager
def without_waiting() -> Iterator[None]:
    """Whatever waits for the device is an error; a rehearsal cannot tell."""
    if REHEARSED:
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def need_memory(num_bytes: float) -> None:
    """Skip where the device has not so much memory free."""
    if REHEARSED:
        return
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    if free < num_bytes:
        pytest.skip(f"needs {num_bytes / 2**30:.0f} GiB of GPU memory, {free / 2**30:.0f} are free")
