"""The networks of the study: a gate that sends each example to one expert, or one network alone.

Shapes: n examples, P patches, D features of a patch (d, and a constant one with a bias), E experts,
J filters, N heads, R rows sorted by expert, K clusters, Q powers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.clusters.data import Examples, Signals, unshuffled
from experiments.clusters.polynomial import (
    NUM_SIGNAL_PATCHES,
    cubic_coefficients,
    linear_coefficients,
    powers,
)
from experiments.clusters.settings import Activation, ClustersConfig, Init, Model, Value
from moe.dispatch import combine, dispatch
from moe.gates import GateValue, UniformNoiseGate
from moe.grouped import Backend, grouped_linear
from moe.plan import Plan, plan
from moe.routing import Routing
from moe.stacked import ConvolutionalExperts

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    Activation.linear: lambda response: response,
    Activation.cubic: lambda response: response.pow(3),
    Activation.relu: torch.relu,
    Activation.celu: F.celu,
    Activation.gelu: F.gelu,
    Activation.tanh: torch.tanh,
}
VALUES = {Value.probability: GateValue.probability, Value.noisy_logit: GateValue.noisy_logit}
_INIT_STREAM = 1


class Form(Enum):
    """What the experts see: all patches, their sum, or powers of signals and the noise patches."""

    patches = "patches"
    summed = "summed"
    powers = "powers"


@dataclass(frozen=True)
class Inputs:
    """A sample as the networks see it.

    Attributes:
        rows: what the experts see, one row per example; see `inputs_of`.
        sums_nD: the sum of the patches, which the gate sees (section 3), without constant feature.
        label_n: -1.0 or 1.0.
        cluster_n: int64.
    """

    rows: Tensor
    sums_nD: Tensor
    label_n: Tensor
    cluster_n: Tensor

    def take(self, index_b: Tensor) -> "Inputs":
        """The examples of a batch."""
        return Inputs(*(tensor[index_b] for tensor in vars(self).values()))


@dataclass(frozen=True)
class Answer:
    """What a network says of a sample.

    Attributes:
        margin_n: F(x): the sign is the predicted class.
        routing: the gate's decision; None for a single network.
    """

    margin_n: Tensor
    routing: Routing | None


def form_of(config: ClustersConfig) -> Form:
    """What the experts of a config see."""
    if config.decompose and config.activation is Activation.linear:
        return Form.summed
    if config.decompose and config.activation is Activation.cubic and config.num_patches > 3:
        return Form.powers
    return Form.patches


def inputs_of(examples: Examples, signals: Signals, config: ClustersConfig) -> Inputs:
    """Prepare a sample for the networks of a config.

    The rows hold all patches, `[n, P D]`; or, where the config decomposes (see
    `experiments.clusters.polynomial`), for linear experts their sum, `[n, D]`, and for cubic ones
    the powers and the patches of Gaussian noise, `[n, Q + (P - 3) D]`.
    """
    sums_nD, form = examples.patches_nPD.sum(dim=1), form_of(config)
    if form is Form.summed:
        # The constant feature is one for each patch that was summed.
        rows = F.pad(sums_nD, (0, int(config.bias)), value=config.num_patches)
    elif form is Form.powers:
        noise = unshuffled(examples)[:, NUM_SIGNAL_PATCHES:]
        columns = [powers(examples, signals, config.bias), _padded(noise, config).flatten(1)]
        rows = torch.cat(columns, dim=1)
    else:
        rows = _padded(examples.patches_nPD, config).flatten(1)
    return Inputs(rows.contiguous(), sums_nD, examples.label_n, examples.cluster_n)


def _padded(patches_nPD: Tensor, config: ClustersConfig) -> Tensor:
    return F.pad(patches_nPD, (0, int(config.bias)), value=1.0)


class Network(nn.Module):
    """Convolutional experts, and a gate where there is a choice.

    Source: Chen et al. (2022), section 3: F(x) = pi_m(x) f_m(x) with m = argmax h_m(x) + r_m. With
    two heads f_m is the difference of their sums, the margin of the authors' two outputs.
    """

    def __init__(self, config: ClustersConfig, signals: Signals, init_seed: int) -> None:
        """Make the network with the initial filters of a seed; the gate starts at zero."""
        super().__init__()
        self.form, self.bias = form_of(config), config.bias
        self.signal_SD = torch.cat([signals.feature_KD, signals.centre_KD])
        num_patches = config.num_patches
        if self.form is Form.powers:
            num_patches -= NUM_SIGNAL_PATCHES
        self.experts = ConvolutionalExperts(
            config.num_experts,
            num_patches,
            config.dim + config.bias,
            config.num_filters,
            ACTIVATIONS[config.activation],
            config.num_heads,
            # A few experts with many rows each: torch's own product per expert is the fastest.
            backend=Backend.reference,
        )
        self.experts.filters.weight.data = initial_filters(config, init_seed)
        self.gate = None if config.model is Model.single else _gate(config)

    def forward(self, inputs: Inputs) -> Answer:
        """Answer a sample, with routing noise in training (and in evaluation, if so set)."""
        if self.gate is None:
            where = whole_plan(len(inputs.rows))
            return Answer(self.margins(inputs.rows, where).squeeze(-1), None)
        routing = self.gate(inputs.sums_nD)
        where = plan(routing)
        margin_R1 = self.margins(dispatch(inputs.rows, where), where)
        return Answer(combine(margin_R1, routing.weight_A, where).squeeze(-1), routing)

    def margins(self, rows: Tensor, where: Plan) -> Tensor:
        """The experts' own answers f_m(x) to rows sorted by expert, `[R, 1]`."""
        answer_RN = self._answers(rows, where)
        if answer_RN.shape[1] == 1:
            return answer_RN
        return answer_RN[:, :1] - answer_RN[:, 1:]

    def _answers(self, rows: Tensor, where: Plan) -> Tensor:
        """The answers of the experts' heads, `[R, N]`."""
        experts, filters = self.experts, self.experts.filters
        if self.form is Form.patches:
            answer_RN: Tensor = experts(rows, where)
            return answer_RN
        if self.form is Form.summed:
            worth = linear_coefficients(filters.weight, experts.num_heads)
            return grouped_linear(rows, worth, where, filters.backend)
        worth = cubic_coefficients(filters.weight, self.signal_SD, experts.num_heads, self.bias)
        amounts, noise = rows[:, : worth.shape[1]], rows[:, worth.shape[1] :]
        of_noise: Tensor = experts(noise, where)
        return of_noise + grouped_linear(amounts, worth, where, filters.backend)


def _gate(config: ClustersConfig) -> UniformNoiseGate:
    return UniformNoiseGate(
        config.dim,
        config.num_experts,
        VALUES[config.gate_value],
        config.gate_noise,
        config.evaluation_noise,
    )


def initial_filters(config: ClustersConfig, init_seed: int) -> Tensor:
    """Filters `[E, D, J]` of a seed; a bias is the weight of the last, constant feature."""
    random = np.random.default_rng([init_seed, _INIT_STREAM])
    shape = (config.num_experts, config.dim + config.bias, config.num_filters)
    if config.init is Init.normal:
        filters = config.init_scale * random.standard_normal(shape)
    else:
        filters = config.init_scale / np.sqrt(config.dim) * random.uniform(-1, 1, shape)
    return torch.from_numpy(filters).float()


@cache
def whole_plan(num: int, expert: int = 0, num_experts: int = 1) -> Plan:
    """The plan that gives every example to one expert, in the order of the examples."""
    order = torch.arange(num)
    start_E1 = torch.zeros(num_experts + 1, dtype=torch.int64)
    start_E1[expert + 1 :] = num
    return Plan(order, order, order, torch.arange(num + 1), start_E1)
