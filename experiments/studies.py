"""The studies that exist. A new study adds one entry here and one package beside this file."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from experiments.clusters import estimate as clusters_estimate
from experiments.clusters import settings as clusters_settings
from experiments.clusters import study as clusters_study
from experiments.questions import clusters as clusters_start
from experiments.questions import estimate as start_estimate
from experiments.questions import settings as start_settings
from experiments.questions import translation as translation_start
from experiments.questions import vowel as vowel_start
from experiments.resources import Estimator
from experiments.run_folder import RunFolder
from experiments.scaling import estimate as scaling_estimate
from experiments.scaling import settings as scaling_settings
from experiments.scaling import study as scaling_study
from experiments.translation import counts as translation_counts
from experiments.translation import settings as translation_settings
from experiments.translation import study as translation_study
from experiments.vowel import estimate as vowel_estimate
from experiments.vowel import multiverse as vowel_multiverse
from experiments.vowel import reference as vowel_reference
from experiments.vowel import settings as vowel_settings
from experiments.vowel import study as vowel_study


@dataclass(frozen=True)
class Study:
    """What the runner needs to know of a study.

    Attributes:
        schema: dataclass of its settings.
        check: raises UserError for settings that contradict each other.
        estimate: of the memory and time of a run.
        identity: what beside config and code decides its results (checksums of data).
        run: (config, folder, report) -> facts for the manifest.
        modules: packages and modules whose code decides its results.
        num_threads: threads of one run by its config; 0 takes one per core.
        idle: settings that have no effect beside the others of a config, and why.
    """

    schema: type[Any]
    check: Callable[[Any], None]
    estimate: Estimator
    identity: Callable[[Any], dict[str, object]]
    run: Callable[[Any, RunFolder, Callable[[str, float], None]], dict[str, Any]]
    modules: tuple[str, ...]
    num_threads: Callable[[Any], int] = lambda config: 1
    idle: Callable[[Any], dict[str, str]] = lambda config: {}


_VOWEL_MODULES = (
    "moe.experts",
    "moe.gates.cases_last",
    "moe.losses",
    "moe.measures.proportions",
    "moe.mixture",
    "experiments.vowel.data",
    "experiments.vowel.evaluation",
    "experiments.vowel.steps",
    "experiments.vowel.study",
    "experiments.vowel.systems",
    "experiments.vowel.training",
)

_CLUSTERS_MODULES = (
    "moe.balance",
    "moe.dispatch",
    "moe.gates.base",
    "moe.gates.uniform_noise",
    "moe.grouped.linear",
    "moe.grouped.reference",
    "moe.measures.classes",
    "moe.measures.load",
    "moe.plan",
    "moe.routing",
    "moe.stacked",
    "experiments.clusters.alignment",
    "experiments.clusters.data",
    "experiments.clusters.descent",
    "experiments.clusters.evaluation",
    "experiments.clusters.model",
    "experiments.clusters.objective",
    "experiments.clusters.picture",
    "experiments.clusters.polynomial",
    "experiments.clusters.records",
    "experiments.clusters.study",
    "experiments.clusters.training",
)

_TRANSLATION_MODULES = (
    "moe.balance",
    "moe.dispatch",
    "moe.gates",
    "moe.grouped",
    "moe.layer",
    "moe.measures",
    "moe.optimisers",
    "moe.plan",
    "moe.rounding",
    "moe.routing",
    "moe.second_moment",
    "moe.stacked",
    "experiments.translation.answers",
    "experiments.translation.batches",
    "experiments.translation.beam",
    "experiments.translation.bible",
    "experiments.translation.blocks",
    "experiments.translation.corpora",
    "experiments.translation.counts",
    "experiments.translation.domains",
    "experiments.translation.encoded",
    "experiments.translation.evaluation",
    "experiments.translation.expert_words",
    "experiments.translation.objective",
    "experiments.translation.optimisers",
    "experiments.translation.pairs",
    "experiments.translation.passages",
    "experiments.translation.recurrence",
    "experiments.translation.scoring",
    "experiments.translation.stepping",
    "experiments.translation.study",
    "experiments.translation.subwords",
    "experiments.translation.training",
    "experiments.translation.translator",
    "experiments.translation.word_classes",
)

_START_MODULES = ("moe.measures.similarity", "experiments.questions.measures")

STUDIES: dict[str, Study] = {
    "vowel": Study(
        vowel_settings.VowelConfig,
        vowel_settings.check,
        vowel_estimate.estimate,
        vowel_study.identity,
        vowel_study.run,
        _VOWEL_MODULES,
        idle=vowel_settings.idle,
    ),
    "vowel_reference": Study(
        vowel_settings.ReferenceConfig,
        vowel_settings.check_reference,
        vowel_estimate.estimate_reference,
        vowel_study.identity,
        vowel_reference.run,
        ("experiments.vowel.data", "experiments.vowel.reference"),
        idle=vowel_settings.idle_reference,
    ),
    "vowel_multiverse": Study(
        vowel_settings.MultiverseConfig,
        vowel_multiverse.check,
        vowel_estimate.estimate_multiverse,
        vowel_study.identity,
        vowel_multiverse.run,
        (*_VOWEL_MODULES, "experiments.vowel.multiverse"),
    ),
    "clusters": Study(
        clusters_settings.ClustersConfig,
        clusters_settings.check,
        clusters_estimate.estimate,
        clusters_study.identity,
        clusters_study.run,
        _CLUSTERS_MODULES,
        idle=clusters_settings.idle,
    ),
    "scaling": Study(
        scaling_settings.ScalingConfig,
        scaling_settings.check,
        scaling_estimate.estimate,
        scaling_study.identity,
        scaling_study.run,
        ("moe", "experiments.scaling"),
        num_threads=lambda config: int(config.num_threads),
    ),
    "translation": Study(
        translation_settings.TranslationConfig,
        translation_settings.check,
        translation_counts.estimate,
        translation_study.identity,
        translation_study.run,
        _TRANSLATION_MODULES,
        num_threads=lambda config: int(config.num_threads),
        idle=translation_settings.idle,
    ),
    "vowel_start": Study(
        start_settings.VowelStartConfig,
        start_settings.check_vowel_start,
        start_estimate.estimate_vowel_start,
        vowel_study.identity,
        vowel_start.run,
        (*_VOWEL_MODULES, *_START_MODULES, "experiments.questions.vowel"),
        idle=start_settings.idle_vowel_start,
    ),
    "clusters_start": Study(
        start_settings.ClustersStartConfig,
        start_settings.check_clusters_start,
        start_estimate.estimate_clusters_start,
        clusters_study.identity,
        clusters_start.run,
        (*_CLUSTERS_MODULES, *_START_MODULES, "experiments.questions.clusters"),
        idle=start_settings.idle_clusters_start,
    ),
    "translation_start": Study(
        start_settings.TranslationStartConfig,
        start_settings.check_translation_start,
        start_estimate.estimate_translation_start,
        translation_study.identity,
        translation_start.run,
        (
            *_TRANSLATION_MODULES,
            *_START_MODULES,
            "experiments.questions.text_starts",
            "experiments.questions.translation",
        ),
        num_threads=lambda config: int(config.num_threads),
        idle=start_settings.idle_translation_start,
    ),
}
