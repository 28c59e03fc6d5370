"""Mixture-of-experts core: tensors in, tensors out.

Gates, experts, costs and measures that any task can use. Nothing in this package knows a study,
a data set, a configuration file or a figure.
"""

from moe.balance import cv_squared, importance_loss, load_loss, switch_loss, z_loss
from moe.experts import Unit, linear_experts, unit_gradient, with_bias
from moe.gates import (
    Gate,
    GateValue,
    HierarchicalGate,
    MaskInTraining,
    NoisyTopKGate,
    SoftmaxGate,
    StrictlyBalancedGate,
    SwitchGate,
    TieBreak,
    UniformNoiseGate,
    softmax_gate,
)
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
    coefficient_of_variation,
    counts_by_class,
    dispatch_entropy,
    effective_number,
    effective_number_of_experts,
    expert_similarities,
    expert_similarity,
    first_choices,
    importance,
    live_experts,
    max_over_mean,
    num_dominant_experts,
    num_unrouted_tokens,
    routing_agreement,
    utilisation,
)
from moe.mixture import Mixture, blend, mixture_of_linear_experts, weight_gradients
from moe.routing import NO_EXPERT, Routing

__version__ = "0.1.0"

__all__ = [
    "NO_EXPERT",
    "Cost",
    "Gate",
    "GateValue",
    "HierarchicalGate",
    "MaskInTraining",
    "Mixture",
    "NoisyTopKGate",
    "Routing",
    "SoftmaxGate",
    "StrictlyBalancedGate",
    "SwitchGate",
    "TieBreak",
    "UniformNoiseGate",
    "Unit",
    "blend",
    "blend_error",
    "coefficient_of_variation",
    "cost",
    "counts_by_class",
    "cv_squared",
    "dispatch_entropy",
    "effective_number",
    "effective_number_of_experts",
    "expected_error",
    "expert_similarities",
    "expert_similarity",
    "first_choices",
    "gradients",
    "importance",
    "importance_loss",
    "linear_experts",
    "live_experts",
    "load_loss",
    "max_over_mean",
    "mixture_likelihood",
    "mixture_of_linear_experts",
    "num_dominant_experts",
    "num_unrouted_tokens",
    "responsibilities",
    "routing_agreement",
    "softmax_gate",
    "switch_loss",
    "unit_gradient",
    "utilisation",
    "weight_gradients",
    "with_bias",
    "z_loss",
]
