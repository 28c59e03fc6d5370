"""The layer on an NVIDIA GPU: right, without waiting for the device, the same in every run."""

from collections.abc import Callable
from math import prod

import pytest
import torch
from torch import Tensor, nn

from moe.dispatch import combine, dispatch
from moe.gates import HierarchicalGate, NoisyTopKGate
from moe.grouped import Backend, chosen_backend, triton
from moe.grouped.triton_feed_forward import mixture_of_feed_forward
from moe.layer import MoE
from moe.optimisers import FactoredAdam, Rule, update, zero_averages
from moe.plan import plan
from moe.routing import NO_EXPERT, Routing, even_starts
from moe.stacked import FeedForwardExperts
from tests.gpu import (
    DEVICE,
    REHEARSED,
    at_toy_size,
    need_memory,
    needs_gpu,
    synchronize,
    without_waiting,
)
from tests.moe.core import random_routing

pytestmark = needs_gpu

TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3}
"""Largest error relative to the norm of the exact result."""

# Triton's interpreter cannot multiply bfloat16: a rehearsal has float16 in its place.
HALF = torch.float16 if REHEARSED else torch.bfloat16
DTYPES = [dtype for dtype in TOLERANCE if not (REHEARSED and dtype is torch.bfloat16)]


class FixedGate(nn.Module):
    """Sends tokens to given experts, with values that are learnt: free of near-ties."""

    def __init__(self, expert_TK: Tensor, num_experts: int) -> None:
        super().__init__()
        self.num_experts = num_experts
        self.register_buffer("expert_A", expert_TK.flatten())
        self.logits_TK = nn.Parameter(torch.randn(expert_TK.shape, device=expert_TK.device))

    def forward(self, tokens_TD: Tensor, mask: Tensor | None = None) -> Routing:
        num_tokens, k = self.logits_TK.shape
        weight_A = torch.softmax(self.logits_TK, dim=-1).flatten()
        weight_A = weight_A.masked_fill(self.expert_A == NO_EXPERT, 0)
        zeros_E = weight_A.new_zeros(self.num_experts)
        starts = even_starts(num_tokens, k, weight_A.device)
        return Routing(self.expert_A, weight_A, starts, self.num_experts, zeros_E, zeros_E)


def layer_of(
    backend: Backend, num_tokens: int, sizes: tuple[int, int, int], dtype: torch.dtype
) -> MoE:
    """A layer drawn from seed 0; four experts per token, a tenth of them nobody."""
    torch.manual_seed(0)
    num_experts, num_features, num_hidden = sizes
    routing = random_routing(num_tokens, num_experts, k=4, skew=0.5, idle=0.1)
    gate = FixedGate(routing.expert_A.view(num_tokens, 4).to(DEVICE), num_experts)
    options = {"backend": backend, "device": DEVICE, "dtype": dtype}
    return MoE(gate, FeedForwardExperts(num_experts, num_features, num_hidden, **options))


def by_parts(layer: MoE) -> Callable[[Tensor], Tensor]:
    return lambda tokens_TD: layer(tokens_TD).outputs


def fused(layer: MoE) -> Callable[[Tensor], Tensor]:
    def function(tokens_TD: Tensor) -> Tensor:
        routing = layer.gate(tokens_TD)
        weights = layer.experts.first.weight, layer.experts.second.weight
        return mixture_of_feed_forward(tokens_TD, routing.weight_A, plan(routing), *weights)

    return function


WAYS = {
    "triton": (Backend.triton, by_parts),
    "triton fused": (Backend.triton, fused),
    "torch_grouped": (Backend.torch_grouped, by_parts),
}


def results(
    function: Callable[[Tensor], Tensor], layer: MoE, tokens_TD: Tensor, d_TO: Tensor
) -> list[Tensor]:
    """Outputs and the gradients by tokens and all parameters."""
    tokens_TD = tokens_TD.clone().requires_grad_()
    out_TO = function(tokens_TD)
    gradients = torch.autograd.grad(out_TO, (tokens_TD, *layer.parameters()), d_TO)
    return [out_TO.detach(), *gradients]


def inputs(num_tokens: int, num_features: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    tokens_TD, d_TO = torch.randn(2, num_tokens, num_features, device=DEVICE).to(dtype).unbind(0)
    return tokens_TD, d_TO


def relative_error(actual: Tensor, expected: Tensor) -> float:
    error = torch.linalg.vector_norm(actual.double() - expected.double())
    return float(error / torch.linalg.vector_norm(expected.double()).clamp(min=1e-30))


def sized(num_tokens: int, sizes: tuple[int, int, int]) -> tuple[int, tuple[int, int, int]]:
    """Tokens, experts, features and hidden units, small enough for a rehearsal."""
    num_experts, num_features, num_hidden = sizes
    return at_toy_size(num_tokens, 24), (
        at_toy_size(num_experts, 5),
        at_toy_size(num_features, 24),
        at_toy_size(num_hidden, 40),
    )


@pytest.mark.skipif(REHEARSED, reason="it is not the CPU's choice")
def test_a_gpu_multiplies_with_our_kernels() -> None:
    pytest.importorskip("triton")
    for dtype in TOLERANCE:
        rows = torch.zeros(1, 1, device=DEVICE, dtype=dtype)
        assert chosen_backend(Backend.auto, rows) is Backend.triton


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("num_tokens", "sizes"),
    [(700, (5, 64, 256)), (300, (64, 128, 256)), (400, (64, 512, 2048)), (90, (7, 72, 40))],
)
def test_outputs_and_gradients_equal_the_reference(
    way: str, dtype: torch.dtype, num_tokens: int, sizes: tuple[int, int, int]
) -> None:
    backend, kind = WAYS[way]
    num_tokens, sizes = sized(num_tokens, sizes)
    # Weights and gradients once in the dtype and once in float64, and copies to compare them.
    need_memory(48 * 2 * prod(sizes))
    layer = layer_of(backend, num_tokens, sizes, dtype)
    tokens_TD, d_TO = inputs(num_tokens, sizes[1], dtype)
    actual = results(kind(layer), layer, tokens_TD, d_TO)
    exact = layer_of(Backend.reference, num_tokens, sizes, torch.float64).double()
    exact.load_state_dict(layer.state_dict())
    expected = results(by_parts(exact), exact, tokens_TD.double(), d_TO.double())
    errors = [relative_error(*pair) for pair in zip(actual, expected, strict=True)]
    assert max(errors) < TOLERANCE[dtype], errors


@pytest.mark.parametrize("num_features", [3, 33, 100])
def test_odd_sizes_equal_the_reference(num_features: int) -> None:
    sizes, num_tokens = (6, num_features, 2 * num_features + 1), at_toy_size(150, 20)
    layer = layer_of(Backend.triton, num_tokens, sizes, torch.float32)
    exact = layer_of(Backend.reference, num_tokens, sizes, torch.float64).double()
    exact.load_state_dict(layer.state_dict())
    tokens_TD, d_TO = inputs(num_tokens, num_features, torch.float32)
    expected = results(by_parts(exact), exact, tokens_TD.double(), d_TO.double())
    for kind in (by_parts, fused):
        actual = results(kind(layer), layer, tokens_TD, d_TO)
        errors = [relative_error(*pair) for pair in zip(actual, expected, strict=True)]
        assert max(errors) < TOLERANCE[torch.float32], errors


# torch's grouped product waits for the device with any dtype but bfloat16.
@pytest.mark.parametrize(
    ("way", "dtype"),
    [
        ("triton", HALF),
        ("triton", torch.float32),
        ("triton fused", HALF),
        ("triton fused", torch.float32),
        ("torch_grouped", HALF),
    ],
)
def test_neither_direction_waits_for_the_device(way: str, dtype: torch.dtype) -> None:
    is_old = not REHEARSED and torch.cuda.get_device_capability()[0] < 9
    if way == "torch_grouped" and is_old:
        pytest.skip("torch has a grouped kernel only for capability 9.0 and newer")
    backend, kind = WAYS[way]
    num_tokens, sizes = sized(300, (32, 64, 128))
    layer = layer_of(backend, num_tokens, sizes, dtype)
    tokens_TD, d_TO = inputs(num_tokens, sizes[1], dtype)
    results(kind(layer), layer, tokens_TD, d_TO)
    synchronize()
    with without_waiting():
        results(kind(layer), layer, tokens_TD, d_TO)


@pytest.mark.parametrize("in_backward", [False, True])
def test_a_whole_step_does_not_wait_for_the_device(in_backward: bool) -> None:
    layer = learnt_layer("hierarchical")
    optimiser = FactoredAdam(layer.experts.parameters(), stochastic_rounding=True)
    for stack in layer.stacks if in_backward else ():
        optimiser.attach(stack)
    tokens_TD, d_TD = inputs(at_toy_size(300, 24), 24, layer.stacks[0].weight.dtype)

    def step() -> None:
        optimiser.zero_grad()
        torch.autograd.backward(layer(tokens_TD).outputs, d_TD)
        optimiser.step()

    # Twice before: torch sets some memory up at a first, and some at a second step.
    step()
    step()
    synchronize()
    with without_waiting():
        step()


@pytest.mark.parametrize("way", WAYS)
def test_repeats_are_equal_to_the_bit(way: str) -> None:
    backend, kind = WAYS[way]
    num_tokens, sizes = sized(2000, (16, 256, 512))
    layer = layer_of(backend, num_tokens, sizes, HALF)
    tokens_TD, d_TO = inputs(num_tokens, sizes[1], HALF)
    first = results(kind(layer), layer, tokens_TD, d_TO)
    for _ in range(3):
        again = results(kind(layer), layer, tokens_TD, d_TO)
        assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))


GATES = {
    "noisy top k": lambda: NoisyTopKGate(24, 16, k=2, device=DEVICE),
    "hierarchical": lambda: HierarchicalGate(24, 16, 4, device=DEVICE),
}


def learnt_layer(kind: str) -> MoE:
    torch.manual_seed(0)
    dtype = torch.float32 if REHEARSED else torch.bfloat16
    backend = Backend.triton if REHEARSED else Backend.auto
    experts = FeedForwardExperts(16, 24, 40, backend=backend, device=DEVICE, dtype=dtype)
    return MoE(GATES[kind](), experts)


@pytest.mark.parametrize("kind", GATES)
def test_repeats_with_a_gate_are_equal_to_the_bit(kind: str) -> None:
    layer = learnt_layer(kind)
    tokens_TD, d_TD = inputs(at_toy_size(3000, 24), 24, layer.stacks[0].weight.dtype)
    found = []
    for _ in range(3):
        torch.manual_seed(1)
        layer.zero_grad()
        output = layer(tokens_TD)
        loss = sum(output.routing.losses.values(), output.routing.importance_E.sum())
        torch.autograd.backward((output.outputs, loss), (d_TD, torch.ones_like(loss)))
        found.append([output.routing.importance_E.detach(), *(w.grad for w in layer.parameters())])
    for again in found[1:]:
        assert all(torch.equal(*pair) for pair in zip(found[0], again, strict=True))


def test_a_layer_is_fused_by_default() -> None:
    layer = learnt_layer("noisy top k")
    output = layer(inputs(20, 24, layer.stacks[0].weight.dtype)[0])
    assert output.expert_outputs is None
    assert "_FeedForward" in str(output.outputs.grad_fn.next_functions)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_factored_update_equals_the_reference(dtype: torch.dtype) -> None:
    from moe.triton_factored import factored_update

    torch.manual_seed(0)
    shape = (3, at_toy_size(512, 40), at_toy_size(2048, 136))
    weight, gradient = torch.randn(2, *shape, device=DEVICE).to(dtype)
    plain, averages = weight.float(), zero_averages(weight)
    others = {name: value.clone() for name, value in averages.items()}
    rule = Rule(0.1, 0.98, 1e-10, 0.02)
    factored_update(weight, gradient, averages["row"], averages["column"], rule, None)
    update(plain, gradient.float(), others, rule)
    # A rehearsal's interpreter drops bits where a GPU rounds to the nearest.
    near = 1e-6 if dtype is torch.float32 else 2**-7 if REHEARSED else 2**-8
    torch.testing.assert_close(weight.float(), plain, rtol=near, atol=1e-6)
    torch.testing.assert_close(averages, others, rtol=1e-5, atol=0)


@pytest.mark.filterwarnings("ignore")  # torch's own, about what it cannot trace
@pytest.mark.parametrize("way", ["triton", "triton fused"])
@pytest.mark.parametrize("dtype", [torch.float32, HALF])
def test_compiled_equals_eager(way: str, dtype: torch.dtype) -> None:
    backend, kind = WAYS[way]
    num_tokens, sizes = sized(300, (32, 64, 128))
    layer = layer_of(backend, num_tokens, sizes, dtype)
    tokens_TD, d_TO = inputs(num_tokens, sizes[1], dtype)
    expected = results(kind(layer), layer, tokens_TD, d_TO)
    torch.compiler.reset()
    compiler = "aot_eager" if REHEARSED else "inductor"
    is_whole = way == "triton fused"
    compiled = torch.compile(kind(layer), fullgraph=is_whole, backend=compiler)
    actual = results(compiled, layer, tokens_TD, d_TO)
    errors = [relative_error(*pair) for pair in zip(actual, expected, strict=True)]
    assert max(errors) < TOLERANCE[dtype], errors


def test_the_way_to_the_experts_and_back_equals_the_cpu() -> None:
    torch.manual_seed(0)
    routing = random_routing(50, 6, k=3, idle=0.2)
    tokens_TD = torch.randn(50, 20, dtype=torch.float64)
    everywhere = []
    for device in ("cpu", DEVICE):
        tokens = tokens_TD.to(device, copy=True).requires_grad_()
        weight_A = routing.weight_A.detach().to(device, copy=True).requires_grad_()
        zeros_E = routing.load_E.to(device)
        where = plan(
            Routing(
                routing.expert_A.to(device),
                weight_A,
                routing.start_T1.to(device),
                6,
                zeros_E,
                zeros_E,
            )
        )
        out = combine(dispatch(tokens, where).sin(), weight_A, where)
        gradients = torch.autograd.grad(out.square().sum(), (tokens, weight_A))
        everywhere.append([where.token_R, where.start_E1, out, *gradients])
    for ours, theirs in zip(*everywhere, strict=True):
        torch.testing.assert_close(theirs.cpu(), ours)


@pytest.mark.skipif(REHEARSED, reason="the CPU has no such rounding")
def test_float32_is_rounded_to_19_bits_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    start_E1 = torch.tensor([0, 100, 256], device=DEVICE)
    rows_RD = torch.randn(256, 256, device=DEVICE)
    weight_EDH = torch.randn(2, 256, 128, device=DEVICE)
    exact = triton.forward(rows_RD, weight_EDH, start_E1)
    parts = zip(rows_RD.double().split([100, 156]), weight_EDH.double(), strict=True)
    expected = torch.cat([rows @ weight for rows, weight in parts])
    assert relative_error(exact, expected) < TOLERANCE[torch.float32]
    monkeypatch.setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32")
    rounded = triton.forward(rows_RD, weight_EDH, start_E1)
    assert 1e-5 < relative_error(rounded, expected) < 1e-2


def test_weights_of_more_than_2_to_the_31_elements() -> None:
    num_experts, side = at_toy_size(2050, 20), at_toy_size(1024, 32)
    # The weights, their gradient twice (of all experts, and once more before the first is freed).
    need_memory(3.2 * num_experts * side**2 * HALF.itemsize)
    weight_EDH = torch.zeros(num_experts, side, side, device=DEVICE, dtype=HALF)
    weight_EDH[-1].normal_()
    start_E1 = torch.full((num_experts + 1,), 1, device=DEVICE)
    start_E1[0], start_E1[-1] = 0, 21
    rows_RD, d_RH = (torch.randn(21, side, device=DEVICE).to(HALF) for _ in range(2))
    last = weight_EDH[-1].double()
    out_RH = triton.forward(rows_RD, weight_EDH, start_E1)
    assert relative_error(out_RH[1:], rows_RD[1:].double() @ last) < 1e-2
    d_RD = triton.backward_rows(d_RH, weight_EDH, start_E1)
    assert relative_error(d_RD[1:], d_RH[1:].double() @ last.mT) < 1e-2
    expected = rows_RD[1:].double().mT @ d_RH[1:].double()
    for experts in (slice(None), slice(num_experts - 2, num_experts)):
        d_EDH = triton.backward_weight(rows_RD, d_RH, start_E1, experts)
        assert relative_error(d_EDH[-1], expected) < 1e-2
        assert not d_EDH[-2].any()
        del d_EDH


def test_rows_of_more_than_2_to_the_31_elements() -> None:
    num_hidden = at_toy_size(2048, 32)
    num_rows = at_toy_size(2**31 // 2048, 60) + 40
    # The hidden units; what goes back is small.
    need_memory(1.2 * num_rows * num_hidden * HALF.itemsize)
    start_E1 = torch.tensor([0, 7, num_rows], device=DEVICE)
    rows_RD = torch.randn(num_rows, 16, device=DEVICE).to(HALF)
    weight_EDH = torch.randn(2, 16, num_hidden, device=DEVICE).to(HALF)
    out_RH = triton.forward(rows_RD, weight_EDH, start_E1)
    expected = rows_RD[-40:].double() @ weight_EDH[1].double()
    assert relative_error(out_RH[-40:], expected) < 1e-2
    d_RD = triton.backward_rows(out_RH, weight_EDH, start_E1)
    assert relative_error(d_RD[-40:], out_RH[-40:].double() @ weight_EDH[1].double().mT) < 1e-2
