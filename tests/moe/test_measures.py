"""Measures of load, of a routing beside known classes, and of the experts' similarity."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from moe import (
    NO_EXPERT,
    Routing,
    coefficient_of_variation,
    counts_by_class,
    cv_squared,
    dispatch_entropy,
    effective_number,
    expert_similarities,
    expert_similarity,
    first_choices,
    max_over_mean,
    measures,
    num_unrouted_tokens,
    routing_agreement,
    utilisation,
)
from tests.moe.gate_cases import close


def routing_of(choices: list[list[tuple[int, float]]], num_experts: int) -> Routing:
    """A routing from each token's list of experts and weights."""
    flat = [pair for of_token in choices for pair in of_token]
    starts = torch.tensor([0, *(len(of_token) for of_token in choices)]).cumsum(0)
    return Routing(
        expert_A=torch.tensor([expert for expert, _ in flat], dtype=torch.int64),
        weight_A=torch.tensor([weight for _, weight in flat], dtype=torch.float64),
        start_T1=starts,
        num_experts=num_experts,
        importance_E=torch.zeros(num_experts),
        load_E=torch.zeros(num_experts),
    )


pairs = st.tuples(st.integers(NO_EXPERT, 3), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
choice_lists = st.lists(st.lists(pairs, max_size=4), max_size=8)
counts = st.lists(st.integers(0, 50), min_size=1, max_size=8)


@given(counts)
def test_measures_of_a_load_lie_within_their_bounds(load: list[int]) -> None:
    load_E, num_experts, any_load = torch.tensor(load), len(load), sum(load) > 0
    assert 0 <= float(coefficient_of_variation(load_E)) <= math.sqrt(num_experts - 1) + 1e-9
    assert any_load <= float(max_over_mean(load_E)) <= num_experts
    assert any_load <= float(effective_number(load_E)) + 1e-9 <= num_experts + 1e-8
    share = sum(count > 0 for count in load) / num_experts
    assert float(utilisation(load_E)) == pytest.approx(share)


@given(counts, st.integers(1, 5))
def test_measures_of_a_load_treat_each_line_of_a_batch_alone(load: list[int], scale: int) -> None:
    batch = torch.tensor([load, [scale * count for count in load]])
    for measure in (coefficient_of_variation, max_over_mean, utilisation, effective_number):
        # None depends on the load's scale.
        close(measure(batch), measure(batch[0]).expand(2))


def test_measures_of_a_load_worked_by_hand() -> None:
    load_E = torch.tensor([3.0, 1.0, 0.0, 0.0])
    assert float(coefficient_of_variation(load_E)) == pytest.approx(math.sqrt(1.5))
    assert float(coefficient_of_variation(load_E)) ** 2 == pytest.approx(float(cv_squared(load_E)))
    assert float(max_over_mean(load_E)) == 3
    assert float(utilisation(load_E)) == 0.5
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert float(effective_number(load_E)) == pytest.approx(math.exp(entropy))
    assert float(effective_number(torch.ones(7))) == pytest.approx(7)


def literal_entropy(count_CE: Tensor) -> float:
    """Equation 6.1 of Chen et al. (2022), term by term."""
    total, entropy = float(count_CE.sum()), 0.0
    for n_E in count_CE.T.tolist():
        entropy -= sum(n / total * math.log(n / sum(n_E)) for n in n_E if n > 0)
    return entropy


tables = st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=4).map(
    torch.tensor
)


@given(tables)
def test_dispatch_entropy_is_equation_6_1(count_CE: Tensor) -> None:
    entropy = float(dispatch_entropy(count_CE))
    assert entropy == pytest.approx(literal_entropy(count_CE), abs=1e-9)
    assert 0 <= entropy <= math.log(len(count_CE)) + 1e-9
    both = dispatch_entropy(torch.stack([count_CE, 2 * count_CE]))
    close(both, torch.tensor([entropy, entropy], dtype=torch.float64))


def test_dispatch_entropy_at_its_bounds() -> None:
    assert float(dispatch_entropy(torch.tensor([[5, 0, 0], [0, 3, 2]]))) == 0
    assert float(dispatch_entropy(torch.full((4, 8), 3))) == pytest.approx(math.log(4))


@given(choice_lists, st.data())
def test_counts_by_class_count_assignments(
    choices: list[list[tuple[int, float]]], data: st.DataObject
) -> None:
    classes = data.draw(st.lists(st.integers(0, 2), min_size=len(choices), max_size=len(choices)))
    table = [[0] * 4 for _ in range(3)]
    for of_token, label in zip(choices, classes, strict=True):
        for expert, _ in of_token:
            if expert != NO_EXPERT:
                table[label][expert] += 1
    labels = torch.tensor(classes, dtype=torch.int64)
    assert counts_by_class(routing_of(choices, 4), labels, 3).tolist() == table


def test_a_weight_below_zero_may_be_the_largest() -> None:
    routing = routing_of([[(2, -3.0), (1, -2.0)], [(3, -1.0)]], 4)
    assert first_choices(routing).tolist() == [1, 3]


@given(choice_lists, st.data())
def test_first_choices_and_unrouted_tokens(
    choices: list[list[tuple[int, float]]], data: st.DataObject
) -> None:
    routing = routing_of(choices, 4)
    expected = []
    for of_token in choices:
        answered = [pair for pair in of_token if pair[0] != NO_EXPERT]
        best = max(answered, key=lambda pair: pair[1], default=(NO_EXPERT, 0.0))
        expected.append(best[0])
    assert first_choices(routing).tolist() == expected
    assert int(num_unrouted_tokens(routing)) == expected.count(NO_EXPERT)
    flags = data.draw(st.lists(st.booleans(), min_size=len(choices), max_size=len(choices)))
    real = [expert for expert, flag in zip(expected, flags, strict=True) if flag]
    mask = torch.tensor(flags, dtype=torch.bool)
    assert int(num_unrouted_tokens(routing, mask)) == real.count(NO_EXPERT)


def test_agreement_is_one_for_a_renamed_class_and_none_for_chance() -> None:
    labels = torch.randint(4, (400,), generator=torch.Generator().manual_seed(0))
    renamed = [[((label + 1) % 4, 1.0)] for label in labels.tolist()]
    assert routing_agreement(routing_of(renamed, 4), labels) == pytest.approx(1)
    unrouted = [*renamed, [(NO_EXPERT, 0.0)], []]
    longer = torch.cat([labels, torch.tensor([0, 1])])
    assert routing_agreement(routing_of(unrouted, 4), longer) == pytest.approx(1)
    drawn = torch.randint(4, (400,), generator=torch.Generator().manual_seed(1)).tolist()
    chance = routing_of([[(expert, 1.0)] for expert in drawn], 4)
    assert abs(routing_agreement(chance, labels)) < 0.03


@given(st.integers(1, 7), st.integers(1, 5), st.integers(0, 99), st.sampled_from([1, 6, 2**24]))
def test_similarity_is_the_mean_cosine_of_pairs(
    num_experts: int, size: int, seed: int, block: int
) -> None:
    weight_EDH = torch.randn(
        num_experts, size, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "BLOCK_ELEMENTS", block)
        matrix_EE, mean = expert_similarities(weight_EDH), expert_similarity(weight_EDH)
    flat_EP = weight_EDH.flatten(1)
    expected_EE = torch.cosine_similarity(flat_EP.unsqueeze(1), flat_EP.unsqueeze(0), dim=-1)
    close(matrix_EE, expected_EE)
    off_diagonal = expected_EE[~torch.eye(num_experts, dtype=torch.bool)]
    close(mean, off_diagonal.mean() if num_experts > 1 else torch.tensor(0.0))


def test_similarity_of_equal_opposite_and_silent_experts() -> None:
    assert float(expert_similarity(torch.ones(5, 3, 2))) == pytest.approx(1)
    assert float(expert_similarity(torch.tensor([[1.0, 0], [-2, 0]]))) == pytest.approx(-1)
    assert float(expert_similarity(torch.tensor([[1.0, 0], [0, 0]]))) == 0
