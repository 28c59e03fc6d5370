"""The factored optimiser: its formula, its updates in the backward pass, and its rounding."""

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from moe.grouped import Backend, native, native_factored
from moe.grouped.linear import SINK_BLOCK_ELEMENTS
from moe.optimisers import (
    FactoredAdam,
    Rule,
    reproducible_generator,
    round_stochastically,
    seed_of,
    update,
    zero_averages,
)
from moe.plan import Plan, plan
from moe.routing import Routing, even_starts
from moe.stacked import FeedForwardExperts, StackedLinear

LR, BETA2, EPS = 0.1, 0.9, 1e-6


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def literal(
    weight_DH: Tensor, gradients: list[Tensor], *, factored: bool, corrected: bool = True
) -> Tensor:
    """Appendix D written out for one matrix, in float64."""
    num_rows, num_columns = weight_DH.shape
    r, c = torch.zeros(num_rows).double(), torch.zeros(num_columns).double()
    v = torch.zeros(num_rows, num_columns).double()
    for t, g in enumerate(gradients, start=1):
        r = BETA2 * r + (1 - BETA2) * (g**2).mean(1)
        c = BETA2 * c + (1 - BETA2) * (g**2).mean(0)
        v = torch.outer(r, c) / r.mean() if factored else BETA2 * v + (1 - BETA2) * g**2
        correction = 1 - BETA2**t if corrected else 1
        weight_DH = weight_DH - LR * g / ((v / correction).sqrt() + EPS)
    return weight_DH


def updated(weight: Tensor, gradients: list[Tensor], **options: Any) -> Tensor:
    parameter = nn.Parameter(weight.clone())
    optimiser = FactoredAdam([parameter], LR, BETA2, EPS, **options)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimiser.step()
    return parameter.detach()


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 4),
    st.booleans(),
    st.integers(0, 1000),
)
def test_updates_follow_appendix_d(
    num_experts: int, num_rows: int, num_columns: int, steps: int, corrected: bool, seed: int
) -> None:
    weight_EDH, *gradients = normal(steps + 1, num_experts, num_rows, num_columns, seed=seed)
    ours = updated(weight_EDH, gradients, bias_correction=corrected)
    for e in range(num_experts):
        expected = literal(
            weight_EDH[e], [g[e] for g in gradients], factored=True, corrected=corrected
        )
        close(ours[e], expected)
        close(updated(weight_EDH[e], [g[e] for g in gradients], bias_correction=corrected), ours[e])


def test_vectors_and_numbers_keep_their_second_moment_in_full() -> None:
    weight, *gradients = normal(4, 6)
    expected = literal(weight.view(1, -1), [g.view(1, -1) for g in gradients], factored=False)
    close(updated(weight, gradients), expected[0])
    numbers = updated(weight[0], [g[0] for g in gradients])
    close(numbers, expected[0, 0])


@given(st.integers(0, 1000), st.integers(1, 4))
def test_a_second_moment_of_rank_one_is_the_unfactored_one(seed: int, steps: int) -> None:
    weight_DH, sign_DH = normal(2, 4, 3, seed=seed)
    rows_TD, columns_H = normal(steps, 4, seed=seed + 1), normal(3, seed=seed + 2)
    # The same columns in every step: a sum of rank-one matrices is then of rank one too.
    gradients = [torch.outer(rows_D, columns_H) * sign_DH.sign() for rows_D in rows_TD]
    close(updated(weight_DH, gradients), literal(weight_DH, gradients, factored=False))


def test_an_expert_without_tokens_stays_as_it_is() -> None:
    weight_EDH, gradient_EDH = normal(2, 3, 4, 5)
    gradient_EDH[1] = 0
    ours = updated(weight_EDH, [gradient_EDH, gradient_EDH])
    assert torch.equal(ours[1], weight_EDH[1])
    assert ours.isfinite().all()
    assert (ours[[0, 2]] != weight_EDH[[0, 2]]).all()


def test_more_leading_dimensions_are_more_matrices() -> None:
    weight, gradient = normal(2, 2, 3, 4, 5)
    expected = updated(weight.view(6, 4, 5), [gradient.view(6, 4, 5)])
    assert torch.equal(updated(weight, [gradient]), expected.view(2, 3, 4, 5))


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, gradient = normal(2, 7, 4, 5)
    expected = updated(weight, [gradient])
    monkeypatch.setitem(SINK_BLOCK_ELEMENTS, "cpu", 40)
    close(updated(weight, [gradient]), expected)


class Problem:
    """A layer of experts, rows for it, and a plan in which an expert has no row."""

    def __init__(self, backend: Backend, dtype: torch.dtype = torch.float64) -> None:
        torch.manual_seed(0)
        self.experts = FeedForwardExperts(6, 4, 5, backend=backend, dtype=dtype)
        self.bias = nn.Parameter(torch.zeros(4, dtype=dtype))
        expert_A = torch.tensor([0, 5, 3, 3, 1, 1, 1, 4, 0, 5])
        ones = torch.ones(6)
        starts = even_starts(10, 1, expert_A.device)
        self.plan: Plan = plan(Routing(expert_A, expert_A, starts, 6, ones, ones))
        self.rows_RD = torch.randn(10, 4, dtype=dtype)

    @property
    def layers(self) -> list[StackedLinear]:
        return [self.experts.first, self.experts.second]

    @property
    def weights(self) -> list[nn.Parameter]:
        return [*self.experts.parameters(), self.bias]

    def backward(self) -> None:
        answers = self.experts(self.rows_RD, self.plan) + self.bias
        (answers - 1).square().sum().backward()


def trained(problem: Problem, attached: bool, schedule: bool = False, **options: Any) -> Any:
    optimiser = FactoredAdam(problem.weights, LR, BETA2, EPS, **options)
    for layer in problem.layers if attached else []:
        optimiser.attach(layer)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.5 if schedule else 1.0)
    for _ in range(4):
        optimiser.zero_grad()
        problem.backward()
        assert all((layer.weight.grad is None) == attached for layer in problem.layers)
        optimiser.step()
        scheduler.step()
    return optimiser


@pytest.mark.parametrize("block", [2**20, 40])
@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        (torch.float64, {}),
        (torch.float32, {}),
        (torch.bfloat16, {}),
        (torch.bfloat16, {"stochastic_rounding": True}),
    ],
)
def test_updates_in_backward_are_those_of_step_bit_for_bit(
    dtype: torch.dtype, options: dict[str, Any], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SINK_BLOCK_ELEMENTS, "cpu", block)
    in_step, in_backward = (Problem(Backend.reference, dtype) for _ in range(2))
    trained(in_step, attached=False, schedule=True, **options)
    trained(in_backward, attached=True, schedule=True, **options)
    for ours, theirs in zip(in_backward.weights, in_step.weights, strict=True):
        assert torch.equal(ours, theirs)


def test_a_layer_used_twice_in_one_graph_is_an_error() -> None:
    problem = Problem(Backend.reference)
    layer = StackedLinear(6, 4, 4, Backend.reference, dtype=torch.float64)
    FactoredAdam([layer.weight]).attach(layer)
    rows_RD = layer(layer(problem.rows_RD, problem.plan), problem.plan)
    with pytest.raises(RuntimeError, match="came twice before step"):
        rows_RD.sum().backward()


def test_accumulating_gradients_is_an_error_and_a_step_ends_it() -> None:
    problem = Problem(Backend.reference)
    optimiser = trained(problem, attached=True)
    problem.backward()
    with pytest.raises(RuntimeError, match="accumulate"):
        problem.backward()
    optimiser.step()
    problem.backward()


def test_a_gradient_from_elsewhere_is_an_error() -> None:
    problem = Problem(Backend.reference)
    optimiser = trained(problem, attached=True)
    problem.layers[0].weight.square().sum().backward()
    with pytest.raises(RuntimeError, match="elsewhere"):
        optimiser.step()


def test_a_detached_layer_has_ordinary_gradients_again() -> None:
    problem = Problem(Backend.reference)
    optimiser = trained(problem, attached=True)
    for layer in problem.layers:
        optimiser.detach(layer)
    problem.backward()
    problem.backward()
    before = [weight.detach().clone() for weight in problem.weights]
    optimiser.step()
    for weight, old in zip(problem.weights, before, strict=True):
        assert weight.grad is not None
        assert not torch.equal(weight, old)


def test_a_layer_that_did_not_run_does_not_age() -> None:
    problem = Problem(Backend.reference)
    optimiser = trained(problem, attached=True)
    optimiser.step()
    assert [optimiser.state[layer.weight]["step"] for layer in problem.layers] == [4, 4]


def test_only_own_parameters_can_be_attached() -> None:
    layer = StackedLinear(2, 3, 4)
    with pytest.raises(ValueError, match="not among the optimiser's parameters"):
        FactoredAdam([nn.Parameter(torch.zeros(3))]).attach(layer)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("attached", [False, True])
def test_a_saved_state_goes_on_bit_for_bit(dtype: torch.dtype, attached: bool) -> None:
    options = {"stochastic_rounding": True}
    problem = Problem(Backend.reference, dtype)
    optimiser = trained(problem, attached=attached, **options)
    saved = copy.deepcopy(optimiser.state_dict())
    resumed = Problem(Backend.reference, dtype)
    for weight, source in zip(resumed.weights, problem.weights, strict=True):
        weight.data.copy_(source)
    other = FactoredAdam(resumed.weights, lr=3.0, **options)
    for layer in resumed.layers if attached else []:
        other.attach(layer)
    other.load_state_dict(saved)
    for each, by in ((problem, optimiser), (resumed, other)):
        by.zero_grad()
        each.backward()
        by.step()
    for ours, theirs in zip(resumed.weights, problem.weights, strict=True):
        assert torch.equal(ours, theirs)


def test_closures_run_with_gradients() -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    optimiser = FactoredAdam([weight])

    def closure() -> float:
        optimiser.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss.item()

    assert optimiser.step(closure) == 4.0
    assert (weight < 1).all()


def test_it_keeps_rows_and_columns_only() -> None:
    weight = nn.Parameter(torch.zeros(8, 16, 32))
    state = FactoredAdam([weight]).state[weight]
    assert sum(value.numel() for value in state.values() if isinstance(value, Tensor)) == 8 * 48


def test_a_step_needs_room_for_blocks_only() -> None:
    # In a process of its own, for the peak is that of the process's life.
    program = """
import resource, torch
from moe.optimisers import FactoredAdam
weight = torch.nn.Parameter(torch.ones(256, 256, 512))
weight.grad = torch.ones_like(weight)
optimiser = FactoredAdam([weight])
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
optimiser.step()
print((peak() - before) * 1024 / weight.nbytes)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert float(done.stdout) < 0.25, done.stderr


@pytest.mark.parametrize(
    "options",
    [{"lr": -1.0}, {"beta2": 1.0}, {"beta2": -0.1}, {"eps": 0.0}, {"lr": float("nan")}],
)
def test_settings_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="needed are"):
        FactoredAdam([nn.Parameter(torch.zeros(2))], **options)


def test_a_rate_of_zero_is_allowed_and_moves_nothing() -> None:
    weight = normal(2, 3)
    parameter = nn.Parameter(weight.clone())
    optimiser = FactoredAdam([parameter], lr=0.0)
    parameter.grad = normal(2, 3, seed=1)
    optimiser.step()
    assert torch.equal(parameter, weight)


def test_a_seed_has_56_bits() -> None:
    seeds = [seed_of(key, 3) for key in range(200)]
    assert len(set(seeds)) == 200
    assert 2**55 < max(seeds) < 2**56


@pytest.mark.parametrize(
    "weight", [torch.zeros(2, 2, dtype=torch.float16), torch.zeros(3, 2).T.contiguous().mT]
)
def test_weights_it_cannot_update_are_refused(weight: Tensor) -> None:
    with pytest.raises(ValueError, match=r"supported are|must be contiguous"):
        FactoredAdam([nn.Parameter(weight)])


def test_rounding_leaves_what_bfloat16_holds() -> None:
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    rounded = round_stochastically(every.float(), reproducible_generator(every.device, 1))
    assert torch.equal(rounded.isnan(), every.isnan())
    assert torch.equal(rounded[~rounded.isnan()], every[~every.isnan()])


@pytest.mark.parametrize("value", [1.0 + 1 / 512, -3.3, 1e-30, 1 / 3])
def test_rounding_is_right_on_average(value: float) -> None:
    num = 2**18
    exact = torch.full((num,), value)
    rounded = round_stochastically(exact, reproducible_generator(exact.device, 2)).double()
    below, above = rounded.min(), rounded.max()
    assert below < value < above
    assert len(rounded.unique()) == 2
    # Five standard deviations of a mean of two-valued draws.
    assert abs(rounded.mean() - exact.double()[0]) < 5 * (above - below) / 2 / num**0.5


def test_rounding_keeps_updates_that_the_nearest_loses() -> None:
    def mean_after(stochastic: bool) -> float:
        weight = nn.Parameter(torch.ones(4, 32, 32, dtype=torch.bfloat16))
        optimiser = FactoredAdam([weight], lr=2e-4, stochastic_rounding=stochastic)
        for _ in range(200):
            weight.grad = torch.ones_like(weight)
            optimiser.step()
        return weight.double().mean().item()

    assert mean_after(stochastic=False) == 1.0
    assert mean_after(stochastic=True) == pytest.approx(1 - 200 * 2e-4, abs=1e-3)


# Sums of squares are rounded in another order: a few units in the last place of a float32.
ROUNDINGS = 2e-6


def without_native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_factored, "can_update", lambda *tensors: False)


@pytest.mark.skipif(native.unavailable() is not None, reason="needs a C compiler")
@given(
    st.integers(1, 5),
    st.integers(1, 9),
    st.integers(1, 40),
    st.booleans(),
    st.integers(1, 3),
)
def test_the_pass_in_c_is_the_update_of_torchs_operators(
    num_experts: int, num_inputs: int, num_hidden: int, is_large: bool, num_threads: int
) -> None:
    # Large enough for threads of its own, in experts of odd sizes.
    shape = (num_experts, num_inputs * (33 if is_large else 1), num_hidden * (9 if is_large else 1))
    weights = [normal(*shape).float() for _ in range(2)]
    averages = [zero_averages(weight) for weight in weights]
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        for time in range(1, 4):
            gradient = normal(*shape, seed=time).float()
            gradient[0] = 0  # An expert that had no token.
            rule = Rule(LR, BETA2, EPS, 1 - BETA2**time)
            update(weights[0], gradient, averages[0], rule)
            with pytest.MonkeyPatch.context() as patch:
                without_native(patch)
                update(weights[1], gradient, averages[1], rule)
    finally:
        torch.set_num_threads(before)
    largest = weights[1].abs().max()
    torch.testing.assert_close(weights[0] / largest, weights[1] / largest, rtol=0, atol=ROUNDINGS)
    for name, value in averages[1].items():
        torch.testing.assert_close(averages[0][name], value, rtol=ROUNDINGS, atol=0)


@pytest.mark.skipif(native.unavailable() is not None, reason="needs a C compiler")
def test_the_pass_in_c_takes_what_it_can_and_leaves_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called = []
    monkeypatch.setattr(native_factored, "update", lambda *arguments: called.append(arguments))
    for weight, is_taken in (
        (torch.ones(2, 3, 4), True),
        (torch.ones(2, 3, 4).double(), False),
        (torch.ones(3), False),
    ):
        called.clear()
        update(weight, torch.ones_like(weight), zero_averages(weight), Rule(0.1, 0.9, 1e-6, 0.1))
        assert bool(called) is is_taken


def test_without_a_compiler_torchs_operators_update(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_factored, "_function", lambda: None)
    weight = torch.ones(2, 3, 4)
    update(weight, torch.ones_like(weight), zero_averages(weight), Rule(0.1, 0.9, 1e-6, 0.1))
    assert not torch.equal(weight, torch.ones(2, 3, 4))
