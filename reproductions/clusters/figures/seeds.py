"""Every seed of a list of runs as a point, one panel for accuracy and one for the entropy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reproductions.clusters.measures import metric
from reproductions.drawing import COLOURS, INK, figure_style
from reproductions.runs import NamedRun

_MARKERS = {"blue": "o", "vermillion": "^", "green": "s"}


@dataclass(frozen=True)
class Row:
    """One row of points: a run, its colour, and where the paper has a mean and a spread."""

    label: str
    run: NamedRun
    colour: str
    accuracy: tuple[float, float] | None = None
    entropy: tuple[float, float] | None = None


def draw_rows(rows: Sequence[Row], lowest_accuracy: float | None = None) -> Drawing:
    """A row of points per run, with its median; published means and spreads as bars above."""
    with figure_style():
        figure = Drawing(figsize=(6.4, 1.1 + 0.34 * len(rows)))
        left, right = figure.subplots(1, 2, sharey=True)
        for place, row in enumerate(rows):
            _draw(left, place, row, metric(row.run, "test_accuracy", 100), row.accuracy)
            _draw(right, place, row, metric(row.run, "entropy"), row.entropy)
        left.set(yticks=range(len(rows)), yticklabels=[row.label for row in rows])
        left.set(ylim=(len(rows) - 0.4, -0.7), xlabel="accuracy (%)")
        if lowest_accuracy is not None:
            left.set(xlim=(lowest_accuracy, 100.6))
        largest = np.log(rows[0].run.study.num_clusters)
        right.set(xlim=(-0.05, largest + 0.06), xlabel="entropy (nats)")
        left.locator_params(axis="x", nbins=4)
        right.axvline(largest, color=INK, linewidth=1, linestyle=":")
        for axes in (left, right):
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0)
    return figure


def _draw(
    axes: Axes, place: int, row: Row, values: "np.typing.ArrayLike", published: object
) -> None:
    numbers = np.asarray(values, dtype=float)
    # The same scatter on every machine: places in the row follow from the rank.
    shifts = 0.12 * np.sin(2.4 * np.arange(len(numbers)))
    axes.scatter(
        numbers,
        place + shifts,
        s=13,
        color=COLOURS[row.colour],
        marker=_MARKERS[row.colour],
        alpha=0.6,
        linewidths=0,
    )
    if len(numbers):
        axes.plot([np.median(numbers)] * 2, [place - 0.3, place + 0.3], color=INK, linewidth=1.6)
    if isinstance(published, tuple):
        mean, spread = published
        axes.errorbar(mean, place - 0.36, xerr=spread, color=INK, fmt="D", ms=3.5, lw=1, capsize=2)
