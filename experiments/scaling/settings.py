"""Settings of the scaling study, and what a run takes by them.

Its sizes are ours: the paper gives one machine's throughput.
"""

from dataclasses import dataclass

from experiments.runner.errors import UserError
from experiments.runner.resources import Estimate, Part
from experiments.runner.schema import Range, setting


@dataclass
class ScalingConfig:
    """One sweep over numbers of experts, at one number of tokens and one skew."""

    name: str = "scaling"
    num_experts: list[int] = setting(
        [4, 16, 64, 256, 1024, 2048],
        "Table 7: 4 to 131,072 experts",
        Range(at_least=4, at_most=2**20),
    )
    num_tokens: int = setting(4096, "not stated", Range(at_least=1, at_most=10_000_000))
    skew: float = setting(
        0.0, "exponent of Zipf's law over the experts", Range(at_least=0, at_most=5)
    )
    k: int = setting(4, "section 5.1: k = 4", Range(at_least=1, at_most=1024))
    num_features: int = setting(128, "section 5.1: 512", Range(at_least=4, at_most=2**20))
    num_hidden: int = setting(256, "section 5.1: 1024", Range(at_least=4, at_most=2**20))
    num_rounds: int = setting(
        9, "every contender once per round", Range(at_least=1, at_most=100_000)
    )
    num_threads: int = setting(2, "0 takes one per core", Range(at_least=0, at_most=1024))


def check(config: ScalingConfig) -> None:
    """Reject settings that contradict each other.

    Raises:
        UserError: naming the settings and the fix.
    """
    if config.k > min(config.num_experts):
        raise UserError(
            f"study.k={config.k} is more than the fewest of study.num_experts, "
            f"{min(config.num_experts)}.",
            f"Take at most study.k={min(config.num_experts)}, or more experts.",
        )
    for name in ("num_features", "num_hidden"):
        size = getattr(config, name)
        if size % 4:
            raise UserError(
                f"study.{name}={size} is no multiple of 4, and torch's own grouped product, which "
                "is timed beside ours, takes rows of whole 16 bytes.",
                f"Take study.{name}={size - size % 4}.",
            )


# Weights, their gradients, the copies of the traffic contender, and those of other libraries.
_COPIES_OF_WEIGHTS = 8
# Tensors of all tokens and all experts that a flat gate keeps for its backward pass.
_COPIES_OF_LOGITS = 14
_COPIES_OF_ROWS = 10
_FLOAT = 4
# All contenders once, however small.
_SECONDS_PER_ROUND = 0.015
# Forward and backward of a multiply-add, and of one number of a flat gate; all contenders together.
_SECONDS_PER_OPERATION, _SECONDS_PER_LOGIT, _SECONDS_PER_WEIGHT = 2e-9, 1e-7, 1e-7
_LEVERS = ("num_tokens", "num_experts", "num_hidden", "num_features", "num_rounds", "k")


def estimate(config: ScalingConfig) -> Estimate:
    """Memory and time of a run, by its settings."""
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
