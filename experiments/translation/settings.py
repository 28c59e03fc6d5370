"""Settings of the translation study; "appendix" is of Shazeer et al. (2017)."""

from dataclasses import dataclass
from enum import Enum
from math import isqrt

from experiments.runner.errors import UserError
from experiments.runner.schema import (
    SECONDS,
    SEED,
    Device,
    Precision,
    Range,
    setting,
    without_effect,
)
from experiments.text.bible import LANGUAGES
from experiments.text.settings import CorpusConfig, CorpusName


@dataclass
class DecodingConfig:
    """Beam search and its scores. Shazeer et al. (2017) say: "the same technique as GNMT"."""

    beam_width: int = setting(8, "GNMT, section 7: 8 to 12", Range(at_least=1, at_most=1000))
    length_penalty: float = setting(0.2, "GNMT, section 7: alpha", Range(at_least=0, at_most=10))
    coverage_penalty: float = setting(0.2, "GNMT, section 7: beta", Range(at_least=0, at_most=10))
    score_margin: float | None = setting(
        3.0,
        "GNMT, section 7: what lies further below the best is dropped; null keeps all",
        Range(above=0, at_most=1e6),
    )
    max_length_ratio: float = setting(
        2.0, "GNMT, section 7: of the source's length", Range(above=0, at_most=10)
    )
    max_source_subwords: int = setting(
        500,
        "ours: of a sentence; what follows is not translated, and told",
        Range(at_least=1, at_most=10_000),
    )
    sentences_per_batch: int = setting(
        64, "not stated: translated at once", Range(at_least=1, at_most=10_000)
    )
    num_translated: int | None = setting(
        None,
        "not stated: of the test sentences; null translates all",
        Range(at_least=1, at_most=10_000_000),
    )


# Of a width or a number of units, experts and so on: far beyond what any machine holds.
LARGEST = 2**20
_WIDTH, _UNITS = Range(at_least=2, at_most=LARGEST), Range(at_least=1, at_most=LARGEST)


class GateName(Enum):
    """How words choose experts."""

    noisy_top_k = "noisy_top_k"
    hierarchical = "hierarchical"
    balanced = "balanced"


class Attention(Enum):
    """The score of a source position for a query."""

    multiplicative = "multiplicative"
    additive = "additive"


@dataclass
class ModelConfig:
    """LSTM, mixture of experts, LSTM, on both sides."""

    width: int = setting(128, "appendix E: 512 into and out of every layer", _WIDTH)
    num_units: int = setting(256, "appendix E: 2,048 LSTM units", _WIDTH)
    # Table 9 shows experts that know the words to the right; GNMT has such a pair at the bottom.
    # Both readings give the 85 million operations of Table 2.
    bidirectional: bool = setting(True, "not stated: 3 layers with a bidirectional pair, or not")
    num_experts: int = setting(
        0, "appendix E: 0, 32, 512, 2,048", Range(at_least=0, at_most=LARGEST)
    )
    # Before it has learnt anything a mixture adds dropout(sigmoid(0)), which alone lowers the
    # perplexity.
    constant: bool = setting(
        False, "ours: num_experts=0 adds what a mixture adds before it learns; a control"
    )
    num_groups: int = setting(16, "hierarchical gate, not stated", _UNITS)
    expert_units: int = setting(64, "appendix E: 2,048", _UNITS)
    k: int = setting(4, "appendix E: 4 experts per word; 2 of 2 by a hierarchy", _UNITS)
    gate: GateName = setting(GateName.noisy_top_k, "appendix E: strictly balanced")
    attention: Attention = setting(Attention.multiplicative, "appendix G; GNMT: additive")
    attention_units: int = setting(128, "not stated", _UNITS)
    dropout: float = setting(0.2, "appendix E: 0.4", Range(at_least=0, below=1))
    precision: Precision = setting(
        Precision.float32, "not stated; bfloat16: mixed, experts rounded stochastically"
    )
    # GNMT: 0.04 at a width of 1,024, which is 0.11 at 128 by the inverse root of the width.
    init_range: float = setting(0.11, "not stated; GNMT: 0.04", Range(above=0, at_most=1000))


_STEPS, _WEIGHT = Range(at_least=1, at_most=10_000_000), Range(at_least=0, at_most=1000)


@dataclass
class TranslationConfig(CorpusConfig, ModelConfig, DecodingConfig):
    """One model of the translation study."""

    name: str = "translation"
    seed: int = setting(0, "of weights, dropout, routing noise and order; the first", SEED)
    num_seeds: int = setting(1, "ours: trainings", Range(at_least=1, at_most=10_000))
    # Many small steps: in half an hour of two cores, few large ones bring no French.
    tokens_per_batch: int = setting(
        1024,
        "appendix E: about 16,000 words per GPU, padding included here",
        Range(at_least=16, at_most=10_000_000),
    )
    batches_per_step: int = setting(
        1, "not stated: gradients added up before an update", Range(at_least=1, at_most=100_000)
    )
    max_steps: int = setting(3000, "not stated", _STEPS)
    # By the wide model's held-out chapters alone, in five trials of 200 to 1,800 steps.
    learning_rate: float = setting(0.004, "not stated: the highest", Range(above=0, at_most=1000))
    # By held-out chapters at step 750, where 2,048 experts had a perplexity of 43.9, 40.3, 40.4 and
    # 41.0 at the full rate, 1/4, 1/16 and 1/64; one wide expert 38.1 and 38.2 at the first two.
    expert_learning_rate: float = setting(
        0.25, "not stated: of the experts, as a share of learning_rate", _WEIGHT
    )
    gate_learning_rate: float = setting(
        1.0, "not stated: of the gates, as a share of learning_rate", Range(above=0, at_most=1000)
    )
    factored: bool = setting(
        True, "appendix D: factored second moment and no first one for the experts; else Adam"
    )
    warm_up_steps: int = setting(200, "appendix E: 2,000", _STEPS)
    constant_steps: int = setting(
        1000, "appendix E: 8,000, then 1/sqrt", Range(at_least=0, at_most=10_000_000)
    )
    importance_weight: float = setting(0.01, "appendix E: w_importance", _WEIGHT)
    load_weight: float = setting(0.01, "appendix E: w_load", _WEIGHT)
    batchwise_weight: float = setting(
        0.01, "not stated: of the balanced gate's thresholds", _WEIGHT
    )
    label_smoothing: float = setting(0.0, "not stated", Range(at_least=0, below=1))
    clip_norm: float = setting(5.0, "not stated; GNMT: 5", Range(above=0, at_most=1e9))
    evaluate_every: int = setting(250, "steps", _STEPS)
    patience: int = setting(4, "evaluations without a gain before it stops", _STEPS)
    report_every: int = setting(20, "steps between points of the curves", _STEPS)
    checkpoint_seconds: float = setting(300.0, "time between checkpoints", SECONDS)
    device: Device = setting(Device.cpu, "cuda takes the first GPU")
    num_processes: int = setting(
        1,
        "that train together: torchrun and experiments.translation.distributed",
        Range(at_least=1, at_most=100_000),
    )
    # A suite trains one model per core.
    num_threads: int = setting(1, "0 takes one per core", Range(at_least=0, at_most=1024))


def check(config: TranslationConfig) -> None:
    """Reject settings that contradict each other.

    Raises:
        UserError: naming the settings and the fix.
    """
    if config.width >= config.num_units:
        wider = 2 * config.width
        raise UserError(
            f"study.width={config.width} must be smaller than study.num_units={config.num_units}: "
            "LSTMs project their units to the width.",
            f"Take study.num_units={wider}."
            if wider <= LARGEST
            else f"Take study.width={LARGEST // 2} or less.",
        )
    if config.num_experts and config.gate is GateName.hierarchical:
        _check_hierarchy(config)
    elif config.num_experts and config.k > config.num_experts:
        raise UserError(
            f"study.k={config.k} is more than study.num_experts={config.num_experts}.",
            f"Take at most study.k={config.num_experts}.",
        )
    if config.constant and config.num_experts:
        raise UserError(
            f"study.constant=true stands in the place of experts, and study.num_experts="
            f"{config.num_experts}.",
            "Take study.num_experts=0, or leave study.constant out.",
        )
    if config.num_processes > 1 and (config.num_seeds > 1 or not config.factored):
        raise UserError(
            "Processes that train together take study.num_seeds=1 and study.factored=true.",
            "Leave both out, and give study.seed for another training.",
        )
    _check_languages(config)
    if config.kinds and config.corpus is CorpusName.files:
        raise UserError(
            f"study.kinds={config.kinds} are of the Bible or the domains, and study.corpus=files "
            "has none.",
            "Leave study.kinds out.",
        )


def _check_languages(config: TranslationConfig) -> None:
    unknown = [language for language in config.languages if language not in LANGUAGES]
    num_twice = len(config.languages) - len(set(config.languages))
    if config.languages and not unknown and not num_twice:
        return
    problem = f"has no {', '.join(unknown)}" if unknown else "names one twice"
    raise UserError(
        f"study.languages={config.languages} {problem if config.languages else 'is empty'}.",
        f"Choose from {', '.join(LANGUAGES)}, each once: study.languages=[fr].",
    )


def _check_hierarchy(config: TranslationConfig) -> None:
    k, groups = _best_hierarchy(config)
    if (k, groups) == (config.k, config.num_groups):
        return
    each = isqrt(config.k)
    if config.num_experts % config.num_groups:
        problem = f"study.num_groups={config.num_groups} must divide study.num_experts="
        problem += f"{config.num_experts}."
    elif each**2 != config.k:
        problem = f"study.k={config.k} has no whole root: a hierarchy takes the root on either "
        problem += "level."
    else:
        problem = f"study.k={config.k} takes {each} groups and {each} experts of each, and study."
        problem += f"num_groups={config.num_groups} of study.num_experts={config.num_experts} have "
        problem += "fewer."
    raise UserError(problem, f"Take study.k={k} with study.num_groups={groups}.")


def _best_hierarchy(config: TranslationConfig) -> tuple[int, int]:
    """The nearest k and number of groups that a hierarchy of so many experts can have."""
    num_experts = config.num_experts
    small = [size for size in range(1, isqrt(num_experts) + 1) if num_experts % size == 0]
    found = [
        (min(size, isqrt(config.k)) ** 2, groups)
        for size in small
        for groups in (size, num_experts // size)
    ]
    return min(found, key=lambda it: (config.k - it[0], abs(config.num_groups - it[1])))


_OF_MIXTURE = (
    "num_groups",
    "expert_units",
    "k",
    "gate",
    "expert_learning_rate",
    "gate_learning_rate",
    "factored",
)
_OF_BALANCE = ("importance_weight", "load_weight", "batchwise_weight")
_OF_SPLITS = ("english", "french", "languages", "valid_share", "test_share", "split_seed")
_FILES = tuple(f"{split}_{side}" for split in ("train", "valid", "test")
               for side in ("source", "target"))  # fmt: skip


def idle(config: TranslationConfig) -> dict[str, str]:
    """Settings that have no effect beside the others, and why."""
    return _idle_of_gate(config) | _idle_of_text(config) | _idle_of_steps(config)


def _idle_of_gate(config: TranslationConfig) -> dict[str, str]:
    gate, own = config.gate, f"study.gate={config.gate.name}"
    return without_effect(
        (gate is not GateName.hierarchical, f"{own} has no groups", ("num_groups",)),
        (gate is not GateName.balanced, f"{own} has no thresholds", ("batchwise_weight",)),
        (gate is GateName.balanced, f"{own} gives all experts one load", ("load_weight",)),
        # The last rule of a setting is what is said of it.
        (
            config.num_experts == 0,
            "study.num_experts=0 has no mixture",
            (*_OF_MIXTURE, *_OF_BALANCE),
        ),
    )


def _idle_of_text(config: TranslationConfig) -> dict[str, str]:
    own = f"study.corpus={config.corpus.name}"
    is_files = config.corpus is CorpusName.files
    is_domains = config.corpus is CorpusName.domains
    return without_effect(
        (is_files, f"{own} has its own splits", _OF_SPLITS),
        (not is_files, f"{own} has its own text", _FILES),
        (not is_domains, f"{own} has no domains", ("pairs_per_domain",)),
        (is_domains, f"{own} is English and French", ("languages",)),
        (
            config.corpus is CorpusName.bible and "fr" not in config.languages,
            "study.languages has no French",
            ("french",),
        ),
    )


def _idle_of_steps(config: TranslationConfig) -> dict[str, str]:
    last, past = config.max_steps, "it is past the last step"
    ends = "study.max_steps ends within the warm-up"
    return without_effect(
        (config.evaluate_every > last, past, ("evaluate_every",)),
        (config.report_every > last, past, ("report_every",)),
        (config.warm_up_steps >= last, ends, ("constant_steps",)),
    )
