"""Sizes of a model and its regime, by its settings alone."""

from experiments.language_model.settings import (
    Block,
    Gate,
    LanguageModelConfig,
    num_hidden_layers,
    num_lstms,
)


def operations_per_word(config: LanguageModelConfig) -> int:
    """Multiply-adds per word as Table 7 counts them: neither embedding, nor softmax, nor gate."""
    width, units = config.width, config.expert_units
    # Four gates of as many units as the width, each with a matrix for the input and one for the
    # state: 4 * 2 * width^2. An LSTM without projection, as in appendix C.1.
    lstm = 8 * width**2
    between = {
        Block.none: 0,
        Block.constant: 0,
        # A token goes through k experts, each of two matrices. The wide layer is those k experts
        # side by side, so that both cost the same: that is what Table 7 compares.
        Block.experts: 2 * config.k * width * units,
        Block.wide: 2 * config.k * width * units,
        # Into the hidden layers, out of them, and a square matrix between any two.
        Block.deep: 2 * width * units + int(num_hidden_layers(config) - 1) * units**2,
        Block.lstm: int(num_lstms(config)) * lstm,
    }
    return 2 * lstm + between[config.block]


def num_weights(config: LanguageModelConfig, num_subwords: int) -> dict[str, int]:
    """Weights of the experts, of the gate, and of all else but embedding and softmax."""
    width = config.width
    is_mixture = config.block is Block.experts
    experts = 2 * config.num_experts * width * config.expert_units if is_mixture else 0
    # W_g and W_noise of equation 4, without biases.
    gate = 2 * width * config.num_experts if is_mixture else 0
    if is_mixture and config.gate is Gate.hierarchical:
        # Appendix B: the primary gate has one logit, and one noise, per group.
        gate += 2 * width * config.num_groups
    # But for biases, a weight outside the experts is used once per word, so that operations count
    # weights. Of the experts only k are used; all their weights are counted above.
    others = operations_per_word(config) - (2 * config.k * width * config.expert_units) * is_mixture
    return {
        "experts": experts,
        "gate": gate,
        "others": others,
        # Only the softmax layer has a bias.
        "embedding_and_softmax": 2 * num_subwords * width + num_subwords,
    }


def regime(config: LanguageModelConfig) -> dict[str, float]:
    """What decides whether experts can learn: words that each sees in a step, and per weight."""
    words = config.num_streams * config.num_unrolled
    if config.block is not Block.experts:
        return {"words_per_step": words}
    # Section 3.1: with n experts, of which k answer, an expert sees k b / n of a batch of b words:
    # the shrinking batch problem.
    per_expert = words * config.k / config.num_experts
    weights = 2 * config.width * config.expert_units
    return {
        "words_per_step": words,
        "words_per_expert_and_step": per_expert,
        "words_per_expert_weight": per_expert * config.max_steps / weights,
    }
