"""Figures of questions 1 and 4: what a mixture gains, and how far seeds agree."""

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray

from reproductions.clusters.suite import agreement_of_maps
from reproductions.drawing import COLOURS, INK, figure_style, key_line, key_mark, legend_below
from reproductions.questions.evidence import (
    STARTS,
    gain,
    grouping_with_first,
    text_gain,
)
from reproductions.runs import Runs
from reproductions.study_report import Picture, as_picture
from reproductions.verdicts.intervals import mean_estimate

Array = NDArray[np.float64]
_VOWELS = {"vowel_front": "[i]\n[I]", "vowel_back": "[a]\n[A]", "vowel_both": "both\npairs"}
_CENTRES = {"centre_0": "none", "centre_25": "¼", "centre_50": "½", "centre_100": "full"}
_NUMBERS = {f"num_clusters_{num}": str(num) for num in (2, 4, 8)}
_TEXTS = {"text_one": "one\nkind\nof book", "text_all": "all\nkinds\nof book"}
# Runs on four kinds of text together, and on each of them alone.
_FOUR = "domains_four"
_DOMAINS = ("domains_bible", "domains_packages", "domains_help", "domains_manuals")
_MAPS = {
    "clusters_own": "nothing",
    "clusters_same_noise": "noise",
    "clusters_same_filters": "filters",
}
Samples = dict[str, Array]
_TOLD = STARTS | {"num_experts", "k", "expert_units", "init_seed", "noise_seed"}
# More points, such as every test sentence, would be a black bar.
_MOST_POINTS = 100
_SAMPLE_KEY = (
    key_mark("one seed", "o", COLOURS["blue"], size=3),
    key_mark("mean, with its 95 % interval", "_", size=12),
)


def gains(runs: Runs) -> Picture | None:
    """Question 1: what several experts gain over one, as the clusters are dialled up."""
    panels = {
        "vowel: pairs": (_accuracy_gains(_VOWELS, runs), "points of test accuracy"),
        "clusters: centre signal": (_accuracy_gains(_CENTRES, runs), ""),
        "clusters: number of clusters": (
            _accuracy_gains(_NUMBERS, runs),
            "points of test accuracy",
        ),
        "translation: kinds of book and of text": (_text_gains(runs), "nats per subword"),
    }
    # The four panels answer one question together.
    if not all(samples for samples, _ in panels.values()):
        return None
    with figure_style():
        figure = Drawing(figsize=(6.4, 6.4))
        places = figure.subplots(2, 2, width_ratios=(3, 4)).flat
        for axes, (title, (samples, label)) in zip(places, panels.items(), strict=True):
            _draw(axes, samples)
            axes.axhline(0, color=INK, linewidth=1, linestyle=":")
            axes.set_title(title, fontsize=10.5)
            axes.set_ylabel(label)
        legend_below(figure, [*_SAMPLE_KEY, key_line("no gain", ":", width=1)])
    names = [*_VOWELS, *_CENTRES, *_NUMBERS]
    texts = [each for each in (*_TEXTS, _FOUR, *_DOMAINS) if f"{each}_wide" in runs]
    return as_picture(
        figure,
        id="gains",
        title="What experts gain, as the data falls more into clusters",
        caption="What a mixture gains over one network. For vowels and clusters a point is one "
        "seed, and the one network is an expert alone. There are four experts, and eight where the "
        "number of clusters changes. The centre signal tells the cluster; full is as published. In "
        "translation the one network is a layer of equal cost per word. Kinds of book are compared "
        "over test sentences, kinds of text over seeds. Bars are the mean and its 95 % interval; "
        "above zero the mixture is better.",
        alt="Gains of mixtures over single experts in the three studies.",
        claim_ids=(
            "help-vowel",
            "help-clusters",
            "help-clusters-signal",
            "help-more-clusters",
            "help-text",
            "help-text-domains",
        ),
        runs=[runs[each] for name in names for each in (name, f"{name}_single")]
        + [runs[each] for name in texts for each in (name, f"{name}_wide")],
    )


def _accuracy_gains(names: Mapping[str, str], runs: Runs) -> Samples:
    if not _are_as_named(runs, [each for name in names for each in (name, f"{name}_single")]):
        return {}
    return {label: gain(runs[name], runs[f"{name}_single"]) for name, label in names.items()}


def _are_as_named(runs: Runs, names: Iterable[str]) -> bool:
    """Tell whether the runs are there and are what their labels in these pictures say."""
    return all(name in runs and not _TOLD & runs[name].changed.keys() for name in names)


def _text_gains(runs: Runs) -> Samples:
    if not _are_as_named(runs, [each for name in _TEXTS for each in (name, f"{name}_wide")]):
        return {}
    found = {}
    for name, label in _TEXTS.items():
        many, wide = (
            runs[each].table("sentences").set_index("pair")["loss"]
            for each in (name, f"{name}_wide")
        )
        # Over test sentences: the same sentence by both models.
        found[label] = (wide - many).dropna().to_numpy(float)
    if _are_as_named(
        runs, [each for name in (_FOUR, *_DOMAINS) for each in (name, f"{name}_wide")]
    ):
        found["one\nkind\nof text"] = np.concatenate([_text_gain(runs, name) for name in _DOMAINS])
        found["four\nkinds\nof text"] = _text_gain(runs, _FOUR)
    return found


def _text_gain(runs: Runs, name: str) -> Array:
    return text_gain(runs[name], runs[f"{name}_wide"])


def agreement(runs: Runs) -> Picture | None:
    """Question 4: do seeds end with the same map, and with the same groups?"""
    if not _are_as_named(runs, (*_MAPS, "text_published")):
        return None
    maps = {label: agreement_of_maps(runs[name]) for name, label in _MAPS.items()}
    words = {"translation": grouping_with_first(runs["text_published"])}
    if not all(map(len, maps.values())):
        return None
    with figure_style():
        figure = Drawing(figsize=(6.4, 4.0))
        left, right = figure.subplots(1, 2, width_ratios=(3, 1.4))
        _draw(left, maps)
        chance = 1 / runs["clusters_own"].study.num_experts
        left.axhline(chance, color=INK, linewidth=1, linestyle=":")
        left.set(ylim=(-0.05, 1.05), xlabel="what two seeds share", title="clusters")
        left.set_ylabel("clusters at the same expert")
        _draw(right, words)
        right.axhline(0, color=INK, linewidth=1, linestyle=":")
        right.set(ylim=(-0.05, 1.05), title="words")
        right.set_ylabel("adjusted mutual information")
        legend_below(figure, [*_SAMPLE_KEY, key_line("chance", ":", width=1)])
    return as_picture(
        figure,
        id="agreement",
        title="How far two seeds agree: on who takes what, and on what belongs together",
        caption="Left: the share of clusters that two seeds give to the expert of the same number, "
        "where the seeds share nothing, the routing noise, or the experts' first filters. Right: "
        "adjusted mutual information between the routings of two seeds of the translation "
        "mixture, which does not look at numbers. Bars are the mean and its 95 % interval.",
        alt="Agreement of expert maps between seeds, and of groupings of words.",
        claim_ids=("at-random", "filters-over-noise", "text-groups-agree"),
        runs=[runs[name] for name in (*_MAPS, "text_published")],
    )


def _draw(axes: Axes, samples: Samples) -> None:
    for place, values in enumerate(samples.values()):
        if len(values) <= _MOST_POINTS:
            # Side by side in the order of their seeds, so that equal values do not hide each other.
            spread = place + np.linspace(-0.15, 0.15, len(values))
            axes.plot(spread, values, ".", color=COLOURS["blue"], alpha=0.5, markersize=5)
        mean = values.mean()
        # One seed has a mean and no interval.
        half = mean_estimate(values.tolist()).interval(0.95)[1] - mean if len(values) > 1 else 0.0
        axes.errorbar(place, mean, yerr=half, fmt="_", color=INK, capsize=4, markersize=12)
    axes.set_xticks(range(len(samples)), list(samples))
    axes.set_xlim(-0.5, len(samples) - 0.5)
