"""The vowel report's figures of all seeds: values, costs, training, and the overview of claims."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D

from reproductions.drawing import (
    COLOURS,
    INK,
    figure_style,
    key_band,
    key_line,
    key_mark,
    legend_below,
)
from reproductions.runs import NamedRun, Runs
from reproductions.study_report import Picture, as_picture
from reproductions.verdicts.claims import Claim, Published
from reproductions.verdicts.intervals import mean_estimate
from reproductions.verdicts.judge import Judged, Verdict
from reproductions.verdicts.number_text import number
from reproductions.verdicts.verdict_text import SYMBOLS, ours_text
from reproductions.vowel.suite import Table1Row, cost_of, cost_runs, costs_in_words, table_1_rows

_ROW_INCHES = 0.47
_MEASURES = {
    "epochs": ("epochs", 1.0, "epochs to the stop"),
    "test-accuracy": ("test_accuracy", 100.0, "test cases answered correctly (%)"),
}
_COST_STYLES = {
    "mixture_likelihood": ("blue", "o"),
    "expected_error": ("vermillion", "s"),
    "blend_error": ("green", "D"),
}


@dataclass(frozen=True)
class _SeedRow:
    """One row of signs: its label, a number per seed, how it looks, and the published number."""

    label: str
    values: pd.Series
    is_censored: pd.Series
    colour: str
    marker: str
    published: Published | None = None


def seeds(runs: Runs, claims: Sequence[Claim]) -> Picture | None:
    """Epochs and test accuracy of every seed of Table 1's systems; None where there is none."""
    rows = table_1_rows(runs)
    if not rows:
        return None
    published = {claim.id: claim.published for claim in claims}
    panels = [
        (
            label,
            [
                _seed_row(
                    run,
                    (row.label, row.colour, row.marker),
                    column,
                    factor,
                    published.get(f"{measure}-{row.suffix}") if run.is_as_named else None,
                )
                for row, run in rows
            ],
        )
        for measure, (column, factor, label) in _MEASURES.items()
    ]
    return as_picture(
        _draw_panels(panels),
        id="seeds",
        title="Every seed beside the published values",
        caption="Each coloured sign is one seed (hollow at the epoch limit: it never reached the "
        "stop). The upright tick is our mean, the bar through it its 95 % interval. The "
        "diamond below is the published mean; its bar is the published standard deviation, which "
        "the paper prints for the epochs only.",
        alt="Epochs and test accuracy of every seed of the systems of Table 1 beside the published "
        "means.",
        claim_ids=[f"{measure}-{row.suffix}" for measure in _MEASURES for row, _ in rows],
        runs=[run for _, run in rows],
    )


def costs(runs: Runs) -> Picture | None:
    """Epochs of every seed under the costs, by number of experts; None without rivals."""
    panels, used, every = [], [], cost_runs(runs)
    # Costs are compared among mixtures of one size.
    for size in dict.fromkeys(run.study.num_experts for run in every):
        found = [run for run in every if run.study.num_experts == size]
        if len(found) > 1:
            looks = [(cost_of(run), *_COST_STYLES[run.study.cost.name]) for run in found]
            strips = [
                _seed_row(run, look, "epochs", 1.0) for run, look in zip(found, looks, strict=True)
            ]
            panels.append((f"epochs to the stop, {size} experts", strips))
            used += found
    if not panels:
        return None
    names = dict.fromkeys(cost_of(run) for run in used)
    return as_picture(
        _draw_panels(panels, is_shared=True),
        id="costs",
        title=costs_in_words(used),
        caption="Each sign is one seed (hollow at the epoch limit: it never reached the stop); the "
        "tick is the mean, the bar its 95 % interval. The paper argues for equation 1.3 over 1.2. "
        "Equation 1.1 is there for comparison: it trains the very error that the stop watches, "
        "and lets experts share cases.",
        alt=f"Epochs to the stop of every seed under {' and '.join(names)}.",
        claim_ids=[f"likelihood-beats-expected-error-{size}" for size in (4, 8)],
        runs=used,
    )


def _seed_row(
    run: NamedRun,
    look: tuple[str, str, str],
    column: str,
    factor: float,
    published: Published | None = None,
) -> _SeedRow:
    metrics = run.table("metrics")
    values = factor * metrics[column].astype(float)
    # Only epochs are cut off by the limit; accuracies are what they are at it.
    is_censored = (metrics["status"] != "converged") & (column == "epochs")
    label, colour, marker = look
    kept = values.notna()
    return _SeedRow(label, values[kept], is_censored[kept], colour, marker, published)


def _draw_panels(
    panels: Sequence[tuple[str, Sequence[_SeedRow]]], *, is_shared: bool = False
) -> Drawing:
    counts = [len(strips) for _, strips in panels]
    with figure_style():
        figure = Drawing(figsize=(6.4, 0.6 * len(panels) + _ROW_INCHES * sum(counts) + 0.8))
        grid = figure.subplots(
            len(panels), 1, height_ratios=counts, squeeze=False, sharex=is_shared
        )
        for axes, (label, strips) in zip(grid[:, 0], panels, strict=True):
            for place, strip in enumerate(strips):
                _draw_seed_row(axes, strip, place)
            axes.set_yticks(range(len(strips)), [strip.label for strip in strips])
            axes.set(ylim=(len(strips) - 0.4, -0.6), xlabel=label)
            axes.grid(visible=False, axis="y")
            axes.spines["left"].set_visible(False)
            axes.tick_params(axis="y", length=0)
            axes.tick_params(axis="x", labelbottom=True)
            # Thousands with separators, as in the tables.
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
        legend_below(figure, _panel_key(panels))
    return figure


def _panel_key(panels: Sequence[tuple[str, Sequence[_SeedRow]]]) -> list[Artist]:
    rows = [row for _, rows in panels for row in rows]
    entries = [
        key_mark("one seed, in the row's colour", "o", size=4.5),
        key_line("mean (tick), with its 95 % interval", width=2.2),
    ]
    if any(row.is_censored.any() for row in rows):
        entries.append(Line2D([], [], color=INK, marker="o", mfc="none", ls="", label=_CENSORED))
    if any(row.published for row in rows):
        entries.append(key_mark("published mean and deviation", "D"))
    return entries


def _draw_seed_row(axes: Axes, strip: _SeedRow, place: int) -> None:
    colour, middle = COLOURS[strip.colour], place - 0.12
    # Equal values would hide each other; the shift follows nothing but their order.
    shift = 0.17 * np.resize([0.0, 0.6, -0.6, 1.0, -1.0], len(strip.values))
    for chosen, face in ((~strip.is_censored, colour), (strip.is_censored, "none")):
        axes.plot(
            strip.values[chosen],
            (middle + shift)[chosen.to_numpy()],
            strip.marker,
            color=colour,
            markerfacecolor=face,
            markersize=4.5,
            alpha=0.8,
        )
    if len(strip.values) > 1:
        estimate = mean_estimate(strip.values.tolist())
        axes.hlines(middle, *estimate.interval(0.95), color=INK, linewidth=2.2)
        axes.plot(estimate.point, middle, "|", color=INK, markersize=14, markeredgewidth=2)
    # Below the seeds, so that neither hides the other.
    if strip.published is not None:
        axes.errorbar(
            strip.published.value,
            place + 0.28,
            xerr=strip.published.spread,
            fmt="D",
            color=INK,
            markersize=5,
            elinewidth=1.4,
        )


_CENSORED = "one seed that never reached the stop"
_CURVES = {"train_error": "training error", "effective_experts": "effective experts"}


def training(runs: Runs) -> Picture | None:
    """Curves of the mixtures of Table 1; None where there is none."""
    rows = [row for row, run in table_1_rows(runs) if _is_mixture(run)]
    if not rows:
        return None
    stop = float(runs[rows[0].run].study.stop_error)
    first = int(runs[rows[0].run].study.first_seed)
    return as_picture(
        _draw_training(rows, runs, stop),
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


def _draw_training(rows: Sequence[Table1Row], runs: Runs, stop: float) -> Drawing:
    with figure_style():
        figure = Drawing(figsize=(6.4, 5.5))
        grid = figure.subplots(2, len(rows), sharex=True, sharey="row", squeeze=False)
        for place, row in enumerate(rows):
            curves = runs[row.run].table("curves")
            for axes, column in zip(grid[:, place], _CURVES, strict=True):
                _draw_seeds(axes, curves, column, COLOURS[row.colour])
            grid[0, place].axhline(stop, color=INK, linewidth=1.2, linestyle=":")
            grid[0, place].set_title(row.label)
            grid[1, place].set_xlabel("epoch")
        grid[0, 0].set(ylim=(0, None))
        grid[1, 0].set(ylim=(0, None), xlim=(0, None))
        for axes, label in zip(grid[:, 0], _CURVES.values(), strict=True):
            axes.set_ylabel(label)
        key = [
            key_line("one seed, in its column's colour", width=0.7),
            key_line("the first seed"),
            key_line("error at which training stops", ":", width=1.2),
        ]
        legend_below(figure, key)
    return figure


def _draw_seeds(axes: Axes, curves: pd.DataFrame, column: str, colour: str) -> None:
    # The first seed is drawn last and in ink, above all others.
    first = curves["seed"].min()
    for seed, curve in curves.groupby("seed"):
        if seed != first:
            axes.plot(curve["epoch"], curve[column], color=colour, linewidth=0.7, alpha=0.55)
    curve = curves[curves["seed"] == first]
    axes.plot(curve["epoch"], curve[column], color=INK, linewidth=1.8)


_CLAIM_INCHES = 0.8
_FEWEST, _MOST = -1.0, 3.0  # farther out, a point is drawn as an arrow at the edge
_LABEL_CHARACTERS = 66


@dataclass(frozen=True)
class _OverviewRow:
    """One claim in units of its published value."""

    claim: Claim
    verdict: Verdict
    margin: float
    low: float
    high: float
    ours: float


def interval_overview(judged: Sequence[Judged]) -> Figure:
    """Draws a row for every judged value claim, all divided by their published values.

    Claims without an estimate and those with the published value 0 are left out. Raises
    ValueError if no claim remains.
    """
    rows = [
        row for claim, _, verdict in judged if (row := _overview_row(claim, verdict)) is not None
    ]
    if not rows:
        raise ValueError("no judged value claim with a published value other than 0")
    with figure_style():
        figure = Figure(figsize=(6.4, 1.1 + _CLAIM_INCHES * len(rows)))
        axes = figure.add_subplot()
        left, right = _limits(rows)
        axes.set(xlim=(left, right), ylim=(len(rows) - 0.55, -0.75), yticks=[])
        axes.set_xlabel("ours as a multiple of the published value")
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False)
        for place, row in enumerate(rows):
            _draw_overview_row(axes, row, place)
        key = [
            key_mark("ours", "o"),
            key_line("its 95 % interval", width=2),
            key_line("published", colour=COLOURS["blue"], width=1.5),
            key_band("within the margin", COLOURS["blue"], alpha=0.22),
        ]
        legend_below(figure, key, num_columns=4)
    return figure


def _overview_row(claim: Claim, verdict: Verdict | None) -> _OverviewRow | None:
    if verdict is None or verdict.estimate is None or claim.kind != "value":
        return None
    if claim.published is None or claim.margin is None or claim.published.value == 0:
        return None
    published = claim.published.value
    ends = verdict.interval or (verdict.estimate, verdict.estimate)
    # Division by a negative number turns an interval round.
    low, high = sorted(end / published for end in ends)
    ours = verdict.estimate / published
    return _OverviewRow(claim, verdict, claim.margin / abs(published), low, high, ours)


def _limits(rows: Sequence[_OverviewRow]) -> tuple[float, float]:
    ends = [end for row in rows for end in (row.low, row.high, row.ours) if math.isfinite(end)]
    # The band of the margin is always seen, though ours may lie far off.
    ends += [1 + side * row.margin for row in rows for side in (-1, 1)]
    left, right = max(min(ends), _FEWEST), min(max(ends), _MOST)
    pad = 0.06 * (right - left)
    return left - pad, right + pad


def _draw_overview_row(axes: Axes, row: _OverviewRow, place: int) -> None:
    left, right = axes.get_xlim()
    axes.fill_betweenx(
        [place - 0.16, place + 0.16],
        1 - row.margin,
        1 + row.margin,
        color=COLOURS["blue"],
        alpha=0.22,
        linewidth=0,
    )
    axes.vlines(1.0, place - 0.16, place + 0.16, color=COLOURS["blue"], linewidth=1.5)
    axes.hlines(place, max(row.low, left), min(row.high, right), color=INK, linewidth=2)
    # A bound has no end on one side: its bar leaves the picture behind an arrowhead.
    for end, edge, arrow in ((row.low, left, "<"), (row.high, right, ">")):
        if math.isinf(end):
            axes.plot(edge, place, arrow, color=INK, clip_on=False)
    marker = "<" if row.ours < left else ">" if row.ours > right else "o"
    axes.plot(min(max(row.ours, left), right), place, marker, color=INK, clip_on=False)
    _label(axes, row, place)


def _label(axes: Axes, row: _OverviewRow, place: int) -> None:
    # Two lines above each row leave the whole width to the picture, also on a phone.
    sentence = textwrap.shorten(row.claim.sentence, _LABEL_CHARACTERS, placeholder=" …")
    word = row.verdict.word
    published = number(row.claim.published.value) if row.claim.published else ""
    numbers = (
        f"{SYMBOLS[word]} {word}: ours {ours_text(row.claim, row.verdict)}, published {published}"
    )
    for text, height, strength in ((sentence, -0.52, 1.0), (numbers, -0.30, 0.8)):
        axes.text(
            0.0,
            place + height,
            text,
            transform=axes.get_yaxis_transform(),
            verticalalignment="center",
            fontsize=10.5,
            alpha=strength,
            parse_math=False,
        )
