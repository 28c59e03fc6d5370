"""Noisy top-k choice, smooth load and the two-level gate, against the paper's formulas."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from moe import HierarchicalGate, NoisyTopKGate, Routing, cv_squared
from moe.gates.noisy_top_k import noisy_top_k
from tests.moe.gate_cases import (
    FEATURES,
    Batch,
    answers,
    batches,
    close,
    dense,
    routed,
    tokens,
    trained,
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def literal_probabilities(
    clean_RE: Tensor, deviation_RE: Tensor, noisy_RE: Tensor, k: int
) -> Tensor:
    """P(x, i) by equation 9, expert by expert: the k-th largest of H without expert i."""
    if k == clean_RE.shape[1]:
        return torch.ones_like(clean_RE)
    columns = []
    for i in range(clean_RE.shape[1]):
        others = torch.cat([noisy_RE[:, :i], noisy_RE[:, i + 1 :]], dim=1)
        threshold = others.topk(k, dim=1).values[:, -1]
        z = (clean_RE[:, i] - threshold) / deviation_RE[:, i]
        columns.append((1 + torch.erf(z / math.sqrt(2))) / 2)
    return torch.stack(columns, dim=1)


@given(
    st.integers(0, 5),
    st.integers(1, 6),
    st.data(),
    st.sampled_from([0.0, 0.01]),
    st.integers(0, 99),
)
def test_choice_and_probabilities_are_equations_3_to_5_and_9(
    num_rows: int, num_experts: int, data: st.DataObject, epsilon: float, seed: int
) -> None:
    k = data.draw(st.integers(1, num_experts))
    product_R2E = normal(num_rows, 2 * num_experts, seed=seed).requires_grad_()
    noise_RE = normal(num_rows, num_experts, seed=seed + 1)
    choice = noisy_top_k(product_R2E, noise_RE, k, epsilon)
    clean_RE, raw_RE = product_R2E.chunk(2, dim=1)
    deviation_RE = torch.log(1 + raw_RE.exp()) + epsilon
    noisy_RE = clean_RE + noise_RE * deviation_RE
    logit_RK, expert_RK = noisy_RE.topk(k, dim=1)
    probability_RE = literal_probabilities(clean_RE, deviation_RE, noisy_RE, k)
    assert torch.equal(choice.expert_RK, expert_RK)
    assert choice.probability_RE is not None
    close(choice.logit_RK, logit_RK)
    close(choice.probability_RE, probability_RE)
    by_logit, by_probability = normal(num_rows, k), normal(num_rows, num_experts)
    ours = (choice.logit_RK * by_logit).sum() + (choice.probability_RE * by_probability).sum()
    plain = (logit_RK * by_logit).sum() + (probability_RE * by_probability).sum()
    gradients = [torch.autograd.grad(total, product_R2E)[0] for total in (ours, plain)]
    close(*gradients)


def test_noise_that_vanishes_leaves_no_nan() -> None:
    product_R2E = torch.tensor([[1.0, 1.0, 0.0, -200.0, -200.0, -200.0]], requires_grad=True)
    choice = noisy_top_k(product_R2E, torch.zeros(1, 3), k=1)
    assert choice.probability_RE is not None
    assert choice.probability_RE.isfinite().all()
    choice.probability_RE.sum().backward()
    assert product_R2E.grad is not None
    assert product_R2E.grad.isfinite().all()


@pytest.mark.parametrize("k", [1, 2, 5])
def test_smooth_load_is_how_often_an_expert_is_chosen_when_its_noise_is_redrawn(k: int) -> None:
    num_experts, draws = 6, 20_000
    product_R2E = normal(1, 2 * num_experts, seed=1)
    noise_RE = normal(1, num_experts, seed=2)
    choice = noisy_top_k(product_R2E, noise_RE, k)
    assert choice.probability_RE is not None
    for i in range(num_experts):
        redrawn_RE = noise_RE.repeat(draws, 1)
        redrawn_RE[:, i] = normal(draws, seed=3 + i)
        chosen_RK = noisy_top_k(product_R2E.expand(draws, -1), redrawn_RE, k).expert_RK
        frequency = float((chosen_RK == i).any(dim=1).double().mean())
        expected = float(choice.probability_RE[0, i])
        deviation = math.sqrt(max(expected * (1 - expected), 1e-4) / draws)
        assert frequency == pytest.approx(expected, abs=4 * deviation)


@pytest.mark.parametrize(("num_experts", "k"), [(4, 1), (10, 4), (32, 4), (5, 5)])
def test_at_zero_initialisation_smooth_loads_sum_to_k_per_token(num_experts: int, k: int) -> None:
    gate = NoisyTopKGate(FEATURES, num_experts, k).double()
    num_tokens = 20_000
    routing = routed(gate, tokens(num_tokens))
    assert float(routing.load_E.detach().sum()) == pytest.approx(k * num_tokens, rel=0.02)
    close(answers(routing).sum(1), torch.full((num_tokens,), k))
    assert float(cv_squared(answers(routing).sum(0))) < 0.01


def test_a_gate_takes_over_other_logits_and_keeps_its_noise() -> None:
    gate = trained(NoisyTopKGate(FEATURES, 5, 5))
    assert isinstance(gate, NoisyTopKGate)
    weights, inputs_TD = gate.weight_D2E, tokens(7)
    noise_DE, other_DE = weights[:, 1].clone(), normal(FEATURES, 5)
    gate.set_logit_weight(other_DE)
    # With k = n and without noise, all gate values are the softmax of x W_g (equation 3).
    close(dense(routed(gate.eval(), inputs_TD)), torch.softmax(inputs_TD @ other_DE, dim=1))
    close(gate.weight_D2E[:, 1], noise_DE)
    assert gate.weight_D2E is weights
    assert weights.requires_grad


def test_gradients_by_the_logits_weights_are_those_of_the_formula() -> None:
    gate = trained(NoisyTopKGate(FEATURES, 5, 5)).eval()
    assert isinstance(gate, NoisyTopKGate)
    inputs_TD, wanted_TE = tokens(7), normal(7, 5)
    weight_DE = gate.weight_D2E[:, 0].detach().clone().requires_grad_()
    loss = (torch.softmax(inputs_TD @ weight_DE, dim=1) * wanted_TE).sum()
    (expected_DE,) = torch.autograd.grad(loss, [weight_DE])
    close(gate.logit_gradient((dense(routed(gate, inputs_TD)) * wanted_TE).sum()), expected_DE)
    assert gate.weight_D2E.grad is None


@given(batches(), st.integers(0, 99))
def test_padded_tokens_have_no_smooth_load(batch: Batch, seed: int) -> None:
    gate = trained(NoisyTopKGate(FEATURES, 5, 2))
    routing = routed(gate, batch.inputs_TD, batch.mask_T, seed)
    torch.manual_seed(seed)
    noise_TE = torch.randn(len(batch.inputs_TD), 5, dtype=torch.float64)
    real_TD, noise_RE = batch.inputs_TD[batch.is_real_T], noise_TE[batch.is_real_T]
    choice = noisy_top_k(real_TD @ gate.get_parameter("weight_D2E").flatten(1), noise_RE, 2)
    assert choice.probability_RE is not None
    close(routing.load_E, choice.probability_RE.sum(0))


@given(batches(), st.booleans())
def test_without_noise_the_load_counts_tokens(batch: Batch, two_levels: bool) -> None:
    gate = HierarchicalGate(FEATURES, 6, 3) if two_levels else NoisyTopKGate(FEATURES, 6, 4)
    routing = routed(trained(gate).eval(), batch.inputs_TD, batch.mask_T)
    close(routing.load_E, answers(routing).sum(0))
    gate.train()
    again = routed(gate, batch.inputs_TD, batch.mask_T)
    assert torch.equal(again.start_T1, routing.start_T1)


def test_noise_in_evaluation_is_a_choice() -> None:
    inputs_TD = tokens(30)
    for make in (
        lambda noisy: NoisyTopKGate(FEATURES, 6, 2, noise_in_evaluation=noisy),
        lambda noisy: HierarchicalGate(FEATURES, 6, 3, 1, 1, noise_in_evaluation=noisy),
    ):
        noisy, plain = trained(make(True)).eval(), trained(make(False)).eval()
        assert torch.equal(routed(plain, inputs_TD, seed=1).expert_A, _ids(plain, inputs_TD, 2))
        assert not torch.equal(routed(noisy, inputs_TD, seed=1).expert_A, _ids(noisy, inputs_TD, 2))


def _ids(gate: torch.nn.Module, inputs_TD: Tensor, seed: int) -> Tensor:
    torch.manual_seed(seed)
    routing: Routing = gate(inputs_TD)
    return routing.expert_A


@given(
    batches(),
    st.integers(1, 3),
    st.integers(1, 4),
    st.data(),
    st.sampled_from([0.0, 0.01]),
    st.integers(0, 99),
)
def test_hierarchical_importance_and_load_are_those_of_appendix_b(
    batch: Batch,
    num_groups: int,
    size: int,
    data: st.DataObject,
    epsilon: float,
    seed: int,
) -> None:
    k_groups = data.draw(st.integers(1, num_groups))
    k_experts = data.draw(st.integers(1, size))
    gate = HierarchicalGate(
        FEATURES, num_groups * size, num_groups, k_groups, k_experts, noise_epsilon=epsilon
    )
    trained(gate)
    routing = routed(gate, batch.inputs_TD, batch.mask_T, seed)
    expected = literal_hierarchy(gate, batch, k_groups, k_experts, epsilon, seed)
    close(dense(routing), expected[0])
    close(routing.importance_E, expected[0].sum(0))
    close(routing.load_E, expected[1])
    close(routing.losses["importance"], cv_squared(expected[0].sum(0)))
    close(routing.losses["load"], cv_squared(expected[1]))
    weights = list(gate.parameters())
    ours = dense(routing).square().sum() + routing.load_E.square().sum()
    plain = expected[0].square().sum() + expected[1].square().sum()
    gradients = [
        torch.autograd.grad(total, weights, allow_unused=True, materialize_grads=True)
        for total in (ours, plain)
    ]
    for one, other in zip(*gradients, strict=True):
        close(one, other)


def literal_hierarchy(
    gate: HierarchicalGate, batch: Batch, k_groups: int, k_experts: int, epsilon: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Gate values `[T, E]` and Load_H `[E]`, group by group as appendix B writes them."""
    inputs_TD, is_real_T = batch.inputs_TD, batch.is_real_T
    num_tokens, groups, size = len(inputs_TD), gate.num_groups, gate.group_size
    torch.manual_seed(seed)
    noise_Ta = torch.randn(num_tokens, groups, dtype=torch.float64)
    noise_Rb = torch.randn(num_tokens * k_groups, size, dtype=torch.float64)
    outer_Ta, load_a = literal_gate(
        inputs_TD, gate.primary.weight_D2E, noise_Ta, k_groups, epsilon, is_real_T
    )
    weight_TE, load_E, first = [], [], 0
    for i in range(groups):
        chose_T = outer_Ta[:, i] > 0
        count = int(chose_T.sum())
        # Noise is drawn for the rows, which are sorted by group and then by token.
        noise_Tb = torch.zeros(num_tokens, size, dtype=torch.float64)
        noise_Tb[chose_T] = noise_Rb[first : first + count]
        first += count
        inner_Tb, load_b = literal_gate(
            inputs_TD, gate.weight_aD2b[i], noise_Tb, k_experts, epsilon, chose_T
        )
        weight_TE.append(outer_Ta[:, i : i + 1] * inner_Tb)
        load_E.append(load_a[i] * load_b / max(1, count))
    return torch.cat(weight_TE, dim=1), torch.cat(load_E)


def literal_gate(
    inputs_TD: Tensor,
    weight_D2E: Tensor,
    noise_TE: Tensor,
    k: int,
    epsilon: float,
    is_seen_T: Tensor,
) -> tuple[Tensor, Tensor]:
    """G(x) and Load(X) of one noisy top-k gate; zeros for tokens that it does not see."""
    clean_TE, raw_TE = inputs_TD @ weight_D2E[:, 0], inputs_TD @ weight_D2E[:, 1]
    deviation_TE = torch.log(1 + raw_TE.exp()) + epsilon
    noisy_TE = clean_TE + noise_TE * deviation_TE
    out_TE = torch.ones_like(noisy_TE).scatter(1, noisy_TE.topk(k, dim=1).indices, 0.0).bool()
    gate_TE = torch.softmax(noisy_TE.masked_fill(out_TE, -torch.inf), dim=1)
    probability_TE = literal_probabilities(clean_TE, deviation_TE, noisy_TE, k)
    seen_T1 = is_seen_T.unsqueeze(1)
    return gate_TE * seen_T1, (probability_TE * seen_T1).sum(0)


@given(batches(), st.integers(1, 5), st.integers(0, 99))
def test_a_hierarchy_of_one_group_is_the_flat_gate(batch: Batch, k: int, seed: int) -> None:
    tree = trained(HierarchicalGate(FEATURES, 5, num_groups=1, k_groups=1, k_experts=k))
    flat = NoisyTopKGate(FEATURES, 5, k).double()
    flat.weight_D2E.data = tree.get_parameter("weight_aD2b").data[0]
    two_levels = routed(tree, batch.inputs_TD, None, seed)
    torch.manual_seed(seed)
    torch.randn(len(batch.inputs_TD), 1, dtype=torch.float64)  # the primary gate's noise
    one_level: Routing = flat(batch.inputs_TD)
    close(dense(two_levels), dense(one_level))
    close(two_levels.load_E, one_level.load_E)
    for name, loss in one_level.losses.items():
        close(two_levels.losses[name], loss)


def test_the_primary_gate_learns_from_the_load_loss() -> None:
    gate = trained(HierarchicalGate(FEATURES, 12, 4))
    routed(gate, tokens(40)).losses["load"].backward()
    assert gate.get_parameter("primary.weight_D2E").grad.abs().min() > 0
