"""Every seed as a sign beside the published values: epochs, test accuracy, and the three costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reproductions.claims import Claim, Published
from reproductions.drawing import COLOURS, INK, figure_style
from reproductions.intervals import mean_estimate
from reproductions.pictures import Picture, still
from reproductions.runs import NamedRun
from reproductions.vowel.rows import cost_of, cost_runs, costs_in_words, table_1_rows

_ROW_INCHES = 0.47
_KINDS = {
    "epochs": ("epochs", 1.0, "epochs to the stop"),
    "test-accuracy": ("test_accuracy", 100.0, "test cases answered correctly (%)"),
}
_COST_LOOKS = {
    "mixture_likelihood": ("blue", "o"),
    "expected_error": ("vermillion", "s"),
    "blend_error": ("green", "D"),
}


@dataclass(frozen=True)
class _Strip:
    """One row of signs: its label, a number per seed, how it looks, and the published number."""

    label: str
    values: pd.Series
    is_censored: pd.Series
    colour: str
    marker: str
    published: Published | None = None


def seeds(runs: Mapping[str, NamedRun], claims: Sequence[Claim]) -> Picture | None:
    """Epochs and test accuracy of every seed of Table 1's systems; None where there is none."""
    rows = table_1_rows(runs)
    if not rows:
        return None
    published = {claim.id: claim.published for claim in claims}
    panels = [
        (
            label,
            [
                _strip(
                    run,
                    (row.label, row.colour, row.marker),
                    column,
                    factor,
                    published.get(f"{kind}-{row.suffix}") if run.is_as_named else None,
                )
                for row, run in rows
            ],
        )
        for kind, (column, factor, label) in _KINDS.items()
    ]
    return still(
        _draw(panels),
        id="seeds",
        title="Every seed beside the published values",
        caption="Each coloured sign is one seed (hollow at the epoch limit: it never reached the "
        "stop). The upright tick is our mean, the bar through it its 95 % interval. The "
        "diamond below is the published mean; its bar is the published standard deviation, which "
        "the paper prints for the epochs only.",
        alt="Epochs and test accuracy of every seed of the systems of Table 1 beside the published "
        "means.",
        claim_ids=[f"{kind}-{row.suffix}" for kind in _KINDS for row, _ in rows],
        runs=[run for _, run in rows],
    )


def costs(runs: Mapping[str, NamedRun]) -> Picture | None:
    """Epochs of every seed under the costs, by number of experts; None without rivals."""
    panels, used, every = [], [], cost_runs(runs)
    for size in dict.fromkeys(run.study.num_experts for run in every):
        found = [run for run in every if run.study.num_experts == size]
        if len(found) > 1:
            looks = [(cost_of(run), *_COST_LOOKS[run.study.cost.name]) for run in found]
            strips = [
                _strip(run, look, "epochs", 1.0) for run, look in zip(found, looks, strict=True)
            ]
            panels.append((f"epochs to the stop, {size} experts", strips))
            used += found
    if not panels:
        return None
    names = dict.fromkeys(cost_of(run) for run in used)
    return still(
        _draw(panels, is_shared=True),
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


def _strip(
    run: NamedRun,
    look: tuple[str, str, str],
    column: str,
    factor: float,
    published: Published | None = None,
) -> _Strip:
    metrics = run.finished.table("metrics")
    values = factor * metrics[column].astype(float)
    is_censored = (metrics["status"] != "converged") & (column == "epochs")
    label, colour, marker = look
    kept = values.notna()
    return _Strip(label, values[kept], is_censored[kept], colour, marker, published)


def _draw(panels: Sequence[tuple[str, Sequence[_Strip]]], *, is_shared: bool = False) -> Drawing:
    counts = [len(strips) for _, strips in panels]
    with figure_style():
        figure = Drawing(figsize=(6.4, 0.6 * len(panels) + _ROW_INCHES * sum(counts) + 0.2))
        grid = figure.subplots(
            len(panels), 1, height_ratios=counts, squeeze=False, sharex=is_shared
        )
        for axes, (label, strips) in zip(grid[:, 0], panels, strict=True):
            for place, strip in enumerate(strips):
                _draw_strip(axes, strip, place)
            axes.set_yticks(range(len(strips)), [strip.label for strip in strips])
            axes.set(ylim=(len(strips) - 0.4, -0.6), xlabel=label)
            axes.grid(visible=False, axis="y")
            axes.spines["left"].set_visible(False)
            axes.tick_params(axis="y", length=0)
            axes.tick_params(axis="x", labelbottom=True)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    return figure


def _draw_strip(axes: Axes, strip: _Strip, place: int) -> None:
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
            alpha=0.6,
        )
    if len(strip.values) > 1:
        estimate = mean_estimate(strip.values.tolist())
        axes.hlines(middle, *estimate.interval(0.95), color=INK, linewidth=2.2)
        axes.plot(estimate.point, middle, "|", color=INK, markersize=14, markeredgewidth=2)
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
