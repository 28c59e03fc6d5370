"""Settings of the translation study; "appendix" is of Shazeer et al. (2017)."""

from dataclasses import dataclass
from math import isqrt

from experiments.errors import UserError
from experiments.schema import SECONDS, SEED, Device, Range, setting, without_effect
from experiments.translation.settings_corpus import CorpusConfig, CorpusName
from experiments.translation.settings_decoding import DecodingConfig
from experiments.translation.settings_model import LARGEST, GateName, ModelConfig

_STEPS, _WEIGHT = Range(at_least=1, at_most=10_000_000), Range(at_least=0, at_most=1000)


@dataclass
class TranslationConfig(CorpusConfig, ModelConfig, DecodingConfig):
    """One model of the translation study."""

    name: str = "translation"
    seed: int = setting(0, "of weights, dropout, routing noise and order", SEED)
    tokens_per_batch: int = setting(
        4096,
        "appendix E: about 16,000 words per GPU, padding included here",
        Range(at_least=16, at_most=10_000_000),
    )
    batches_per_step: int = setting(
        1, "not stated: gradients added up before an update", Range(at_least=1, at_most=100_000)
    )
    max_steps: int = setting(700, "not stated", _STEPS)
    learning_rate: float = setting(0.002, "not stated: the highest", Range(above=0, at_most=1000))
    expert_learning_rate: float = setting(
        1.0, "not stated: of the experts, as a share of learning_rate", _WEIGHT
    )
    warm_up_steps: int = setting(100, "appendix E: 2,000", _STEPS)
    constant_steps: int = setting(
        400, "appendix E: 8,000, then 1/sqrt", Range(at_least=0, at_most=10_000_000)
    )
    importance_weight: float = setting(0.01, "appendix E: w_importance", _WEIGHT)
    load_weight: float = setting(0.01, "appendix E: w_load", _WEIGHT)
    batchwise_weight: float = setting(
        0.01, "not stated: of the balanced gate's thresholds", _WEIGHT
    )
    label_smoothing: float = setting(0.0, "not stated", Range(at_least=0, below=1))
    clip_norm: float = setting(5.0, "not stated; GNMT: 5", Range(above=0, at_most=1e9))
    evaluate_every: int = setting(100, "steps", _STEPS)
    patience: int = setting(4, "evaluations without a gain before it stops", _STEPS)
    report_every: int = setting(20, "steps between points of the curves", _STEPS)
    checkpoint_seconds: float = setting(300.0, "time between checkpoints", SECONDS)
    device: Device = setting(Device.cpu, "cuda takes the first GPU")
    num_processes: int = setting(
        1,
        "that train together: torchrun and experiments.translation.distributed",
        Range(at_least=1, at_most=100_000),
    )
    num_threads: int = setting(0, "0 takes one per core", Range(at_least=0, at_most=1024))


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
    if config.kinds and config.corpus is CorpusName.files:
        raise UserError(
            f"study.kinds={config.kinds} are of the Bible or the domains, and study.corpus=files "
            "has none.",
            "Leave study.kinds out.",
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


def idle(config: TranslationConfig) -> dict[str, str]:
    """Settings that have no effect beside the others, and why."""
    is_files = config.corpus is CorpusName.files
    past = "it is past the last step"
    return without_effect(
        (
            config.gate is not GateName.hierarchical,
            f"study.gate={config.gate.name} has no groups",
            ("num_groups",),
        ),
        (
            config.gate is not GateName.balanced,
            f"study.gate={config.gate.name} has no thresholds",
            ("batchwise_weight",),
        ),
        (
            config.gate is GateName.balanced,
            "study.gate=balanced gives all experts one load",
            ("load_weight",),
        ),
        (
            config.num_experts == 0,
            "study.num_experts=0 has no mixture",
            (
                "num_groups",
                "expert_units",
                "k",
                "gate",
                "expert_learning_rate",
                "importance_weight",
                "load_weight",
                "batchwise_weight",
            ),
        ),
        (
            is_files,
            "study.corpus=files has its own splits",
            ("english", "french", "valid_share", "test_share", "split_seed"),
        ),
        (
            not is_files,
            f"study.corpus={config.corpus.name} has its own text",
            (
                "train_source",
                "train_target",
                "valid_source",
                "valid_target",
                "test_source",
                "test_target",
            ),
        ),
        (
            config.corpus is not CorpusName.domains,
            f"study.corpus={config.corpus.name} has no domains",
            ("pairs_per_domain",),
        ),
        (config.evaluate_every > config.max_steps, past, ("evaluate_every",)),
        (config.report_every > config.max_steps, past, ("report_every",)),
        (
            config.warm_up_steps >= config.max_steps,
            "study.max_steps ends within the warm-up",
            ("constant_steps",),
        ),
    )
