"""The studies that exist. A new study adds one entry here and one package beside this file."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from experiments.clusters import estimate as clusters_estimate
from experiments.clusters import settings as clusters_settings
from experiments.clusters import study as clusters_study
from experiments.language_model import estimate as language_model_estimate
from experiments.language_model import search as language_model_search
from experiments.language_model import settings as language_model_settings
from experiments.language_model import study as language_model_study
from experiments.run_folder import RunFolder
from experiments.runner.resources import Estimator
from experiments.scaling import settings as scaling_settings
from experiments.scaling import study as scaling_study
from experiments.starts import clusters as clusters_start
from experiments.starts import settings as start_settings
from experiments.starts import translation as translation_start
from experiments.starts import vowel as vowel_start
from experiments.translation import estimate as translation_estimate
from experiments.translation import settings as translation_settings
from experiments.translation import study as translation_study
from experiments.vowel import estimate as vowel_estimate
from experiments.vowel import multiverse as vowel_multiverse
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
        run: (config, folder, report) -> facts for the manifest; all code that its module imports
            decides its results.
        modules: whose imports decide them too, by config.
        idle: settings that have no effect beside the others of a config, and why.
        multiplies_by_expert: whether a config's numbers hang on what multiplies rows with experts.
    """

    schema: type[Any]
    check: Callable[[Any], None]
    estimate: Estimator
    identity: Callable[[Any], dict[str, object]]
    run: Callable[[Any, RunFolder, Callable[[str, float], None]], dict[str, Any]]
    modules: Callable[[Any], tuple[str, ...]] = lambda config: ()
    idle: Callable[[Any], dict[str, str]] = lambda config: {}
    multiplies_by_expert: Callable[[Any], bool] = lambda config: True


STUDIES: dict[str, Study] = {
    "vowel": Study(
        vowel_settings.VowelConfig,
        vowel_settings.check,
        vowel_estimate.estimate,
        vowel_study.identity,
        vowel_study.run,
        idle=vowel_settings.idle,
        multiplies_by_expert=vowel_settings.is_layer,
    ),
    "vowel_reference": Study(
        vowel_settings.ReferenceConfig,
        vowel_settings.check_reference,
        vowel_estimate.estimate_reference,
        vowel_study.identity,
        vowel_study.run_reference,
        idle=vowel_settings.idle_reference,
        multiplies_by_expert=lambda config: False,
    ),
    "vowel_multiverse": Study(
        vowel_settings.MultiverseConfig,
        vowel_multiverse.check,
        vowel_estimate.estimate_multiverse,
        vowel_study.identity,
        vowel_multiverse.run,
        multiplies_by_expert=lambda config: False,
    ),
    "clusters": Study(
        clusters_settings.ClustersConfig,
        clusters_settings.check,
        clusters_estimate.estimate,
        clusters_study.identity,
        clusters_study.run,
        idle=clusters_settings.idle,
    ),
    "scaling": Study(
        scaling_settings.ScalingConfig,
        scaling_settings.check,
        scaling_settings.estimate,
        scaling_study.identity,
        scaling_study.run,
    ),
    "translation": Study(
        translation_settings.TranslationConfig,
        translation_settings.check,
        translation_estimate.estimate,
        translation_study.identity,
        translation_study.run,
        translation_study.modules,
        idle=translation_settings.idle,
    ),
    "language_model": Study(
        language_model_settings.LanguageModelConfig,
        language_model_settings.check,
        language_model_estimate.estimate,
        language_model_study.identity,
        language_model_study.run,
        idle=language_model_settings.idle,
    ),
    "language_model_search": Study(
        language_model_settings.SearchConfig,
        language_model_settings.check,
        language_model_estimate.estimate_search,
        language_model_study.identity,
        language_model_search.run,
        idle=language_model_settings.idle_search,
    ),
    "vowel_start": Study(
        start_settings.VowelStartConfig,
        start_settings.check_vowel_start,
        start_settings.estimate_vowel_start,
        vowel_study.identity,
        vowel_start.run,
        idle=start_settings.idle_vowel_start,
        multiplies_by_expert=vowel_settings.is_layer,
    ),
    "clusters_start": Study(
        start_settings.ClustersStartConfig,
        start_settings.check_clusters_start,
        start_settings.estimate_clusters_start,
        clusters_study.identity,
        clusters_start.run,
        idle=start_settings.idle_clusters_start,
    ),
    "translation_start": Study(
        start_settings.TranslationStartConfig,
        start_settings.check_translation_start,
        start_settings.estimate_translation_start,
        translation_study.identity,
        translation_start.run,
        idle=start_settings.idle_translation_start,
    ),
}
