"""The two systems of Table 1, each written for one run and valid for any number at once.

Every function takes parameters with optional leading dimensions, one entry per run (seed, step
size, setting), and treats the runs as independent. The mixture comes in two forms, as the batched
fast path and as the layer itself; see `moe.batched_mixture`.

Shapes: E experts, H hidden units, O outputs, D features, N cases, `...` runs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.func import functional_call

from experiments.vowel.settings import Execution, StopMeasure, System, VowelConfig
from moe import (
    Cost,
    LinearExperts,
    Mixture,
    MoE,
    SoftmaxGate,
    Unit,
    blend,
    cost,
    expected_error,
    gradients,
    mixture_of,
    mixture_of_linear_experts,
    unit_gradient,
    weight_gradients,
)
from moe.linear_experts import apply_unit

Params = dict[str, Tensor]


@dataclass(frozen=True)
class Prediction:
    """Answers of a system: the (blended) output and what it was made from."""

    output_ON: Tensor
    mixture: Mixture | None = None
    hidden_HN: Tensor | None = None


@dataclass(frozen=True)
class Net:
    """A trainable system.

    Attributes:
        init: parameters of one run, from its seed.
        predict: (params, inputs `[D, N]`) -> Prediction.
        gradients: (params, prediction, inputs, targets `[O, N]`) -> gradients of the cost's mean
            over the cases, shaped like the parameters.
    """

    init: Callable[[int], Params]
    predict: Callable[[Params, Tensor], Prediction]
    gradients: Callable[[Params, Prediction, Tensor, Tensor], Params]


def build(config: VowelConfig, num_outputs: int, num_features: int = 3) -> Net:
    """The system that the config describes; `num_features` counts the constant one."""
    if config.system is System.backprop:
        return _backprop_net(config, num_outputs, num_features)
    if config.execution is Execution.layer:
        return _layer_net(config, num_outputs, num_features)
    return _batched_net(config, num_outputs, num_features)


def mean_squared_error(prediction: Prediction, targets_ON: Tensor, measure: StopMeasure) -> Tensor:
    """Squared error summed over outputs, averaged over cases, `[...]`.

    Args:
        prediction: a system's answers.
        targets_ON: desired outputs `[..., O, N]`.
        measure: of the blended output, or expected over the experts (equation 1.2's error).
    """
    # Jacobs et al. (1991), section 3: "average squared error", of which output it does not say.
    if measure is StopMeasure.expected and prediction.mixture is not None:
        return expected_error(prediction.mixture, targets_ON).mean(dim=-1)
    return (prediction.output_ON - targets_ON).square().sum(dim=-2).mean(dim=-1)


def _uniform(shape: tuple[int, ...], limit: float, generator: torch.Generator) -> Tensor:
    # Drawn in float64 so that a seed means the same weights in either precision.
    return (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1) * limit


def _init_mixture(seed: int, config: VowelConfig, num_outputs: int, num_features: int) -> Params:
    generator = torch.Generator().manual_seed(seed)
    num_experts = config.num_experts
    experts_EOD = _uniform((num_experts, num_outputs, num_features), config.init_range, generator)
    # Zero by default. Section 1: the mixing proportions start equal for all cases.
    gate_ED = _uniform((num_experts, num_features), config.gate_init_range, generator)
    dtype = getattr(torch, config.precision.name)
    return {"experts": experts_EOD.to(dtype), "gate": gate_ED.to(dtype)}


def _batched_net(config: VowelConfig, num_outputs: int, num_features: int) -> Net:
    """The mixture by closed forms, all runs at once."""
    unit, temperature = Unit[config.unit.name], config.gate_temperature

    def predict(params: Params, inputs_DN: Tensor) -> Prediction:
        mixture = mixture_of_linear_experts(
            params["gate"], params["experts"], inputs_DN, unit, temperature
        )
        return Prediction(blend(mixture), mixture)

    def gradient(
        params: Params, prediction: Prediction, inputs_DN: Tensor, targets_ON: Tensor
    ) -> Params:
        assert prediction.mixture is not None
        # Equations 1.4 and 1.5 and their like, per case; then the chain rule, as means over cases:
        # a sum would rescale every step by 400 and nothing else.
        d_logits, d_outputs = gradients(
            Cost[config.cost.name], prediction.mixture, targets_ON, config.variance
        )
        d_gate, d_experts = weight_gradients(
            d_logits, d_outputs, prediction.mixture, inputs_DN, unit, temperature
        )
        return {"experts": d_experts, "gate": d_gate}

    init = partial(_init_mixture, config=config, num_outputs=num_outputs, num_features=num_features)
    return Net(init, predict, gradient)


def _layer_net(config: VowelConfig, num_outputs: int, num_features: int) -> Net:
    """The mixture as `moe.MoE`, one run after another, by automatic differentiation."""
    # Its weights are those of the run that is asked about: it needs none of its own.
    layer = MoE(
        SoftmaxGate(
            num_features, config.num_experts, temperature=config.gate_temperature, device="meta"
        ),
        LinearExperts(
            config.num_experts, num_features, num_outputs, Unit[config.unit.name], device="meta"
        ),
    )

    def predict(params: Params, inputs_DN: Tensor) -> Prediction:
        gate, experts = params["gate"], params["experts"]
        runs = gate.shape[:-2]
        outputs = [
            functional_call(
                layer,
                {"gate.weight_DE": gate_ED.T, "experts.linear.weight": experts_EOD.mT},
                (inputs_DN.T,),
            )
            for gate_ED, experts_EOD in zip(
                gate.reshape(-1, *gate.shape[-2:]),
                experts.reshape(-1, *experts.shape[-3:]),
                strict=True,
            )
        ]
        mixtures = [mixture_of(output) for output in outputs]
        mixture = Mixture(
            _together([each.logits_EN for each in mixtures], runs),
            _together([each.proportions_EN for each in mixtures], runs),
            _together([each.outputs_EON for each in mixtures], runs),
        )
        return Prediction(_together([output.outputs.T for output in outputs], runs), mixture)

    def gradient(
        params: Params, prediction: Prediction, inputs_DN: Tensor, targets_ON: Tensor
    ) -> Params:
        # Predicted again, with a graph: what is only measured needs none.
        leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
        mixture = predict(leaves, inputs_DN).mixture
        assert mixture is not None
        # A sum over the runs, which share no weights: each has the gradient of its own mean.
        total = (
            cost(Cost[config.cost.name], mixture, targets_ON, config.variance).mean(dim=-1).sum()
        )
        slopes = torch.autograd.grad(
            total, list(leaves.values()), allow_unused=True, materialize_grads=True
        )
        return dict(zip(leaves, slopes, strict=True))

    init = partial(_init_mixture, config=config, num_outputs=num_outputs, num_features=num_features)
    return Net(init, predict, gradient)


def _together(each: list[Tensor], runs: torch.Size) -> Tensor:
    """One tensor per run, as a tensor with the runs' leading dimensions."""
    return torch.stack(each).view(*runs, *each[0].shape)


def _init_backprop(seed: int, config: VowelConfig, num_outputs: int, num_features: int) -> Params:
    generator = torch.Generator().manual_seed(seed)
    hidden_HD = _uniform((config.num_hidden, num_features), config.init_range, generator)
    output_OH = _uniform((num_outputs, config.num_hidden + 1), config.init_range, generator)
    dtype = getattr(torch, config.precision.name)
    return {"hidden": hidden_HD.to(dtype), "output": output_OH.to(dtype)}


def _predict_backprop(params: Params, inputs_DN: Tensor, unit: Unit) -> Prediction:
    # h = sigma(V x), o = unit(W h + b); the constant feature is the hidden units' bias.
    hidden_HN = torch.sigmoid(params["hidden"] @ inputs_DN)
    weight_OH, bias_O1 = params["output"][..., :-1], params["output"][..., -1:]
    return Prediction(apply_unit(weight_OH @ hidden_HN + bias_O1, unit), hidden_HN=hidden_HN)


def _backprop_gradients(
    params: Params,
    prediction: Prediction,
    inputs_DN: Tensor,
    targets_ON: Tensor,
    unit: Unit,
) -> Params:
    hidden_HN = prediction.hidden_HN
    assert hidden_HN is not None
    num_cases = inputs_DN.shape[-1]
    # Of E = ||d - o||^2 / 2, mean over cases. dE/do = o - d, chained through the unit;
    # dE/dh = W' dE/dr and dh/da = h (1 - h); dE/dW = dE/dr h', dE/db = sum dE/dr, dE/dV = dE/da x'.
    d_response_ON = unit_gradient(
        prediction.output_ON - targets_ON, prediction.output_ON, unit
    ).div_(num_cases)
    d_hidden_HN = params["output"][..., :-1].mT @ d_response_ON
    d_hidden_HN = torch.ops.aten.sigmoid_backward(d_hidden_HN, hidden_HN)
    d_output_OH = torch.cat(
        [d_response_ON @ hidden_HN.mT, d_response_ON.sum(dim=-1, keepdim=True)], dim=-1
    )
    return {"hidden": d_hidden_HN @ inputs_DN.mT, "output": d_output_OH}


def _backprop_net(config: VowelConfig, num_outputs: int, num_features: int) -> Net:
    """One hidden layer of logistic units, cost half the squared error (section 3)."""
    init = partial(
        _init_backprop, config=config, num_outputs=num_outputs, num_features=num_features
    )
    return Net(
        init,
        partial(_predict_backprop, unit=Unit[config.unit.name]),
        partial(_backprop_gradients, unit=Unit[config.unit.name]),
    )
