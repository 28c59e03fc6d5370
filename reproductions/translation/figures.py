"""The figures of the translation report."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from reproductions.drawing import COLOURS, INK, figure_style
from reproductions.runs import NamedRun, Runs, distinct
from reproductions.study_report import Picture, as_picture
from reproductions.translation.tables import is_timed, label, of_test
from reproductions.verdicts.intervals import mean_estimate
from reproductions.verdicts.judge import CONFIDENCE

# Colour, marker and line of each model, from the smallest to the largest.
_STYLES = {
    "none": ("purple", "v", ":"),
    "constant": ("green", "P", ":"),
    "wide": ("vermillion", "s", "--"),
    "experts_32": ("orange", "D", "-."),
    "experts_512": ("sky", "^", "-"),
    "experts_2048": ("blue", "o", "-"),
}
_ORDER = ("perplexity-order-32", "perplexity-order-constant", "perplexity-order-512",
          "perplexity-order-2048")  # fmt: skip


def by_model(runs: Runs) -> Picture | None:
    """Test perplexity of every training, model by model: all languages, and French alone."""
    found = distinct(runs.get(name) for name in _STYLES)
    if not found:
        return None
    languages = ("all", "fr") if len(found[0].study.languages) > 1 else ("all",)
    titles = {"all": "all languages", "fr": "English to French"}
    with figure_style():
        figure = Drawing(figsize=(6.4, 3.8))
        panels = figure.subplots(1, len(languages), squeeze=False)[0]
        for axes, language in zip(panels, languages, strict=True):
            for place, run in enumerate(found):
                colour, marker, _ = _STYLES[run.name]
                values = of_test(run, language).to_numpy(float)
                # Side by side, so that equal ones do not hide each other.
                across = place + np.linspace(-0.15, 0.15, len(values))
                axes.plot(across, values, marker, color=COLOURS[colour], markersize=4,
                          label=label(run, runs))  # fmt: skip
                middle = float(np.exp(np.log(values).mean()))
                axes.plot([place - 0.3, place + 0.3], [middle] * 2, color=INK, linewidth=1)
            axes.set_xticks([])
            axes.set_title(titles[language])
        panels[0].set_ylabel("test perplexity")
        # Names under the points would not fit where a model has many settings of its own.
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return as_picture(
        figure,
        id="by-model",
        title="More experts, and the same cost per word",
        caption="Test perplexity per subword; a point is one training, a line the mean. "
        f"{_cost_in_words(found, runs)}",
        alt="Test perplexity of every training, model by model.",
        claim_ids=("equal-cost-perplexity", "equal-cost-french", *_ORDER),
        runs=found,
    )


def _cost_in_words(found: Sequence[NamedRun], runs: Runs) -> str:
    """Which of the models cost less than the others, if any."""
    costs = [run.finished.manifest["num_operations_per_timestep"] for run in found]
    # Rounded, as in the table of sizes.
    less = [run for run, cost in zip(found, costs, strict=True) if cost < 0.99 * max(costs)]
    but = " and ".join(label(run, runs) for run in less)
    return f"All models{f' but {but}' if but else ''} cost the same operations per word."


def perplexity_curves(runs: Runs) -> Picture | None:
    """Draw held-out perplexity against steps, as in Figure 4, and against seconds."""
    found = distinct(runs.get(name) for name in _STYLES)
    if not found:
        return None
    with figure_style():
        figure = Drawing(figsize=(6.4, 3.8))
        panels = figure.subplots(1, 2, sharey=True)
        for run in found:
            colour, marker, line = _STYLES[run.name]
            points = _points(run)
            # Seconds of another machine are others.
            shown = ("step", "seconds") if is_timed(run, runs) else ("step",)
            for axes, across in zip(panels, shown, strict=False):
                axes.plot(
                    points[across], points["middle"], line, color=COLOURS[colour], marker=marker,
                    markersize=3, label=label(run, runs),
                )  # fmt: skip
                axes.fill_between(
                    points[across], points["low"], points["high"], color=COLOURS[colour],
                    alpha=0.2, linewidth=0,
                )  # fmt: skip
        panels[0].set(xlabel="step", ylabel="held-out perplexity", yscale="log")
        panels[1].set(xlabel="seconds of one core")
        # A logarithmic axis of hardly a decade would have a tick or two otherwise.
        panels[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        panels[0].yaxis.set_major_formatter(ScalarFormatter())
        panels[0].yaxis.set_minor_formatter(NullFormatter())
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return as_picture(
        figure,
        id="perplexity",
        title="Perplexity during training",
        caption="Perplexity per subword of the validation chapters, the mean over trainings with "
        "its 95 % interval: left against steps, as in Figure 4 of the paper, right against "
        "seconds on one core, for models that the same machine trained.",
        alt="Held-out perplexity falling over steps and seconds, one line per number of experts.",
        claim_ids=("translation-equal-time", *_ORDER),
        runs=found,
    )


def _points(run: NamedRun) -> pd.DataFrame:
    """Geometric mean over trainings and its interval at every evaluation."""
    rows = []
    for step, own in run.table("evaluations").groupby("step"):
        logs = np.log(own["perplexity"].to_numpy(float))
        middle = low = high = float(np.exp(logs.mean()))
        if len(logs) > 1:
            estimate = mean_estimate(logs.tolist(), is_log=True)
            middle, (low, high) = estimate.point, estimate.interval(CONFIDENCE)
        rows.append((step, own["core_seconds"].mean(), middle, low, high))
    return pd.DataFrame(rows, columns=["step", "seconds", "middle", "low", "high"])


def information(runs: Runs) -> Picture | None:
    """What the choice of experts tells of word and language, beside untrained models."""
    if "experts_2048" not in runs:
        return None
    run = runs["experts_2048"]
    table = run.table("gate")
    kinds = list(table.groupby(["side", "of"], sort=False))
    with figure_style():
        figure = Drawing(figsize=(6.4, 3.0))
        axes = figure.subplots()
        for place, (_, own) in enumerate(kinds):
            across = np.linspace(-0.1, 0.1, len(own))
            axes.plot(place - 0.2 + across, own["ami"], "o", color=COLOURS["blue"], markersize=4,
                      label="trained" if not place else None)  # fmt: skip
            axes.plot(place + 0.2 + across, own["ami_untrained"], "x", color=COLOURS["purple"],
                      markersize=4, label="untrained" if not place else None)  # fmt: skip
        axes.set_xticks(range(len(kinds)), [f"{side}:\n{of}" for (side, of), _ in kinds])
        axes.set_ylabel("adjusted mutual information")
        axes.set_ylim(bottom=min(0.0, float(table[["ami", "ami_untrained"]].min().min())))
        axes.legend()
    return as_picture(
        figure,
        id="information",
        title="What the choice of an expert tells",
        caption="Adjusted mutual information of a word's first expert with the subword, and with "
        "the target's language, on test chapters; a point is one training. Any function of a word "
        "tells something of it, a random gate's too: only what lies above the crosses was learnt.",
        alt="Information of the chosen expert on subword and language, trained and untrained.",
        claim_ids=tuple(f"specialise-{of}-{side}" for side, of in table[["side", "of"]]
                        .drop_duplicates().itertuples(index=False)
                        if of in ("word", "language")),
        runs=[run],
    )  # fmt: skip


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
