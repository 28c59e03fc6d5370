"""Training error and the effective number of experts over the epochs, every seed a thin line."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reproductions.drawing import COLOURS, INK, figure_style
from reproductions.pictures import Picture, still
from reproductions.runs import NamedRun
from reproductions.vowel.rows import Row, table_1_rows

_COLUMNS = {"train_error": "training error", "effective_experts": "effective number of experts"}


def training(runs: Mapping[str, NamedRun]) -> Picture | None:
    """Curves of the mixtures of Table 1; None where there is none."""
    rows = [row for row, run in table_1_rows(runs) if _is_mixture(run)]
    if not rows:
        return None
    stop = float(runs[rows[0].run].study.stop_error)
    first = int(runs[rows[0].run].study.first_seed)
    return still(
        _draw(rows, runs, stop),
        id="training",
        title="Training error and number of experts in use",
        caption=f"Every line is one seed up to its stop; the heavy one is seed {first}, the first, "
        "whose lines the figures above follow. Above: mean squared error of the blended output on "
        f"the training cases, with the stop at {stop:g} dotted. Below: the exponential of the "
        "entropy of the experts' mean mixing proportions, which is the number of experts if all "
        "are used alike.",
        alt="Training error and effective number of experts over the epochs, all seeds.",
        claim_ids=("two-or-three-live-4", "two-or-three-live-8"),
        runs=[runs[row.run] for row in rows],
    )


def _is_mixture(run: NamedRun) -> bool:
    return str(run.study.system.name) == "mixture"


def _draw(rows: Sequence[Row], runs: Mapping[str, NamedRun], stop: float) -> Drawing:
    with figure_style():
        figure = Drawing(figsize=(6.4, 5.0))
        grid = figure.subplots(2, len(rows), sharex=True, sharey="row", squeeze=False)
        for place, row in enumerate(rows):
            curves = runs[row.run].finished.table("curves")
            for axes, column in zip(grid[:, place], _COLUMNS, strict=True):
                _draw_seeds(axes, curves, column, COLOURS[row.colour])
            grid[0, place].axhline(stop, color=INK, linewidth=1.2, linestyle=":")
            grid[0, place].set_title(row.label)
            grid[1, place].set_xlabel("epoch")
        grid[0, 0].set(ylim=(0, None))
        grid[1, 0].set(ylim=(0, None), xlim=(0, None))
        for axes, label in zip(grid[:, 0], _COLUMNS.values(), strict=True):
            axes.set_ylabel(label)
    return figure


def _draw_seeds(axes: Axes, curves: pd.DataFrame, column: str, colour: str) -> None:
    first = curves["seed"].min()
    for seed, curve in curves.groupby("seed"):
        if seed != first:
            axes.plot(curve["epoch"], curve[column], color=colour, linewidth=0.7, alpha=0.55)
    curve = curves[curves["seed"] == first]
    axes.plot(curve["epoch"], curve[column], color=INK, linewidth=1.8)
