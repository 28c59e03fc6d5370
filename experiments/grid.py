"""The search for an arm's learning rates: one grid and one budget for all, on validation text."""

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any, Protocol

import pandas as pd

from experiments.run_folder import RunFolder

SHARES = ("learning_rate", "gate_learning_rate", "expert_learning_rate")
Point = dict[str, float]


class Grid(Protocol):
    """Settings of a search."""

    learning_rates: list[float]
    gate_learning_rates: list[float]
    expert_learning_rates: list[float]


def grid_points(grid: Grid, *, has_gate: bool, has_experts: bool) -> list[Point]:
    """The points of a grid; rates of what a model does not have are not searched."""
    lists = [
        grid.learning_rates,
        grid.gate_learning_rates if has_gate else [1.0],
        grid.expert_learning_rates if has_experts else [1.0],
    ]
    return [dict(zip(SHARES, values, strict=True)) for values in product(*lists)]


def search(
    points: Iterable[Point],
    seeds: Iterable[int],
    perplexity_at: Callable[[Point, int], float],
    folder: RunFolder,
    report: Callable[[str, float], None],
) -> dict[str, Any]:
    """Train one model per point and seed; a killed search goes on with the next point.

    Writes metrics.csv: the point, the seed, and the perplexity of validation text at the last step,
    infinite where training blew up.

    Args:
        points: of the grid.
        seeds: of the trainings at every point.
        perplexity_at: trains a model and gives what is compared.
        folder: a claimed run folder.
        report: called with a stage's name and the share of it that is done.

    Returns:
        The best point, by the mean over seeds, for the manifest.
    """
    kept = folder.load_checkpoint() or {"rows": []}
    rows: list[dict[str, Any]] = kept["rows"]
    every = list(product(points, seeds))
    for number, (point, seed) in enumerate(every[len(rows) :], start=len(rows)):
        report(f"search: {number + 1} of {len(every)}", number / len(every))
        rows.append({**point, "seed": seed, "perplexity": perplexity_at(point, seed)})
        folder.save_checkpoint({"rows": rows})
    table = pd.DataFrame(rows)
    folder.write_table("metrics", table)
    # By the mean over seeds: the best single training would reward luck. An infinite one counts.
    mean = table.groupby(list(SHARES), as_index=False)["perplexity"].mean()
    best = mean.loc[mean["perplexity"].idxmin(), list(SHARES)]
    return {"best": {str(name): float(value) for name, value in best.items()}}
