"""The layer on an NVIDIA GPU: right, without waiting for the device, the same in every run."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from moe.dispatch import combine, dispatch
from moe.grouped import Backend, chosen_backend, triton
from moe.grouped.triton_feed_forward import mixture_of_feed_forward
from moe.layer import MoE
from moe.plan import plan
from moe.routing import NO_EXPERT, Routing, even_starts
from moe.stacked import FeedForwardExperts
from tests.moe.core import random_routing

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
DEVICE = torch.device("cuda")

TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3}
"""Largest error relative to the norm of the exact result."""


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
    return [out_TO, *torch.autograd.grad(out_TO, (tokens_TD, *layer.parameters()), d_TO)]


def inputs(num_tokens: int, num_features: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    tokens_TD, d_TO = torch.randn(2, num_tokens, num_features, device=DEVICE).to(dtype).unbind(0)
    return tokens_TD, d_TO


def relative_error(actual: Tensor, expected: Tensor) -> float:
    error = torch.linalg.vector_norm(actual.double() - expected.double())
    return float(error / torch.linalg.vector_norm(expected.double()).clamp(min=1e-30))


@pytest.fixture
def without_waiting() -> Iterator[Callable[[], None]]:
    """Call it, and from then on whatever waits for the device is an error."""
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


def test_a_gpu_multiplies_with_our_kernels() -> None:
    pytest.importorskip("triton")
    for dtype in TOLERANCE:
        rows = torch.zeros(1, 1, device=DEVICE, dtype=dtype)
        assert chosen_backend(Backend.auto, rows) is Backend.triton


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    ("num_tokens", "sizes"),
    [(700, (5, 64, 256)), (300, (64, 128, 256)), (200, (512, 512, 2048)), (90, (7, 72, 40))],
)
def test_outputs_and_gradients_equal_the_reference(
    way: str, dtype: torch.dtype, num_tokens: int, sizes: tuple[int, int, int]
) -> None:
    backend, kind = WAYS[way]
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
    sizes = (6, num_features, 2 * num_features + 1)
    layer = layer_of(Backend.triton, 150, sizes, torch.float32)
    exact = layer_of(Backend.reference, 150, sizes, torch.float64).double()
    exact.load_state_dict(layer.state_dict())
    tokens_TD, d_TO = inputs(150, num_features, torch.float32)
    expected = results(by_parts(exact), exact, tokens_TD.double(), d_TO.double())
    for kind in (by_parts, fused):
        actual = results(kind(layer), layer, tokens_TD, d_TO)
        errors = [relative_error(*pair) for pair in zip(actual, expected, strict=True)]
        assert max(errors) < TOLERANCE[torch.float32], errors


# torch's grouped product waits for the device with any dtype but bfloat16.
@pytest.mark.parametrize(
    ("way", "dtype"),
    [
        ("triton", torch.bfloat16),
        ("triton", torch.float32),
        ("triton fused", torch.bfloat16),
        ("triton fused", torch.float32),
        ("torch_grouped", torch.bfloat16),
    ],
)
def test_neither_direction_waits_for_the_device(
    way: str, dtype: torch.dtype, without_waiting: Callable[[], None]
) -> None:
    if way == "torch_grouped" and torch.cuda.get_device_capability()[0] < 9:
        pytest.skip("torch has a grouped kernel only for capability 9.0 and newer")
    backend, kind = WAYS[way]
    layer = layer_of(backend, 300, (32, 64, 128), dtype)
    tokens_TD, d_TO = inputs(300, 64, dtype)
    results(kind(layer), layer, tokens_TD, d_TO)
    torch.cuda.synchronize()
    without_waiting()
    results(kind(layer), layer, tokens_TD, d_TO)


@pytest.mark.parametrize("way", WAYS)
def test_repeats_are_equal_to_the_bit(way: str) -> None:
    backend, kind = WAYS[way]
    layer = layer_of(backend, 2000, (16, 256, 512), torch.bfloat16)
    tokens_TD, d_TO = inputs(2000, 256, torch.bfloat16)
    first = results(kind(layer), layer, tokens_TD, d_TO)
    for _ in range(3):
        again = results(kind(layer), layer, tokens_TD, d_TO)
        assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))


@pytest.mark.filterwarnings("ignore")  # torch's own, about what it cannot trace
@pytest.mark.parametrize("way", ["triton", "triton fused"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_equals_eager(way: str, dtype: torch.dtype) -> None:
    backend, kind = WAYS[way]
    layer = layer_of(backend, 300, (32, 64, 128), dtype)
    tokens_TD, d_TO = inputs(300, 64, dtype)
    expected = results(kind(layer), layer, tokens_TD, d_TO)
    torch.compiler.reset()
    compiled = torch.compile(kind(layer), fullgraph=way == "triton fused")
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


def test_float32_is_rounded_to_19_bits_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    start_E1 = torch.tensor([0, 100, 256], device=DEVICE)
    rows_RD = torch.randn(256, 256, device=DEVICE)
    weight_EDH = torch.randn(2, 256, 128, device=DEVICE)
    exact = triton.forward(rows_RD, weight_EDH, start_E1)
    expected = torch.cat(
        [
            rows_RD[:100].double() @ weight_EDH[0].double(),
            rows_RD[100:].double() @ weight_EDH[1].double(),
        ]
    )
    assert relative_error(exact, expected) < TOLERANCE[torch.float32]
    monkeypatch.setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32")
    rounded = triton.forward(rows_RD, weight_EDH, start_E1)
    assert 1e-5 < relative_error(rounded, expected) < 1e-2


def need_memory(num_bytes: int) -> None:
    free, _ = torch.cuda.mem_get_info()
    if free < num_bytes:
        pytest.skip(f"needs {num_bytes / 2**30:.0f} GiB of GPU memory, {free / 2**30:.0f} are free")


def test_weights_of_more_than_2_to_the_31_elements() -> None:
    num_experts, side = 2050, 1024
    need_memory(4 * num_experts * side**2 * 2)
    weight_EDH = torch.zeros(num_experts, side, side, device=DEVICE, dtype=torch.bfloat16)
    weight_EDH[-1].normal_()
    start_E1 = torch.full((num_experts + 1,), 1, device=DEVICE)
    start_E1[0], start_E1[-1] = 0, 21
    rows_RD, d_RH = (torch.randn(21, side, device=DEVICE).bfloat16() for _ in range(2))
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


def test_rows_of_more_than_2_to_the_31_elements() -> None:
    num_rows, num_hidden = 2**20 + 40, 2048
    need_memory(3 * num_rows * num_hidden * 2)
    start_E1 = torch.tensor([0, 7, num_rows], device=DEVICE)
    rows_RD = torch.randn(num_rows, 16, device=DEVICE).bfloat16()
    weight_EDH = torch.randn(2, 16, num_hidden, device=DEVICE).bfloat16()
    out_RH = triton.forward(rows_RD, weight_EDH, start_E1)
    expected = rows_RD[-40:].double() @ weight_EDH[1].double()
    assert relative_error(out_RH[-40:], expected) < 1e-2
    d_RD = triton.backward_rows(out_RH, weight_EDH, start_E1)
    assert relative_error(d_RD[-40:], out_RH[-40:].double() @ weight_EDH[1].double().mT) < 1e-2
