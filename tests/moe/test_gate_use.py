"""How gates are made, called and run: bad arguments, precision, compilation, devices."""

import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import moe
from moe import (
    HierarchicalGate,
    NoisyTopKGate,
    SoftmaxGate,
    StrictlyBalancedGate,
    SwitchGate,
    UniformNoiseGate,
)
from tests.moe.gate_cases import FEATURES, KINDS, close, routed, tokens, trained


@pytest.mark.parametrize("kind", KINDS)
def test_gates_compute_in_single_precision_at_least(kind: str) -> None:
    gate, inputs_TD = KINDS[kind](), tokens(9).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert routed(gate, inputs_TD).weight_A.dtype is torch.float32
    assert routed(gate.bfloat16(), inputs_TD).importance_E.dtype is torch.float32


OF_ALL_KINDS = {
    "softmax": lambda **on: SoftmaxGate(FEATURES, 8, k=2, **on),
    "switch": lambda **on: SwitchGate(FEATURES, 8, **on),
    "uniform noise": lambda **on: UniformNoiseGate(FEATURES, 8, **on),
    "noisy top k": lambda **on: NoisyTopKGate(FEATURES, 8, k=2, **on),
    "hierarchical": lambda **on: HierarchicalGate(FEATURES, 8, 4, **on),
    "strictly balanced": lambda **on: StrictlyBalancedGate(FEATURES, 8, k=2, init_scale=1, **on),
}


@pytest.mark.parametrize("kind", OF_ALL_KINDS)
def test_weights_are_made_where_and_as_they_are_wanted(kind: str) -> None:
    made = OF_ALL_KINDS[kind]
    for dtype in (torch.float64, torch.bfloat16):
        gate = made(dtype=dtype)
        assert {weight.dtype for weight in gate.parameters()} == {dtype}
        assert routed(gate, tokens(9).bfloat16()).weight_A.dtype is torch.float32
        assert {weight.device.type for weight in made(device="meta").parameters()} == {"meta"}
    torch.manual_seed(0)
    plain = made()
    torch.manual_seed(0)
    for ours, others in zip(plain.parameters(), made(device="cpu").parameters(), strict=True):
        assert torch.equal(ours, others)


@pytest.mark.parametrize("kind", KINDS)
def test_printing_a_gate_shows_its_sizes(kind: str) -> None:
    gate = KINDS[kind]()
    assert f"num_features={FEATURES}, num_experts={gate.num_experts}" in repr(gate)
    assert f"k={gate.k}" in repr(gate) if hasattr(gate, "k") else "training" not in repr(gate)


def test_printing_a_gate_shows_its_settings() -> None:
    assert "k_experts=2" in repr(HierarchicalGate(3, 8, 4))
    assert "tie_break=random" in repr(StrictlyBalancedGate(3, 8, k=2))
    assert "temperature=0.5" in repr(SoftmaxGate(3, 8, temperature=0.5))


def test_losses_are_named() -> None:
    names = {kind: set(routed(KINDS[kind](), tokens(5).float()).losses) for kind in KINDS}
    assert names["softmax"] == names["softmax top 3"] == {"importance"}
    assert names["uniform noise"] == {"importance", "switch"}
    assert names["switch"] == {"importance", "switch", "z"}
    assert names["noisy top 4"] == names["hierarchical"] == {"importance", "load"}
    assert names["strictly balanced"] == {"importance", "batchwise"}


def test_the_function_of_1991_is_where_it_was() -> None:
    assert moe.softmax_gate is moe.batched_mixture.softmax_gate


BAD_ARGUMENTS = {
    "num_features is 0": lambda: SoftmaxGate(0, 4),
    "num_experts is -1": lambda: SwitchGate(3, -1),
    "k is 5, but must be from 1 to num_experts = 4": lambda: NoisyTopKGate(3, 4, k=5),
    "k is 0, but must be from 1 to num_experts = 4": lambda: SoftmaxGate(3, 4, k=0),
    "k is 9, but must be from 1 to num_experts = 8": lambda: StrictlyBalancedGate(3, 8, k=9),
    "temperature is 0": lambda: SoftmaxGate(3, 4, temperature=0),
    "noise_scale is -1": lambda: UniformNoiseGate(3, 4, noise_scale=-1),
    "noise_epsilon is -0.1": lambda: NoisyTopKGate(3, 4, k=2, noise_epsilon=-0.1),
    "jitter is nan": lambda: SwitchGate(3, 4, jitter=float("nan")),
    "init_scale is -2": lambda: SwitchGate(3, 4, init_scale=-2),
    "num_groups is 0": lambda: HierarchicalGate(3, 8, 0),
    "num_groups is 3, but must divide num_experts = 8": lambda: HierarchicalGate(3, 8, 3),
    "k_groups is 5, but must be from 1 to num_groups = 4": lambda: HierarchicalGate(3, 8, 4, 5, 1),
    "k_experts is 3, but must be from 1 to num_experts / num_groups = 2": lambda: HierarchicalGate(
        3, 8, 4, 2, 3
    ),
}


@pytest.mark.parametrize("message", BAD_ARGUMENTS)
def test_a_bad_argument_is_named(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BAD_ARGUMENTS[message]()


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_of_a_wrong_shape_are_named(kind: str) -> None:
    gate = KINDS[kind]().double()
    with pytest.raises(ValueError, match=r"tokens have shape \[2, 5\], but must be \[\.\.\., 3\]"):
        gate(torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"mask has shape \[3\], but must be \[2\]"):
        gate(tokens(2), torch.ones(3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"mask has shape \[1\], but must be \[2\]"):
        gate(tokens(2), torch.ones(1, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"tokens have shape \[\], but must be"):
        gate(torch.zeros(()))
    with pytest.raises(ValueError, match=r"mask has dtype torch.float32"):
        gate(tokens(2), torch.ones(2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(), (2,), (2, 2)])
def test_tokens_may_have_any_number_of_dimensions_before_their_features(
    kind: str, shape: tuple[int, ...]
) -> None:
    gate = KINDS[kind]().double().eval()
    assert gate(torch.zeros(*shape, FEATURES).double()).num_tokens == math.prod(shape)


# torch's compiler makes an object that torch's automatic differentiation deprecates.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_gates_compile_into_one_graph(kind: str) -> None:
    gate = trained(KINDS[kind]())
    torch.compiler.reset()
    compiled = torch.compile(gate, backend="aot_eager", fullgraph=True)
    torch.manual_seed(0)
    routing = compiled(tokens(11))
    (routing.weight_A.square().sum() + sum(routing.losses.values())).backward()
    close(routing.weight_A, routed(gate, tokens(11)).weight_A)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_waits_for_the_device(kind: str) -> None:
    gate = KINDS[kind]().cuda()
    inputs_TD = torch.randn(64, FEATURES, device="cuda")
    mask_T = torch.rand(64, device="cuda") < 0.8

    def step() -> None:
        routing = gate(inputs_TD, mask_T)
        (routing.weight_A.sum() + sum(routing.losses.values())).backward()

    step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


class Operators(TorchDispatchMode):
    """Counts operators by name."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        self.count[str(function.overloadpacket).removeprefix("aten.").rstrip("_")] += 1
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize(("kind", "num_choices"), [("noisy top k", 1), ("hierarchical", 2)])
def test_away_from_the_cpu_nothing_is_added_up_in_an_order_of_chance(
    kind: str, num_choices: int
) -> None:
    # A GPU is another device than the CPU, as the meta device is, which needs none to be there.
    gate = OF_ALL_KINDS[kind](device="meta")
    tokens_TD = torch.empty(30, FEATURES, device="meta", requires_grad=True)
    with Operators() as noted:
        routing = gate(tokens_TD, torch.ones(30, dtype=torch.bool, device="meta"))
        loss = routing.weight_A.sum() + sum(routing.losses.values())
        loss.backward()
    added = {"index_add", "bincount", "cumsum", "index_reduce", "scatter_reduce", "put"}
    assert not added & set(noted.count)
    # The gradient of a choice adds one number to each of a token's k + 1 experts, all different.
    assert noted.count["scatter_add"] <= 2 * num_choices
