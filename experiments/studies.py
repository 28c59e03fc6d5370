"""The studies that exist. A new study adds one entry here and one package beside this file.

Settings are imported here, since every command reads them. What computes is named and imported when
it is first called: torch and the libraries of the studies take seconds to import, and a command
that only has a typo to report needs none of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from experiments.clusters import settings as clusters_settings
from experiments.language_model import settings as language_model_settings
from experiments.runner.resources import Estimator
from experiments.scaling import settings as scaling_settings
from experiments.starts import settings as start_settings
from experiments.translation import settings as translation_settings
from experiments.vowel import settings as vowel_settings

if TYPE_CHECKING:
    from experiments.run_folder import RunFolder


def late(place: str) -> Callable[..., Any]:
    """The function at `module:name`, whose module is imported when it is first called."""
    module, _, name = place.partition(":")

    def call(*arguments: Any) -> Any:
        return getattr(import_module(module), name)(*arguments)

    # Whoever asks where the function is defined gets its own place.
    call.__module__, call.__qualname__ = module, name
    return call


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
    run: Callable[[Any, "RunFolder", Callable[[str, float], None]], dict[str, Any]]
    modules: Callable[[Any], tuple[str, ...]] = lambda config: ()
    idle: Callable[[Any], dict[str, str]] = lambda config: {}
    multiplies_by_expert: Callable[[Any], bool] = lambda config: True


STUDIES: dict[str, Study] = {
    "vowel": Study(
        vowel_settings.VowelConfig,
        vowel_settings.check,
        late("experiments.vowel.estimate:estimate"),
        late("experiments.vowel.study:identity"),
        late("experiments.vowel.study:run"),
        idle=vowel_settings.idle,
        multiplies_by_expert=vowel_settings.is_layer,
    ),
    "vowel_reference": Study(
        vowel_settings.ReferenceConfig,
        vowel_settings.check_reference,
        late("experiments.vowel.estimate:estimate_reference"),
        late("experiments.vowel.study:identity"),
        late("experiments.vowel.study:run_reference"),
        idle=vowel_settings.idle_reference,
        multiplies_by_expert=lambda config: False,
    ),
    "vowel_multiverse": Study(
        vowel_settings.MultiverseConfig,
        late("experiments.vowel.multiverse:check"),
        late("experiments.vowel.estimate:estimate_multiverse"),
        late("experiments.vowel.study:identity"),
        late("experiments.vowel.multiverse:run"),
        multiplies_by_expert=lambda config: False,
    ),
    "clusters": Study(
        clusters_settings.ClustersConfig,
        clusters_settings.check,
        late("experiments.clusters.estimate:estimate"),
        late("experiments.clusters.study:identity"),
        late("experiments.clusters.study:run"),
        idle=clusters_settings.idle,
    ),
    "scaling": Study(
        scaling_settings.ScalingConfig,
        scaling_settings.check,
        scaling_settings.estimate,
        late("experiments.scaling.study:identity"),
        late("experiments.scaling.study:run"),
    ),
    "translation": Study(
        translation_settings.TranslationConfig,
        translation_settings.check,
        late("experiments.translation.estimate:estimate"),
        late("experiments.translation.study:identity"),
        late("experiments.translation.study:run"),
        late("experiments.translation.study:modules"),
        idle=translation_settings.idle,
    ),
    "language_model": Study(
        language_model_settings.LanguageModelConfig,
        language_model_settings.check,
        late("experiments.language_model.estimate:estimate"),
        late("experiments.language_model.study:identity"),
        late("experiments.language_model.study:run"),
        idle=language_model_settings.idle,
    ),
    "language_model_search": Study(
        language_model_settings.SearchConfig,
        language_model_settings.check,
        late("experiments.language_model.estimate:estimate_search"),
        late("experiments.language_model.study:identity"),
        late("experiments.language_model.search:run"),
        idle=language_model_settings.idle_search,
    ),
    "vowel_start": Study(
        start_settings.VowelStartConfig,
        start_settings.check_vowel_start,
        start_settings.estimate_vowel_start,
        late("experiments.vowel.study:identity"),
        late("experiments.starts.vowel:run"),
        idle=start_settings.idle_vowel_start,
        multiplies_by_expert=vowel_settings.is_layer,
    ),
    "clusters_start": Study(
        start_settings.ClustersStartConfig,
        start_settings.check_clusters_start,
        start_settings.estimate_clusters_start,
        late("experiments.clusters.study:identity"),
        late("experiments.starts.clusters:run"),
        idle=start_settings.idle_clusters_start,
    ),
    "translation_start": Study(
        start_settings.TranslationStartConfig,
        start_settings.check_translation_start,
        start_settings.estimate_translation_start,
        late("experiments.translation.study:identity"),
        late("experiments.starts.translation:run"),
        idle=start_settings.idle_translation_start,
    ),
}
