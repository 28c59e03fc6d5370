"""Sizes of a model by its settings alone: parameters, operations per timestep, memory.

Operations are multiply-adds per timestep of either side, as Shazeer et al. (2017) and Wu et al.
(2016) count them: LSTMs, the context into the decoder, experts that answer, and the softmax layer;
neither embedding, nor attention, nor gates.
"""

from experiments.resources import Estimate, Part
from experiments.translation.blocks import dtype_of
from experiments.translation.settings import Device, TranslationConfig
from experiments.translation.settings_corpus import CorpusName
from experiments.translation.settings_model import Attention, GateName, ModelConfig
from moe.memory import MemoryPlan, OptimiserState, memory_plan

_NUM_LSTMS = 5
_NUM_MIXTURES = 2
# What `estimate` is made of was measured on one core of an AMD EPYC; see tests/test_resources.py.
_FLOAT = 4
# A sentence's subwords, and the test sentences where no number of them is set.
_SUBWORDS_PER_SENTENCE, _NUM_TEST_SENTENCES = 40, 1000
_BYTES_PER_VERSE, _NUM_VERSES = 2_500, 31_102
_COPIES_OF_LOGITS, _COPIES_OF_GATES, _COPIES_IN_BEAM = 4, 8, 5
# A run ends with the weights as arrays and as a file's bytes; a checkpoint is written in between.
_COPIES_OF_WEIGHTS = 3
_SECONDS_PER_OPERATION, _SECONDS_PER_STEP = 4e-11, 0.02
# Assumed, not measured: no GPU was at hand.
_TIMES_FASTER_ON_GPU = 50
_LEVERS = (
    "tokens_per_batch",
    "max_steps",
    "num_experts",
    "expert_units",
    "num_units",
    "width",
    "attention_units",
    "num_subwords",
    "sentences_per_batch",
    "beam_width",
    "max_length_ratio",
    "num_translated",
    "batches_per_step",
)


def operations_per_timestep(config: ModelConfig, num_subwords: int) -> int:
    """Multiply-adds per timestep; 85 million at the published size (Table 2)."""
    width, units = config.width, config.num_units
    lstm = 4 * units * 2 * width + units * width
    context = 4 * units * width
    expert = 2 * width * config.expert_units
    num_answering = min(config.k, config.num_experts)
    return (
        _NUM_LSTMS * lstm + context + _NUM_MIXTURES * num_answering * expert + num_subwords * width
    )


def num_expert_parameters(config: ModelConfig) -> int:
    """Parameters of the experts alone."""
    return _NUM_MIXTURES * config.num_experts * 2 * config.width * config.expert_units


def num_parameters(config: ModelConfig, num_subwords: int) -> int:
    """All parameters; 8.7 billion at the published size (Table 2)."""
    width, units = config.width, config.num_units
    lstm = 4 * units * 2 * width + units * width + 8 * units
    context = 4 * units * width
    attention = 2 * width * config.attention_units + config.attention_units
    others = 2 * num_subwords * width + _NUM_LSTMS * lstm + context + attention
    gates = _NUM_MIXTURES * _gate_parameters(config) if config.num_experts else 0
    return num_expert_parameters(config) + others + gates


def _gate_parameters(config: ModelConfig) -> int:
    # A weight and a noise weight per feature and expert; a hierarchy has them on both levels.
    noisy = 2 * config.width * config.num_experts
    if config.gate is GateName.hierarchical:
        return noisy + 2 * config.width * config.num_groups
    if config.gate is GateName.balanced:
        return config.width * config.num_experts + config.num_experts
    return noisy


def memory(config: ModelConfig, num_subwords: int, batches_per_step: int = 1) -> MemoryPlan:
    """Bytes held from step to step by `optimisers.Optimisers`; activations come on top."""
    shapes = [
        (config.num_experts, config.width, config.expert_units),
        (config.num_experts, config.expert_units, config.width),
    ] * _NUM_MIXTURES
    of_experts = memory_plan(
        shapes, OptimiserState.factored, dtype_of(config), keeps_gradients=batches_per_step > 1
    )
    num_others = num_parameters(config, num_subwords) - num_expert_parameters(config)
    return of_experts + memory_plan([[num_others]], OptimiserState.adam)


def estimate(config: TranslationConfig) -> Estimate:
    """What a run takes; the time is that of a training to the last step."""
    num_subwords, width = config.num_subwords, config.width
    plan = memory(config, num_subwords, config.batches_per_step)
    tokens = {"tokens_per_batch": config.tokens_per_batch}
    num_answering = min(config.k, config.num_experts)
    looked_at = config.attention_units if config.attention is Attention.additive else 1
    units = (
        _NUM_LSTMS * (6 * config.num_units + 3 * width)
        + _NUM_MIXTURES * 2 * num_answering * (2 * width + config.expert_units)
        + 2 * config.attention_units
        + _SUBWORDS_PER_SENTENCE * looked_at
    )
    million = 1e6
    memory_parts = [
        Part(
            "weights, gradients and moments take",
            plan.total / num_parameters(config, num_subwords) * million,
            {"million weights": round(num_parameters(config, num_subwords) / million, 3)},
        ),
        Part(
            "copies of them that are written take",
            _COPIES_OF_WEIGHTS
            * million
            * (plan.parameters + plan.optimiser)
            / num_parameters(config, num_subwords),
            {"million weights": round(num_parameters(config, num_subwords) / million, 3)},
        ),
        Part(
            "the softmax layer takes",
            _FLOAT * _COPIES_OF_LOGITS,
            {**tokens, "num_subwords": num_subwords},
        ),
        Part("units take", 2 * _FLOAT, {**tokens, "units": units}),
        Part(
            "gates take",
            _FLOAT * _COPIES_OF_GATES * _NUM_MIXTURES,
            {**tokens, "num_experts": config.num_experts},
        ),
        Part(
            "batches take",
            24,
            {**tokens, "batches_per_step": config.batches_per_step},
        ),
        Part(
            "beam search takes",
            _FLOAT * _COPIES_IN_BEAM,
            {
                "sentences at once": min(config.sentences_per_batch, _num_translated(config)),
                "beam_width": config.beam_width,
                "num_subwords": num_subwords,
            },
        ),
        Part("text takes", _BYTES_PER_VERSE, {"pairs": _num_pairs(config)}),
    ]
    return Estimate(memory_parts, _time(config), _LEVERS)


def _time(config: TranslationConfig) -> list[Part]:
    operations = operations_per_timestep(config, config.num_subwords)
    operations += _NUM_MIXTURES * _gate_operations(config)
    faster = _TIMES_FASTER_ON_GPU if config.device is Device.cuda else 1
    per_token = _SECONDS_PER_OPERATION * operations / faster
    steps = {"max_steps": config.max_steps, "batches_per_step": config.batches_per_step}
    length = config.max_length_ratio * _SUBWORDS_PER_SENTENCE
    return [
        Part("steps take", 6 * per_token, {**steps, "tokens_per_batch": config.tokens_per_batch}),
        Part("calls of operators take", _SECONDS_PER_STEP, steps),
        Part(
            "checkpoints take",
            1e-9 * num_parameters(config, config.num_subwords),
            {"written": config.max_steps if config.checkpoint_seconds < 1 else 1},
        ),
        Part(
            "beam search takes",
            2 * per_token,
            {
                "sentences": _num_translated(config),
                "beam_width": config.beam_width,
                "subwords each": length,
            },
        ),
    ]


def _gate_operations(config: ModelConfig) -> int:
    return 4 * config.width * config.num_experts


def _num_translated(config: TranslationConfig) -> int:
    return min(config.num_translated or _NUM_TEST_SENTENCES, 10 * _NUM_TEST_SENTENCES)


def _num_pairs(config: TranslationConfig) -> int:
    # Files are streamed.
    if config.corpus is CorpusName.files:
        return _NUM_TEST_SENTENCES
    return _NUM_VERSES * len(config.english) * len(config.french)
