"""The strictly balanced gate: equal shares in training, thresholds afterwards."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from moe import (
    NO_EXPERT,
    Gate,
    MaskInTraining,
    Routing,
    StrictlyBalancedGate,
    TieBreak,
    num_unrouted_tokens,
)
from moe.gates.balanced import _sort_keys, batchwise_assignments, batchwise_loss, tokens_per_expert
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


def test_m_is_k_tokens_over_experts_rounded() -> None:
    assert [tokens_per_expert(4, num_tokens, 8) for num_tokens in (16, 17, 18)] == [8, 9, 9]
    assert tokens_per_expert(1, 100, 3) == 33
    # At least one token, unless there is none.
    assert tokens_per_expert(1, 2, 100) == 1
    assert tokens_per_expert(1, 0, 100) == 0
    assert tokens_per_expert(5, 7, 5) == 7


@given(batches(), st.integers(1, 6), st.data(), st.booleans(), st.sampled_from(TieBreak))
def test_every_expert_takes_exactly_m_real_tokens(
    batch: Batch, num_experts: int, data: st.DataObject, is_zero: bool, tie_break: TieBreak
) -> None:
    k = data.draw(st.integers(1, num_experts))
    gate: Gate = StrictlyBalancedGate(FEATURES, num_experts, k, tie_break=tie_break).double()
    gate = gate if is_zero else trained(gate)
    routing = routed(gate, batch.inputs_TD, batch.mask_T)
    m = tokens_per_expert(k, int(batch.is_real_T.sum()), num_experts)
    close(answers(routing).sum(0), torch.full((num_experts,), m))
    close(routing.load_E, torch.full((num_experts,), m))
    # The number of assignments is known without looking at the mask.
    static = tokens_per_expert(k, len(batch.inputs_TD), num_experts) * num_experts
    assert len(routing.expert_A) == static


@given(batches(), st.integers(1, 4), st.booleans())
def test_weights_are_shares_of_the_softmax_among_the_experts_that_took_a_token(
    batch: Batch, k: int, training: bool
) -> None:
    gate = trained(StrictlyBalancedGate(FEATURES, 4, k)).train(training)
    routing = routed(gate, batch.inputs_TD, batch.mask_T)
    probabilities_TE = torch.softmax(batch.inputs_TD @ gate.get_parameter("weight_DE"), dim=1)
    masked_TE = probabilities_TE * answers(routing)
    total_T1 = masked_TE.sum(1, keepdim=True)
    close(dense(routing), torch.where(total_T1 > 0, masked_TE / total_T1, 0.0))
    num_without = int((answers(routing).sum(1) == 0)[batch.is_real_T].sum())
    assert int(num_unrouted_tokens(routing, batch.mask_T)) == num_without


@given(batches(), st.integers(1, 4))
def test_experts_take_the_tokens_they_value_most(batch: Batch, k: int) -> None:
    gate = trained(StrictlyBalancedGate(FEATURES, 4, k))
    routing = routed(gate, batch.inputs_TD)
    value_TE = routing.probabilities_TE
    assert value_TE is not None
    taken_TE = answers(routing).bool()
    worst_taken = torch.where(taken_TE, value_TE, torch.inf).amin(0) if len(value_TE) else 0
    best_left = torch.where(taken_TE, -torch.inf, value_TE).amax(0) if len(value_TE) else 0
    assert (torch.as_tensor(worst_taken >= best_left)).all()


def test_ties_at_zero_weights_are_broken_at_random_or_by_order() -> None:
    inputs_TD = tokens(200)
    at_random = StrictlyBalancedGate(FEATURES, 20, 2).double()
    taken_TE = answers(routed(at_random, inputs_TD))
    # A token stays without expert with probability (1 - 1/10)^20 = 0.12.
    assert 10 <= int((taken_TE.sum(1) == 0).sum()) <= 40
    assert not torch.equal(taken_TE, answers(routed(at_random, inputs_TD, seed=1)))
    by_order = StrictlyBalancedGate(FEATURES, 20, 2, tie_break=TieBreak.first).double()
    first = routed(by_order, inputs_TD)
    assert (answers(first)[:20] == 1).all()
    assert int(num_unrouted_tokens(first)) == 180


def test_a_masked_token_comes_after_one_that_has_no_weight_at_all() -> None:
    mask_T = torch.tensor([False, True])
    masked, real = _sort_keys(torch.zeros(2, 1), mask_T, TieBreak.first)[0].tolist()
    assert masked < real


def test_random_ties_never_overrule_a_difference() -> None:
    value_TE = torch.rand(500, 7, generator=torch.Generator().manual_seed(0))
    taken = [
        batchwise_assignments(value_TE, None, 2, tie_break).expert_A.sort().values
        for tie_break in TieBreak
    ]
    assert torch.equal(*taken)


def literal_loss(value_TE: Tensor, threshold_E: Tensor, taken_TE: Tensor) -> Tensor:
    above_TE = (value_TE > threshold_E).double()
    return ((above_TE - taken_TE) * (value_TE - threshold_E)).sum()


@given(batches(), st.integers(1, 4), st.sampled_from([-0.1, 0.1, 0.25, 0.6, 1.2]))
def test_the_batchwise_loss_is_that_of_appendix_f(batch: Batch, k: int, threshold: float) -> None:
    gate = trained(StrictlyBalancedGate(FEATURES, 4, k))
    threshold_E = gate.get_parameter("threshold_E")
    threshold_E.data.fill_(threshold)
    routing = routed(gate, batch.inputs_TD, batch.mask_T)
    assert routing.probabilities_TE is not None
    real_TE = routing.probabilities_TE.detach()[batch.is_real_T]
    taken_TE = answers(routing)[batch.is_real_T]
    loss = routing.losses["batchwise"]
    close(loss, literal_loss(real_TE, threshold_E, taken_TE))
    assert float(loss.detach()) >= -1e-6
    weights = [threshold_E, gate.get_parameter("weight_DE")]
    by_threshold, by_weight = torch.autograd.grad(loss, weights, materialize_grads=True)
    close(by_threshold, taken_TE.sum(0) - (real_TE > threshold).sum(0))
    assert (by_weight == 0).all()


def test_the_batchwise_loss_moves_the_gate_only_if_asked() -> None:
    gate = trained(StrictlyBalancedGate(FEATURES, 4, 2, loss_moves_gate=True))
    routed(gate, tokens(20)).losses["batchwise"].backward()
    assert gate.get_parameter("weight_DE").grad.abs().sum() > 0


def test_the_batchwise_loss_vanishes_where_both_masks_agree() -> None:
    value_TE = torch.rand(40, 5, generator=torch.Generator().manual_seed(0)).double()
    assigned = batchwise_assignments(value_TE, None, 2, TieBreak.first)
    m = tokens_per_expert(2, 40, 5)
    between_E = value_TE.sort(dim=0, descending=True).values[m - 1 : m + 1].mean(0)
    close(batchwise_loss(value_TE, between_E, assigned, None), torch.tensor(0.0))
    assert float(batchwise_loss(value_TE, between_E + 0.2, assigned, None)) > 0
    assert float(batchwise_loss(value_TE, between_E - 0.2, assigned, None)) > 0


def test_trained_thresholds_choose_nearly_the_tokens_of_the_batchwise_mask() -> None:
    gate = trained(StrictlyBalancedGate(FEATURES, 8, 2))
    optimiser = torch.optim.SGD([gate.get_parameter("threshold_E")], lr=1e-5)
    for step in range(300):
        optimiser.zero_grad()
        routed(gate, tokens(1000, seed=step)).losses["batchwise"].backward()
        optimiser.step()
    unseen_TD = tokens(4000, seed=1000)
    batchwise = answers(routed(gate, unseen_TD))
    by_threshold = answers(routed(gate.eval(), unseen_TD))
    assert float((batchwise == by_threshold).double().mean()) > 0.98
    assert by_threshold.sum(0).sub(1000).abs().max() < 150


def test_with_thresholds_in_training_no_token_sees_another() -> None:
    gate = StrictlyBalancedGate(
        FEATURES, 8, 2, init_scale=0.1, mask_in_training=MaskInTraining.threshold
    ).double()
    inputs_TD = tokens(30)
    whole = routed(gate, inputs_TD)
    assert "batchwise" in whole.losses
    close(dense(routed(gate, inputs_TD[:10])), dense(whole)[:10])
    close(dense(routed(gate.eval(), inputs_TD)), dense(whole))
    with pytest.raises(ValueError, match="init_scale is 0, but must be above 0"):
        StrictlyBalancedGate(FEATURES, 8, 2, mask_in_training=MaskInTraining.threshold)


def test_a_threshold_is_exceeded_strictly() -> None:
    gate = StrictlyBalancedGate(FEATURES, 4, 2).double().eval()
    routing: Routing = gate(tokens(5))
    # Zero weights make every value 1 / 4, which is what the thresholds are at first.
    assert len(routing.expert_A) == 0
    gate.threshold_E.data[1] = 0.2
    routing = gate(tokens(5))
    assert routing.expert_A.tolist() == [1] * 5
    assert (routing.weight_A == 1).all()
    assert NO_EXPERT not in routing.expert_A.tolist()
