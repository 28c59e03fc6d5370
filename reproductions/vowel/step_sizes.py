"""Epochs to the stop against the step size, for every system: what the choice of step decides."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D

from reproductions.drawing import (
    COLOURS,
    INK,
    PAPER,
    figure_style,
    key_line,
    key_mark,
    legend_below,
)
from reproductions.runs import NamedRun, Runs
from reproductions.study_report import Picture, as_picture
from reproductions.verdicts.claims import Claim
from reproductions.vowel.suite import Table1Row, table_1_rows

_TICKS = (2, 4, 8, 16, 32, 64)
_EPOCH_TICKS = (250, 500, 750, 1000, 1500, 2000, 3000, 4000, 6000)


def explored_rows(runs: Runs) -> list[Table1Row]:
    """The rows of Table 1 whose runs chose their step by exploration."""
    return [row for row, run in table_1_rows(runs) if _is_explored(run)]


def _is_explored(run: NamedRun) -> bool:
    return "exploration.csv" in run.finished.manifest["files"]


def steps(runs: Runs, claims: Sequence[Claim]) -> Picture | None:
    """One panel per system that explored its step; None where there is none."""
    rows = explored_rows(runs)
    if not rows:
        return None
    # All panels share their axes, so the largest limit decides.
    limit = max(int(runs[row.run].study.exploration_epochs) for row in rows)
    num_seeds = max(int(runs[row.run].study.num_exploration_seeds) for row in rows)
    # Tuned runs are shown where they are those of the suite.
    tuned = [runs[row.tuned_run] for row in rows if _is_tuned(row, runs)]
    about_tuned = (
        "The hollow sign is the step tuned towards the published epochs, which are dashed; its "
        "height is the mean of the reported seeds."
    )
    published = {claim.id: claim.published.value for claim in claims if claim.published}
    return as_picture(
        _draw(rows, runs, published, limit),
        id="steps",
        title="How the epochs depend on the step size",
        caption=f"Epochs to the stop for every step that was tried, on {num_seeds} seeds that are "
        "kept for this and not reported. Small signs are seeds, the line joins their means. "
        f"Crosses, with their number, are seeds that had not arrived after {limit:,} epochs "
        "(dotted) or had diverged; the line stops where there are any. The filled sign is the step "
        "that the rule takes (named at the foot): half of the one with the fewest mean epochs "
        f"among the steps at which most seeds arrive. {about_tuned if tuned else ''}".strip(),
        alt="Epochs to the stop against the step size for the systems of Table 1, with the step "
        "that the rule takes, the tuned step and the published epochs.",
        claim_ids=[f"epochs-{row.suffix}" for row in rows],
        runs=[*(runs[row.run] for row in rows), *tuned],
    )


def _draw(
    rows: Sequence[Table1Row], runs: Runs, published: Mapping[str, float], limit: int
) -> Drawing:
    num_lines = (len(rows) + 1) // 2
    with figure_style():
        figure = Drawing(figsize=(6.4, 2.75 * num_lines + 1.0))
        panels = figure.subplots(num_lines, 2, sharex=True, sharey=True, squeeze=False)
        for axes, row in zip(panels.flat, rows, strict=False):
            axes.set(xscale="log", yscale="log", title=row.label)
            if runs[row.run].is_as_named:
                _mark_published(axes, published[f"epochs-{row.suffix}"])
            _draw_panel(axes, row, runs[row.run], limit)
            if _is_tuned(row, runs):
                _mark_tuned(axes, row, runs[row.tuned_run])
        for axes in list(panels.flat)[len(rows) :]:
            axes.set_visible(False)
        _finish(panels[0, 0], limit)
        legend_below(figure, _key())
        for axes in panels[-1]:
            axes.set_xlabel("step size (on the mean gradient)")
        figure.supylabel("epochs to the stop", color=INK, fontsize=11.5)
    return figure


def _key() -> list[Artist]:
    tuned = "step tuned towards the paper"
    hollow = Line2D([], [], color=INK, marker="o", mfc="none", ls="", ms=9, label=tuned)
    return [
        key_mark("one seed", "o", size=3.5),
        key_line("mean, where every seed arrives"),
        key_mark("step that the rule takes", "o", size=9),
        hollow,
        key_mark("seeds that did not arrive", "x", size=5),
        key_line("epochs as published", "--", width=1),
        key_line("limit of epochs", ":", width=1),
    ]


def _is_tuned(row: Table1Row, runs: Runs) -> bool:
    """Tell whether the row has a run with the step tuned towards the published epochs."""
    return row.tuned_run in runs and runs[row.tuned_run].is_as_named


def _mark_published(axes: Axes, epochs: float) -> None:
    axes.axhline(epochs, color=INK, linewidth=1, linestyle=(0, (4, 3)))


def _finish(axes: Axes, limit: int) -> None:
    """Ticks for all panels, which share their axes."""
    low = 0.8 * axes.get_ylim()[0]
    heights = [tick for tick in _EPOCH_TICKS if low <= tick <= limit]
    axes.set_xticks(_TICKS, [str(tick) for tick in _TICKS])
    axes.set_yticks(heights, [f"{height:,}" for height in heights])
    axes.minorticks_off()
    # Room above the limit for the crosses of seeds that never arrived.
    axes.set_ylim(low, 1.5 * limit)


def _draw_panel(axes: Axes, row: Table1Row, run: NamedRun, limit: int) -> None:
    tried, colour = run.table("exploration"), COLOURS[row.colour]
    arrived = tried["status"] == "converged"
    axes.axhline(limit, color=INK, linewidth=1, linestyle=":")
    home = tried[arrived]
    axes.plot(
        home["step_size"],
        home["epochs"],
        row.marker,
        color=colour,
        markersize=3.5,
        alpha=0.8,
    )
    _mark_lost(axes, tried["step_size"][~arrived], colour, limit)
    # A mean over seeds of which some were cut off would be too low: the line stops there.
    means = tried.groupby("step_size")["epochs"].mean()
    complete = arrived.groupby(tried["step_size"]).all()
    axes.plot(means.index, means.where(complete), color=colour, linewidth=1.8)
    step = float(run.finished.manifest["step_size"])
    if step in means.index:
        _mark(axes, row, step, float(means.loc[step]), is_chosen=True)


def _mark_lost(axes: Axes, lost: pd.Series, colour: str, limit: int) -> None:
    for step in lost.unique().tolist():
        axes.plot(step, 1.2 * limit, "x", color=colour, markersize=5, markeredgewidth=1.6)
        axes.annotate(
            str((lost == step).sum()),
            (step, 1.2 * limit),
            xytext=(0, 5),
            textcoords="offset points",
            horizontalalignment="center",
            fontsize=9.5,
        )


def _mark_tuned(axes: Axes, row: Table1Row, tuned: NamedRun) -> None:
    epochs = float(tuned.table("metrics")["epochs"].mean())
    _mark(axes, row, float(tuned.finished.manifest["step_size"]), epochs, is_chosen=False)


def _mark(axes: Axes, row: Table1Row, step: float, epochs: float, *, is_chosen: bool) -> None:
    axes.plot(
        step,
        epochs,
        row.marker,
        markersize=8,
        markerfacecolor=COLOURS[row.colour] if is_chosen else PAPER,
        markeredgecolor=INK,
        markeredgewidth=1.5,
        zorder=5 if is_chosen else 4,
    )
    if is_chosen:
        # At the foot of the panel, where it hides no seed.
        axes.annotate(
            f"{step:g}",
            (step, 0.02),
            xycoords=("data", "axes fraction"),
            horizontalalignment="center",
            fontsize=10.5,
            fontweight="bold",
        )
        return
    axes.annotate(
        f"{step:g} (tuned)",
        (step, epochs),
        xytext=(-7, -3),
        textcoords="offset points",
        horizontalalignment="right",
        verticalalignment="top",
        fontsize=10.5,
        zorder=3,
        bbox={"boxstyle": "square,pad=0.1", "facecolor": PAPER, "linewidth": 0, "alpha": 0.85},
    )
