"""What a run of the language model takes, by its settings."""

from dataclasses import replace

from experiments.language_model.counts import num_weights, operations_per_word
from experiments.language_model.search import points
from experiments.language_model.settings import Block, LanguageModelConfig, SearchConfig, Text
from experiments.runner.resources import Estimate, Part, Regime

_FLOAT = 4
# Logits, their softmax and gradient; and what an operator keeps of a layer's width.
_COPIES_OF_LOGITS, _COPIES_OF_WIDTH, _COPIES_OF_GATES, _COPIES_OF_WEIGHTS = 4, 40, 8, 6
_BYTES_OF_A_BIBLE = 60e6
_SECONDS_PER_OPERATION, _SECONDS_PER_STEP = 6e-11, 0.01
_TIMES_FASTER_ON_GPU = 50
_LEVERS = (
    "num_streams",
    "num_unrolled",
    "max_steps",
    "num_seeds",
    "num_experts",
    "expert_units",
    "width",
    "num_subwords",
)


def estimate_search(config: SearchConfig) -> Estimate:
    """The same for a search: one model after the other."""
    return estimate(replace(config, num_seeds=config.num_seeds * len(points(config))))


def estimate(config: LanguageModelConfig) -> Estimate:
    """Memory that is held at once, and seconds on one core."""
    words = {"num_streams": config.num_streams, "num_unrolled": config.num_unrolled}
    weights = {"weights": sum(num_weights(config, config.num_subwords).values())}
    num_experts = config.num_experts if config.block is Block.experts else 0
    memory = [
        Part("weights and their moments take", _FLOAT * _COPIES_OF_WEIGHTS, weights),
        Part(
            "the softmax layer takes",
            _FLOAT * _COPIES_OF_LOGITS,
            {**words, "num_subwords": config.num_subwords},
        ),
        Part("layers take", _FLOAT * _COPIES_OF_WIDTH, {**words, "width": config.width}),
        Part("gates take", _FLOAT * _COPIES_OF_GATES, {**words, "num_experts": num_experts}),
    ]
    if config.text is Text.bibles:
        memory.append(Part("text takes", _BYTES_OF_A_BIBLE, {"bibles": len(config.bibles)}))
    operations = operations_per_word(config)
    operations += config.width * (config.num_subwords + 2 * num_experts)
    faster = _TIMES_FASTER_ON_GPU if config.device.name == "cuda" else 1
    steps = {
        "num_seeds": config.num_seeds,
        "max_steps": 0 if config.untrained else config.max_steps,
    }
    time = [
        Part("steps take", 6 * _SECONDS_PER_OPERATION * operations / faster, {**steps, **words}),
        Part("calls of operators take", _SECONDS_PER_STEP, steps),
        Part("weights take", 2e-9, {**steps, **weights}),
    ]
    return Estimate(memory, time, _LEVERS, _regime(config))


def _regime(config: LanguageModelConfig) -> Regime | None:
    if config.block is not Block.experts:
        return None
    return Regime(
        {"num_streams": config.num_streams, "num_unrolled": config.num_unrolled},
        config.k,
        config.num_experts,
        config.max_steps,
        2 * config.width * config.expert_units,
    )
