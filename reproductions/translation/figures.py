"""The figures of the translation report."""

import numpy as np
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from reproductions.drawing import COLOURS, INK, figure_style
from reproductions.runs import Runs, distinct
from reproductions.study_report import Picture, as_picture
from reproductions.translation.equal_cost import label
from reproductions.translation.evidence import judged_experts

_STYLES = {
    "experts_0": ("purple", "v", ":"),
    "wide": ("vermillion", "s", "--"),
    "experts_32": ("orange", "D", "-."),
    "experts_512": ("sky", "^", "-"),
    "experts_2048": ("blue", "o", "-"),
}
_KEYS = {"piece": "subword", "word_class": "word class", "domain": "kind of book"}


def perplexity_curves(runs: Runs) -> Picture | None:
    """Draw held-out perplexity against steps, as in Figure 4."""
    found = distinct(runs.get(name) for name in _STYLES)
    if not found:
        return None
    costs_as_much = not any(
        {"num_experts", "k", "expert_units"} & run.changed.keys() for run in found
    )
    cost = (
        "; all models but the one without experts cost the same operations per word"
        if costs_as_much
        else ""
    )
    with figure_style():
        figure = Drawing(figsize=(6.4, 3.8))
        axes = figure.subplots()
        for run in found:
            colour, marker, line = _STYLES[run.name]
            table = run.table("evaluations")
            axes.plot(
                table["step"], table["perplexity"], line, color=COLOURS[colour], marker=marker,
                label=label(run, runs),
            )  # fmt: skip
        axes.set(xlabel="step", ylabel="held-out perplexity", yscale="log")
        # A logarithmic axis of hardly a decade would have a tick or two otherwise.
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.legend()
    return as_picture(
        figure,
        id="perplexity",
        title="Perplexity during training",
        caption=f"Perplexity per subword of the validation chapters, one training each{cost}. "
        "Figure 4 of the paper shows the same with WMT'14.",
        alt="Held-out perplexity falling over training steps, one line per number of experts.",
        claim_ids=(
            "equal-cost-perplexity",
            "perplexity-order-32",
            "perplexity-order-512",
            "perplexity-order-2048",
        ),
        runs=found,
    )


def loads(runs: Runs) -> Picture | None:
    """Draw how many held-out assignments each expert has, the largest first."""
    if "experts_2048" not in runs:
        return None
    count = runs["experts_2048"].table("experts")["num_assignments"].to_numpy(float)
    with figure_style():
        figure = Drawing(figsize=(6.4, 3.2))
        axes = figure.subplots()
        axes.plot(np.arange(1, len(count) + 1), -np.sort(-count), color=COLOURS["blue"])
        axes.axhline(count.mean(), color=INK, linestyle=":", linewidth=1, label="mean")
        axes.set(xlabel="expert, by load", ylabel="assignments", xscale="log")
        axes.legend()
    return as_picture(
        figure,
        id="loads",
        title="How evenly experts are used",
        caption="Assignments of the encoder's experts on the test chapters, without routing noise, "
        "largest first.",
        alt="Assignments per expert in falling order, with their mean.",
        claim_ids=("balance-kept", "balance-lost"),
        runs=[runs["experts_2048"]],
    )


def variety(runs: Runs) -> Picture | None:
    """Each expert's entropy over subwords, classes and kinds of book, against chance."""
    if "experts_2048" not in runs:
        return None
    table = judged_experts(runs["experts_2048"])
    with figure_style():
        figure = Drawing(figsize=(6.4, 2.9))
        panels = figure.subplots(1, len(_KEYS))
        for axes, (key, words) in zip(panels, _KEYS.items(), strict=True):
            own, chance = table[f"{key}_entropy"], table[f"{key}_entropy_chance"]
            axes.scatter(chance, own, s=5, color=COLOURS["blue"], alpha=0.5, linewidths=0)
            # Below the diagonal an expert is less varied than its lowest deal by chance.
            top = max([*own, *chance, 0.1])
            axes.plot([0, top], [0, top], color=INK, linewidth=1, linestyle=":")
            axes.set(xlabel="lowest by chance")
            axes.set_title(words)
        panels[0].set_ylabel("entropy (nats)")
    return as_picture(
        figure,
        id="variety",
        title="What experts specialise in",
        caption="Entropy over subwords, word classes and kinds of book of each expert's test "
        "assignments, against the lowest in 20 deals of all assignments to experts with the same "
        "loads. Below the dotted line an expert is less varied than chance makes any.",
        alt="Three scatter plots: an expert's entropy against the lowest by chance.",
        claim_ids=("experts-meaning", "experts-syntax", "experts-topic", "experts-one-word"),
        runs=[runs["experts_2048"]],
    )
