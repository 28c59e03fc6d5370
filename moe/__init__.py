"""Mixture-of-experts core: tensors in, tensors out.

Gates, experts, costs and measures that any task can use. Nothing in this package knows a study,
a data set, a configuration file or a figure.
"""

from moe.experts import Unit, linear_experts, unit_gradient, with_bias
from moe.gates import softmax_gate
from moe.losses import (
    Cost,
    blend_error,
    cost,
    expected_error,
    gradients,
    mixture_likelihood,
    responsibilities,
)
from moe.measures import (
    effective_number_of_experts,
    importance,
    live_experts,
    num_dominant_experts,
)
from moe.mixture import Mixture, blend, mixture_of_linear_experts, weight_gradients

__all__ = [
    "Cost",
    "Mixture",
    "Unit",
    "blend",
    "blend_error",
    "cost",
    "effective_number_of_experts",
    "expected_error",
    "gradients",
    "importance",
    "linear_experts",
    "live_experts",
    "mixture_likelihood",
    "mixture_of_linear_experts",
    "num_dominant_experts",
    "responsibilities",
    "softmax_gate",
    "unit_gradient",
    "weight_gradients",
    "with_bias",
]
