"""The search for an arm's learning rates: one grid and one budget for all, on validation text."""

from collections.abc import Callable
from dataclasses import fields, replace
from math import inf
from typing import Any

from experiments import grid
from experiments.language_model import text
from experiments.language_model.settings import LanguageModelConfig, SearchConfig, has_gate
from experiments.language_model.training import BlownUp, Training
from experiments.run_folder import RunFolder
from moe.memory import keep_memory


def points(config: SearchConfig) -> list[grid.Point]:
    """The grid of a config; without a gate the learning rate alone is searched."""
    # A model without a gate has nothing that these two rates would move.
    return grid.grid_points(config, has_gate=has_gate(config), has_experts=has_gate(config))


def model_at(config: SearchConfig, point: grid.Point) -> LanguageModelConfig:
    """The model that a point of the grid trains."""
    own = {item.name: getattr(config, item.name) for item in fields(LanguageModelConfig)}
    return replace(LanguageModelConfig(**own), **point)  # type: ignore[arg-type]


def run(
    config: SearchConfig, folder: RunFolder, report: Callable[[str, float], None]
) -> dict[str, Any]:
    """Train one model per point of the grid and seed; see `experiments.grid.search`.

    Args:
        config: the settings.
        folder: a claimed run folder.
        report: called with a stage's name and the share of it that is done.

    Returns:
        The best point, by the mean over seeds, for the manifest.
    """
    keep_memory()
    report("subwords", 0.0)
    subwords, splits = text.prepare(config)

    def perplexity_at(point: grid.Point, seed: int) -> float:
        training = Training(model_at(config, point), len(subwords), seed, None)
        try:
            progress = training.run(
                splits["train"], splits["valid"], lambda stage, share: None, lambda: None
            )
        except BlownUp:
            # Training ends with an error where the loss is not finite. Such a point loses, and the
            # search goes on.
            return inf
        return progress.evaluations[-1]["perplexity"]

    seeds = range(config.first_seed, config.first_seed + config.num_seeds)
    return grid.search(points(config), seeds, perplexity_at, folder, report)
