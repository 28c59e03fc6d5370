"""How a training of one of the studies begins, where it does not begin as published."""

from dataclasses import dataclass
from enum import Enum

from experiments.clusters.settings import ClustersConfig
from experiments.clusters.settings import check as check_clusters
from experiments.errors import UserError
from experiments.schema import Range, setting
from experiments.translation.settings import TranslationConfig
from experiments.translation.settings import check as check_translation
from experiments.vowel.settings import System, VowelConfig
from experiments.vowel.settings import check as check_vowel


class GateStart(Enum):
    """The gate at the start: as the study has it, all cases to one expert, or held still."""

    published = "published"
    collapsed = "collapsed"
    frozen = "frozen"


class ExpertStart(Enum):
    """The experts at the start: each its own weights, or all those of the first."""

    own = "own"
    identical = "identical"


@dataclass
class StartConfig:
    """What differs from the published start."""

    gate_start: GateStart = setting(GateStart.published, "ours: question 2")
    collapse: float = setting(
        5.0, "ours: lead of the first expert's logit in a collapsed gate", Range(at_least=0)
    )
    expert_start: ExpertStart = setting(ExpertStart.own, "ours: question 3")
    expert_noise: float = setting(
        0.0,
        "ours: normal noise added to the experts' start, as a share of their size",
        Range(at_least=0),
    )
    references: bool = setting(
        False, "ours, question 5: also k-means and a Gaussian mixture on the gate's inputs"
    )


@dataclass
class VowelStartConfig(VowelConfig, StartConfig):
    """The vowel study's mixture; it trains on to `max_epochs` instead of stopping at an error."""

    name: str = "vowel_start"
    max_epochs: int = setting(2000, "ours", Range(at_least=1, at_most=10_000_000))
    snapshot_every: int = setting(20, "epochs between measurements", Range(at_least=1))


@dataclass
class ClustersStartConfig(ClustersConfig, StartConfig):
    """The clusters study's mixture."""

    name: str = "clusters_start"


@dataclass
class TranslationStartConfig(TranslationConfig, StartConfig):
    """A small model of the translation study.

    A collapsed gate collapses after `collapse_at` steps: it has no bias, and before any training
    words have no direction in common by which it could send them all to one expert.
    """

    name: str = "translation_start"
    num_seeds: int = setting(2, "ours", Range(at_least=1, at_most=100))
    collapse_at: int = setting(50, "ours: steps", Range(at_least=1))
    measure_every: int = setting(50, "ours: steps between measurements", Range(at_least=1))


def check_vowel_start(config: VowelStartConfig) -> None:
    """Reject settings that contradict each other.

    Raises:
        UserError: naming the settings and the fix.
    """
    check_vowel(config)
    if config.system is not System.mixture:
        raise UserError(
            f"study.system={config.system.name} has no gate and no experts.",
            "Leave study.system out.",
        )


def check_clusters_start(config: ClustersStartConfig) -> None:
    """Reject settings that contradict each other; see `check_vowel_start`."""
    check_clusters(config)
    _check_choice(config.num_experts)


def check_translation_start(config: TranslationStartConfig) -> None:
    """Reject settings that contradict each other; see `check_vowel_start`."""
    check_translation(config)
    _check_choice(config.num_experts)
    if config.num_processes > 1:
        raise UserError(
            f"study.num_processes={config.num_processes}: this study trains in one process.",
            "Leave it out.",
        )
    if config.gate.name != "noisy_top_k":
        raise UserError(
            f"study.gate={config.gate.name} cannot be collapsed or held still here.",
            "Take study.gate=noisy_top_k.",
        )


def _check_choice(num_experts: int) -> None:
    if num_experts < 2:
        raise UserError(
            f"study.num_experts={num_experts} leaves a gate nothing to choose.",
            "Take study.num_experts of at least 2.",
        )
