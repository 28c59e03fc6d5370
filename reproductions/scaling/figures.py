"""The figures of the scaling report."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reproductions.drawing import COLOURS, INK, figure_style, key_line, legend_below
from reproductions.runs import NamedRun, Runs, distinct
from reproductions.scaling.evidence import limit, ours, seconds
from reproductions.study_report import Picture, as_picture

_PEERS = {
    "F.grouped_mm": ("orange", "s"),
    "transformers grouped_mm": ("purple", "^"),
    "ours, padded": ("sky", "v"),
    "ours, torch_grouped": ("green", "D"),
}
# What readers see of the names in the runs' tables.
_WORDS = {
    "F.grouped_mm": "the same written plainly, by torch's grouped product",
    "transformers grouped_mm": "the library transformers, by torch's grouped product",
    "ours, native": "this layer, by its C kernels",
    "ours, triton": "this layer, by its Triton kernels",
    "ours, padded": "this layer, by padded products",
    "ours, torch_grouped": "this layer, by torch's grouped product",
    "ours, reference": "this layer, by a loop over experts",
}
_DENSE = "one dense expert of the same arithmetic"
_LIMIT = "the same, and each used expert's weights moved once"
_GATES = {"gate, flat": ("vermillion", "s"), "gate, two levels": ("green", "^")}


def cost_per_token(runs: Runs) -> Picture | None:
    """Microseconds per token against experts, one panel per number of tokens."""
    found = distinct(runs.get(name) for name in ("tokens_4096", "tokens_16384"))
    if not found:
        return None
    with figure_style():
        figure = Drawing(figsize=(6.4, 5.2))
        panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
        for axes, run in zip(panels, found, strict=True):
            _draw_cost(axes, run)
        panels[0].set_ylabel("microseconds per token")
        legend_below(figure, panels[0].get_legend_handles_labels()[0], num_columns=1)
    sizes = sorted({size for run in found for size in run.study.num_experts})
    return as_picture(
        figure,
        id="cost-per-token",
        title="Cost per token against the number of experts",
        caption="Forward and backward of the experts, medians over rounds with the lowest and "
        "highest as bars. Dense is the same arithmetic in one expert; traffic, added to it, moves "
        "each used expert's weights and gradients once. The two are timed one after the other; a "
        "layer that overlaps them can be faster. The gate's time stands in the next figure.",
        alt=f"Microseconds per token over {sizes[0]:,} to {sizes[-1]:,} experts for our layer, "
        "limits and peers.",
        claim_ids=("flat-cost", "flat-cost-2048", "near-limit-4096", "near-limit-16384"),
        runs=found,
    )


def _draw_cost(axes: Axes, run: NamedRun) -> None:
    times = 1e6 * seconds(run) / run.study.num_tokens
    dense = times["dense"].groupby("num_experts").median()
    bound = limit(times).groupby("num_experts").median()
    axes.plot(dense.index, dense, ":", color=INK, linewidth=1.5, label=_DENSE)
    axes.plot(bound.index, bound, "--", color=INK, linewidth=1.5, label=_LIMIT)
    _line(axes, times[ours(times)], "blue", "o", _WORDS.get(ours(times), ours(times)))
    for name, (colour, marker) in _PEERS.items():
        if name in times and name != ours(times):
            _line(axes, times[name], colour, marker, _WORDS[name])
    axes.set(xscale="log", yscale="log")
    _experts_axis(axes, run)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.set_title(f"{run.study.num_tokens:,} tokens")


def _experts_axis(axes: Axes, run: NamedRun) -> None:
    sizes = run.study.num_experts
    # Every second size, so that the labels do not touch.
    axes.set_xticks(sizes[::2], [f"{size:,}" for size in sizes[::2]])
    axes.set_xticks(sizes, minor=True, labels=[""] * len(sizes))
    axes.set_xlabel("number of experts")


def _line(axes: Axes, values: pd.Series, colour: str, marker: str, label: str) -> None:
    by_size = values.groupby("num_experts")
    # Medians: a round that something else disturbed would move a mean.
    middle, low, high = by_size.median(), by_size.min(), by_size.max()
    axes.errorbar(
        middle.index,
        middle,
        # Lowest and highest: rounds are few, and what disturbs a timing is no normal noise.
        yerr=[middle - low, high - middle],
        color=COLOURS[colour],
        marker=marker,
        capsize=2,
        elinewidth=0.9,
        label=label,
    )


def skew_and_gates(runs: Runs) -> Picture | None:
    """Our time over the limit with and without skew, and the gates' share of the experts' time."""
    if "tokens_4096" not in runs:
        return None
    found = distinct(runs.get(name) for name in ("tokens_4096", "tokens_4096_zipf"))
    with figure_style():
        figure = Drawing(figsize=(6.4, 4.0))
        left, right = figure.subplots(1, 2)
        for run, (colour, marker) in zip(found, (("blue", "o"), ("orange", "s")), strict=False):
            times = seconds(run)
            _line(left, times[ours(times)] / limit(times), colour, marker, _routing(run))
        left.axhline(1.0, color=INK, linestyle="--", linewidth=1)
        left.set(xscale="log", ylabel="this layer over its limit")
        _experts_axis(left, found[0])
        left.legend(title="routing")
        times = seconds(found[0])
        for name, (colour, marker) in _GATES.items():
            if name in times:
                share = (times[name] / times[ours(times)]).dropna()
                _line(right, share, colour, marker, name.partition(", ")[2])
        right.axhline(0.3, color=INK, linestyle=":", linewidth=1)
        right.set(xscale="log", yscale="log", ylabel="gate's time over the experts'")
        _experts_axis(right, found[0])
        right.yaxis.set_major_formatter("{x:g}")
        right.legend(title="gate")
        limits = [
            key_line("the limit: dense and traffic (left)", "--", width=1),
            key_line("this project's goal of 0.3 (right)", ":", width=1),
        ]
        legend_below(figure, limits)
    return as_picture(
        figure,
        id="skew-and-gates",
        title="Skewed routing, and the gate's share",
        caption=f"{found[0].study.num_tokens:,} tokens. Left: our layer over its limit, routed "
        "evenly and by Zipf's law. "
        "Right: forward and backward of the gate over that of the experts; dotted is this "
        "project's goal of 0.3.",
        alt="Ratios to the limit with balanced and skewed routing; gates' time over experts' time.",
        claim_ids=("skew", "two-level-gate", "two-level-cheaper"),
        runs=found,
    )


def _routing(run: NamedRun) -> str:
    """How a run's tokens chose their experts."""
    skew = run.study.skew
    if skew in (0, 1):
        return "Zipf's law" if skew else "balanced"
    return f"Zipf's law, exponent {skew:g}"
