"""Rounding to bfloat16 that keeps small updates: up or down by chance, right on average."""

from hashlib import blake2b

import torch
from torch import Tensor

DROPPED_BITS = 16
"""A bfloat16 is the upper half of a float32."""


def round_stochastically(value: Tensor, generator: torch.Generator) -> Tensor:
    """Round to a neighbour, with the probability that makes the mean exact.

    Rounding to the nearest loses an update of less than half the spacing, which is 1/256 of the
    weight, for good. Source: the method is used by the first author's published optimiser
    (tensor2tensor, utils/diet.py); the paper itself does not say how weights are stored.

    Args:
        value: float32, of any shape, contiguous. What bfloat16 holds exactly stays as it is.
        generator: on the value's device.

    Returns:
        bfloat16, same shape.
    """
    num_draws = -(-value.numel() // 4)
    # One draw of 64 bits serves four elements.
    noise = torch.empty(num_draws, dtype=torch.int64, device=value.device)
    noise.random_(-(2**63), None, generator=generator)
    bits = noise.view(torch.int16)[: value.numel()].to(torch.int32)
    bits.bitwise_and_(2**DROPPED_BITS - 1).add_(value.view(-1).view(torch.int32))
    bits.bitwise_and_(-(2**DROPPED_BITS))
    return bits.view(torch.float32).to(torch.bfloat16).view(value.shape)


def reproducible_generator(device: torch.device, *key: int) -> torch.Generator:
    """A generator whose numbers depend on the key alone, not on what ran before.

    Weights that are updated in another order, or after a restart, are rounded alike.
    """
    digest = blake2b(",".join(map(str, key)).encode(), digest_size=7).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little"))
