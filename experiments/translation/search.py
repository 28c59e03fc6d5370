"""The search for an arm's learning rates: one grid and one budget for all, on validation text."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from math import inf
from typing import Any

from experiments import grid
from experiments.run_folder import RunFolder
from experiments.runner.errors import UserError
from experiments.runner.resources import Estimate
from experiments.translation.estimate import estimate
from experiments.translation.search_settings import SearchConfig, has_gate
from experiments.translation.settings import TranslationConfig
from experiments.translation.study import prepare
from experiments.translation.training import Training
from experiments.translation.translator import Translator
from moe.memory import keep_memory


@dataclass(frozen=True)
class _NoCheckpoints(RunFolder):
    """A folder for trainings that are short enough to begin again."""

    def save_checkpoint(self, state: object) -> None:
        """Keep nothing: the search keeps the points that are done."""

    def load_checkpoint(self) -> None:
        """Nothing was kept."""


def points(config: SearchConfig) -> list[grid.Point]:
    """The grid of a config; rates of a gate or of experts only where there are any."""
    return grid.grid_points(config, has_gate=has_gate(config), has_experts=config.num_experts > 0)


def model_at(config: SearchConfig, point: grid.Point, seed: int) -> TranslationConfig:
    """The model that a point of the grid trains."""
    own = {item.name: getattr(config, item.name) for item in fields(TranslationConfig)}
    last = config.max_steps
    changes: dict[str, Any] = {**point, "seed": seed, "evaluate_every": last, "num_seeds": 1}
    return replace(TranslationConfig(**own), **changes)


def estimate_search(config: SearchConfig) -> Estimate:
    """The same as of a run: one model after the other, and nothing translated."""
    num_trainings = config.num_seeds * len(points(config))
    return estimate(replace(config, num_seeds=num_trainings, num_translated=1))


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
    _, subwords, splits = prepare(config)

    def perplexity_at(point: grid.Point, seed: int) -> float:
        own = model_at(config, point, seed)
        model = Translator(own, len(subwords), seed).to(config.device.value)
        training = Training(own, model, _NoCheckpoints(folder.path))
        try:
            progress = training.run(splits["train"], splits["valid"], lambda stage, share: None)
        except UserError as error:
            # Training ends with an error where the loss is not finite. Such a point loses, and the
            # search goes on; any other error ends it.
            if not str(error).startswith("The loss is"):
                raise
            return inf
        return progress.evaluations[-1]["perplexity"]

    seeds = range(config.seed, config.seed + config.num_seeds)
    return grid.search(points(config), seeds, perplexity_at, folder, report)
