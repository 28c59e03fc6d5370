"""What a run of the translation study takes, by its settings; see `experiments.vowel.estimate`.

It is no part of `counts`, whose code a run's identity holds.
"""

from experiments.runner.resources import Estimate, Part, Regime
from experiments.runner.schema import Device
from experiments.text.settings import CorpusName
from experiments.translation.counts import (
    NUM_LSTMS,
    NUM_MIXTURES,
    memory,
    num_parameters,
    operations_per_timestep,
)
from experiments.translation.settings import Attention, ModelConfig, TranslationConfig

_FLOAT, _MILLION = 4, 1e6
# A sentence's subwords, and the test sentences where no number of them is set.
_SUBWORDS_PER_SENTENCE, _NUM_TEST_SENTENCES = 40, 1000
_BYTES_PER_VERSE, _NUM_VERSES = 2_500, 31_102
# Set so that estimates lie above what steps take, not derived. In steps of 400 tokens, by torch's
# profiler, the peak grew by 2 to 3 numbers per token and subword of the vocabulary, and by 3 to 4
# per token, expert and mixture (without and with the weights' gradients). The beam's was not
# measured apart.
_COPIES_OF_LOGITS, _COPIES_OF_GATES, _COPIES_IN_BEAM = 4, 8, 5
# A run ends with the weights as arrays and as a file's bytes; a checkpoint is written in between.
_COPIES_OF_WEIGHTS = 3
_SECONDS_PER_OPERATION, _SECONDS_PER_STEP = 4e-11, 0.02
# Assumed, not measured: no GPU was at hand.
_TIMES_FASTER_ON_GPU = 50
_LEVERS = (
    "num_seeds",
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


def estimate(config: TranslationConfig) -> Estimate:
    """What a run takes; the time is that of a training to the last step."""
    memory = [*_weights(config), *_activations(config)]
    return Estimate(memory, _time(config), _LEVERS, _regime(config))


def _regime(config: TranslationConfig) -> Regime | None:
    if config.num_experts <= 1:
        return None
    return Regime(
        {
            "tokens_per_batch": config.tokens_per_batch,
            "batches_per_step": config.batches_per_step,
        },
        config.k,
        config.num_experts,
        config.max_steps,
        2 * config.width * config.expert_units,
    )


def _weights(config: TranslationConfig) -> list[Part]:
    """Memory by the number of weights, whose copies differ in width and in what comes with them."""
    num_weights = num_parameters(config, config.num_subwords)
    plan = memory(config, config.num_subwords, config.batches_per_step, config.factored)
    written = _COPIES_OF_WEIGHTS * (plan.parameters + plan.optimiser)
    factors = {"million weights": round(num_weights / _MILLION, 3)}
    return [
        Part("weights, gradients and moments take", plan.total / num_weights * _MILLION, factors),
        Part("copies of them that are written take", written / num_weights * _MILLION, factors),
    ]


def _activations(config: TranslationConfig) -> list[Part]:
    """Memory by what a step, a search and the text hold."""
    tokens = {"tokens_per_batch": config.tokens_per_batch}
    beam = {
        "sentences at once": min(config.sentences_per_batch, _num_translated(config)),
        "beam_width": config.beam_width,
        "num_subwords": config.num_subwords,
    }
    logits = {**tokens, "num_subwords": config.num_subwords}
    gates = {**tokens, "num_experts": config.num_experts}
    batches = {**tokens, "batches_per_step": config.batches_per_step}
    return [
        Part("the softmax layer takes", _FLOAT * _COPIES_OF_LOGITS, logits),
        # The factor 2 is for safety. Kept for the backward pass are values alone; gradients of one
        # layer at a time stand beside them. A step's peak grew by 6 to 9 numbers per LSTM unit.
        Part("units take", 2 * _FLOAT, {**tokens, "units": _num_units(config)}),
        Part("gates take", _FLOAT * _COPIES_OF_GATES * NUM_MIXTURES, gates),
        # Source, target and what comes next, as int64.
        Part("batches take", 24, batches),
        Part("beam search takes", _FLOAT * _COPIES_IN_BEAM, beam),
        Part("text takes", _BYTES_PER_VERSE, {"pairs": _num_pairs(config)}),
    ]


def _num_units(config: TranslationConfig) -> int:
    """Values that a token leaves for the backward pass."""
    num_answering = min(config.k, config.num_experts)
    # Additive scores have a vector for each pair of positions, multiplicative ones a number.
    scores = config.attention_units if config.attention is Attention.additive else 1
    # Counted at what autograd keeps for a token: 7 numbers per LSTM unit (four gates, tanh of the
    # cell, cell, what is projected), 1 per unit of an expert that answers, and one score per source
    # position or a vector. The factors here are of like size, and fitted rather than derived.
    return (
        NUM_LSTMS * (6 * config.num_units + 3 * config.width)
        + NUM_MIXTURES * 2 * num_answering * (2 * config.width + config.expert_units)
        + 2 * config.attention_units
        + _SUBWORDS_PER_SENTENCE * scores
    )


def _time(config: TranslationConfig) -> list[Part]:
    operations = operations_per_timestep(config, config.num_subwords)
    operations += NUM_MIXTURES * _gate_operations(config)
    faster = _TIMES_FASTER_ON_GPU if config.device is Device.cuda else 1
    per_token = _SECONDS_PER_OPERATION * operations / faster
    steps = {"max_steps": config.max_steps, "batches_per_step": config.batches_per_step}
    seeds = {"num_seeds": config.num_seeds}
    length = config.max_length_ratio * _SUBWORDS_PER_SENTENCE
    return [
        Part(
            "steps take",
            6 * per_token,
            {**seeds, **steps, "tokens_per_batch": config.tokens_per_batch},
        ),
        Part("calls of operators take", _SECONDS_PER_STEP, {**seeds, **steps}),
        Part(
            "checkpoints take",
            1e-9 * num_parameters(config, config.num_subwords),
            {"written": config.max_steps if config.checkpoint_seconds < 1 else 1},
        ),
        Part(
            "beam search takes",
            2 * per_token,
            {
                **seeds,
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
    num_bibles = sum(len(config.french) if it == "fr" else 1 for it in config.languages)
    return _NUM_VERSES * len(config.english) * num_bibles
