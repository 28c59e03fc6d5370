"""Grouped products on the GPU in Triton (being written)."""

import torch


def refusal(device: str, dtype: torch.dtype) -> str | None:
    """Why this backend cannot run on this device with this dtype, or None if it can."""
    return "its kernels are not written yet"
