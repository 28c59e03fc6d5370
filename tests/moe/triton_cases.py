"""The Triton backend against the plain reference; run by test_triton.py in a process of its own.

On the GPU where there is one, elsewhere by Triton's interpreter, which must be switched on before
Triton is imported.
"""

from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from moe import optimisers
from moe.dispatch import combine, dispatch
from moe.grouped import Backend, grouped_linear, triton
from moe.grouped.torch_backends import Reference
from moe.grouped.triton_feed_forward import mixture_of_feed_forward
from moe.grouped.triton_tiles import Product, Tile, forced
from moe.layer import MoE
from moe.optimisers import FactoredAdam, Rule, update, zero_averages
from moe.plan import Plan, plan
from moe.routing import NO_EXPERT, Routing, even_starts, sum_per_expert
from moe.stacked import FeedForwardExperts, StackedLinear
from moe.triton_factored import factored_update

# Older interpreters use NumPy in a way that it has since given up.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:triton")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

COUNTS_AND_IDLE = {
    "ragged": ([3, 0, 17, 1], 0),
    "rows of no expert": ([3, 0, 17, 1], 40),
    "all rows of no expert": ([0, 0], 5),
    "no rows": ([0, 0, 0], 0),
    "one row": ([0, 1, 0], 0),
    "one expert": ([37], 0),
    "all rows to one of many": ([0, 0, 33, 0], 0),
    "whole tiles": ([16, 32, 64], 16),
    "one row more and one less than a tile": ([17, 15, 33, 31], 0),
}
FEATURES = [(1, 1), (5, 7), (16, 32), (33, 130)]


def random_(*shape: int) -> Tensor:
    return torch.randn(shape, device=DEVICE)


def start_of(counts: list[int]) -> Tensor:
    return torch.tensor([0, *counts], device=DEVICE).cumsum(0)


def assert_equal(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual.double(), expected.double(), rtol=1e-5, atol=1e-5)


def check_products(counts: list[int], idle: int, num_inputs: int, num_outputs: int) -> None:
    start_E1, num_rows = start_of(counts), sum(counts) + idle
    rows_RD, d_RH = random_(num_rows, num_inputs), random_(num_rows, num_outputs)
    weight_EDH = random_(len(counts), num_inputs, num_outputs)
    exact = rows_RD.double(), weight_EDH.double(), d_RH.double()
    assert_equal(
        triton.forward(rows_RD, weight_EDH, start_E1),
        Reference.forward(exact[0], exact[1], start_E1),
    )
    assert_equal(
        triton.backward_rows(d_RH, weight_EDH, start_E1),
        Reference.backward_rows(exact[2], exact[1], start_E1),
    )
    for experts in (slice(None), slice(0, 1), slice(1, 3), slice(2, 2)):
        assert_equal(
            triton.backward_weight(rows_RD, d_RH, start_E1, experts),
            Reference.backward_weight(exact[0], exact[2], start_E1, experts),
        )


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("case", COUNTS_AND_IDLE)
def test_products_equal_the_reference(case: str, features: tuple[int, int]) -> None:
    torch.manual_seed(0)
    check_products(*COUNTS_AND_IDLE[case], *features)


@settings(max_examples=25)
@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=9),
    idle=st.integers(0, 20),
    num_inputs=st.integers(1, 70),
    num_outputs=st.integers(1, 70),
)
def test_products_equal_the_reference_for_any_shape(
    counts: list[int], idle: int, num_inputs: int, num_outputs: int
) -> None:
    torch.manual_seed(0)
    check_products(counts, idle, num_inputs, num_outputs)


@pytest.mark.parametrize("m", [16, 64])
@pytest.mark.parametrize("k", [16, 32])
def test_the_tile_does_not_matter(m: int, k: int) -> None:
    torch.manual_seed(0)
    tile = Tile(m, 32, k, 4, 2)
    with forced(Product.rows, tile), forced(Product.weight, tile):
        check_products([3, 0, 90, 1], 7, 48, 40)


def test_weights_may_be_views_in_any_order() -> None:
    torch.manual_seed(0)
    start_E1, rows_RD = start_of([3, 0, 17]), random_(20, 24)
    weights = random_(3, 24, 40)
    for view in (
        random_(3, 40, 24).mT,
        random_(24, 3, 40).transpose(0, 1),
        random_(6, 48, 80)[::2, ::2, ::2],
        weights[:1].expand(3, -1, -1),
    ):
        assert_equal(
            triton.forward(rows_RD, view, start_E1),
            Reference.forward(rows_RD.double(), view.double(), start_E1),
        )


def test_rows_may_be_views_and_nan_stays_in_its_row() -> None:
    torch.manual_seed(0)
    counts = [3, 0, 17]
    start_E1 = start_of(counts)
    rows_RD, d_RH = random_(24, 22).mT, random_(40, 22).mT
    weight_EDH = random_(3, 24, 40)
    expected = Reference.forward(rows_RD, weight_EDH, start_E1)
    expected_weight = Reference.backward_weight(rows_RD, d_RH, start_E1, slice(2, 3))
    rows_RD[:3], rows_RD[20:] = torch.nan, torch.nan
    d_RH[:3], d_RH[20:] = torch.nan, torch.nan
    actual = triton.forward(rows_RD, weight_EDH, start_E1)
    assert actual[:3].isnan().all()
    assert_equal(actual[3:], expected[3:])
    actual_weight = triton.backward_weight(rows_RD, d_RH, start_E1, slice(2, 3))
    assert_equal(actual_weight, expected_weight)


def test_half_precision_is_summed_in_single() -> None:
    torch.manual_seed(0)
    start_E1 = start_of([30, 2])
    rows_RD, d_RH = random_(32, 96).half(), random_(32, 40).half()
    weight_EDH = random_(2, 96, 40).half()
    actual = triton.forward(rows_RD, weight_EDH, start_E1)
    expected = Reference.forward(rows_RD.double(), weight_EDH.double(), start_E1)
    # Rounded once, at the end: half a unit in the last place of 11 bits.
    torch.testing.assert_close(actual.double(), expected, rtol=2**-11, atol=1e-4)
    actual = triton.backward_weight(rows_RD, d_RH, start_E1, slice(None))
    expected = Reference.backward_weight(rows_RD.double(), d_RH.double(), start_E1, slice(None))
    torch.testing.assert_close(actual.double(), expected, rtol=2**-11, atol=1e-4)


def test_gathering_equals_copying_first() -> None:
    torch.manual_seed(0)
    start_E1, token_R = start_of([3, 0, 17]), torch.randint(0, 9, (22,), device=DEVICE)
    tokens_TD, weight_EDH, d_RH = random_(9, 24), random_(3, 24, 40), random_(22, 40)
    assert torch.equal(
        triton.rows_product(tokens_TD, weight_EDH, start_E1, token_R),
        triton.forward(tokens_TD[token_R], weight_EDH, start_E1),
    )
    for experts in (slice(None), slice(2, 3)):
        assert torch.equal(
            triton.weight_gradient(tokens_TD, d_RH, start_E1, experts, token_R),
            triton.backward_weight(tokens_TD[token_R], d_RH, start_E1, experts),
        )


def some_routing(num_tokens: int, k: int, num_experts: int, weight_A: Tensor) -> Routing:
    expert_A = torch.randint(0, num_experts, (num_tokens * k,), device=DEVICE)
    expert_A[::5] = NO_EXPERT
    zeros_E = torch.zeros(num_experts, device=DEVICE)
    starts = even_starts(num_tokens, k, expert_A.device)
    return Routing(expert_A, weight_A, starts, num_experts, zeros_E, zeros_E)


def feed_forward_by_parts(
    tokens_TD: Tensor, weight_A: Tensor, where: Plan, first_EDH: Tensor, second_EHO: Tensor
) -> Tensor:
    rows = dispatch(tokens_TD, where)
    hidden = torch.relu(grouped_linear(rows, first_EDH, where, Backend.reference))
    return combine(grouped_linear(hidden, second_EHO, where, Backend.reference), weight_A, where)


@pytest.mark.parametrize(("num_tokens", "k"), [(1, 1), (7, 3), (40, 2), (0, 2)])
def test_fused_feed_forward_equals_its_parts(num_tokens: int, k: int) -> None:
    torch.manual_seed(0)
    inputs = [
        random_(num_tokens, 20),
        torch.rand(num_tokens * k, device=DEVICE),
        random_(4, 20, 36),
        random_(4, 36, 12),
    ]
    inputs[1][1::4] = 0  # a gate value may vanish, but has a gradient
    where = plan(some_routing(num_tokens, k, 4, inputs[1]))
    d_TO = random_(num_tokens, 12)
    results = []
    for function, dtype in (
        (mixture_of_feed_forward, torch.float32),
        (feed_forward_by_parts, torch.float64),
    ):
        tokens, weight, first, second = (
            tensor.to(dtype, copy=True).requires_grad_() for tensor in inputs
        )
        out = function(tokens, weight, where, first, second)
        gradients = torch.autograd.grad(out, (tokens, weight, first, second), d_TO.to(dtype))
        results.append((out, *gradients))
    for actual, expected in zip(*results, strict=True):
        assert_equal(actual, expected)


def test_fused_feed_forward_hands_gradients_to_sinks() -> None:
    torch.manual_seed(0)
    tokens, weight_A = random_(9, 8), torch.rand(18, device=DEVICE)
    weights = [random_(3, 8, 12).requires_grad_(), random_(3, 12, 8).requires_grad_()]
    where = plan(some_routing(9, 2, 3, weight_A))
    taken: dict[str, list[Tensor]] = {"first": [], "second": []}
    sinks = tuple(lambda _, block, name=name: taken[name].append(block) for name in taken)
    mixture_of_feed_forward(tokens, weight_A, where, *weights).sum().backward()
    expected = [weight.grad for weight in weights]
    for weight in weights:
        weight.grad = None
    mixture_of_feed_forward(tokens, weight_A, where, *weights, sinks).sum().backward()
    assert [weight.grad for weight in weights] == [None, None]
    for blocks, gradient in zip(taken.values(), expected, strict=True):
        assert torch.equal(torch.cat(blocks), gradient)


class TopGate(nn.Module):
    """Softmax over the k largest of linear logits."""

    def __init__(self, num_features: int, num_experts: int, k: int) -> None:
        super().__init__()
        self.num_experts, self.k = num_experts, k
        self.logits = nn.Linear(num_features, num_experts, bias=False, device=DEVICE)

    def forward(self, tokens_TD: Tensor, mask: Tensor | None = None) -> Routing:
        logits_TK, expert_TK = self.logits(tokens_TD).topk(self.k, dim=-1)
        weight_A, expert_A = logits_TK.softmax(-1).flatten(), expert_TK.flatten()
        importance_E = sum_per_expert(weight_A, expert_A, self.num_experts)
        starts = even_starts(len(tokens_TD), self.k, tokens_TD.device)
        return Routing(expert_A, weight_A, starts, self.num_experts, importance_E, importance_E)


def test_a_layer_is_fused_wherever_it_can_be_unless_that_was_declined() -> None:
    experts = FeedForwardExperts(4, 16, 32, backend=Backend.triton, device=DEVICE)
    for choice, is_fused in (({}, True), ({"fused": True}, True), ({"fused": False}, False)):
        output = MoE(TopGate(16, 4, 2), experts, **choice)(random_(5, 16))
        assert ("_FeedForward" in str(output.outputs.grad_fn.next_functions)) is is_fused
        assert (output.expert_outputs is None) is is_fused
    with pytest.raises(ValueError, match="fused=False"):
        MoE(TopGate(16, 4, 2), experts)(random_(5, 16)).answers()


@pytest.mark.parametrize("in_backward", [False, True])
def test_a_fused_layer_computes_what_the_layer_does(in_backward: bool) -> None:
    tokens_TD = random_(30, 16)
    results = []
    for is_fused in (False, True):
        torch.manual_seed(0)
        experts = FeedForwardExperts(4, 16, 32, backend=Backend.triton, device=DEVICE)
        layer = MoE(TopGate(16, 4, 2), experts, fused=is_fused)
        optimiser = FactoredAdam(experts.parameters(), lr=0.01)
        for stack in layer.stacks if in_backward else ():
            optimiser.attach(stack)
        output = layer(tokens_TD.requires_grad_())
        assert (output.expert_outputs is None) is is_fused
        assert ("_FeedForward" in str(output.outputs.grad_fn.next_functions)) is is_fused
        tokens_TD.grad = None
        output.outputs.square().sum().backward()
        optimiser.step()
        results.append([output.outputs.detach(), tokens_TD.grad, *layer.state_dict().values()])
        assert (experts.first.weight.grad is None) is in_backward
    for actual, expected in zip(*results, strict=True):
        assert_equal(actual, expected)


def test_what_cannot_be_fused_goes_by_parts() -> None:
    for options in ({"bias": True}, {"activation": torch.tanh}, {"backend": Backend.reference}):
        choices = {"backend": Backend.triton, "device": DEVICE, **options}
        layer = MoE(TopGate(16, 4, 2), FeedForwardExperts(4, 16, 32, **choices), fused=True)
        output = layer(random_(5, 16))
        assert "_FeedForward" not in str(output.outputs.grad_fn.next_functions)
        assert output.expert_outputs is None
        layer.fused = None
        assert layer(random_(5, 16)).answers().shape == (10, 16)


@pytest.mark.filterwarnings("ignore")  # torch's own, about what it cannot trace
@pytest.mark.parametrize("is_fused", [False, True])
def test_compiled_equals_eager(is_fused: bool) -> None:
    torch.manual_seed(0)
    experts = FeedForwardExperts(4, 16, 32, backend=Backend.triton, device=DEVICE)
    layer = MoE(TopGate(16, 4, 2), experts)

    def by_parts(tokens_TD: Tensor) -> Tensor:
        return layer(tokens_TD).outputs

    def fused(tokens_TD: Tensor) -> Tensor:
        routing = layer.gate(tokens_TD)
        weights = experts.first.weight, experts.second.weight
        return mixture_of_feed_forward(tokens_TD, routing.weight_A, plan(routing), *weights)

    function = fused if is_fused else by_parts
    tokens_TD = random_(30, 16).requires_grad_()
    compiled = torch.compile(function, backend="aot_eager", fullgraph=is_fused)
    parameters = tokens_TD, *layer.parameters()
    expected, actual = function(tokens_TD), compiled(tokens_TD)
    assert_equal(actual, expected)
    for one, other in zip(
        torch.autograd.grad(actual.square().sum(), parameters),
        torch.autograd.grad(expected.square().sum(), parameters),
        strict=True,
    ):
        assert_equal(one, other)


@pytest.mark.parametrize("op", ["rows_product", "hidden_gradient", "weight_gradient"])
def test_torch_knows_the_operators(op: str) -> None:
    start_E1 = start_of([3, 0, 2])
    index_R = torch.arange(5, device=DEVICE)
    weight_EKN, source_XK, other_RN = random_(3, 8, 12), random_(6, 8), random_(5, 12)
    scale_R = random_(5)
    arguments = {
        "rows_product": (source_XK, index_R, weight_EKN, start_E1, scale_R, True),
        "hidden_gradient": (source_XK, index_R, weight_EKN, start_E1, scale_R, other_RN),
        "weight_gradient": (source_XK, index_R, other_RN, start_E1, 1, 3),
    }
    checks = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
    torch.library.opcheck(getattr(torch.ops.moe, op).default, arguments[op], test_utils=checks)


SHAPES = [(3, 5, 7), (2, 32, 128), (1, 33, 130), (2, 70, 1100), (4, 1, 1)]


def weights_and_gradient(
    shape: tuple[int, int, int], dtype: torch.dtype
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    torch.manual_seed(0)
    weight = random_(*shape).to(dtype)
    averages = {name: value.abs_() for name, value in zero_averages(weight).items()}
    return weight, random_(*shape).to(dtype), averages


def plainly(weight: Tensor, gradient: Tensor, averages: dict[str, Tensor], rule: Rule) -> Tensor:
    exact = weight.float()
    update(exact, gradient.float(), averages, rule)
    if weight.dtype is torch.bfloat16 and DEVICE == "cpu":
        # Where a GPU rounds to the nearest, Triton's interpreter drops the lower bits.
        exact = (exact.view(torch.int32) & -(2**16)).view(torch.float32)
    return exact.to(weight.dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_factored_update_equals_the_reference(
    shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    weight, gradient, averages = weights_and_gradient(shape, dtype)
    gradient[0] = 0  # an expert without a token so far stays as it is
    untouched = weight[0].clone()
    for time in range(1, 4):
        rule = Rule(0.1, 0.98, 1e-10, 1 - 0.98**time)
        plain_averages = {name: it.clone() for name, it in averages.items()}
        plain = plainly(weight, gradient, plain_averages, rule)
        factored_update(weight, gradient, averages["row"], averages["column"], rule, None)
        for name, own in averages.items():
            torch.testing.assert_close(own, plain_averages[name], rtol=1e-6, atol=0)
        if dtype is torch.float32:
            torch.testing.assert_close(weight, plain, rtol=1e-6, atol=1e-6)
        else:
            # The same but where a last bit of float32 decides how it is rounded.
            torch.testing.assert_close(weight, plain, rtol=2**-7, atol=1e-6)
            assert float((weight != plain).float().mean()) < 0.01
        gradient = gradient.roll(1, dims=2)
    assert torch.equal(weight[0], untouched)


def test_the_factored_update_hides_no_nan() -> None:
    weight, gradient, averages = weights_and_gradient((2, 4, 8), torch.bfloat16)
    gradient[1, 2, 3] = torch.nan
    rule = Rule(0.1, 0.98, 1e-10, 1.0)
    for seed in (None, 0):
        factored_update(weight, gradient, averages["row"], averages["column"], rule, seed)
    assert weight[1].isnan().all()
    assert not weight[0].isnan().any()


def test_the_optimiser_takes_the_kernel_with_and_without_sinks() -> None:
    gradient = random_(3, 8, 12)
    results = []
    for is_attached in (False, True):
        torch.manual_seed(0)
        layer = StackedLinear(3, 8, 12, device=DEVICE)
        optimiser = FactoredAdam(layer.parameters(), lr=0.1)
        if is_attached:
            optimiser.attach(layer)
            layer.sink(0, gradient)
        else:
            layer.weight.grad = gradient.clone()
        with mock.patch.object(optimisers, "update", side_effect=AssertionError):
            optimiser.step()
        results.append(layer.weight.detach())
    assert torch.equal(*results)


def test_stochastic_rounding_is_right_in_the_mean_and_the_same_in_every_run() -> None:
    # Between 1 and its neighbour above, 1 + 2^-7, a quarter of the way.
    num_draws, step = 100, 2.0**-9
    weight = torch.ones(1, 32, 128, device=DEVICE, dtype=torch.bfloat16)
    ones, averages = torch.ones_like(weight), zero_averages(weight)
    rule, mean = Rule(step, 0.0, 1e-10, 1.0), torch.zeros(32, 128, device=DEVICE)
    for seed in range(num_draws):
        drawn = weight.clone()
        # The second moment of ones is one: the update is the step itself.
        factored_update(drawn, -ones, averages["row"], averages["column"], rule, seed)
        assert set(drawn.unique().tolist()) == {1.0, 1.0 + 2.0**-7}
        mean += (drawn[0].float() - 1) * 2**7 / num_draws
    again = weight.clone()
    factored_update(again, -ones, averages["row"], averages["column"], rule, num_draws - 1)
    assert torch.equal(again, drawn)
    # Standard deviations: 0.043 of an element's mean, 0.0007 of the mean of all.
    assert abs(float(mean.mean()) - 0.25) < 0.003
    assert float((mean - 0.25).abs().max()) < 0.22
    # Neighbours do not share their draws.
    together = torch.corrcoef(torch.stack([mean[:, :-1].flatten(), mean[:, 1:].flatten()]))
    assert abs(float(together[0, 1])) < 0.06
