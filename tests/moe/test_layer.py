"""Laws of the whole layer: it equals one expert after the other, for any routing."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from moe.dispatch import combine, dispatch, reorder
from moe.gates import HierarchicalGate, NoisyTopKGate, SoftmaxGate
from moe.grouped import Backend, backends
from moe.layer import MoE
from moe.optimisers import FactoredAdam
from moe.plan import Plan, plan
from moe.routing import Routing
from moe.stacked import ConvolutionalExperts, FeedForwardExperts, ModuleExperts, StackedLinear
from tests.moe.core import plain_mixture, random_routing
from tests.moe.gate_cases import EXPERTS, FEATURES, KINDS


class FixedGate(nn.Module):
    """Gives the routing that it was made with."""

    def __init__(self, routing: Routing) -> None:
        super().__init__()
        self.routing, self.num_experts = routing, routing.num_experts

    def forward(self, inputs: Tensor, mask: Tensor | None) -> Routing:
        return self.routing


def _gradients(output: Tensor, *inputs: Tensor) -> list[Tensor]:
    # An upstream gradient that differs from element to element.
    weight = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    return list(torch.autograd.grad((output * weight).sum(), inputs))


@settings(max_examples=60, deadline=None)
@given(
    num_tokens=st.integers(1, 9),
    num_experts=st.integers(1, 6),
    k=st.integers(1, 6),
    skew=st.sampled_from([0.0, 1.0, 9.0]),
    idle=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 999),
)
def test_the_layer_equals_one_assignment_after_the_other(
    num_tokens: int, num_experts: int, k: int, skew: float, idle: float, seed: int
) -> None:
    torch.manual_seed(seed)
    routing = random_routing(num_tokens, num_experts, min(k, num_experts), skew, idle)
    experts = FeedForwardExperts(num_experts, 3, 5, dtype=torch.float64)
    tokens = torch.randn(num_tokens, 3, dtype=torch.float64, requires_grad=True)
    got = MoE(FixedGate(routing), experts)(tokens).outputs
    inputs = (tokens, routing.weight_A, experts.first.weight, experts.second.weight)
    expected = plain_mixture(tokens, routing, *inputs[2:])
    torch.testing.assert_close(got, expected)
    if got.requires_grad and expected.requires_grad:
        torch.testing.assert_close(_gradients(got, *inputs), _gradients(expected, *inputs))


def test_no_tokens_give_no_outputs_and_zero_gradients() -> None:
    experts = FeedForwardExperts(3, 2, 4)
    layer = MoE(FixedGate(random_routing(0, 3, 1, dtype=torch.float32)), experts)
    outputs = layer(torch.zeros(0, 2)).outputs
    outputs.sum().backward()
    assert outputs.shape == (0, 2)
    assert torch.equal(experts.first.weight.grad, torch.zeros(3, 2, 4))


def test_the_experts_own_answers_lie_by_assignment_and_make_the_output() -> None:
    torch.manual_seed(0)
    layer, tokens = MoE(SoftmaxGate(4, 3, k=2), FeedForwardExperts(3, 4, 5)), torch.randn(6, 4)
    output = layer(tokens)
    answers_TKD = output.answers().view(6, 2, 4)
    weight_TK = output.routing.weight_A.view(6, 2)
    expert_TK = output.routing.expert_A.view(6, 2)
    blended = (weight_TK.unsqueeze(2) * answers_TKD).sum(dim=1)
    torch.testing.assert_close(blended, output.outputs)
    first, second = layer.experts.first.weight, layer.experts.second.weight
    hidden = torch.relu(torch.einsum("td,tkdh->tkh", tokens, first[expert_TK]))
    torch.testing.assert_close(
        torch.einsum("tkh,tkhd->tkd", hidden, second[expert_TK]), answers_TKD
    )


def test_a_fused_layer_gives_the_same_bits_without_a_gpu_and_keeps_no_answers() -> None:
    torch.manual_seed(0)
    layer = MoE(NoisyTopKGate(6, 4, 2).eval(), FeedForwardExperts(4, 6, 8))
    fused = MoE(layer.gate, layer.experts, fused=True)
    tokens = torch.randn(5, 6)
    output = fused(tokens)
    assert torch.equal(output.outputs, layer(tokens).outputs)
    assert output.expert_outputs is None
    with pytest.raises(ValueError, match="fused=False"):
        output.answers()
    assert [stack.weight.shape for stack in fused.stacks] == [(4, 6, 8), (4, 8, 6)]


def test_a_gate_may_see_something_else_than_the_experts() -> None:
    torch.manual_seed(0)
    gate, experts = SoftmaxGate(2, 3, k=1), FeedForwardExperts(3, 4, 5)
    inputs, seen = torch.randn(2, 3, 4), torch.randn(2, 3, 2)
    output = MoE(gate, experts)(inputs, gate_inputs=seen)
    assert torch.equal(output.routing.expert_A, gate(seen).expert_A)
    torch.testing.assert_close(output.outputs, MoE(FixedGate(gate(seen)), experts)(inputs).outputs)
    with pytest.raises(ValueError, match=r"\[3, 2\].*begin with \[2, 3\]"):
        MoE(gate, experts)(inputs, gate_inputs=seen[0])


def test_leading_dimensions_are_kept() -> None:
    routing = random_routing(6, 3, 2, dtype=torch.float32)
    layer = MoE(FixedGate(routing), FeedForwardExperts(3, 4, 5, num_outputs=7))
    tokens = torch.randn(2, 3, 4)
    assert layer(tokens).outputs.shape == (2, 3, 7)
    torch.testing.assert_close(layer(tokens).outputs.view(6, 7), layer(tokens.view(6, 4)).outputs)


def test_modules_as_experts_equal_stacked_experts() -> None:
    torch.manual_seed(0)
    routing = random_routing(9, 4, 2, idle=0.2, dtype=torch.float32)
    stacked = StackedLinear(4, 3, 2)
    modules = [nn.Linear(3, 2, bias=False) for _ in range(4)]
    for module, weight in zip(modules, stacked.weight, strict=True):
        module.weight.data = weight.detach().T.clone()
    tokens = torch.randn(9, 3)
    expected = MoE(FixedGate(routing), stacked)(tokens).outputs
    got = MoE(FixedGate(routing), ModuleExperts(modules))(tokens).outputs
    torch.testing.assert_close(got, expected)


ACTIVATIONS = {
    "function": F.gelu,
    "module": nn.SiLU(),
    "module in place": nn.ReLU(inplace=True),
    "not zero at zero": torch.sigmoid,
    "default": torch.relu,
}


def _loop(where: Plan, experts: list[nn.Module], rows: Tensor, num_outputs: int) -> Tensor:
    """What a loop over torch's own layers answers."""
    out = rows.new_zeros(len(rows), num_outputs)
    for e, expert in enumerate(experts):
        mine = torch.arange(int(where.start_E1[e]), int(where.start_E1[e + 1]))
        out = out.index_put((mine,), expert(rows[mine]))
    return out


def _as_torch(layer: StackedLinear, e: int) -> nn.Linear:
    """One expert as torch's layer, which shares nothing with it."""
    plain = nn.Linear(*layer.weight.shape[1:], bias=layer.bias is not None, dtype=torch.float64)
    plain.weight.data = layer.weight[e].detach().T.clone()
    if layer.bias is not None:
        plain.bias.data = layer.bias[e].detach().clone()
    return plain


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_feed_forward_experts_equal_a_loop_over_torchs_layers(bias: bool, activation: str) -> None:
    torch.manual_seed(0)
    act = ACTIVATIONS[activation]
    where = plan(random_routing(7, 4, 2, skew=2.0, idle=0.3))
    experts = FeedForwardExperts(4, 3, 5, 2, activation=act, bias=bias, dtype=torch.float64)
    plain = [
        nn.Sequential(_as_torch(experts.first, e), Apply(act), _as_torch(experts.second, e))
        for e in range(4)
    ]
    rows = torch.randn(14, 3, dtype=torch.float64, requires_grad=True)
    got, expected = experts(rows, where), _loop(where, plain, rows, 2)
    torch.testing.assert_close(got, expected)
    assert not got[int(where.start_E1[-1]) :].any()
    assert int(where.start_E1[-1]) < len(rows)
    ours = _gradients(got, rows, *experts.parameters())
    d_rows, *by_expert = _gradients(expected, rows, *(w for e in plain for w in e.parameters()))
    torch.testing.assert_close(ours[0], d_rows)
    for place, (ours_E, name) in enumerate(
        zip(ours[1:], dict(experts.named_parameters()), strict=True)
    ):
        per_expert = by_expert[place :: len(ours) - 1]
        transposed = [w.T if "weight" in name else w for w in per_expert]
        torch.testing.assert_close(ours_E, torch.stack(transposed))


class Apply(nn.Module):
    """An activation as a layer."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, hidden: Tensor) -> Tensor:
        return self.activation(hidden)


def test_the_gradients_by_biases_are_exact_and_the_same_every_time() -> None:
    torch.manual_seed(0)
    where = plan(random_routing(6, 3, 2, idle=0.3))
    experts = FeedForwardExperts(3, 2, 4, activation=torch.tanh, bias=True, dtype=torch.float64)
    rows = torch.randn(12, 2, dtype=torch.float64, requires_grad=True)
    names, weights = zip(*experts.named_parameters(), strict=True)

    def answers(rows: Tensor, *values: Tensor) -> Tensor:
        parameters = dict(zip(names, values, strict=True))
        return functional_call(experts, parameters, (rows, where))

    assert torch.autograd.gradcheck(answers, (rows, *weights))
    first, second = (_gradients(experts(rows, where), *weights) for _ in range(2))
    assert all(map(torch.equal, first, second))


def test_biases_start_as_torchs_and_are_absent_unless_asked_for() -> None:
    torch.manual_seed(0)
    layer = StackedLinear(500, 16, 3, bias=True)
    assert layer.bias is not None
    assert layer.bias.shape == (500, 3)
    assert 0.24 < layer.bias.abs().max() <= 0.25
    assert list(FeedForwardExperts(2, 3, 4).state_dict()) == ["first.weight", "second.weight"]
    torch.manual_seed(1)
    plain = FeedForwardExperts(2, 3, 4).first.weight
    torch.manual_seed(1)
    assert torch.equal(FeedForwardExperts(2, 3, 4, bias=True).first.weight, plain)


def test_the_default_rectifier_works_in_place_and_gives_the_same_bits() -> None:
    torch.manual_seed(0)
    where = plan(random_routing(9, 4, 2, dtype=torch.float32))
    experts, rows = FeedForwardExperts(4, 3, 8), torch.randn(18, 3)
    hidden: list[Tensor] = []
    experts.first.register_forward_hook(lambda *call: hidden.append(call[2]))
    by_default = experts(rows, where)
    assert (hidden[0] >= 0).all()
    experts.activation = nn.ReLU()
    assert torch.equal(experts(rows, where), by_default)


def test_an_activation_with_weights_is_trained() -> None:
    experts = FeedForwardExperts(2, 3, 4, activation=nn.PReLU())
    rows, where = torch.randn(4, 3), plan(random_routing(4, 2, 1, dtype=torch.float32))
    experts(rows, where).square().sum().backward()
    assert experts.get_parameter("activation.weight").grad is not None


def test_convolutional_experts_answer_nothing_for_rows_of_no_expert() -> None:
    where = plan(random_routing(5, 3, 1, idle=1.0, dtype=torch.float32))
    for bias in (False, True):
        experts = ConvolutionalExperts(3, 4, 6, 8, torch.sigmoid, bias=bias)
        assert not experts(torch.randn(5, 24), where).any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_modules_as_experts_come_in_any_list_and_dtype(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    where = plan(random_routing(9, 3, 2, idle=0.2))
    wide = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2, bias=False))
    modules = [nn.Linear(4, 2), wide, nn.Sequential(nn.Linear(4, 2), nn.ReLU(inplace=True))]
    rows = torch.randn(18, 4, dtype=dtype)
    expected = _loop(where, [module.to(dtype) for module in modules], rows, 2)
    for listed in (modules, nn.ModuleList(modules), iter(modules), tuple(modules)):
        torch.testing.assert_close(ModuleExperts(listed)(rows, where), expected)


def test_no_modules_and_no_module_are_refused() -> None:
    with pytest.raises(ValueError, match="num_experts is 0"):
        ModuleExperts([])
    with pytest.raises(TypeError, match="not a Module"):
        ModuleExperts([torch.relu])  # type: ignore[list-item]


def test_printing_a_layer_shows_its_sizes() -> None:
    gate = NoisyTopKGate(3, 4, k=2)
    text = repr(MoE(gate, FeedForwardExperts(4, 3, 5, activation=F.gelu, bias=True)))
    for part in ("num_features=3", "num_experts=4", "k=2", "num_inputs=3", "num_outputs=5"):
        assert part in text
    assert "activation=gelu" in text
    assert "bias=True" in text
    conv = repr(ConvolutionalExperts(3, 4, 6, 8, nn.ReLU(), num_heads=2))
    assert "num_patches=4, num_heads=2" in conv
    assert "ReLU()" in conv


@pytest.mark.parametrize("num_heads", [1, 2])
def test_convolutional_experts_follow_their_formula(num_heads: int) -> None:
    torch.manual_seed(0)
    routing = random_routing(5, 3, 1, dtype=torch.float32)
    experts = ConvolutionalExperts(3, 4, 6, 8, lambda z: z**3, num_heads)
    patches = torch.randn(5, 4, 6)
    where = plan(routing)
    got = experts(patches.flatten(1)[where.token_R], where)
    for row, token in enumerate(where.token_R.tolist()):
        expert = int(routing.expert_A[where.assignment_R[row]])
        response_J = ((patches[token] @ experts.filters.weight[expert]) ** 3).sum(0)
        expected = torch.stack([bank.sum() for bank in response_J.chunk(num_heads)])
        torch.testing.assert_close(got[row], expected)


def test_filters_that_cannot_be_shared_out_are_refused() -> None:
    with pytest.raises(ValueError, match="num_heads = 2 must divide num_filters = 5"):
        ConvolutionalExperts(3, 4, 6, 5, torch.relu, num_heads=2)


BACKENDS = [Backend.reference, Backend.padded, Backend.native, Backend.torch_grouped]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("backend", BACKENDS)
def test_autocast_rounds_products_and_keeps_gradients(backend: Backend, dtype: torch.dtype) -> None:
    if reason := backends.refusal(backend, "cpu", dtype):
        pytest.skip(reason)
    torch.manual_seed(0)
    routing = random_routing(40, 4, 2, idle=0.1, dtype=torch.float32)
    layer = MoE(FixedGate(routing), FeedForwardExperts(4, 8, 16, backend=backend))
    before, tokens = nn.Linear(8, 8), torch.randn(40, 8, requires_grad=True)
    inputs = (tokens, routing.weight_A, *layer.parameters(), *before.parameters())
    expected = layer(before(tokens)).outputs
    with torch.autocast("cpu", dtype):
        rounded = layer(before(tokens)).outputs
        # Both kinds of rows are converted: those that a layer before rounded, and exact ones.
        assert layer(tokens).outputs.dtype is dtype
    assert rounded.dtype is dtype
    for got, exact, of in zip(
        _gradients(rounded.float(), *inputs), _gradients(expected, *inputs), inputs, strict=True
    ):
        assert got.dtype is of.dtype
        assert (got - exact).norm() < 0.03 * exact.norm()


def test_autocast_leaves_float64_alone() -> None:
    experts = FeedForwardExperts(3, 2, 4, dtype=torch.float64)
    layer = MoE(FixedGate(random_routing(5, 3, 2)), experts)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(5, 2, dtype=torch.float64)).outputs.dtype is torch.float64


def test_weights_of_another_dtype_than_the_tokens_are_named() -> None:
    layer = MoE(SoftmaxGate(16, 64, k=2), FeedForwardExperts(64, 16, 32, dtype=torch.bfloat16))
    with pytest.raises(TypeError, match=r"dtype torch\.float32.*dtype torch\.bfloat16"):
        layer(torch.randn(50, 16))


def test_second_derivatives_of_the_whole_layer_are_exact() -> None:
    torch.manual_seed(0)
    routing = random_routing(4, 3, 2, idle=0.2)
    where = plan(routing)
    weight_A, rows = routing.weight_A, torch.randn(8, 3, dtype=torch.float64, requires_grad=True)
    tokens = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    order = (where.row_A, where.assignment_R)
    for function, inputs in (
        (lambda x: dispatch(x, where).pow(3), (tokens,)),
        (lambda y, w: combine(y, w, where), (rows, weight_A)),
        (lambda y: reorder(y, *order).pow(3), (rows,)),
    ):
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)
    layer = MoE(SoftmaxGate(3, 3, k=2).double(), FeedForwardExperts(3, 3, 4, dtype=torch.float64))
    assert torch.autograd.gradgradcheck(lambda x: layer(x).outputs, (tokens,))


def _layer_of(kind: str) -> MoE:
    torch.manual_seed(0)
    gate = KINDS[kind]()
    for weight in gate.parameters():
        nn.init.normal_(weight, std=0.3)
    return MoE(gate, FeedForwardExperts(EXPERTS, FEATURES, 8))


def _step(layer: nn.Module, tokens: Tensor) -> list[Tensor]:
    torch.manual_seed(1)
    output = layer(tokens)
    loss = output.outputs.square().sum() + sum(output.routing.losses.values())
    return [output.outputs, *torch.autograd.grad(loss, tuple(layer.parameters()))]


# torch's compiler makes an object that torch's automatic differentiation deprecates.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("kind", ["hierarchical", "strictly balanced"])
def test_the_layer_compiles_into_one_graph(kind: str) -> None:
    layer, tokens = _layer_of(kind), torch.randn(11, FEATURES)
    torch.compiler.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for got, expected in zip(_step(compiled, tokens), _step(layer, tokens), strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.filterwarnings("ignore")  # torch's own, about what it cannot trace
def test_weights_that_are_updated_in_the_backward_pass_are_not_compiled() -> None:
    layer = _layer_of("switch")
    optimiser = FactoredAdam(layer.parameters())
    optimiser.attach(layer.experts.first)
    torch.compiler.reset()
    with pytest.raises(Exception, match="cannot be compiled or exported: detach the layer"):
        torch.compile(layer, backend="eager", fullgraph=True)(torch.randn(5, FEATURES))


@pytest.mark.parametrize("kind", ["hierarchical", "strictly balanced"])
def test_an_exported_layer_answers_any_number_of_tokens(kind: str) -> None:
    layer = _layer_of(kind).eval()
    some = {0: torch.export.Dim("num_tokens", min=2, max=500)}
    program = torch.export.export(
        layer, (torch.randn(20, FEATURES),), dynamic_shapes={"inputs": some}
    )
    tokens = torch.randn(33, FEATURES)
    torch.testing.assert_close(program.module()(tokens).outputs, layer(tokens).outputs)


def test_operations_are_counted_exactly() -> None:
    layer = MoE(HierarchicalGate(6, 8, 4, 2, 2), FeedForwardExperts(8, 6, 10)).eval()
    tokens, mask = torch.randn(9, 6), torch.arange(9) < 7
    with FlopCounterMode(display=False) as forward:
        outputs = layer(tokens, mask).outputs
    # Per token the choice of groups; per group and expert only where there is a real one.
    gate = 9 * 6 * 4 + 7 * 2 * 6 * 2
    experts = 7 * 4 * 2 * 6 * 10
    assert forward.get_total_flops() == 2 * (gate + experts)
    with FlopCounterMode(display=False) as backward:
        torch.autograd.grad(outputs.sum(), tuple(layer.experts.parameters()))
    # Both gradients by the matrices, and one by the rows between them.
    assert backward.get_total_flops() == 2 * (experts + experts // 2)


def test_a_layer_without_memory_answers_with_shapes() -> None:
    for kind in KINDS:
        if kind != "strictly balanced":
            layer = _layer_of(kind).to("meta")
            assert layer(torch.zeros(5, FEATURES, device="meta")).outputs.shape == (5, FEATURES)


def test_a_copy_has_no_optimiser() -> None:
    layer = _layer_of("switch")
    FactoredAdam(layer.parameters()).attach(layer.experts.first)
    copy = deepcopy(layer)
    copy(torch.randn(5, FEATURES)).outputs.sum().backward()
    assert copy.experts.first.weight.grad is not None
    assert layer.experts.first.sink is not None


@pytest.mark.parametrize("expert", [-2, 3, 70_000])
def test_an_expert_that_there_is_not_is_named(expert: int) -> None:
    routing = random_routing(4, 3, 1)
    expert_A = routing.expert_A.clone()
    expert_A[1] = expert
    with pytest.raises(ValueError, match=rf"ids from .*{expert}.*but there are experts 0 to 2"):
        plan(replace(routing, expert_A=expert_A))


def test_another_number_of_tokens_than_were_routed_is_refused() -> None:
    with pytest.raises(ValueError, match="5 tokens, but the gate routed 4"):
        dispatch(torch.zeros(5, 2), plan(random_routing(4, 3, 1)))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_check_finite_names_the_tensor(bad: float) -> None:
    routing = random_routing(2, 3, 2, dtype=torch.float32)
    layer = MoE(FixedGate(routing), FeedForwardExperts(3, 2, 2), check_finite=True)
    with pytest.raises(ValueError, match="inputs hold 1 NaN or infinite of 4"):
        layer(torch.tensor([[1.0, bad], [0.0, 0.0]]))
    broken = replace(routing, weight_A=torch.full((4,), bad))
    with pytest.raises(ValueError, match="gate's values"):
        MoE(FixedGate(broken), FeedForwardExperts(3, 2, 2), check_finite=True)(torch.ones(2, 2))


def test_gate_and_experts_must_agree_on_their_number() -> None:
    with pytest.raises(ValueError, match="3 experts, but there are 4"):
        MoE(FixedGate(random_routing(2, 3, 2)), FeedForwardExperts(4, 2, 2))


def test_rows_of_the_wrong_width_are_refused() -> None:
    layer = MoE(FixedGate(random_routing(2, 3, 2)), FeedForwardExperts(3, 5, 2))
    with pytest.raises(ValueError, match="5 inputs got rows of 4"):
        layer(torch.zeros(2, 4))


def test_a_mask_of_the_wrong_shape_is_refused() -> None:
    layer = MoE(FixedGate(random_routing(2, 3, 2)), FeedForwardExperts(3, 4, 2))
    with pytest.raises(ValueError, match=r"\[3\].*\[2\]"):
        layer(torch.zeros(2, 4), torch.ones(3, dtype=torch.bool))


@pytest.mark.parametrize("size", ["num_experts", "num_inputs", "num_hidden"])
def test_sizes_below_one_are_refused(size: str) -> None:
    sizes = {"num_experts": 2, "num_inputs": 2, "num_hidden": 2, size: 0}
    with pytest.raises(ValueError, match="must be at least 1"):
        FeedForwardExperts(**sizes)


def test_the_papers_expert_has_two_million_parameters() -> None:
    # Shazeer et al. (2017), appendix E: 512 x 2048 x 2, stated as 2M per expert.
    experts = FeedForwardExperts(2, 512, 2048, device="meta")
    assert sum(weight.numel() for weight in experts.parameters()) == 2 * 2_097_152


@pytest.mark.parametrize("bias", [False, True])
def test_no_two_experts_start_alike(bias: bool) -> None:
    # Experts that start equal and see the same tokens would stay equal.
    kinds = {
        "feed forward": FeedForwardExperts(4, 3, 5, bias=bias),
        "filters": ConvolutionalExperts(4, 2, 3, 6, torch.relu, bias=bias),
    }
    for experts in kinds.values():
        for weight_E in experts.parameters():
            assert len(torch.unique(weight_E.flatten(1), dim=0)) == 4


@pytest.mark.parametrize(("activation", "bias"), [(F.gelu, False), (torch.relu, True)])
def test_experts_that_the_fused_node_cannot_compute_take_the_other_way(
    activation: Callable[[Tensor], Tensor], bias: bool
) -> None:
    experts = FeedForwardExperts(3, 4, 5, activation=activation, bias=bias)
    routing = random_routing(6, 3, 2)
    with mock.patch("moe.stacked.chosen_backend", return_value=Backend.triton):
        assert experts.mixture(torch.randn(6, 4), routing.weight_A, plan(routing)) is None
