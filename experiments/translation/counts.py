"""Sizes of a model by its settings alone: parameters, operations per timestep, memory.

Operations are multiply-adds per timestep of either side, as Shazeer et al. (2017) and Wu et al.
(2016) count them: LSTMs, the context into the decoder, experts that answer, and the softmax layer;
neither embedding, nor attention, nor gates.
"""

from experiments.translation.blocks import dtype_of
from experiments.translation.settings import GateName, ModelConfig
from moe.memory import MemoryPlan, OptimiserState, memory_plan

NUM_LSTMS = 5
NUM_MIXTURES = 2


def operations_per_timestep(config: ModelConfig, num_subwords: int) -> int:
    """Multiply-adds per timestep; 85 million at the published size (Table 2)."""
    width, units = config.width, config.num_units
    # Four gates of every unit see an input and the projected state, each of the width; then the
    # projection (Sak et al. 2014).
    lstm = 4 * units * 2 * width + units * width
    # The decoder's first LSTM sees the attention's context beside its input.
    context = 4 * units * width
    # W_1 and W_2 of one expert, 512-2048-512 as published: 2.1 million multiply-adds.
    expert = 2 * width * config.expert_units
    num_answering = min(config.k, config.num_experts)
    # At the published size: 5 * 9.44 + 4.19 + 2 * 4 * 2.10 + 32,768 * 512 / 10^6 = 84.9 million.
    return NUM_LSTMS * lstm + context + NUM_MIXTURES * num_answering * expert + num_subwords * width


def num_expert_parameters(config: ModelConfig) -> int:
    """Parameters of the experts alone."""
    return NUM_MIXTURES * config.num_experts * 2 * config.width * config.expert_units


def num_parameters(config: ModelConfig, num_subwords: int) -> int:
    """All parameters; 8.7 billion at the published size (Table 2)."""
    width, units = config.width, config.num_units
    # torch's LSTMs have two bias vectors of four gates each.
    lstm = 4 * units * 2 * width + units * width + 8 * units
    context = 4 * units * width
    attention = 2 * width * config.attention_units + config.attention_units
    others = 2 * num_subwords * width + NUM_LSTMS * lstm + context + attention
    gates = NUM_MIXTURES * _gate_parameters(config) if config.num_experts else 0
    return num_expert_parameters(config) + others + gates


def _gate_parameters(config: ModelConfig) -> int:
    # A weight and a noise weight per feature and expert; a hierarchy has them on both levels.
    noisy = 2 * config.width * config.num_experts
    if config.gate is GateName.hierarchical:
        return noisy + 2 * config.width * config.num_groups
    if config.gate is GateName.balanced:
        return config.width * config.num_experts + config.num_experts
    return noisy


def memory(
    config: ModelConfig, num_subwords: int, batches_per_step: int = 1, factored: bool = True
) -> MemoryPlan:
    """Bytes held from step to step by `experiments.optimisers`; activations come on top."""
    shapes = [
        (config.num_experts, config.width, config.expert_units),
        (config.num_experts, config.expert_units, config.width),
    ] * NUM_MIXTURES
    of_experts = memory_plan(
        shapes,
        OptimiserState.factored if factored else OptimiserState.adam,
        dtype_of(config),
        # Only the factored optimiser takes a gradient as it comes.
        keeps_gradients=batches_per_step > 1 or not factored,
    )
    # Adam's two moments for all that every token uses; averages of rows and columns for experts.
    num_others = num_parameters(config, num_subwords) - num_expert_parameters(config)
    return of_experts + memory_plan([[num_others]], OptimiserState.adam)
