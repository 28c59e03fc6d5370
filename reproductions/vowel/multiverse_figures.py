"""The pictures of the vowel study's multiverse: which claim holds in which world."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure as Drawing

from experiments.vowel.multiverse import AXES
from reproductions.drawing import COLOURS, INK, figure_style
from reproductions.verdicts.claims import Claim
from reproductions.vowel.multiverse import CLAIM_IDS, shown_choice

CLAIM_LABELS = {
    "experts-faster-4-6": "4 experts faster than BP 6",
    "experts-faster-8-12": "8 experts faster than BP 12",
    "half-the-epochs-4-6": "about half the epochs (4, 6)",
    "half-the-epochs-8-12": "about half the epochs (8, 12)",
    "eight-faster-than-four": "8 experts faster than 4",
    "backprop-12-slower": "BP 12 slower than BP 6",
    "train-accuracy-4-experts": "88 % on training cases (4)",
    "test-accuracy-4-experts": "90 % on test cases (4)",
    "equal-test-accuracy-4-6": "equal accuracy (4, 6)",
    "equal-test-accuracy-8-12": "equal accuracy (8, 12)",
    "two-or-three-live-4": "2 or 3 of 4 experts live",
    "two-or-three-live-8": "2 or 3 of 8 experts live",
    "two-experts-on-a-4": "two on [a]/[A], one on [i]/[I] (4)",
    "two-experts-on-a-8": "two on [a]/[A], one on [i]/[I] (8)",
}
WORDS = ["matches", "inconclusive", "differs"]
_SHADES = [COLOURS["blue"], "#b9bdc3", COLOURS["orange"]]
_CHOICES = [*AXES, "policy", "stop_rule"]
CHOICE_NAMES = {
    "init_range": "init",
    "gate_step": "gate step",
    "policy": "step",
    "stop_rule": "stop",
}


def specification_curve(worlds: pd.DataFrame, claim: Claim) -> Drawing:
    """Worlds from left to right by the ratio of epochs; choices and verdicts below each."""
    # A specification curve (Simonsohn, Simmons & Nelson, 2020): every reading in the order of its
    # result, with its choices below.
    ordered = worlds.sort_values("ratio_4", kind="stable", ignore_index=True)
    options = [(axis, value) for axis in _CHOICES for value in _values(ordered, axis)]
    with figure_style():
        figure = Drawing(figsize=(8.4, 10.6))
        heights = [2.6, 0.165 * len(CLAIM_IDS) + 0.2, 0.15 * len(options) + 0.2]
        top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=heights)
        _draw_ratios(top, ordered, claim)
        _draw_verdicts(middle, ordered)
        _draw_choices(bottom, ordered, options)
    return figure


def _values(worlds: pd.DataFrame, axis: str) -> list[Any]:
    return sorted(worlds[axis].unique())


def _draw_ratios(axes: Axes, worlds: pd.DataFrame, claim: Claim) -> None:
    assert claim.published is not None
    assert claim.margin is not None
    published, margin = claim.published.value, claim.margin
    place = np.arange(len(worlds))
    # Where many seeds were cut off, the ratio is one of limits.
    arrived = worlds["arrived"] >= 0.9
    axes.axhspan(
        published - margin, published + margin, color=COLOURS["sky"], alpha=0.25, linewidth=0
    )
    axes.axhline(published, color=INK, linewidth=1)
    axes.axhline(1, color=INK, linewidth=0.8, linestyle=":")
    axes.scatter(
        place[~arrived],
        worlds["ratio_4"][~arrived],
        s=4,
        color="#9aa0a8",
        marker="x",
        linewidth=0.6,
    )
    axes.scatter(place[arrived], worlds["ratio_4"][arrived], s=7, color=COLOURS["blue"])
    axes.set_yscale("log")
    axes.set_yticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
    axes.set_ylabel("epochs of BP 6\nover those of 4 experts")
    axes.text(2, published + 0.05, f"published: {published:g}", va="bottom", size=9)
    axes.set_title("A dot is a world (×: fewer than 90 % of seeds reach the stop)")
    axes.minorticks_off()


def _draw_verdicts(axes: Axes, worlds: pd.DataFrame) -> None:
    # Blue, grey and orange can be told apart without red and green.
    # A line per claim and a column per world, so that a claim's verdicts stand under the worlds'
    # ratios.
    codes = np.array([[WORDS.index(word) for word in worlds[name]] for name in CLAIM_IDS])
    axes.imshow(
        codes, aspect="auto", interpolation="nearest", cmap=ListedColormap(_SHADES), vmin=0, vmax=2
    )
    labels = [f"{CLAIM_LABELS[name]}  {share_matching(worlds[name]):.0%}" for name in CLAIM_IDS]
    axes.set_yticks(range(len(CLAIM_IDS)), labels, size=8.5)
    axes.grid(False)
    axes.set_title(
        "Does the claim hold there?  blue: matches, grey: inconclusive, orange: differs", size=10
    )


def share_matching(words: pd.Series) -> float:
    """The share of worlds in which a claim matches; a word of a verdict each."""
    return float((words == "matches").mean())


def _draw_choices(axes: Axes, worlds: pd.DataFrame, options: list[tuple[str, Any]]) -> None:
    chosen = np.array([(worlds[axis] == value).to_numpy() for axis, value in options], dtype=float)
    # Pixels do not follow the page's colours as lines do: a grey that stands out from both.
    shades = ListedColormap(["#00000000", "#7d858f"])
    axes.imshow(chosen, aspect="auto", interpolation="nearest", cmap=shades, vmin=0, vmax=1)
    labels = [f"{CHOICE_NAMES.get(axis, axis)} {shown_choice(value)}" for axis, value in options]
    axes.set_yticks(range(len(options)), labels, size=8)
    # A thin line between the values of one choice and those of the next.
    for row in range(1, len(options)):
        if options[row][0] != options[row - 1][0]:
            axes.axhline(row - 0.5, color=INK, linewidth=0.4)
    axes.grid(False)
    axes.set_xlabel("worlds, ordered by the ratio of epochs")
    axes.set_title("The choices that make the world", size=10)


def claim_shares(worlds: pd.DataFrame) -> Drawing:
    """Draw the shares of worlds in which each claim matches, is open, and differs."""
    with figure_style():
        figure = Drawing(figsize=(7.6, 4.6))
        axes = figure.subplots()
        left = np.zeros(len(CLAIM_IDS))
        for word, shade, hatch in zip(WORDS, _SHADES, ["", "", "////"], strict=True):
            shares = np.array([(worlds[name] == word).mean() for name in CLAIM_IDS])
            axes.barh(
                range(len(CLAIM_IDS)),
                shares,
                left=left,
                color=shade,
                hatch=hatch,
                label=word,
                edgecolor=INK,
                linewidth=0.4,
            )
            left += shares
        axes.set_yticks(range(len(CLAIM_IDS)), [CLAIM_LABELS[name] for name in CLAIM_IDS], size=9)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel(f"share of {len(worlds):,} worlds")
        axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3, frameon=False)
    return figure


def picture_map(worlds: pd.DataFrame) -> Drawing:
    """Share of seeds with the picture of Figure 2 against the variance, by output coding."""
    # The other costs have no variance.
    chosen = worlds[(worlds["cost"] == "mixture_likelihood") & (worlds["unit"] == "logistic")]
    with figure_style():
        figure = Drawing(figsize=(7.6, 3.8))
        panels = figure.subplots(1, 2, sharey=True)
        for axes, size in zip(panels, (4, 8), strict=True):
            for (coding, group), colour, marker in zip(
                chosen.groupby("coding"), COLOURS.values(), "osD^", strict=False
            ):
                # The line joins the best of all readings with that variance: can any of them show
                # the picture?
                best = group.groupby("variance")[f"picture_{size}"].max()
                axes.scatter(
                    group["variance"],
                    group[f"picture_{size}"],
                    s=8,
                    color=colour,
                    alpha=0.35,
                    marker=marker,
                )
                axes.plot(
                    best.index, best, color=colour, marker=marker, label=shown_choice(str(coding))
                )
            axes.set_xscale("log")
            axes.set_xticks([0.1, 0.25, 0.5, 1], ["0.1", "0.25", "0.5", "1"])
            axes.minorticks_off()
            axes.set_xlabel("variance of equation 1.3 (paper: 1)")
            axes.set_title(f"{size} experts")
        panels[0].set_ylim(-0.02, 1)
        panels[0].set_ylabel("share of seeds that show\nthe picture of Figure 2")
        panels[1].legend(frameon=False, title="output coding")
    return figure
