"""Memory: the figures of the largest translation layer, and the C library's settings."""

import platform
import subprocess
import sys

import pytest
import torch
from torch import nn

from moe.memory import MemoryPlan, OptimiserState, memory_plan
from moe.optimisers import FactoredAdam

# Shazeer et al. (2017), section 5.3: two layers of 2048 experts, 512-2048-512.
EXPERTS = [(2048, 512, 2048), (2048, 2048, 512)] * 2
# LSTMs, and embeddings and softmax of 32,768 word pieces; vectors left out.
REST = [(51_400_000,), (3, 32_768, 512)]
GPU = 80e9

ADAM, SECOND, FACTORED = (
    OptimiserState.adam,
    OptimiserState.second_moment,
    OptimiserState.factored,
)
HALF = {"dtype": torch.bfloat16}
FREED = {"keeps_gradients": False}


@pytest.mark.parametrize(
    ("plan", "gigabytes", "gibibytes"),
    [
        (memory_plan(EXPERTS, ADAM), 137.4, 128.0),
        (memory_plan(EXPERTS, ADAM, **FREED), 103.1, 96.0),
        (memory_plan(EXPERTS, SECOND), 103.1, 96.0),
        (memory_plan(EXPERTS, SECOND, **FREED), 68.7, 64.0),
        (memory_plan(EXPERTS, FACTORED), 68.8, 64.1),
        (memory_plan(EXPERTS, FACTORED, **FREED), 34.4, 32.1),
        (memory_plan(EXPERTS, FACTORED, **HALF), 34.4, 32.1),
        (memory_plan(EXPERTS, FACTORED, **HALF, **FREED), 17.3, 16.1),
        (memory_plan(EXPERTS, FACTORED, **HALF, master_weights=True), 68.8, 64.1),
        (memory_plan(EXPERTS, ADAM, **HALF), 68.7, 64.0),
        (memory_plan(EXPERTS, OptimiserState.none, **FREED), 34.4, 32.0),
    ],
)
def test_the_largest_layers_need_what_arithmetic_says(
    plan: MemoryPlan, gigabytes: float, gibibytes: float
) -> None:
    assert round(plan.total / 1e9, 1) == gigabytes
    assert round(plan.total / 2**30, 1) == gibibytes


def test_the_whole_model_fits_one_gpu_with_factored_averages_only() -> None:
    parameters = memory_plan(EXPERTS + REST, OptimiserState.none).parameters
    assert round(parameters / 4e9, 1) == 8.7
    rest = memory_plan(REST, ADAM)
    assert round(rest.total / 1e9, 1) == 1.6
    assert (memory_plan(EXPERTS, ADAM) + rest).total > GPU
    assert (memory_plan(EXPERTS, SECOND) + rest).total > GPU
    for dtype in (torch.float32, torch.bfloat16):
        whole = memory_plan(EXPERTS, FACTORED, dtype, keeps_gradients=False) + rest
        # More than half of the memory is left for activations.
        assert whole.total < GPU / 2
    assert (memory_plan(EXPERTS, FACTORED) + rest).total < GPU


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_plan_counts_what_the_optimiser_keeps(dtype: torch.dtype) -> None:
    weights = [nn.Parameter(torch.zeros(size, dtype=dtype)) for size in [(3, 4, 5), (6, 7), (8,)]]
    optimiser = FactoredAdam(weights)
    tensors = [value for state in optimiser.state.values() for value in state.values()]
    kept = sum(value.nbytes for value in tensors if isinstance(value, torch.Tensor))
    plan = memory_plan([weight.shape for weight in weights], FACTORED, dtype)
    assert plan.optimiser == kept
    assert plan.parameters == plan.gradients == sum(weight.nbytes for weight in weights)


def test_a_master_copy_makes_moments_float32() -> None:
    plan = memory_plan([(10, 10)], ADAM, torch.bfloat16, master_weights=True)
    assert (plan.parameters, plan.gradients, plan.optimiser) == (200, 200, 400 + 800)


def test_kept_memory_is_not_asked_for_again() -> None:
    # In a process of its own: the setting cannot be taken back.
    program = """
import resource, torch
from moe.memory import keep_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
before = faults()
acted = keep_memory()
print(acted, before, min(faults() for _ in range(5)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    acted, before, after = done.stdout.split()
    assert acted == str(platform.libc_ver()[0] == "glibc"), done.stderr
    if acted == "True":
        assert int(after) < int(before) / 4


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from moe import memory

    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(memory.ctypes, "CDLL", None)
    assert not memory.keep_memory()


def test_two_plans_add_part_by_part() -> None:
    # Numbers with common bits, so that no other operation gives the same.
    both = MemoryPlan(3, 5, 7) + MemoryPlan(1, 4, 6)
    assert both == MemoryPlan(4, 9, 13)
    assert both.total == 26
