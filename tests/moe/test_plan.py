"""Laws of the plan, of dispatch and of combine."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moe.dispatch import combine, dispatch
from moe.plan import plan, token_of_assignments
from moe.routing import NO_EXPERT, Routing
from tests.moe.core import random_routing

SIZES = {
    "num_tokens": st.integers(0, 12),
    "num_experts": st.integers(1, 6),
    "skew": st.sampled_from([0.0, 1.0, 8.0]),
    "idle": st.sampled_from([0.0, 0.4, 1.0]),
    "seed": st.integers(0, 99),
}


def _routing(num_tokens: int, num_experts: int, skew: float, idle: float, seed: int) -> Routing:
    torch.manual_seed(seed)
    return random_routing(num_tokens, num_experts, min(2, num_experts), skew, idle)


@given(**SIZES)
def test_a_plan_sorts_the_assignments_by_expert_and_keeps_the_tokens_order(**sizes: int) -> None:
    routing = _routing(**sizes)
    where = plan(routing)
    expected = sorted(
        range(len(routing.expert_A)),
        key=lambda a: (routing.expert_A[a] == NO_EXPERT, int(routing.expert_A[a]), a),
    )
    assert where.assignment_R.tolist() == expected
    assert where.token_R.tolist() == token_of_assignments(routing)[where.assignment_R].tolist()


@given(**SIZES)
def test_a_plans_counts_are_the_assignments_of_each_expert(**sizes: int) -> None:
    routing = _routing(**sizes)
    counts = [(routing.expert_A == e).sum().item() for e in range(routing.num_experts)]
    assert plan(routing).counts_E.tolist() == counts


@given(**SIZES)
def test_rows_and_assignments_are_inverse_permutations(**sizes: int) -> None:
    where = plan(_routing(**sizes))
    assert where.assignment_R[where.row_A].tolist() == list(range(where.num_rows))


@given(**SIZES)
def test_dispatch_then_combine_is_the_identity_for_weights_that_sum_to_one(**sizes: int) -> None:
    routing = _routing(**{**sizes, "idle": 0.0})
    tokens = torch.randn(routing.num_tokens, 3, dtype=torch.float64)
    where = plan(routing)
    combined = combine(dispatch(tokens, where), routing.weight_A, where)
    torch.testing.assert_close(combined, tokens)


def test_tokens_may_have_different_numbers_of_experts() -> None:
    torch.manual_seed(0)
    routing = replace(
        random_routing(3, 4, 2), start_T1=torch.tensor([0, 0, 5, 6]), weight_A=torch.ones(6)
    )
    tokens = torch.randn(3, 2)
    where = plan(routing)
    combined = combine(dispatch(tokens, where), routing.weight_A, where)
    torch.testing.assert_close(combined, tokens * torch.tensor([[0.0], [5.0], [1.0]]))


@pytest.mark.parametrize("idle", [0.0, 0.5])
def test_the_gradients_of_dispatch_and_combine_are_exact(idle: float) -> None:
    torch.manual_seed(1)
    routing = random_routing(5, 3, 2, idle=idle)
    where = plan(routing)
    tokens = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    rows = torch.randn(10, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: dispatch(x, where), tokens)
    assert torch.autograd.gradcheck(lambda y, w: combine(y, w, where), (rows, routing.weight_A))


def test_two_calls_give_the_same_bits() -> None:
    torch.manual_seed(2)
    routing = random_routing(400, 7, 3, dtype=torch.float32)
    tokens = torch.randn(400, 16)
    where = plan(routing)
    first, second = (combine(dispatch(tokens, where), routing.weight_A, where) for _ in range(2))
    assert torch.equal(first, second)


def test_a_plans_sizes_are_those_of_its_routing() -> None:
    made = plan(random_routing(5, 3, 2, idle=0.5))
    assert (made.num_tokens, made.num_experts, made.num_rows) == (5, 3, 10)
    assert made.counts_E.shape == (3,)
    none = plan(random_routing(0, 3, 2))
    assert (none.num_tokens, none.num_experts, none.num_rows) == (0, 3, 0)


def test_a_row_belongs_to_the_expert_whose_rows_it_lies_among() -> None:
    made = plan(random_routing(40, 5, 2, idle=0.3))
    counts = made.counts_E.tolist()
    num_idle = made.num_rows - sum(counts)
    wanted = [expert for expert, count in enumerate([*counts, num_idle]) for _ in range(count)]
    assert made.expert_of_rows(made.num_rows).tolist() == wanted
    assert num_idle > 0
