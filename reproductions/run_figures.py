"""Figures of any runs of one study: measures against settings, and curves over training.

All words in them come from the settings: what differs between the runs labels points and lines,
what all of them share beside the defaults stands below the title.
"""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from experiments.measures import Curve, Mean, Measure, chosen_rows, interval
from experiments.outcome_table import differing, means, spaced, study_of, value_text
from experiments.run_folder import FinishedRun
from experiments.runner.schema import plain
from experiments.studies import STUDIES
from reproductions.drawing import (
    COLOURS,
    INK,
    figure_style,
    key_band,
    key_line,
    key_mark,
    legend_below,
)

# More lines than there are colours cannot be told apart.
MOST_LINES = len(COLOURS)
_POINTS_OF_A_CURVE = 200
# Settings that say how much is seen of a result, and not what it is.
_UNTOLD = ("name", "checkpoint_seconds", "num_threads")
_PANEL = (4.6, 3.2)  # inches
_LETTERS_OF_AN_INCH = 14
_LOG_FROM = 8
# More rows do not fit a page; settings in a label, and letters of a legend in two columns.
MOST_ROWS = 40
_MOST_SETTINGS = 3
_LETTERS_OF_A_COLUMN = 44
_Line = tuple[str, list[FinishedRun]]


def figures_of(runs: Sequence[FinishedRun]) -> dict[str, Figure]:
    """All figures that these runs of one study give, by a word for each.

    Args:
        runs: of one study, in the order in which they are to be told.

    Returns:
        "settings" for several runs with main measures, and "curves" where training is kept.
    """
    found: dict[str, Figure] = {}
    with figure_style():
        if 1 < len(runs) <= MOST_ROWS and any(map(means, runs)):
            found["settings"] = _by_settings(runs)
        if len(runs) <= MOST_LINES and any(_curve(run, each) for run in runs for each in _of(runs)):
            found["curves"] = _over_training(runs)
    return found


def _of(runs: Sequence[FinishedRun]) -> tuple[Curve, ...]:
    return STUDIES[study_of(runs[0])].curves


def heading(runs: Sequence[FinishedRun], what: str) -> str:
    """The study and what is shown, and below it the settings that are not the defaults."""
    config = runs[0].config
    usual = plain(STUDIES[study_of(runs[0])].schema())
    apart = {*differing([run.config for run in runs]), *_UNTOLD}
    told = [
        f"{spaced(key)} {value_text(value)}"
        for key, value in config.items()
        if key not in apart and value != usual.get(key)
    ]
    below = ", ".join(told) or "all other settings as they are by default"
    return f"{spaced(study_of(runs[0]))} study: {what}\n{textwrap.shorten(below, 150)}"


def label_of(run: FinishedRun, keys: Sequence[str]) -> str:
    """A run's values of these settings in words; its digest, which tables have, for many."""
    if len(keys) > _MOST_SETTINGS:
        return run.path.name[:8]
    return ", ".join(f"{spaced(key)} {value_text(run.config.get(key))}" for key in keys)


def _by_settings(runs: Sequence[FinishedRun]) -> Figure:
    keys = differing([run.config for run in runs])
    across = _axis(runs, keys)
    measures = list(dict.fromkeys(each for run in runs for each in means(run)))
    shown = " and ".join(map(spaced, keys)) if len(keys) < 3 else f"{len(keys)} settings"
    height = _PANEL[1] if across else max(_PANEL[1], 0.45 * len(runs) + 0.8)
    figure, panels = _panels(len(measures), heading(runs, f"main measures by {shown}"), height)
    for axes, measure in zip(panels, measures, strict=True):
        if across is None:
            _draw_rows(axes, measure, runs, keys)
        else:
            _draw_along(axes, measure, runs, across, [key for key in keys if key != across])
    _legend(figure, _key_of_settings(runs, measures, keys, across))
    return figure


def _axis(runs: Sequence[FinishedRun], keys: Sequence[str]) -> str | None:
    """The setting that a number line can show: of the numbers the one with the most values."""
    if len(keys) > _MOST_SETTINGS:
        return None
    fitting: dict[str, int] = {}
    for key in keys:
        values = {run.config.get(key) for run in runs if _is_number(run.config.get(key))}
        lines = [line for _, line in _lines(runs, [each for each in keys if each != key])]
        is_number = all(_is_number(run.config.get(key)) for run in runs)
        # A line of one point is none.
        if is_number and len(lines) <= MOST_LINES and min(map(len, lines)) > 1:
            fitting[key] = len(values)
    return max(fitting, key=lambda key: fitting[key], default=None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _lines(runs: Sequence[FinishedRun], keys: Sequence[str]) -> list[_Line]:
    """The runs by their values of the settings that are not on the axis."""
    lines: dict[str, list[FinishedRun]] = {}
    for run in runs:
        lines.setdefault(label_of(run, keys), []).append(run)
    return list(lines.items())


def _draw_along(
    axes: Axes, measure: Measure, runs: Sequence[FinishedRun], across: str, others: Sequence[str]
) -> None:
    for colour, (_, line) in zip(COLOURS.values(), _lines(runs, others), strict=False):
        ordered = sorted(line, key=lambda run: float(run.config[across]))
        found = [(run.config[across], means(run).get(measure)) for run in ordered]
        known = [(float(place), mean) for place, mean in found if mean is not None]
        axes.plot([place for place, _ in known], [mean.mean for _, mean in known], color=colour)
        for place, mean in known:
            low, high = _reach(mean)
            axes.errorbar(
                place, mean.mean, [[low], [high]], fmt=_marker(mean), color=colour, capsize=3
            )
    places = sorted({float(run.config[across]) for run in runs})
    if places[0] > 0 and places[-1] / places[0] >= _LOG_FROM:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
    if len(places) <= MOST_LINES:
        axes.set_xticks(places, [f"{place:,g}" for place in places])
    axes.set(xlabel=spaced(across), ylabel=measure.heading)
    axes.margins(x=0.08)
    low, high = axes.get_ylim()
    every = [own.mean for run in runs if (own := means(run).get(measure))]
    if every and max(every) == min(every) and high - low < 1:
        # Digits of nothing would look like a difference.
        axes.set_ylim(every[0] - 1, every[0] + 1)


def _draw_rows(
    axes: Axes, measure: Measure, runs: Sequence[FinishedRun], keys: Sequence[str]
) -> None:
    """A row for each run, from top to bottom."""
    for place, run in enumerate(runs):
        mean = means(run).get(measure)
        if mean is not None:
            low, high = _reach(mean)
            axes.errorbar(
                mean.mean,
                place,
                xerr=[[low], [high]],
                fmt=_marker(mean),
                color=COLOURS["blue"],
                capsize=3,
            )
    labels = [textwrap.fill(label_of(run, keys), 28) for run in runs]
    axes.set_yticks(range(len(runs)), labels)
    # The same rows in every panel, also where the first or the last run lacks a measure.
    axes.set_ylim(len(runs) - 0.4, -0.6)
    axes.set_xlabel(measure.heading)


def _reach(mean: Mean) -> tuple[float, float]:
    """How far the interval goes below and above the mean; nowhere where there is none."""
    low, high = mean.mean - mean.low, mean.high - mean.mean
    return (0.0, 0.0) if np.isnan([low, high]).any() else (max(low, 0.0), max(high, 0.0))


def _marker(mean: Mean) -> str:
    return "^" if mean.num_at_limit else "o"


def _key_of_settings(
    runs: Sequence[FinishedRun],
    measures: Sequence[Measure],
    keys: Sequence[str],
    across: str | None,
) -> Iterable[Artist]:
    others = [key for key in keys if key != across]
    if across is not None and others:
        for colour, (name, _) in zip(COLOURS.values(), _lines(runs, others), strict=False):
            yield key_line(name, colour=colour)
    every = [mean for run in runs for measure, mean in means(run).items() if measure in measures]
    seeds = sorted({mean.num_seeds for mean in every})
    spread = "mean and 95 % interval" if seeds[-1] > 1 else "one seed"
    colour = INK if across is not None and others else COLOURS["blue"]
    yield key_mark(f"{spread}, {_seeds_text(seeds)}", "o", colour)
    if any(mean.num_at_limit for mean in every):
        yield key_mark("lower bound: seeds were stopped at the limit", "^", colour)


def _seeds_text(numbers: Sequence[int]) -> str:
    span = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    return f"{span} seed{'' if span == '1' else 's'} each"


def _over_training(runs: Sequence[FinishedRun]) -> Figure:
    keys = differing([run.config for run in runs])
    every = [each for each in _of(runs) if any(_curve(run, each) for run in runs)]
    figure, panels = _panels(len(every), heading(runs, "measures over training"))
    for axes, each in zip(panels, every, strict=True):
        for colour, run in zip(COLOURS.values(), runs, strict=False):
            if _curve(run, each):
                _draw_curve(axes, run, each, colour)
        axes.set(xlabel=each.time, ylabel=each.measure.heading)
    _legend(figure, _key_of_curves(runs, keys, every))
    return figure


def _curve(run: FinishedRun, curve: Curve) -> bool:
    """Whether a run has kept this curve."""
    name = curve.measure.table
    return f"{name}.csv" in run.manifest["files"] and curve.measure.column in run.table(name)


def by_time(run: FinishedRun, curve: Curve, is_filled: bool = True) -> pd.DataFrame:
    """A curve's values: a row for each time, a column for each seed; no more than can be seen.

    With ``is_filled`` a seed that stopped before the others keeps its last value.
    """
    table = chosen_rows(curve.measure, run.table(curve.measure.table))
    if "seed" not in table:
        table = table.assign(seed=0)
    wide = table.pivot_table(index=curve.clock, columns="seed", values=curve.measure.column)
    wide = curve.measure.scale * wide.sort_index()
    if is_filled:
        wide = wide.ffill()
    kept = np.unique(np.linspace(0, len(wide) - 1, _POINTS_OF_A_CURVE).round().astype(int))
    return wide.iloc[kept]


def _draw_curve(axes: Axes, run: FinishedRun, curve: Curve, colour: str) -> None:
    wide = by_time(run, curve)
    rows = [interval(row.dropna().tolist(), curve.measure.bounds) for _, row in wide.iterrows()]
    times = wide.index.to_numpy(dtype=float)
    center, low, high = np.array(rows, dtype=float).reshape(-1, 3).T
    axes.plot(times, center, color=colour, marker="o" if len(times) == 1 else "")
    if wide.shape[1] > 1:
        axes.fill_between(times, low, high, color=colour, alpha=0.25, linewidth=0)


def _key_of_curves(
    runs: Sequence[FinishedRun], keys: Sequence[str], every: Sequence[Curve]
) -> Iterable[Artist]:
    if keys:
        for colour, run in zip(COLOURS.values(), runs, strict=False):
            yield key_line(label_of(run, keys), colour=colour)
    kept = [
        by_time(run, each, is_filled=False) for run in runs for each in every if _curve(run, each)
    ]
    seeds = sorted({wide.shape[1] for wide in kept})
    if seeds[-1] > 1:
        colour = "#8a8f98" if keys else COLOURS["blue"]
        if not keys:
            yield key_line(f"mean of {_seeds_text(seeds).removesuffix(' each')}", colour=colour)
        text = "95 % interval of the mean" + (f", {_seeds_text(seeds)}" if keys else "")
        yield key_band(text, colour, 0.35)
        if any(wide.iloc[-1].isna().any() for wide in kept):
            yield key_line("a seed that stopped keeps its last value", colour="none")
    else:
        yield key_line("one seed" if not keys else "one seed each", colour=COLOURS["blue"])


def _legend(figure: Figure, entries: Iterable[Artist]) -> None:
    named = list(entries)
    longest = max(len(str(entry.get_label())) for entry in named)
    columns = 1 if longest > _LETTERS_OF_A_COLUMN else 2
    # Room for it, so that it takes none from the panels.
    figure.set_figheight(figure.get_figheight() + 0.25 * -(-len(named) // columns))
    legend_below(figure, named, num_columns=columns)


def _panels(number: int, title: str, height: float = _PANEL[1]) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, two in a row, below a title."""
    columns = min(number, 2)
    rows = -(-number // columns)
    width = max(6.4, _PANEL[0] * columns)
    figure = Figure(figsize=(width, height * rows + 0.7))
    lines = [
        part
        for line in title.split("\n")
        for part in textwrap.wrap(line, int(width * _LETTERS_OF_AN_INCH))
    ]
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=12)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in panels[number:]:
        unused.remove()
    return figure, panels[:number]
