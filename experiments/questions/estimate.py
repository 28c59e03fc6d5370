"""What runs of the studies from other starts take; see `experiments.vowel.estimate`."""

from dataclasses import replace

from experiments.clusters import estimate as clusters
from experiments.questions.settings import (
    ClustersStartConfig,
    TranslationStartConfig,
    VowelStartConfig,
)
from experiments.resources import Estimate, Part
from experiments.translation import estimate as translation
from experiments.vowel import estimate as vowel

# Of a row of start.csv: its measures, some of them by scikit-learn.
_SECONDS_PER_ROW, _BYTES_PER_ROW = 0.01, 1500


def estimate_vowel_start(config: VowelStartConfig) -> Estimate:
    """See the module."""
    num_rows = config.max_epochs // config.snapshot_every + 2
    return _with_rows(
        vowel.estimate(config), {"num_seeds": config.num_seeds, "snapshots": num_rows}
    )


def estimate_clusters_start(config: ClustersStartConfig) -> Estimate:
    """See the module."""
    whole = replace(config, batch_size=0, keep_picture=False, snapshot_every=config.max_steps)
    num_rows = config.max_steps // config.curve_every + 2
    return _with_rows(clusters.estimate(whole), {"num_seeds": config.num_seeds, "points": num_rows})


def estimate_translation_start(config: TranslationStartConfig) -> Estimate:
    """See the module; nothing is translated."""
    one = translation.estimate(replace(config, num_translated=1, sentences_per_batch=1))
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
