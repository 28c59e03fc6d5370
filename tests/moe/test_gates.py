"""What every gate must obey: weights, padding, shapes, order of the experts, gradients."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.func import functional_call

from moe import (
    NO_EXPERT,
    Gate,
    GateValue,
    HierarchicalGate,
    SoftmaxGate,
    StrictlyBalancedGate,
    SwitchGate,
    UniformNoiseGate,
    softmax_gate,
)
from tests.moe.gate_cases import (
    EXPERTS,
    FEATURES,
    GROUP_SIZE,
    GROUPS,
    KINDS,
    SUM_TO_ONE,
    Batch,
    answers,
    batches,
    close,
    dense,
    routed,
    same,
    tokens,
    trained,
)

kinds = st.sampled_from(sorted(KINDS))
PERMUTABLE = ["softmax", "softmax top 3", "uniform noise", "switch", "noisy top 4"]


@given(st.sampled_from(SUM_TO_ONE), batches(), st.booleans())
def test_weights_of_a_real_token_sum_to_one(kind: str, batch: Batch, training: bool) -> None:
    gate = trained(KINDS[kind]()).train(training)
    close(dense(routed(gate, batch.inputs_TD, batch.mask_T)).sum(1), batch.is_real_T)


@given(kinds, batches(), st.booleans())
def test_padding_is_never_routed_and_never_counted(kind: str, batch: Batch, training: bool) -> None:
    gate = trained(KINDS[kind]()).train(training)
    routing = routed(gate, batch.inputs_TD, batch.mask_T)
    padded_T = ~batch.is_real_T
    assert answers(routing)[padded_T].sum() == 0
    assert (routing.weight_A[routing.expert_A == NO_EXPERT] == 0).all()
    close(routing.importance_E, dense(routing).sum(0))
    if routing.probabilities_TE is not None:
        assert (routing.probabilities_TE[padded_T] == 0).all()


@given(kinds, batches(), st.booleans(), st.sampled_from([1.0, torch.nan, torch.inf]))
def test_what_lies_in_padding_changes_nothing(
    kind: str, batch: Batch, training: bool, filler: float
) -> None:
    gate = trained(KINDS[kind]()).train(training)
    other_TD = torch.where(batch.is_real_T.unsqueeze(1), batch.inputs_TD, filler)
    first = routed(gate, batch.inputs_TD, batch.mask_T)
    same(routed(gate, other_TD, batch.mask_T), first)
    gradients = [_weight_gradients(gate, inputs, batch) for inputs in (batch.inputs_TD, other_TD)]
    for ours, others in zip(*gradients, strict=True):
        close(ours, others)


def _weight_gradients(gate: Gate, inputs_TD: Tensor, batch: Batch) -> list[Tensor]:
    routing = routed(gate, inputs_TD, batch.mask_T)
    total = routing.weight_A.square().sum() + sum(routing.losses.values())
    weights = list(gate.parameters())
    return list(torch.autograd.grad(total, weights, allow_unused=True, materialize_grads=True))


@given(kinds, batches())
def test_padding_is_as_good_as_absent(kind: str, batch: Batch) -> None:
    gate = trained(KINDS[kind]()).eval()
    padded = routed(gate, batch.inputs_TD, batch.mask_T)
    short = routed(gate, batch.inputs_TD[batch.is_real_T])
    close(dense(padded)[batch.is_real_T], dense(short))
    close(padded.load_E, short.load_E)
    for name, loss in short.losses.items():
        close(padded.losses[name], loss)


@given(kinds, st.sampled_from([(6,), (2, 3), (3, 1, 2), (0, 4), ()]), st.booleans())
def test_leading_dimensions_are_flattened(
    kind: str, shape: tuple[int, ...], training: bool
) -> None:
    gate = trained(KINDS[kind]()).train(training)
    inputs, mask = tokens(*shape), torch.ones(shape, dtype=torch.bool)
    flat = routed(gate, inputs.view(-1, FEATURES))
    same(routed(gate, inputs), flat)
    same(routed(gate, inputs, mask), flat)


@given(kinds, batches(), st.booleans())
def test_assignments_lie_in_the_order_of_the_tokens(
    kind: str, batch: Batch, training: bool
) -> None:
    routing = routed(trained(KINDS[kind]()).train(training), batch.inputs_TD, batch.mask_T)
    starts = routing.start_T1
    assert len(starts) == len(batch.inputs_TD) + 1
    assert starts[0] == 0
    assert starts[-1] == len(routing.expert_A) == len(routing.weight_A)
    assert (starts.diff() >= 0).all()
    assert answers(routing).max() <= 1 if len(routing.expert_A) else True


@given(st.sampled_from(PERMUTABLE), batches(), st.permutations(range(EXPERTS)))
def test_renumbering_the_experts_renumbers_the_routing(
    kind: str, batch: Batch, order: list[int]
) -> None:
    gate, renumbered = (trained(KINDS[kind]()).eval() for _ in range(2))
    for weight in renumbered.parameters():
        weight.data = weight.data[..., order]
    first = routed(gate, batch.inputs_TD, batch.mask_T)
    second = routed(renumbered, batch.inputs_TD, batch.mask_T)
    close(dense(second), dense(first)[:, order])
    close(second.load_E, first.load_E[order])


@given(batches(), st.permutations(range(GROUPS)), st.permutations(range(GROUP_SIZE)))
def test_renumbering_groups_and_their_experts_renumbers_the_hierarchy(
    batch: Batch, groups: list[int], inner: list[int]
) -> None:
    gate, renumbered = (trained(KINDS["hierarchical"]()).eval() for _ in range(2))
    assert isinstance(renumbered, HierarchicalGate)
    renumbered.primary.weight_D2E.data = renumbered.primary.weight_D2E.data[..., groups]
    renumbered.weight_aD2b.data = renumbered.weight_aD2b.data[groups][..., inner]
    order = torch.arange(EXPERTS).view(GROUPS, GROUP_SIZE)[groups][:, inner].flatten()
    first = routed(gate, batch.inputs_TD, batch.mask_T)
    second = routed(renumbered, batch.inputs_TD, batch.mask_T)
    close(dense(second), dense(first)[:, order])
    close(second.load_E, first.load_E[order])


@given(batches(), st.sampled_from([0.5, 1.0, 3.0]))
def test_all_experts_for_every_token_is_the_gate_of_1991(batch: Batch, temperature: float) -> None:
    gate = trained(SoftmaxGate(FEATURES, EXPERTS, temperature=temperature))
    routing = routed(gate, batch.inputs_TD)
    logits_EN, proportions_EN = softmax_gate(
        gate.weight_DE.T, batch.inputs_TD.T, temperature=temperature
    )
    close(dense(routing), proportions_EN.T)
    assert logits_EN.shape == proportions_EN.shape


@given(batches())
def test_noisy_gates_with_k_equal_n_are_dense(batch: Batch) -> None:
    flat = trained(KINDS["noisy top n"]()).eval()
    weight_DE = flat.get_parameter("weight_D2E")[:, 0]
    close(dense(routed(flat, batch.inputs_TD)), torch.softmax(batch.inputs_TD @ weight_DE, dim=1))
    tree = trained(KINDS["hierarchical all"]()).eval()
    outer_Ta = torch.softmax(batch.inputs_TD @ tree.get_parameter("primary.weight_D2E")[:, 0], 1)
    inner_aD = tree.get_parameter("weight_aD2b")[:, :, 0]
    inner_Tab = torch.softmax(torch.einsum("td,adb->tab", batch.inputs_TD, inner_aD), dim=2)
    close(dense(routed(tree, batch.inputs_TD)), (outer_Ta.unsqueeze(2) * inner_Tab).flatten(1))


@given(batches(), st.booleans())
def test_a_gate_with_one_expert_per_token_weighs_it_by_its_probability(
    batch: Batch, training: bool
) -> None:
    for kind in ("uniform noise", "switch"):
        routing = routed(trained(KINDS[kind]()).train(training), batch.inputs_TD)
        assert routing.probabilities_TE is not None
        chosen_T1 = routing.probabilities_TE.gather(1, routing.expert_A.unsqueeze(1))
        close(routing.weight_A, chosen_T1.squeeze(1))


def test_the_uniform_noise_gate_as_coded_weighs_by_the_noisy_logit() -> None:
    gate = UniformNoiseGate(FEATURES, EXPERTS, GateValue.noisy_logit, noise_scale=2.0).double()
    inputs_TD = tokens(50)
    routing = routed(gate, inputs_TD, seed=3)
    torch.manual_seed(3)
    noise_TE = 2 * torch.rand(50, EXPERTS, dtype=torch.float64)
    close(routing.weight_A, noise_TE.amax(1))
    assert torch.equal(routing.expert_A, noise_TE.argmax(1))
    assert (routed(gate.eval(), inputs_TD).weight_A == 0).all()
    gate.noise_in_evaluation = True
    same(routed(gate, inputs_TD, seed=3), routing)


def test_jitter_is_for_training_only() -> None:
    gate, inputs_TD = trained(SwitchGate(FEATURES, EXPERTS, jitter=0.5)), tokens(20)
    plain = routed(trained(SwitchGate(FEATURES, EXPERTS)), inputs_TD)
    same(routed(gate.eval(), inputs_TD), plain)
    close(routed(gate, inputs_TD, seed=1).weight_A, plain.weight_A)
    assert not torch.allclose(routed(gate.train(), inputs_TD).weight_A, plain.weight_A)


def test_jitter_is_uniform_about_one() -> None:
    torch.manual_seed(0)
    factor_TD = SwitchGate(FEATURES, EXPERTS, jitter=0.5)._jittered(torch.ones(2000, FEATURES))
    assert 0.5 <= factor_TD.min() < 0.51
    assert 1.49 < factor_TD.max() <= 1.5
    assert float(factor_TD.mean()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_those_of_finite_differences(kind: str, training: bool) -> None:
    gate = trained(KINDS[kind](), scale=0.5).train(training)
    names, weights = zip(*gate.named_parameters(), strict=True)
    mask_T = torch.tensor([True] * 6 + [False])

    def everything(inputs_TD: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        torch.manual_seed(5)
        parameters = dict(zip(names, values, strict=True))
        routing = functional_call(gate, parameters, (inputs_TD, mask_T))
        sums = [routing.importance_E.square().sum(), routing.load_E.square().sum()]
        return (routing.weight_A, *sums, *routing.losses.values())

    # The batchwise loss is detached from the gate by choice, which finite differences cannot see.
    if isinstance(gate, StrictlyBalancedGate):
        gate.loss_moves_gate = True
    assert torch.autograd.gradcheck(everything, (tokens(7).requires_grad_(), *weights))


@pytest.mark.parametrize("make", [SoftmaxGate, SwitchGate], ids=["softmax", "switch"])
def test_a_gate_without_noise_starts_at_random_in_the_size_that_is_asked_for(
    make: type[SoftmaxGate] | type[SwitchGate],
) -> None:
    # Equal logits would send every token to the same expert. Fedus et al. (2021), section 2.4:
    # variance s / D, cut at two standard deviations, which leaves 0.774 of it.
    weight_DE, default_DE, zero_DE = (
        make(400, 30, **scale).weight_DE.detach()
        for scale in ({"init_scale": 4.0}, {}, {"init_scale": 0.0})
    )
    assert float(weight_DE.var()) == pytest.approx(0.774 * 4.0 / 400, rel=0.1)
    assert float(weight_DE.abs().max()) <= 2 * (4.0 / 400) ** 0.5
    assert default_DE.any()
    assert not zero_DE.any()
