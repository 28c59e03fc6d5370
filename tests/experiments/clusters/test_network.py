"""The networks of the clusters study against the paper written down plainly."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from experiments.clusters import data
from experiments.clusters.evaluation import expert_accuracy
from experiments.clusters.model import Inputs, Network, inputs_of
from experiments.clusters.reference import reference_loss
from experiments.clusters.settings import (
    Activation,
    ClustersConfig,
    Init,
    Loss,
    Model,
    Normalisation,
    Value,
)
from experiments.clusters.training import margin_loss, normalised, train_seed
from experiments.runner.schema import Device

WRITTEN = ClustersConfig(num_train=200, num_test=40, input_scale=1.0, init_scale=0.3)
CODED = replace(
    WRITTEN,
    num_heads=2,
    bias=True,
    init=Init.uniform,
    init_scale=1.0,
    gate_value=Value.noisy_logit,
    loss=Loss.bounded,
)
RECIPES = {"written": WRITTEN, "coded": CODED}


def network_of(config: ClustersConfig) -> tuple[Network, Inputs, data.ClusterData]:
    sample = data.load(config)
    network = Network(config, sample.signals, 5)
    if network.gate is not None:
        torch.nn.init.normal_(network.gate.weight_DE, std=0.3)
    return network, inputs_of(sample.train, sample.signals, config), sample


def loss_and_gradients(config: ClustersConfig, weights: dict[str, Tensor]) -> list[Tensor]:
    network, inputs, _ = network_of(config)
    network.load_state_dict(weights)
    torch.manual_seed(1)
    loss = margin_loss(network(inputs).margin_n, inputs.label_n, config.loss)
    torch.autograd.backward(loss)
    assert network.gate is not None
    gradients = [network.experts.filters.weight.grad, network.gate.weight_DE.grad]
    assert len(list(network.parameters())) == len(gradients)
    assert all(gradient is not None for gradient in gradients)
    return [loss.detach(), *(gradient for gradient in gradients if gradient is not None)]


@pytest.mark.parametrize("decompose", [True, False])
@pytest.mark.parametrize("activation", [Activation.cubic, Activation.linear])
@pytest.mark.parametrize("recipe", RECIPES)
def test_loss_and_gradients_equal_the_plain_reference(
    recipe: str, activation: Activation, decompose: bool
) -> None:
    torch.manual_seed(0)
    config = replace(RECIPES[recipe], activation=activation, decompose=decompose)
    network, _, sample = network_of(config)
    ours = loss_and_gradients(config, network.state_dict())
    torch.manual_seed(1)
    noise = torch.rand(config.num_train, config.num_experts)
    assert network.gate is not None
    filters, gate = network.experts.filters.weight, network.gate.weight_DE
    loss = reference_loss(filters, gate, sample.train, noise, config)
    network.zero_grad()
    torch.autograd.backward(loss)
    assert filters.grad is not None
    assert gate.grad is not None
    theirs = [loss.detach(), filters.grad, gate.grad]
    assert filters.grad.abs().max() > 1e-4
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("activation", list(Activation))
def test_a_single_networks_margin_is_the_sum_over_filters_and_patches(
    activation: Activation,
) -> None:
    config = replace(WRITTEN, model=Model.single, num_experts=1, activation=activation)
    network, inputs, sample = network_of(config)
    responses = sample.train.patches_nPD @ network.experts.filters.weight[0]
    expected = network.experts.activation(responses).sum(dim=(1, 2))
    torch.testing.assert_close(network(inputs).margin_n, expected, rtol=1e-4, atol=1e-4)


def test_three_patches_leave_no_gaussian_noise_and_still_work() -> None:
    network, inputs, sample = network_of(replace(WRITTEN, num_patches=3))
    full = replace(WRITTEN, num_patches=3, decompose=False)
    torch.manual_seed(2)
    ours = network(inputs).margin_n
    torch.manual_seed(2)
    assert torch.equal(ours, network(inputs_of(sample.train, sample.signals, full)).margin_n)


def test_every_expert_is_asked_about_every_cluster() -> None:
    network, inputs, sample = network_of(replace(WRITTEN, num_experts=3))
    accuracy = expert_accuracy(network, inputs, 4)
    responses = sample.train.patches_nPD @ network.experts.filters.weight[1]
    right = responses.pow(3).sum(dim=(1, 2)) * sample.train.label_n > 0
    of_two = right[sample.train.cluster_n == 2].double().mean()
    assert accuracy[1, 2] == pytest.approx(float(of_two))
    assert accuracy.shape == (3, 4)


def test_the_bounded_loss_is_cross_entropy_of_a_softmax_twice() -> None:
    margin = torch.linspace(-5, 5, 11)
    label = torch.ones(11)
    twice = torch.stack([margin, torch.zeros(11)], 1).softmax(1)
    expected = torch.nn.functional.cross_entropy(twice, torch.zeros(11, dtype=torch.int64))
    torch.testing.assert_close(margin_loss(margin, label, Loss.bounded), expected)
    sure = margin_loss(torch.tensor([100.0]), torch.ones(1), Loss.bounded)
    assert float(sure) == pytest.approx(0.31326, abs=1e-5)


@pytest.mark.parametrize("normalisation", list(Normalisation))
def test_normalised_gradients_keep_their_direction(normalisation: Normalisation) -> None:
    torch.manual_seed(0)
    gradient = torch.randn(3, 6, 2)
    gradient[1] = 0
    out = normalised(gradient, normalisation, num_constant=1)
    assert not out[1].any()
    filters, bias = out[0, :5], out[0, 5:]
    raw = gradient[0]
    torch.testing.assert_close(filters / filters.norm(), raw[:5] / raw[:5].norm())
    expected = {
        Normalisation.frobenius: (out[0].norm(), 1.0),
        Normalisation.sum_of_norms: (filters.norm() + bias.norm(), 1.0),
        Normalisation.separate: (filters.norm() + bias.norm(), 2.0),
        Normalisation.none: (out[0].norm(), float(raw.norm())),
    }
    measured, wanted = expected[normalisation]
    assert float(measured) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("decompose", [True, False])
@pytest.mark.parametrize("activation", [Activation.cubic, Activation.linear, Activation.relu])
def test_a_network_computes_on_the_device_of_its_inputs_alone(
    activation: Activation, decompose: bool
) -> None:
    network, inputs, _ = network_of(replace(CODED, activation=activation, decompose=decompose))
    there = Inputs(*(tensor.to("meta") for tensor in vars(inputs).values()))
    answer = network.to("meta")(there)
    assert answer.margin_n.device.type == "meta"
    torch.autograd.backward(margin_loss(answer.margin_n, there.label_n, Loss.bounded))
    assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("config", [WRITTEN, CODED, replace(WRITTEN, batch_size=50)])
def test_a_seed_trains_on_a_gpu(config: ClustersConfig) -> None:
    sample = data.load(config)
    short = replace(config, max_steps=12, snapshot_every=6, device=Device.cuda)
    found = [train_seed(short, sample, 3, keep_picture=False) for _ in range(2)]
    assert found[0].row == found[1].row
    assert found[0].row["steps"] == 12
    assert found[0].expert_accuracy.device.type == "cpu"
    # Drawn alike on both devices are the filters, not the noise.
    at_first = train_seed(replace(short, device=Device.cpu), sample, 3, False).init_cluster
    assert torch.equal(found[0].init_cluster, at_first)
