"""How a training of one of the studies begins, where it does not begin as published.

Also what such a run takes; see `experiments.vowel.estimate`.
"""

from dataclasses import dataclass, replace
from enum import Enum

from experiments.clusters.settings import ClustersConfig, Model
from experiments.clusters.settings import check as check_clusters
from experiments.clusters.settings import idle as idle_clusters
from experiments.runner.errors import UserError
from experiments.runner.resources import Estimate, Part
from experiments.runner.schema import Range, setting, without_effect
from experiments.translation.settings import TranslationConfig
from experiments.translation.settings import check as check_translation
from experiments.translation.settings import idle as idle_translation
from experiments.vowel.settings import System, VowelConfig
from experiments.vowel.settings import check as check_vowel
from experiments.vowel.settings import idle as idle_vowel

# Of a row of start.csv: its measures, some of them by scikit-learn.
_SECONDS_PER_ROW, _BYTES_PER_ROW = 0.01, 1500
_SIZE, _STEPS = Range(at_least=0, at_most=1000), Range(at_least=1, at_most=10_000_000)


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
        5.0, "ours: lead of the first expert's logit in a collapsed gate", _SIZE
    )
    expert_start: ExpertStart = setting(ExpertStart.own, "ours: question 3")
    expert_noise: float = setting(
        0.0,
        "ours: normal noise added to the experts' start, as a share of their size",
        _SIZE,
    )
    references: bool = setting(
        False, "ours, question 5: also k-means and a Gaussian mixture on the gate's inputs"
    )


@dataclass
class VowelStartConfig(VowelConfig, StartConfig):
    """The vowel study's mixture; it trains on to `max_epochs` instead of stopping at an error."""

    name: str = "vowel_start"
    num_seeds: int = setting(25, "ours", Range(at_least=1, at_most=100_000))
    # Half of the fastest step needs twice the epochs.
    max_epochs: int = setting(4000, "ours", Range(at_least=1, at_most=10_000_000))
    snapshot_every: int = setting(
        40, "epochs between measurements", Range(at_least=1, at_most=10_000_000)
    )


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
    collapse_at: int = setting(50, "ours: steps", _STEPS)
    measure_every: int = setting(50, "ours: steps between measurements", _STEPS)


def check_vowel_start(config: VowelStartConfig) -> None:
    """Reject settings that contradict each other.

    Raises:
        UserError: naming the settings and the fix.
    """
    if config.system is not System.mixture:
        raise UserError(
            f"study.system={config.system.name} has no gate and no experts.",
            "Leave study.system out.",
        )
    check_vowel(config)


def check_clusters_start(config: ClustersStartConfig) -> None:
    """Reject settings that contradict each other; see `check_vowel_start`."""
    if config.model is Model.single:
        raise UserError("study.model=single has no gate.", "Leave study.model out.")
    if config.array is not None:
        raise UserError(
            f"study.array={config.array} is for study=clusters: starts are made of signals.",
            "Leave study.array out.",
        )
    check_clusters(config)
    _check_choice(config.num_experts)
    if config.gate_start is GateStart.collapsed and config.beta[0] == 0:
        raise UserError(
            "study.gate_start=collapsed sends examples to one expert by the centres of their "
            f"clusters, and study.beta={config.beta} has examples without one.",
            f"Take study.beta=[{max(config.beta[1], 1.0) / 2:g},{max(config.beta[1], 1.0):g}], or "
            "another study.gate_start.",
        )


def check_translation_start(config: TranslationStartConfig) -> None:
    """Reject settings that contradict each other; see `check_vowel_start`."""
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
    _check_choice(config.num_experts, config.k)
    check_translation(config)
    if config.gate_start is GateStart.collapsed and config.collapse_at >= config.max_steps:
        earlier = max(1, config.max_steps // 2)
        raise UserError(
            f"study.collapse_at={config.collapse_at} is not before the last step, "
            f"study.max_steps={config.max_steps}.",
            f"Take study.collapse_at={earlier}"
            + (" and study.max_steps=2." if config.max_steps == 1 else "."),
        )


def _check_choice(num_experts: int, k: int = 1) -> None:
    if num_experts < 2:
        raise UserError(
            f"study.num_experts={num_experts} leaves a gate nothing to choose.",
            f"Take at least study.num_experts={max(2, k)}.",
        )


def idle_vowel_start(config: VowelStartConfig) -> dict[str, str]:
    """Settings that have no effect beside the others, and why."""
    return idle_vowel(config) | _idle(
        config,
        (
            config.step_size is not None,
            "every seed trains to study.max_epochs",
            ("stop_measure", "stop_error"),
        ),
    )


def idle_clusters_start(config: ClustersStartConfig) -> dict[str, str]:
    """See `idle_vowel_start`."""
    why = "every seed trains to the last step, on all examples of one sample"
    names = ("batch_size", "early_stop", "stop_rise", "stop_loss", "stop_after", "fresh_data")
    others = ("fresh_noise", "init_seed", "noise_seed", "snapshot_every", "keep_picture")
    return idle_clusters(config) | _idle(config, (True, why, names + others))


def idle_translation_start(config: TranslationStartConfig) -> dict[str, str]:
    """See `idle_vowel_start`."""
    searched: tuple[str, ...] = ("beam_width", "length_penalty", "coverage_penalty")
    searched += ("score_margin", "max_length_ratio", "sentences_per_batch", "num_translated")
    return idle_translation(config) | _idle(
        config,
        (True, "nothing is translated", searched),
        (True, "it is measured every study.measure_every steps", ("evaluate_every", "patience")),
        (True, "small models are trained on the CPU", ("device",)),
        (config.gate_start is not GateStart.collapsed, "nothing collapses", ("collapse_at",)),
    )


def _idle(config: StartConfig, *rules: tuple[bool, str, tuple[str, ...]]) -> dict[str, str]:
    is_collapsed = config.gate_start is GateStart.collapsed
    return without_effect(*rules, (not is_collapsed, "nothing collapses", ("collapse",)))


# The studies' own estimates are imported late: they stand beside code that needs torch.


def estimate_vowel_start(config: VowelStartConfig) -> Estimate:
    """What a run takes: that of the study, and the rows of start.csv."""
    from experiments.vowel.estimate import estimate

    num_rows = config.max_epochs // config.snapshot_every + 2
    return _with_rows(estimate(config), {"num_seeds": config.num_seeds, "snapshots": num_rows})


def estimate_clusters_start(config: ClustersStartConfig) -> Estimate:
    """What a run takes: see `estimate_vowel_start`."""
    from experiments.clusters.estimate import estimate

    # These runs train on the whole sample, and keep neither pictures nor snapshots.
    whole = replace(config, batch_size=0, keep_picture=False, snapshot_every=config.max_steps)
    num_rows = config.max_steps // config.curve_every + 2
    return _with_rows(estimate(whole), {"num_seeds": config.num_seeds, "points": num_rows})


def estimate_translation_start(config: TranslationStartConfig) -> Estimate:
    """What a run takes: see `estimate_vowel_start`. No sentence is translated."""
    from experiments.translation.estimate import estimate

    # The estimate of one training; seeds follow each other, so that time alone multiplies.
    one = estimate(replace(config, num_translated=1, sentences_per_batch=1))
    seeds = {"num_seeds": config.num_seeds}
    time = [Part(part.what, part.each, {**seeds, **part.factors}) for part in one.time]
    num_rows = config.max_steps // config.measure_every + 2
    levers = ("num_seeds", *one.levers, "+measure_every")
    return _with_rows(Estimate(one.memory, time, levers), {**seeds, "measurements": num_rows}, 2.0)


def _with_rows(
    own: Estimate, factors: dict[str, float], seconds: float = _SECONDS_PER_ROW
) -> Estimate:
    memory = [*own.memory, Part("measurements take", _BYTES_PER_ROW, factors)]
    return Estimate(memory, [*own.time, Part("measuring takes", seconds, factors)], own.levers)
