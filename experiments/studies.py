"""The studies that exist. A new study adds one entry here and one package beside this file.

Settings are imported here, since every command reads them. What computes is named and imported when
it is first called: torch and the libraries of the studies take seconds to import, and a command
that only has a typo to report needs none of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from math import inf
from typing import TYPE_CHECKING, Any

from experiments.clusters import settings as clusters_settings
from experiments.language_model import settings as language_model_settings
from experiments.measures import Curve, Measure
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
        measures: its main results; none where a run's table has no row for each seed.
        curves: of these measures, those that are also kept over training, and others.
    """

    schema: type[Any]
    check: Callable[[Any], None]
    estimate: Estimator
    identity: Callable[[Any], dict[str, object]]
    run: Callable[[Any, "RunFolder", Callable[[str, float], None]], dict[str, Any]]
    modules: Callable[[Any], tuple[str, ...]] = lambda config: ()
    idle: Callable[[Any], dict[str, str]] = lambda config: {}
    multiplies_by_expert: Callable[[Any], bool] = lambda config: True
    measures: tuple[Measure, ...] = ()
    curves: tuple[Curve, ...] = ()


def _accuracy(column: str, words: str) -> Measure:
    return Measure(column, words, "%", 100.0, (0.0, 100.0))


_POSITIVE = (0.0, inf)
_TEST_ACCURACY = _accuracy("test_accuracy", "test accuracy")
_VOWEL_MEASURES = (
    Measure("epochs", "epochs to the stop", bounds=_POSITIVE, at_limit=("status", "exhausted")),
    _TEST_ACCURACY,
    _accuracy("train_accuracy", "training accuracy"),
    Measure("live_experts", "live experts", bounds=_POSITIVE),
)
_VOWEL_CURVES = tuple(
    Curve(Measure(column, words, bounds=_POSITIVE, table="curves"), "epoch", "epochs of training")
    for column, words in (
        ("train_error", "training error"),
        ("live_experts", "live experts"),
    )
)
_CLUSTERS_MEASURES = (
    _TEST_ACCURACY,
    _accuracy("train_accuracy", "training accuracy"),
    Measure("entropy", "dispatch entropy", "nats", bounds=_POSITIVE),
)
_CLUSTERS_CURVES = tuple(
    Curve(replace(measure, table="curves"), "step", "steps of training")
    for measure in _CLUSTERS_MEASURES[1:]
)
_LANGUAGE_MODEL_MEASURES = (
    Measure("perplexity", "test perplexity", rows=(("split", "test"), ("kind", "all"))),
)
_TRANSLATION_MEASURES = (
    Measure("perplexity", "test perplexity", rows=(("split", "test"), ("language", "all"))),
)
_PERPLEXITY_CURVES = (
    Curve(
        Measure("perplexity", "validation perplexity", table="evaluations"),
        "step",
        "steps of training",
    ),
)


STUDIES: dict[str, Study] = {
    "vowel": Study(
        vowel_settings.VowelConfig,
        vowel_settings.check,
        late("experiments.vowel.estimate:estimate"),
        late("experiments.vowel.study:identity"),
        late("experiments.vowel.study:run"),
        idle=vowel_settings.idle,
        multiplies_by_expert=vowel_settings.is_layer,
        measures=_VOWEL_MEASURES,
        curves=_VOWEL_CURVES,
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
        measures=_CLUSTERS_MEASURES,
        curves=_CLUSTERS_CURVES,
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
        measures=_TRANSLATION_MEASURES,
        curves=_PERPLEXITY_CURVES,
    ),
    "language_model": Study(
        language_model_settings.LanguageModelConfig,
        language_model_settings.check,
        late("experiments.language_model.estimate:estimate"),
        late("experiments.language_model.study:identity"),
        late("experiments.language_model.study:run"),
        idle=language_model_settings.idle,
        measures=_LANGUAGE_MODEL_MEASURES,
        curves=_PERPLEXITY_CURVES,
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
        measures=(_TEST_ACCURACY,),
    ),
    "clusters_start": Study(
        start_settings.ClustersStartConfig,
        start_settings.check_clusters_start,
        start_settings.estimate_clusters_start,
        late("experiments.clusters.study:identity"),
        late("experiments.starts.clusters:run"),
        idle=start_settings.idle_clusters_start,
        measures=(_TEST_ACCURACY,),
    ),
    "translation_start": Study(
        start_settings.TranslationStartConfig,
        start_settings.check_translation_start,
        start_settings.estimate_translation_start,
        late("experiments.translation.study:identity"),
        late("experiments.starts.translation:run"),
        idle=start_settings.idle_translation_start,
        measures=(Measure("perplexity", "test perplexity"),),
    ),
}
