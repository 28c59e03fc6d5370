"""Memory: kept by the process instead of returned, and counted before it is taken."""

import ctypes
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod

import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Names of glibc's settings, from its malloc.h."""


def keep_memory() -> bool:
    """Make the C library keep freed memory for the next tensor instead of returning it.

    glibc asks the kernel for every tensor of 32 MB or more anew, and the kernel clears each page
    at its first use, which takes ten times as long as filling memory already at hand. Afterwards
    the process holds as much memory as it ever needed at once. Call it before large tensors exist.

    Returns:
        Whether it acted: not with another C library than glibc, such as macOS's or musl. An
        allocator that is loaded in glibc's place is not affected.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    # The threshold is unsigned: -1 is the largest.
    # No tensor by mmap, which returns it on release, and none given back from the heap's end.
    done = [libc.mallopt(M_MMAP_MAX, 0), libc.mallopt(M_TRIM_THRESHOLD, -1)]
    return all(done)


class OptimiserState(Enum):
    """What an optimiser keeps of past gradients."""

    none = "nothing: plain gradient descent"
    adam = "first and second moment"
    second_moment = "second moment: Adam with beta1 = 0"
    factored = "row and column averages, in float32: `moe.optimisers.FactoredAdam`"


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes that training holds from step to step; activations are not counted.

    Attributes:
        parameters: the weights.
        gradients: zero where each is used at once, in blocks of some megabytes.
        optimiser: moments, and a float32 master copy where there is one.
    """

    parameters: int
    gradients: int
    optimiser: int

    @property
    def total(self) -> int:
        """The bytes of all three together."""
        return self.parameters + self.gradients + self.optimiser

    def __add__(self, other: "MemoryPlan") -> "MemoryPlan":
        return MemoryPlan(
            self.parameters + other.parameters,
            self.gradients + other.gradients,
            self.optimiser + other.optimiser,
        )


def memory_plan(
    shapes: Iterable[Sequence[int]],
    state: OptimiserState,
    dtype: torch.dtype = torch.float32,
    keeps_gradients: bool = True,
    master_weights: bool = False,
) -> MemoryPlan:
    """Count the bytes that training some parameters takes.

    Parts of a model with different optimisers are planned one by one and added.

    Args:
        shapes: of the parameters, such as `[2048, 512, 2048]`.
        state: what the optimiser keeps; moments have the weights' dtype (float32 beside a master
            copy), averages are float32 at least.
        dtype: of weights and gradients.
        keeps_gradients: false where weights are updated in the backward pass.
        master_weights: whether the optimiser keeps a float32 copy of the weights.
    """
    sizes = [tuple(shape) for shape in shapes]
    num_parameters = sum(prod(size) for size in sizes)
    exact = torch.promote_types(dtype, torch.float32)
    # Adam keeps m and v; with beta1 = 0 there is no m.
    moments = {OptimiserState.none: 0, OptimiserState.second_moment: 1, OptimiserState.adam: 2}
    if state is OptimiserState.factored:
        optimiser = sum(map(_num_averages, sizes)) * exact.itemsize
    else:
        of_state = exact if master_weights else dtype
        optimiser = num_parameters * moments[state] * of_state.itemsize
    return MemoryPlan(
        parameters=num_parameters * dtype.itemsize,
        # Gradients have the weights' dtype; blocks that are used at once are not counted.
        gradients=num_parameters * dtype.itemsize * keeps_gradients,
        optimiser=optimiser + num_parameters * exact.itemsize * master_weights,
    )


def _num_averages(shape: tuple[int, ...]) -> int:
    if len(shape) < 2:
        return prod(shape)
    # A matrix of D x H has D row and H column averages in place of D H moments.
    *stack, num_rows, num_columns = shape
    return prod(stack) * (num_rows + num_columns)
