"""Mixtures of experts: the sparse layer and what belongs to it, tensors in, tensors out.

A layer is a gate, experts, and the dispatch between them:

    layer = MoE(NoisyTopKGate(512, 2048, k=4), FeedForwardExperts(2048, 512, 1024))
    output = layer(tokens)  # [..., 512]
    loss = task_loss(output.outputs) + 0.1 * sum(output.routing.losses.values())

Read it in this order. The first five are the core, and one sitting is enough for them:

    layer            `MoE.forward`: gate, plan, dispatch, experts, combine, in twenty lines
    routing, plan    what a gate decides, and the order in which experts see their tokens
    dispatch         tokens to their experts and back, without scattered additions
    gates, balance   `base` first, then `softmax` and `noisy_top_k`; the losses that even out use
    stacked          experts with one matrix each, convolutional ones, and modules of any kind
    grouped          how rows meet their experts' matrices: `backends` says what a backend offers,
                     `linear` differentiates it, and C, Triton or torch multiply
    optimisers       the factored second moment, updated inside the backward pass
    memory           freed memory kept for the next tensor, and a plan of what training takes
    measures         how evenly experts are used, and what they specialise in
    operators        how our gradients are made known to torch

The mixture of 1991 is `MoE(SoftmaxGate(D, n), LinearExperts(n, D, O))` with the costs of `losses`;
`batched_mixture` is a fast path of it for many small mixtures at once. Experts over several
processes are in `moe.parallel`, which is not imported here. Nothing in this package knows a study,
a data set, a configuration file or a figure.
"""

from moe.balance import cv_squared, importance_loss, load_loss, switch_loss, z_loss
from moe.batched_mixture import (
    gradients,
    linear_experts,
    mixture_of_linear_experts,
    softmax_gate,
    unit_gradient,
    weight_gradients,
    with_bias,
)
from moe.dispatch import combine, dispatch
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
)
from moe.grouped import Backend
from moe.layer import MoE, MoEOutput
from moe.linear_experts import LinearExperts, Unit
from moe.losses import (
    Cost,
    Mixture,
    blend,
    blend_error,
    cost,
    expected_error,
    mixture_likelihood,
    mixture_of,
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
from moe.memory import MemoryPlan, OptimiserState, keep_memory, memory_plan
from moe.optimisers import FactoredAdam
from moe.plan import Plan, plan
from moe.routing import NO_EXPERT, Routing
from moe.stacked import (
    ConvolutionalExperts,
    Experts,
    FeedForwardExperts,
    ModuleExperts,
    StackedLinear,
)

__version__ = "0.1.0"

__all__ = [
    "NO_EXPERT",
    "Backend",
    "ConvolutionalExperts",
    "Cost",
    "Experts",
    "FactoredAdam",
    "FeedForwardExperts",
    "Gate",
    "GateValue",
    "HierarchicalGate",
    "LinearExperts",
    "MaskInTraining",
    "MemoryPlan",
    "Mixture",
    "MoE",
    "MoEOutput",
    "ModuleExperts",
    "NoisyTopKGate",
    "OptimiserState",
    "Plan",
    "Routing",
    "SoftmaxGate",
    "StackedLinear",
    "StrictlyBalancedGate",
    "SwitchGate",
    "TieBreak",
    "UniformNoiseGate",
    "Unit",
    "blend",
    "blend_error",
    "coefficient_of_variation",
    "combine",
    "cost",
    "counts_by_class",
    "cv_squared",
    "dispatch",
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
    "keep_memory",
    "linear_experts",
    "live_experts",
    "load_loss",
    "max_over_mean",
    "memory_plan",
    "mixture_likelihood",
    "mixture_of",
    "mixture_of_linear_experts",
    "num_dominant_experts",
    "num_unrouted_tokens",
    "plan",
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
