"""Each update of the clusters study, from the gradients that it is given."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from experiments.clusters import data
from experiments.clusters.model import Network, inputs_of
from experiments.clusters.settings import ClustersConfig, Normalisation, Optimiser
from experiments.clusters.training import (
    Trained,
    _batch,
    _reason_to_stop,
    margin_loss,
    objective,
    optimiser,
    train_seed,
)

CONFIG = ClustersConfig(
    num_train=40, num_test=8, num_filters=8, step_size=0.5, gate_step=0.25, balance_weight=0.0
)


def network_with_gradients(config: ClustersConfig) -> Network:
    """A network whose filters and gate have random gradients."""
    network = Network(config, data.load(config).signals, 3)
    torch.manual_seed(0)
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    return network


def moves(config: ClustersConfig) -> tuple[torch.Tensor, torch.Tensor, Network]:
    """What one step adds to the filters and to the gate."""
    network = network_with_gradients(config)
    assert network.gate is not None
    weights = (network.experts.filters.weight, network.gate.weight_DE)
    before = [weight.detach().clone() for weight in weights]
    optimiser(network, config)()
    filters, gate = (now.detach() - old for now, old in zip(weights, before, strict=True))
    return filters, gate, network


def gradients(network: Network) -> tuple[torch.Tensor, torch.Tensor]:
    assert network.gate is not None
    pair = network.experts.filters.weight.grad, network.gate.weight_DE.grad
    assert pair[0] is not None
    assert pair[1] is not None
    return pair[0], pair[1]


@pytest.mark.parametrize("kind", Optimiser)
def test_the_gate_goes_down_its_plain_gradient(kind: Optimiser) -> None:
    _, gate, network = moves(replace(CONFIG, optimiser=kind))
    torch.testing.assert_close(gate, -0.25 * gradients(network)[1])


def test_every_expert_goes_one_step_length_down_its_gradient() -> None:
    # Algorithm 1: W_m <- W_m - eta grad_m / ||grad_m||_F.
    config = replace(CONFIG, normalisation=Normalisation.frobenius)
    filters, _, network = moves(config)
    for moved, gradient in zip(filters, gradients(network)[0], strict=True):
        torch.testing.assert_close(moved, -0.5 * gradient / gradient.norm(), atol=1e-6, rtol=1e-5)


def test_the_decay_is_part_of_the_gradient_that_is_normalised() -> None:
    config = replace(CONFIG, weight_decay=3.0, normalisation=Normalisation.none)
    network = network_with_gradients(config)
    before = network.experts.filters.weight.detach().clone()
    optimiser(network, config)()
    moved = network.experts.filters.weight.detach() - before
    wanted = -0.5 * (gradients(network)[0] + 3.0 * before)
    torch.testing.assert_close(moved, wanted, atol=1e-6, rtol=1e-5)


def test_adams_first_step_has_one_length_in_every_weight() -> None:
    # Kingma & Ba (2015): m / sqrt(v) is the gradient's sign at the first step.
    filters, _, network = moves(replace(CONFIG, optimiser=Optimiser.adam))
    torch.testing.assert_close(filters, -0.5 * gradients(network)[0].sign(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_balance_loss_is_added_with_its_weight(weight: float) -> None:
    config = replace(CONFIG, balance_weight=weight)
    sample = data.load(config)
    network = Network(config, sample.signals, 3)
    inputs = inputs_of(sample.train, sample.signals, config)
    with torch.no_grad():
        answer = network(inputs)
    loss, total = objective(answer, inputs.label_n, config)
    assert float(loss) == float(margin_loss(answer.margin_n, inputs.label_n, config.loss))
    assert answer.routing is not None
    added = weight * float(answer.routing.losses["switch"]) if weight else 0.0
    assert float(total) == pytest.approx(float(loss) + added)
    assert (added > 0) == (weight > 0)


@pytest.mark.parametrize(
    ("count", "loss", "reason"),
    [
        (500, 0.53, "loss_rose"),
        (500, 0.51, None),
        (500, 0.50, None),
        (499, 0.53, None),
    ],
)
def test_it_ends_early_where_the_loss_rose_by_more_than_it_may(
    count: int, loss: float, reason: str | None
) -> None:
    # The authors' code: from step 500 on, at a loss above the best one plus 0.02.
    config = ClustersConfig(early_stop=True, stop_after=500, stop_rise=0.02)
    assert _reason_to_stop(count, loss, 0.5, config) == reason
    assert _reason_to_stop(count, loss, 0.5, replace(config, early_stop=False)) is None


@pytest.mark.parametrize(
    ("stop_loss", "loss", "reason"),
    [(0.314, 0.314, "loss_low"), (0.314, 0.32, None), (None, 0.1, None), (None, 0.32, None)],
)
def test_it_ends_early_at_a_low_loss_where_one_is_set(
    stop_loss: float | None, loss: float, reason: str | None
) -> None:
    config = ClustersConfig(early_stop=True, stop_after=500, stop_loss=stop_loss)
    assert _reason_to_stop(500, loss, loss, config) == reason


def test_a_batch_of_no_size_is_the_whole_sample() -> None:
    sample = data.load(CONFIG)
    train = inputs_of(sample.train, sample.signals, CONFIG)
    assert _batch(train, 0) is train
    assert len(_batch(train, 5).rows) == 5


def trained(**changes: Any) -> Trained:
    config = replace(CONFIG, curve_every=1, **changes)
    return train_seed(config, data.load(config), 0, keep_picture=False)


def test_it_ends_at_the_first_step_above_the_best_loss() -> None:
    # Far too large a step: the loss goes up and down.
    found = trained(early_stop=True, stop_after=0, stop_rise=0.0, step_size=30.0, max_steps=100)
    losses = [loss for _, loss, *_ in found.records.curve][: int(found.row["steps"])]
    assert found.row["stop"] == "loss_rose"
    assert len(losses) > 1
    assert losses[:-1] == sorted(losses[:-1], reverse=True)
    assert losses[-1] > losses[-2]


@pytest.mark.parametrize("is_fresh", [True, False])
def test_noise_that_is_not_fresh_is_that_of_every_step_when_measured_too(is_fresh: bool) -> None:
    # Nothing moves, so the experts get other examples through other noise alone.
    found = trained(
        fresh_noise=is_fresh, evaluation_noise=True, step_size=0.0, gate_step=0.0, max_steps=3
    )
    entropies = [entropy for *_, entropy in found.records.curve]
    assert len(entropies) == 4
    assert len(set(entropies)) == (4 if is_fresh else 1)


def test_steps_are_recorded_as_often_as_is_set_and_the_last_always() -> None:
    found = trained(max_steps=5, snapshot_every=2)
    assert [step for step, *_ in found.records.curve] == [0, 1, 2, 3, 4, 5]
    assert found.records.steps == [0, 2, 4, 5]
