"""The losses that keep experts even, against their formulas."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from moe import cv_squared, importance_loss, load_loss, switch_loss, z_loss
from tests.moe.gate_cases import close

loads = st.lists(st.floats(0, 1000), min_size=1, max_size=9).filter(lambda load: sum(load) > 1)


def vector(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(loads)
def test_cv_squared_is_population_variance_over_squared_mean(load: list[float]) -> None:
    load_E = vector(load)
    expected = load_E.var(correction=0) / load_E.mean() ** 2
    torch.testing.assert_close(cv_squared(load_E), expected, rtol=1e-7, atol=1e-12)
    close(importance_loss(load_E), cv_squared(load_E))
    close(load_loss(load_E), cv_squared(load_E))


@given(loads, st.floats(0.1, 10))
def test_cv_squared_does_not_depend_on_scale_and_is_largest_for_one_expert(
    load: list[float], scale: float
) -> None:
    value = float(cv_squared(vector(load)))
    assert float(cv_squared(scale * vector(load))) == pytest.approx(value, rel=1e-6, abs=1e-9)
    assert -1e-12 <= value <= len(load) - 1 + 1e-9


def test_cv_squared_of_nothing_is_zero() -> None:
    empty_E = torch.zeros(4, requires_grad=True)
    value = cv_squared(empty_E)
    assert float(value.detach()) == 0
    value.backward()
    assert (empty_E.grad == 0).all()
    assert float(cv_squared(torch.ones(1))) == 0


@given(st.integers(1, 6), st.integers(1, 20), st.integers(0, 99))
def test_the_switch_loss_is_equations_4_to_6(num_experts: int, num_tokens: int, seed: int) -> None:
    logits_TE = torch.randn(
        num_tokens,
        num_experts,
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )
    probabilities_TE = torch.softmax(logits_TE, dim=1)
    count_E = torch.bincount(probabilities_TE.argmax(1), minlength=num_experts)
    f_E, p_E = count_E / num_tokens, probabilities_TE.mean(0)
    close(switch_loss(probabilities_TE, count_E), num_experts * (f_E * p_E).sum())
    # Padded positions are zeros and are not counted.
    padded_TE = torch.cat([probabilities_TE, torch.zeros(3, num_experts)])
    close(switch_loss(padded_TE, count_E), switch_loss(probabilities_TE, count_E))


def test_the_switch_loss_is_one_when_all_is_even_and_has_its_gradient_by_the_scores() -> None:
    even_TE = torch.full((8, 4), 0.25, requires_grad=True)
    count_E = torch.tensor([2.0, 2.0, 2.0, 2.0], requires_grad=True)
    loss = switch_loss(even_TE, count_E)
    assert float(loss.detach()) == pytest.approx(1)
    by_score, by_count = torch.autograd.grad(
        loss, [even_TE, count_E], materialize_grads=True, allow_unused=True
    )
    assert (by_score > 0).all()
    assert (by_count == 0).all()
    assert float(switch_loss(torch.zeros(0, 4), torch.zeros(4))) == 0


@given(st.integers(1, 5), st.lists(st.booleans(), max_size=8), st.integers(0, 99))
def test_the_z_loss_is_the_mean_squared_log_partition_of_real_tokens(
    num_experts: int, flags: list[bool], seed: int
) -> None:
    logits_TE = torch.randn(
        len(flags),
        num_experts,
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )
    mask_T = torch.tensor(flags, dtype=torch.bool)
    squares = [float(row.exp().sum().log()) ** 2 for row in logits_TE[mask_T]]
    expected = vector([sum(squares) / max(1, len(squares))]).squeeze()
    close(z_loss(logits_TE, mask_T), expected)
    close(z_loss(logits_TE[mask_T]), expected)
