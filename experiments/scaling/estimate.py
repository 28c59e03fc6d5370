"""What a run of the scaling study takes, by its settings; see `experiments.vowel.estimate`."""

from experiments.resources import Estimate, Part
from experiments.scaling.settings import ScalingConfig

# Weights, their gradients, the copies of the traffic contender, and those of other libraries.
_COPIES_OF_WEIGHTS = 8
# Tensors of all tokens and all experts that a flat gate keeps for its backward pass.
_COPIES_OF_LOGITS = 14
_COPIES_OF_ROWS = 10
_FLOAT = 4
# Forward and backward of a multiply-add, and of one number of a flat gate; all contenders together.
# All contenders once, however small.
_SECONDS_PER_ROUND = 0.015
_SECONDS_PER_OPERATION, _SECONDS_PER_LOGIT, _SECONDS_PER_WEIGHT = 2e-9, 1e-7, 1e-7
_LEVERS = ("num_tokens", "num_experts", "num_hidden", "num_features", "num_rounds", "k")


def estimate(config: ScalingConfig) -> Estimate:
    """See the module."""
    most = max(config.num_experts)
    tokens = {"num_tokens": config.num_tokens}
    weights = {"num_features": config.num_features, "num_hidden": config.num_hidden, "layers": 2}
    rows = {**tokens, "k": config.k}
    memory = [
        Part("weights take", _FLOAT * _COPIES_OF_WEIGHTS, {"experts": most, **weights}),
        Part("gates take", _FLOAT * _COPIES_OF_LOGITS, {**tokens, "experts": most}),
        Part(
            "rows take",
            _FLOAT * _COPIES_OF_ROWS,
            {**rows, "numbers": config.num_features + config.num_hidden},
        ),
    ]
    rounds = {"num_rounds": config.num_rounds}
    total = sum(config.num_experts)
    time = [
        Part("calls take", _SECONDS_PER_ROUND, {**rounds, "sizes": len(config.num_experts)}),
        Part("gates take", _SECONDS_PER_LOGIT, {**tokens, "experts": total, **rounds}),
        Part("moving weights takes", _SECONDS_PER_WEIGHT, {"experts": total, **weights, **rounds}),
        Part(
            "products take",
            _SECONDS_PER_OPERATION,
            {**rows, **weights, "sizes": len(config.num_experts), **rounds},
        ),
    ]
    return Estimate(memory, time, _LEVERS)
