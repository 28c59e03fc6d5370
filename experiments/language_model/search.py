"""The search for an arm's learning rates: one grid and one budget for all, on validation text."""

from collections.abc import Callable
from dataclasses import fields, replace
from itertools import product
from math import inf
from typing import Any

import pandas as pd

from experiments.language_model import text
from experiments.language_model.settings import LanguageModelConfig, SearchConfig, has_gate
from experiments.language_model.training import Training
from experiments.optimisers import BlownUp
from experiments.run_folder import RunFolder
from moe.memory import keep_memory

Point = dict[str, float]
_RATES = ("learning_rate", "gate_learning_rate", "expert_learning_rate")


def points(config: SearchConfig) -> list[Point]:
    """The grid of a config; without a gate the learning rate alone is searched."""
    # A model without a gate has nothing that the other two rates would move.
    shares = [config.gate_learning_rates, config.expert_learning_rates]
    lists = [config.learning_rates, *(shares if has_gate(config) else [[1.0], [1.0]])]
    return [dict(zip(_RATES, values, strict=True)) for values in product(*lists)]


def model_at(config: SearchConfig, point: Point) -> LanguageModelConfig:
    """The model that a point of the grid trains."""
    own = {item.name: getattr(config, item.name) for item in fields(LanguageModelConfig)}
    return replace(LanguageModelConfig(**own), **point)  # type: ignore[arg-type]


def run(
    config: SearchConfig, folder: RunFolder, report: Callable[[str, float], None]
) -> dict[str, Any]:
    """Train one model per point and seed; a killed search goes on with the next point.

    Writes metrics.csv: the point, the seed, and the perplexity of validation text at the last step,
    infinite where training blew up.

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
    seeds = range(config.first_seed, config.first_seed + config.num_seeds)
    every = list(product(points(config), seeds))
    kept = folder.load_checkpoint() or {"rows": []}
    rows: list[dict[str, Any]] = kept["rows"]
    for number, (point, seed) in enumerate(every[len(rows) :], start=len(rows)):
        report(f"search: {number + 1} of {len(every)}", number / len(every))
        training = Training(model_at(config, point), len(subwords), seed, None)
        rows.append({**point, "seed": seed, "perplexity": _perplexity_of(training, splits)})
        folder.save_checkpoint({"rows": rows})
    table = pd.DataFrame(rows)
    folder.write_table("metrics", table)
    # By the mean over seeds: the best single training would reward luck. An infinite one counts.
    mean = table.groupby(list(_RATES), as_index=False)["perplexity"].mean()
    best = mean.loc[mean["perplexity"].idxmin(), list(_RATES)]
    return {"best": {str(name): float(value) for name, value in best.items()}}


def _perplexity_of(training: Training, splits: dict[str, text.Encoded]) -> float:
    try:
        progress = training.run(
            splits["train"], splits["valid"], lambda stage, share: None, lambda: None
        )
    except BlownUp:
        # Such a point loses, and the search goes on.
        return inf
    return progress.evaluations[-1]["perplexity"]
