"""The networks of the study: a gate that sends each example to one expert, or one network alone.

Linear and cubic experts have an exact shorter way to their answers. A linear expert's answer is
one inner product with the sum of its filters. In a cubic expert the patches that hold a multiple a
of a signal enter only through the filters' inner products with the 2K signals: the sum over
filters of (a t_j + b_j)^3, with t_j = <w_j, signal>, is a polynomial in a whose coefficients all
examples of an expert share. Only the Gaussian noise needs all d dimensions.

Shapes: n examples, P patches, D features of a patch (d, and a constant one with a bias), E experts,
J filters, N heads, R rows sorted by expert, K clusters, S = 2K signals, Q powers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from experiments.clusters.data import Examples, Signals, unshuffled
from experiments.clusters.settings import Activation, ClustersConfig, Init, Model, Value
from moe.gates import GateValue, UniformNoiseGate
from moe.grouped import Backend, grouped_linear
from moe.layer import MoE
from moe.operators import apply
from moe.plan import Plan
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

# Of definition 3.1: the feature, the centre and the feature noise; all other patches are Gaussian.
NUM_SIGNAL_PATCHES = 3


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
    # Three patches leave no Gaussian noise, and nothing to gain. Data of one's own has other ones.
    is_cubic = config.activation is Activation.cubic and config.array is None
    if config.decompose and is_cubic and config.num_patches > 3:
        return Form.powers
    return Form.patches


def inputs_of(examples: Examples, signals: Signals, config: ClustersConfig) -> Inputs:
    """Prepare a sample for the networks of a config, on its device.

    The rows hold all patches, `[n, P D]`; or, where the config decomposes, for linear experts
    their sum, `[n, D]`, and for cubic ones the powers and the Gaussian noise, `[n, Q + (P - 3) D]`.
    """
    sums_nD, form = examples.patches_nPD.sum(dim=1), form_of(config)
    if form is Form.summed:
        # The constant feature is one for each patch that was summed.
        rows = F.pad(sums_nD, (0, int(config.bias)), value=config.num_patches)
    elif form is Form.powers:
        # Sums over patches do not depend on their order, so that they may stand unshuffled.
        noise = unshuffled(examples)[:, NUM_SIGNAL_PATCHES:]
        columns = [powers(examples, signals, config.bias), _padded(noise, config).flatten(1)]
        rows = torch.cat(columns, dim=1)
    else:
        rows = _padded(examples.patches_nPD, config).flatten(1)
    tensors = (rows.contiguous(), sums_nD, examples.label_n, examples.cluster_n)
    return Inputs(*(tensor.to(config.device.value) for tensor in tensors))


def powers(examples: Examples, signals: Signals, bias: bool) -> Tensor:
    """Powers of how much of each signal an example has, summed over its patches, `[n, Q]`.

    Cubes; with a bias also squares, the amounts, and the number of patches.
    """
    signal_SD = torch.cat([signals.feature_KD, signals.centre_KD])
    # Signals are orthonormal: a patch a v has the product a with v, and zero with all others.
    amount_nPS = unshuffled(examples)[:, :NUM_SIGNAL_PATCHES] @ signal_SD.T
    # (a t + b)^3 = a^3 t^3 + 3 a^2 t^2 b + 3 a t b^2 + b^3: these are the powers of a.
    exponents = (3, 2, 1) if bias else (3,)
    columns = [amount_nPS.pow(exponent).sum(dim=1) for exponent in exponents]
    if bias:
        # b^3 stands once for each patch.
        columns.append(amount_nPS.new_full((len(amount_nPS), 1), NUM_SIGNAL_PATCHES))
    return torch.cat(columns, dim=1)


def cubic_coefficients(
    filters_EDJ: Tensor, signal_SD: Tensor, num_heads: int, bias: bool
) -> Tensor:
    """What each power is worth to each expert's heads, `[E, Q, N]`."""
    product_ESJ = signal_SD @ filters_EDJ[:, : signal_SD.shape[1]]
    # What stands beside the powers of a, in their order, summed over the filters j: t_j^3,
    # 3 t_j^2 b_j, 3 t_j b_j^2 and b_j^3.
    columns = [product_ESJ.pow(3)]
    if bias:
        bias_E1J = filters_EDJ[:, -1:]
        columns.append(3 * product_ESJ.square() * bias_E1J)
        columns.append(3 * product_ESJ * bias_E1J.square())
        columns.append(bias_E1J.pow(3))
    return torch.cat([_per_head(column, num_heads) for column in columns], dim=1)


def linear_coefficients(filters_EDJ: Tensor, num_heads: int) -> Tensor:
    """What each feature is worth to each linear expert's heads, `[E, D, N]`."""
    return _per_head(filters_EDJ, num_heads)


def _per_head(weight_EXJ: Tensor, num_heads: int) -> Tensor:
    num_experts, num_inputs, _ = weight_EXJ.shape
    # Head h has filters h J / N up to (h + 1) J / N.
    return weight_EXJ.reshape(num_experts, num_inputs, num_heads, -1).sum(dim=3)


def _padded(patches_nPD: Tensor, config: ClustersConfig) -> Tensor:
    return F.pad(patches_nPD, (0, int(config.bias)), value=1.0)


class _Responses(Function):
    @staticmethod
    def forward(ctx: Any, rows_RD: Tensor, weight_EDJ: Tensor, start_E1: Tensor) -> Tensor:
        ctx.save_for_backward(rows_RD, weight_EDJ)
        ctx.groups = [slice(*ends) for ends in pairwise(start_E1.tolist())]
        out_JR = rows_RD.new_empty(weight_EDJ.shape[2], len(rows_RD))
        for weight_DJ, group in zip(weight_EDJ, ctx.groups, strict=True):
            torch.mm(weight_DJ.T, rows_RD[group].T, out=out_JR[:, group])
        return out_JR

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *d_out: Tensor) -> tuple[Tensor | None, ...]:
        rows_RD, weight_EDJ = ctx.saved_tensors
        # Y = W^T X^T: dW^T = dY X, in which both are read along their lines.
        d_EJD = weight_EDJ.new_empty(weight_EDJ.mT.shape)
        for d_JD, group in zip(d_EJD, ctx.groups, strict=True):
            torch.mm(d_out[0][:, group], rows_RD[group], out=d_JD)
        return None, d_EJD.mT, None


def responses(rows_RD: Tensor, weight_EDJ: Tensor, plan: Plan) -> Tensor:
    """Each filter's response to the rows of its expert, `[J, R]`; every row has an expert.

    What `moe.grouped.grouped_linear` computes, with examples last. With 16 filters the product is
    twice as fast so on a CPU, and its gradient four times. Differentiable in the filters alone.

    Args:
        rows_RD: examples, sorted by expert.
        weight_EDJ: the filters.
        plan: of the rows.
    """
    if rows_RD.device.type != "cpu":
        return grouped_linear(rows_RD, weight_EDJ, plan, Backend.reference).T
    out_JR: Tensor = apply(_Responses, rows_RD, weight_EDJ, plan.start_E1)
    return out_JR


class MarginExperts(ConvolutionalExperts):
    """Convolutional experts whose one answer is the margin of their heads.

    Source: Chen et al. (2022), section 3. With two heads f_m is the difference of their sums, the
    margin of the authors' two outputs.

    Attributes:
        form: what a row holds, see `inputs_of`. Every form gives the same margins, up to rounding.
    """

    def __init__(self, config: ClustersConfig, signals: Signals, init_seed: int) -> None:
        """Make the experts with the initial filters of a seed."""
        form = form_of(config)
        num_convolved = config.num_patches
        if form is Form.powers:
            num_convolved -= NUM_SIGNAL_PATCHES
        super().__init__(
            config.num_experts,
            num_convolved,
            config.dim + config.bias,
            config.num_filters,
            ACTIVATIONS[config.activation],
            config.num_heads,
            # A few experts with many rows each: torch's own product per expert is the fastest.
            backend=Backend.reference,
        )
        self.form, self.bias = form, config.bias
        self.filters.weight.data = initial_filters(config, init_seed)
        signal_SD = torch.cat([signals.feature_KD, signals.centre_KD])
        self.register_buffer("signal_SD", signal_SD, persistent=False)
        self.signal_SD: Tensor

    def forward(self, rows: Tensor, plan: Plan) -> Tensor:
        """The experts' margins f_m(x) of rows sorted by expert, `[R, 1]`."""
        answer_NR = self._heads(rows, plan)
        if answer_NR.shape[0] == 1:
            return answer_NR.T
        # The authors' softmax over two outputs depends on their difference alone.
        return (answer_NR[:1] - answer_NR[1:]).T

    def _heads(self, rows: Tensor, plan: Plan) -> Tensor:
        """The sum over each head's filters and all patches, `[N, R]`."""
        weight_EDJ = self.filters.weight
        if self.form is Form.patches:
            return super().forward(rows, plan).T
        if self.form is Form.summed:
            # sum_j <w_j, sum_p x_p> = <sum_j w_j, sum_p x_p>: one product in place of P J.
            return responses(rows, linear_coefficients(weight_EDJ, self.num_heads), plan)
        worth = cubic_coefficients(weight_EDJ, self.signal_SD, self.num_heads, self.bias)
        amounts, noise = rows.tensor_split([worth.shape[1]], dim=1)
        # sum_j sum_p (<w_j, x_p> + b_j)^3, the noise patches in full and the signals by their
        # powers.
        return self._of_noise(noise, plan) + responses(amounts, worth, plan)

    def _of_noise(self, noise: Tensor, plan: Plan) -> Tensor:
        """The heads' sums over the Gaussian patches alone, `[N, R]`."""
        # One patch after another: each is a range of the rows' columns, and nothing is copied.
        of_patch = [
            responses(patch_RD, self.filters.weight, plan)
            for patch_RD in noise.chunk(self.num_patches, dim=1)
        ]
        heads_NJR = [response_JR.view(self.num_heads, -1, len(noise)) for response_JR in of_patch]
        return torch.stack([head_NJR.pow(3).sum(dim=1) for head_NJR in heads_NJR]).sum(dim=0)


class Network(nn.Module):
    """The study's mixture-of-experts layer, or one of its experts alone.

    Source: Chen et al. (2022), section 3: F(x) = pi_m(x) f_m(x) with m = argmax h_m(x) + r_m. The
    gate sees the sum of an example's patches. In a single network nothing chooses, and nothing
    weighs the one expert's answer.
    """

    def __init__(self, config: ClustersConfig, signals: Signals, init_seed: int) -> None:
        """Make the network with the initial filters of a seed; the gate starts at zero."""
        super().__init__()
        experts = MarginExperts(config, signals, init_seed)
        is_single = config.model is Model.single
        self.layer = experts if is_single else MoE(_gate(config), experts)
        self.to(config.device.value)

    @property
    def experts(self) -> MarginExperts:
        """All experts, of which a single network has one."""
        experts = self.layer.experts if isinstance(self.layer, MoE) else self.layer
        assert isinstance(experts, MarginExperts)
        return experts

    @property
    def gate(self) -> UniformNoiseGate | None:
        """The gate, or None in a single network."""
        gate = self.layer.gate if isinstance(self.layer, MoE) else None
        assert gate is None or isinstance(gate, UniformNoiseGate)
        return gate

    def forward(self, inputs: Inputs) -> Answer:
        """Answer a sample, with routing noise in training (and in evaluation, if so set)."""
        if not isinstance(self.layer, MoE):
            where = plan_of_one_expert(len(inputs.rows), inputs.rows.device)
            return Answer(self.layer(inputs.rows, where).squeeze(-1), None)
        # Chen et al. (2022), section 3: F(x) = pi_m(x) f_m(x) with pi = softmax(h) and
        # h = sum_p theta^T x_p, m = argmax_m h_m(x) + r_m, r_m uniform in [0, 1).
        output = self.layer(inputs.rows, gate_inputs=inputs.sums_nD)
        return Answer(output.outputs.squeeze(-1), output.routing)


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
    # numpy's streams, so that filters are the same on every device and with every torch.
    random = np.random.default_rng([init_seed, _INIT_STREAM])
    shape = (config.num_experts, config.dim + config.bias, config.num_filters)
    if config.init is Init.normal:
        filters = config.init_scale * random.standard_normal(shape)
    else:
        # torch's default for a convolution over d inputs, U(-1 / sqrt(d), 1 / sqrt(d)), scaled.
        filters = config.init_scale / np.sqrt(config.dim) * random.uniform(-1, 1, shape)
    return torch.from_numpy(filters).float()


@cache
def plan_of_one_expert(
    num: int, device: torch.device, expert: int = 0, num_experts: int = 1
) -> Plan:
    """The plan that gives every example to one expert, in the order of the examples."""
    order = torch.arange(num, device=device)
    start_E1 = torch.zeros(num_experts + 1, dtype=torch.int64, device=device)
    # Experts up to this one begin and end at 0; from it on all ends lie at n.
    start_E1[expert + 1 :] = num
    return Plan(order, order, order, torch.arange(num + 1, device=device), start_E1)
