"""Settings of the translation study; "appendix" is of Shazeer et al. (2017)."""

from dataclasses import dataclass
from enum import Enum

from experiments.errors import UserError
from experiments.schema import Range, setting
from experiments.translation.settings_corpus import CorpusConfig
from experiments.translation.settings_decoding import DecodingConfig
from experiments.translation.settings_model import GateName, ModelConfig


class Device(Enum):
    """Where the model is trained."""

    cpu = "cpu"
    cuda = "cuda"


@dataclass
class TranslationConfig(CorpusConfig, ModelConfig, DecodingConfig):
    """One model of the translation study."""

    name: str = "translation"
    seed: int = setting(0, "of weights, dropout, routing noise and order", Range(at_least=0))
    tokens_per_batch: int = setting(
        4096, "appendix E: about 16,000 words per GPU, padding included here", Range(at_least=16)
    )
    batches_per_step: int = setting(
        1, "not stated: gradients added up before an update", Range(at_least=1)
    )
    max_steps: int = setting(700, "not stated", Range(at_least=1))
    learning_rate: float = setting(0.002, "not stated: the highest", Range(above=0))
    expert_learning_rate: float = setting(
        1.0, "not stated: of the experts, as a share of learning_rate", Range(at_least=0)
    )
    warm_up_steps: int = setting(100, "appendix E: 2,000", Range(at_least=1))
    constant_steps: int = setting(400, "appendix E: 8,000, then 1/sqrt", Range(at_least=0))
    importance_weight: float = setting(0.01, "appendix E: w_importance", Range(at_least=0))
    load_weight: float = setting(0.01, "appendix E: w_load", Range(at_least=0))
    batchwise_weight: float = setting(
        0.01, "not stated: of the balanced gate's thresholds", Range(at_least=0)
    )
    label_smoothing: float = setting(0.0, "not stated", Range(at_least=0, below=1))
    clip_norm: float = setting(5.0, "not stated; GNMT: 5", Range(above=0))
    evaluate_every: int = setting(100, "steps", Range(at_least=1))
    patience: int = setting(4, "evaluations without a gain before it stops", Range(at_least=1))
    report_every: int = setting(20, "steps between points of the curves", Range(at_least=1))
    checkpoint_seconds: float = setting(300.0, "time between checkpoints", Range(at_least=0))
    device: Device = setting(Device.cpu, "cuda takes the first GPU")
    num_processes: int = setting(
        1,
        "that train together: torchrun and experiments.translation.distributed",
        Range(at_least=1),
    )
    num_threads: int = setting(0, "0 takes one per core", Range(at_least=0, at_most=1024))


def check(config: TranslationConfig) -> None:
    """Reject settings that contradict each other.

    Raises:
        UserError: naming the settings and the fix.
    """
    if config.width >= config.num_units:
        raise UserError(
            f"study.width={config.width} must be smaller than study.num_units={config.num_units}: "
            "LSTMs project their units to the width.",
            "Take a smaller study.width or a larger study.num_units.",
        )
    if config.num_experts and config.k > config.num_experts:
        raise UserError(
            f"study.k={config.k} is more than study.num_experts={config.num_experts}.",
            "Take a smaller study.k.",
        )
    if config.gate is GateName.hierarchical and config.num_experts:
        _check_hierarchy(config)


def _check_hierarchy(config: TranslationConfig) -> None:
    if config.num_experts % config.num_groups:
        raise UserError(
            f"study.num_groups={config.num_groups} must divide "
            f"study.num_experts={config.num_experts}.",
            "Take a number of groups that does.",
        )
    if round(config.k**0.5) ** 2 != config.k:
        raise UserError(
            f"study.k={config.k} has no whole root: a hierarchy takes the root on either level.",
            "Take study.k of 1, 4 or 9.",
        )
