"""Laws of the mixture: the paper's equations, closed-form gradients, symmetries, measures."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from moe import (
    Cost,
    LinearExperts,
    Mixture,
    MoE,
    SoftmaxGate,
    UniformNoiseGate,
    Unit,
    blend,
    blend_error,
    cost,
    effective_number_of_experts,
    expected_error,
    gradients,
    importance,
    live_experts,
    mixture_likelihood,
    mixture_of,
    mixture_of_linear_experts,
    num_dominant_experts,
    responsibilities,
    weight_gradients,
    with_bias,
)


@dataclass(frozen=True)
class Problem:
    """Random weights and cases, and the mixture that they make."""

    gate_ED: Tensor
    experts_EOD: Tensor
    inputs_DN: Tensor
    targets_ON: Tensor
    unit: Unit
    temperature: float

    def mixture(self) -> Mixture:
        return mixture_of_linear_experts(
            self.gate_ED, self.experts_EOD, self.inputs_DN, self.unit, self.temperature
        )


@st.composite
def problems(
    draw: st.DrawFn,
    num_experts: tuple[int, int] = (1, 5),
    leading: tuple[tuple[int, ...], ...] = ((),),
) -> Problem:
    runs, experts = draw(st.sampled_from(leading)), draw(st.integers(*num_experts))
    outputs, features = draw(st.sampled_from([1, 2, 4])), draw(st.integers(1, 3))
    cases = draw(st.integers(1, 7))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    scale = draw(st.sampled_from([0.1, 1.0, 3.0]))

    def normal(*shape: int) -> Tensor:
        return scale * torch.randn(shape, generator=generator, dtype=torch.float64)

    return Problem(
        normal(*runs, experts, features + 1),
        normal(*runs, experts, outputs, features + 1),
        with_bias(normal(features, cases)),
        normal(outputs, cases),
        draw(st.sampled_from(Unit)),
        draw(st.sampled_from([0.5, 1.0, 3.2])),
    )


variances = st.sampled_from([0.1, 0.5, 1.0, 2.0])
kinds = st.sampled_from(Cost)
WEIGHTS = "experts.linear.weight"


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


def literal_joint(mixture: Mixture, targets_ON: Tensor, variance: float) -> Tensor:
    """p_i exp(-||d - o_i||^2 / (2 variance)), term by term as the paper writes it."""
    distances_EN = (targets_ON - mixture.outputs_EON).pow(2).sum(dim=-2)
    return mixture.proportions_EN * torch.exp(-distances_EN / (2 * variance))


@given(problems())
def test_mixing_proportions_are_a_distribution_over_the_experts(problem: Problem) -> None:
    proportions_EN = problem.mixture().proportions_EN
    assert (proportions_EN >= 0).all()
    close(proportions_EN.sum(dim=-2), torch.ones_like(proportions_EN[0]))


@given(problems())
def test_outputs_are_what_their_unit_makes_of_a_linear_response(problem: Problem) -> None:
    response_EON = torch.einsum("eod,dn->eon", problem.experts_EOD, problem.inputs_DN)
    expected = {
        Unit.logistic: 1 / (1 + torch.exp(-response_EON)),
        Unit.linear: response_EON,
        Unit.softmax: response_EON.exp() / response_EON.exp().sum(dim=1, keepdim=True),
    }
    close(problem.mixture().outputs_EON, expected[problem.unit])


@given(problems(), kinds, variances)
@settings(max_examples=200)
def test_closed_form_gradients_are_those_of_automatic_differentiation(
    problem: Problem, kind: Cost, variance: float
) -> None:
    weights = [problem.gate_ED.requires_grad_(), problem.experts_EOD.requires_grad_()]
    mixture = problem.mixture()
    mean_cost = cost(kind, mixture, problem.targets_ON, variance).mean()
    expected = torch.autograd.grad(mean_cost, weights, allow_unused=True, materialize_grads=True)
    with torch.no_grad():
        mixture = problem.mixture()
        actual = weight_gradients(
            *gradients(kind, mixture, problem.targets_ON, variance),
            mixture,
            problem.inputs_DN,
            problem.unit,
            problem.temperature,
        )
    for ours, automatic in zip(actual, expected, strict=True):
        close(ours, automatic)


def layer_of(problem: Problem) -> MoE:
    """The same mixture as the layer."""
    num_experts, num_outputs, num_features = problem.experts_EOD.shape
    layer = MoE(
        SoftmaxGate(num_features, num_experts, temperature=problem.temperature),
        LinearExperts(num_experts, num_features, num_outputs, problem.unit),
    ).double()
    layer.load_state_dict({"gate.weight_DE": problem.gate_ED.T, WEIGHTS: problem.experts_EOD.mT})
    return layer


@given(problems(), kinds, variances)
@settings(max_examples=200)
def test_the_batched_mixture_of_1991_is_the_layer_with_its_costs_and_gradients(
    problem: Problem, kind: Cost, variance: float
) -> None:
    layer, targets_ON, batched = layer_of(problem), problem.targets_ON, problem.mixture()
    output = layer(problem.inputs_DN.T)
    mixture = mixture_of(output)
    close(output.outputs.T, blend(batched))
    close(blend(mixture), blend(batched))
    close(mixture.proportions_EN, batched.proportions_EN)
    close(mixture.outputs_EON, batched.outputs_EON)
    costs_N = cost(kind, mixture, targets_ON, variance)
    close(costs_N, cost(kind, batched, targets_ON, variance))
    close(
        responsibilities(mixture, targets_ON, variance),
        responsibilities(batched, targets_ON, variance),
    )
    by_gate, by_experts = weight_gradients(
        *gradients(kind, batched, targets_ON, variance),
        batched,
        problem.inputs_DN,
        problem.unit,
        problem.temperature,
    )
    torch.autograd.backward(costs_N.mean())
    gate, experts = (layer.get_parameter(each) for each in ("gate.weight_DE", WEIGHTS))
    # A single expert's proportion is one, and has no gradient at all.
    close(torch.zeros_like(gate) if gate.grad is None else gate.grad, by_gate.T)
    assert experts.grad is not None
    close(experts.grad, by_experts.mT)


def test_a_gate_that_leaves_experts_out_makes_no_dense_mixture() -> None:
    inputs = torch.ones(4, 3)
    for gate in (SoftmaxGate(3, 5, k=2), UniformNoiseGate(3, 5)):
        with pytest.raises(ValueError, match="every case to every expert"):
            mixture_of(MoE(gate, LinearExperts(5, 3, 2))(inputs))


@given(problems(), kinds, variances)
def test_gradients_leave_the_mixture_as_it_was(
    problem: Problem, kind: Cost, variance: float
) -> None:
    mixture, untouched = problem.mixture(), problem.mixture()
    gradients(kind, mixture, problem.targets_ON, variance)
    for name, value in vars(untouched).items():
        assert torch.equal(getattr(mixture, name), value)


@given(problems())
def test_costs_are_equations_1_1_and_1_2(problem: Problem) -> None:
    mixture, targets_ON = problem.mixture(), problem.targets_ON
    p_EN, o_EON = mixture.proportions_EN, mixture.outputs_EON
    blended_ON = torch.einsum("en,eon->on", p_EN, o_EON)
    close(blend_error(mixture, targets_ON), (targets_ON - blended_ON).pow(2).sum(dim=0))
    distances_EN = (targets_ON - o_EON).pow(2).sum(dim=1)
    close(expected_error(mixture, targets_ON), (p_EN * distances_EN).sum(dim=0))


@given(problems(), variances)
def test_mixture_likelihood_is_minus_the_log_of_equation_1_3(
    problem: Problem, variance: float
) -> None:
    mixture = problem.mixture()
    literal = -literal_joint(mixture, problem.targets_ON, variance).sum(dim=0).log()
    # The literal formula underflows where all experts are far off; the log-sum-exp does not.
    ours = mixture_likelihood(mixture, problem.targets_ON, variance)
    assert ours.isfinite().all()
    representable = literal < 600
    close(ours[representable], literal[representable])


@given(problems(), variances)
def test_responsibilities_are_the_posterior_of_equation_1_5(
    problem: Problem, variance: float
) -> None:
    mixture = problem.mixture()
    joint_EN = literal_joint(mixture, problem.targets_ON, variance)
    ours = responsibilities(mixture, problem.targets_ON, variance)
    close(ours.sum(dim=0), torch.ones_like(ours[0]))
    representable = joint_EN.sum(dim=0) > 1e-250
    close(ours[:, representable], (joint_EN / joint_EN.sum(dim=0))[:, representable])


@given(problems())
def test_gradient_by_an_experts_output_is_equation_1_4(problem: Problem) -> None:
    mixture, targets_ON = problem.mixture(), problem.targets_ON
    _, d_outputs = gradients(Cost.expected_error, mixture, targets_ON)
    paper = -2 * mixture.proportions_EN.unsqueeze(1) * (targets_ON - mixture.outputs_EON)
    close(d_outputs, paper)


@given(problems(), variances)
def test_gradient_by_an_experts_output_is_equation_1_5(problem: Problem, variance: float) -> None:
    mixture, targets_ON = problem.mixture(), problem.targets_ON
    _, d_outputs = gradients(Cost.mixture_likelihood, mixture, targets_ON, variance)
    posterior_EN = responsibilities(mixture, targets_ON, variance)
    paper = -posterior_EN.unsqueeze(1) * (targets_ON - mixture.outputs_EON)
    # The paper's variance is 1.
    close(d_outputs, paper / variance)


@given(problems(num_experts=(2, 5)), kinds, variances, st.data())
def test_renumbering_the_experts_renumbers_everything_and_costs_nothing(
    problem: Problem, kind: Cost, variance: float, data: st.DataObject
) -> None:
    order = torch.tensor(data.draw(st.permutations(range(len(problem.gate_ED)))))
    mixture, targets_ON = problem.mixture(), problem.targets_ON
    renumbered = mixture_of_linear_experts(
        problem.gate_ED[order],
        problem.experts_EOD[order],
        problem.inputs_DN,
        problem.unit,
        problem.temperature,
    )
    close(renumbered.proportions_EN, mixture.proportions_EN[order])
    close(renumbered.outputs_EON, mixture.outputs_EON[order])
    close(cost(kind, renumbered, targets_ON, variance), cost(kind, mixture, targets_ON, variance))
    pairs = zip(
        gradients(kind, renumbered, targets_ON, variance),
        gradients(kind, mixture, targets_ON, variance),
        strict=True,
    )
    for permuted, plain in pairs:
        close(permuted, plain[order])


@given(problems(num_experts=(1, 1)))
def test_a_single_expert_makes_blend_and_expected_error_the_same(problem: Problem) -> None:
    mixture, targets_ON = problem.mixture(), problem.targets_ON
    close(blend_error(mixture, targets_ON), expected_error(mixture, targets_ON))
    half = mixture_likelihood(mixture, targets_ON, variance=0.5)
    close(half, blend_error(mixture, targets_ON))


@given(problems())
def test_errors_are_ordered_as_jensens_inequality_says(problem: Problem) -> None:
    mixture, targets_ON = problem.mixture(), problem.targets_ON
    expected = expected_error(mixture, targets_ON)
    slack = 1e-9 * (1 + expected)
    assert (blend_error(mixture, targets_ON) <= expected + slack).all()
    assert (mixture_likelihood(mixture, targets_ON) <= expected / 2 + slack).all()


@given(
    problems(leading=((3,), (2, 2))),
    kinds,
    variances,
)
def test_a_batch_of_runs_is_each_run_alone(problem: Problem, kind: Cost, variance: float) -> None:
    unit, temperature = problem.unit, problem.temperature
    inputs_DN, targets_ON = problem.inputs_DN, problem.targets_ON
    batch = problem.mixture()
    costs = cost(kind, batch, targets_ON, variance)
    by_logit, by_output = gradients(kind, batch, targets_ON, variance)
    updates = weight_gradients(by_logit, by_output, batch, inputs_DN, unit, temperature)
    for run in torch.cartesian_prod(*map(torch.arange, costs.shape[:-1])).view(-1, costs.dim() - 1):
        at = tuple(run.tolist())
        alone = mixture_of_linear_experts(
            problem.gate_ED[at], problem.experts_EOD[at], inputs_DN, unit, temperature
        )
        close(costs[at], cost(kind, alone, targets_ON, variance))
        own = gradients(kind, alone, targets_ON, variance)
        own_updates = weight_gradients(*own, alone, inputs_DN, unit, temperature)
        for together, single in zip(updates, own_updates, strict=True):
            close(together[at], single)
        measure = effective_number_of_experts
        close(measure(batch.proportions_EN)[at], measure(alone.proportions_EN))


@given(problems())
def test_importance_is_a_distribution_and_bounds_the_effective_number(problem: Problem) -> None:
    proportions_EN = problem.mixture().proportions_EN
    shares_E = importance(proportions_EN)
    close(shares_E.sum(), torch.tensor(1.0, dtype=torch.float64))
    effective = float(effective_number_of_experts(proportions_EN))
    assert 1 - 1e-9 <= effective <= len(shares_E) + 1e-9


@pytest.mark.parametrize("num_experts", [1, 2, 4, 8])
def test_effective_number_counts_experts_that_are_used_alike(num_experts: int) -> None:
    uniform_EN = torch.full((num_experts, 6), 1 / num_experts, dtype=torch.float64)
    one_hot_EN = torch.zeros(num_experts, 6, dtype=torch.float64)
    one_hot_EN[num_experts - 1] = 1
    split_EN = torch.eye(num_experts, dtype=torch.float64)
    assert float(effective_number_of_experts(uniform_EN)) == pytest.approx(num_experts)
    assert float(effective_number_of_experts(one_hot_EN)) == pytest.approx(1)
    assert float(effective_number_of_experts(split_EN)) == pytest.approx(num_experts)


# Three experts, four cases: the first wins three cases, the second one, the third none.
PROPORTIONS_EN = torch.tensor(
    [[0.90, 0.80, 0.70, 0.20], [0.06, 0.16, 0.28, 0.77], [0.04, 0.04, 0.02, 0.03]],
    dtype=torch.float64,
)


def test_an_expert_lives_by_its_best_case() -> None:
    assert live_experts(PROPORTIONS_EN, 0.05).tolist() == [True, True, False]
    assert live_experts(PROPORTIONS_EN, 0.01).tolist() == [True, True, True]
    assert live_experts(PROPORTIONS_EN, 0.80).tolist() == [True, False, False]


@pytest.mark.parametrize(("share", "count"), [(0.1, 2), (0.25, 2), (0.26, 1), (0.75, 1), (0.8, 0)])
def test_dominant_experts_win_a_share_of_the_cases(share: float, count: int) -> None:
    assert int(num_dominant_experts(PROPORTIONS_EN, share)) == count
    pair = torch.stack([PROPORTIONS_EN, PROPORTIONS_EN.flip(0)])
    assert num_dominant_experts(pair, share).tolist() == [count, count]
