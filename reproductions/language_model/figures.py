"""The figures of the language model's report."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.image import AxesImage
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from reproductions.drawing import COLOURS, INK, figure_style
from reproductions.language_model.evidence import perplexity_of
from reproductions.language_model.tables import CONTROLS, MODELS, label
from reproductions.runs import NamedRun, Runs, distinct
from reproductions.study_report import Picture, as_picture
from reproductions.verdicts.intervals import mean_estimate
from reproductions.verdicts.judge import CONFIDENCE

_STYLES = {
    "constant": ("purple", ":"),
    "wide": ("vermillion", "--"),
    "experts_32": ("orange", "-."),
    "experts_2048": ("blue", "-"),
    "hash_2048": ("green", (0, (1, 1))),
}
_OF_SIZE = ("experts_4", "experts_32", "experts_256", "experts_512", "experts_1024",
            "experts_2048", "experts_4096")  # fmt: skip
# Table 7 of the paper, over its one wide expert: by number of experts.
_PUBLISHED_WIDE = 46.1


def by_size(runs: Runs) -> Picture | None:
    """Perplexity over that of the wide expert, by number of experts: ours and Table 7."""
    found = distinct(runs.get(name) for name in _OF_SIZE)
    if not found or "wide" not in runs:
        return None
    # Perplexities are compared by their logarithms, in which a half and a double are equally far.
    wide = np.log(perplexity_of(runs["wide"]).to_numpy(float)).mean()
    with figure_style():
        figure = Drawing(figsize=(6.4, 3.8))
        axes = figure.subplots()
        axes.axhline(1, color=INK, linestyle=":", linewidth=1, label="one wide expert")
        for run in found:
            ratio = np.exp(np.log(perplexity_of(run).to_numpy(float)) - wide)
            axes.plot([run.study.num_experts] * len(ratio), ratio, "o", color=COLOURS["blue"],
                      markersize=4, label="ours, one point a training")  # fmt: skip
        sizes = [run.study.num_experts for run in found]
        means = [np.exp(np.log(perplexity_of(run)).mean() - wide) for run in found]
        axes.plot(sizes, means, "-", color=COLOURS["blue"], linewidth=1, label="ours, mean")
        # The paper has no 512 and no 2,048; and a run with other settings is none of its models.
        published = [run for run in found if MODELS[run.name][1] and run.is_as_named]
        axes.plot(
            [run.study.num_experts for run in published],
            [(MODELS[run.name][1] or np.nan) / _PUBLISHED_WIDE for run in published],
            "D--", color=COLOURS["vermillion"], linewidth=1, label="published (Table 7)",
        )  # fmt: skip
        axes.set(xlabel="experts", ylabel="perplexity over one wide expert", xscale="log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.set_xticks([], minor=True)
        _legend_once(axes)
    return as_picture(
        figure,
        id="capacity",
        title="More experts at the same cost per word",
        caption="Test perplexity over that of one wide expert, which costs as many operations per "
        "word. A point is one training. The paper's models are far larger and see another text, so "
        "that the shapes can be compared and not the numbers.",
        alt="Perplexity relative to one wide expert falling with the number of experts, ours and "
        "published.",
        claim_ids=[
            *("capacity-wide-32", "capacity-4-32", "capacity-32-256", "capacity-256-1024"),
            *("capacity-1024-4096", "capacity-wide-2048", "capacity-32-2048"),
        ],
        runs=[runs["wide"], *found],
    )


def curves(runs: Runs) -> Picture | None:
    """Held-out perplexity against subwords, and against seconds."""
    found = distinct(runs.get(name) for name in _STYLES)
    if not found:
        return None
    with figure_style():
        figure = Drawing(figsize=(6.4, 3.8))
        panels = figure.subplots(1, 2, sharey=True)
        for run in found:
            _curve(panels, run)
        panels[0].set(xlabel="million subwords", ylabel="held-out perplexity", yscale="log")
        panels[1].set(xlabel="seconds of one core")
        panels[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 4, 5)))
        panels[0].yaxis.set_major_formatter(ScalarFormatter())
        panels[0].yaxis.set_minor_formatter(NullFormatter())
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return as_picture(
        figure,
        id="curves",
        title="By what is read, and by the time it takes",
        caption="Perplexity of held-out text, the mean over trainings with its 95 % interval: left "
        "against the subwords read, right against seconds on one core. Before the first "
        "evaluation all models stand near 1,000, the number of subwords.",
        alt="Held-out perplexity falling with subwords, and with seconds, one line per model.",
        claim_ids=("equal-time", "control-hash", "control-constant-32", "control-constant-wide"),
        runs=found,
    )


def _curve(panels: Sequence[Axes], run: NamedRun) -> None:
    colour, line = _STYLES[run.name]
    study, table = run.study, run.table("evaluations")
    # Before the first step every model stands near the number of subwords, far above the rest.
    table = table[table["step"] > 0]
    points = [_point(own) for _, own in table.groupby("step")]
    subwords = table["step"].unique() * study.num_streams * study.num_unrolled / 1e6
    middle, low, high = (np.array(values) for values in zip(*points, strict=True))
    seconds = table.groupby("step")["core_seconds"].mean().to_numpy(float)
    for axes, where in zip(panels, (subwords, seconds), strict=True):
        axes.plot(where, middle, linestyle=line, color=COLOURS[colour], label=label(run))
        axes.fill_between(where, low, high, color=COLOURS[colour], alpha=0.2, linewidth=0)


def _point(own: pd.DataFrame) -> tuple[float, float, float]:
    """Geometric mean over trainings and its interval; no width for a single one."""
    logs = np.log(own["perplexity"].to_numpy(float))
    if len(logs) < 2:
        return (float(np.exp(logs[0])),) * 3
    found = mean_estimate(logs.tolist(), is_log=True)
    return (found.point, *found.interval(CONFIDENCE))


def information(runs: Runs) -> Picture | None:
    """What the choice of experts says of language and subword, during training."""
    found = distinct(
        runs.get(name) for name in ("experts_2048", "hash_2048", "untrained_2048", "experts_32")
    )
    if "experts_2048" not in runs:
        return None
    colours = dict(zip(("experts_2048", "hash_2048", "untrained_2048", "experts_32"),
                       ("blue", "green", "purple", "orange"), strict=True))  # fmt: skip
    with figure_style():
        figure = Drawing(figsize=(6.4, 4.0))
        panels = figure.subplots(1, 2)
        for axes, (column, words) in zip(
            panels, (("ami_kind", "language"), ("ami_word", "subword")), strict=True
        ):
            for run in found:
                table = run.table("evaluations")
                words_of = label(run) if run.name in MODELS else CONTROLS[run.name]
                colour = COLOURS[colours[run.name]]
                # A model that is not trained has one point, which holds for all steps.
                if run.study.untrained:
                    level = table[column].mean()
                    axes.axhline(level, color=colour, linestyle=":", label=words_of)
                    continue
                for _, own in table.groupby("seed"):
                    axes.plot(own["step"], own[column], color=colour, linewidth=1, label=words_of)
            axes.set(xlabel="step")
            axes.set_title(words)
            axes.set_ylim(bottom=0)
        panels[0].set_ylabel("adjusted mutual information")
        handles = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
        figure.legend(handles.values(), handles.keys(), loc="outside upper left")
    return as_picture(
        figure,
        id="information",
        title="What the choice of an expert says",
        caption="Adjusted mutual information between the expert of a word's largest weight and the "
        "language of its text (left), and the subword itself (right): 0 is chance, 1 is all. Every "
        "line is a training. The dotted line is a model that has learnt nothing: any function of "
        "the word tells its language, so that only what lies above it was learnt.",
        alt="Information on language and subword over training steps, with an untrained control.",
        claim_ids=("learning-language", "learning-word"),
        runs=found,
    )


def _legend_once(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes.legend(once.values(), once.keys())


def languages(runs: Runs) -> Picture | None:
    """How 32 experts share the languages, in a trained model and in one that has learnt nothing."""
    found = distinct(runs.get(name) for name in ("experts_32", "untrained_32"))
    if "experts_32" not in runs:
        return None
    with figure_style():
        figure = Drawing(figsize=(6.4, 3.2 * len(found)))
        panels = figure.subplots(len(found), 1, squeeze=False)[:, 0]
        for axes, run in zip(panels, found, strict=True):
            image = _shares(axes, run)
            axes.set_title(label(run))
        panels[-1].set(xlabel="expert, by the language that it has most of")
        figure.colorbar(image, ax=list(panels), label="share of the expert's words")
    return as_picture(
        figure,
        id="languages",
        title="Which languages 32 experts answer for",
        caption="Share of every language in the words that an expert answers for first, in running "
        "text, for the first training, and for a model that has learnt nothing. All languages "
        "have the same number of words here. Subwords of a script of its own are one language's, "
        "so that a random gate tells some languages too.",
        alt="Heat maps of languages by expert, trained and untrained.",
        claim_ids=("learning-language",),
        runs=found,
    )


def _shares(axes: Axes, run: NamedRun) -> AxesImage:
    shown = run.table("shown")
    # The expert of the largest weight stands for a word, as in the measure of information.
    counts = pd.crosstab(shown["expert_1"], shown["kind"])
    shares = _sorted(counts.div(counts.sum(axis=1), axis=0))
    image = axes.imshow(shares.T.to_numpy(), aspect="auto", vmin=0, vmax=1)
    axes.set_yticks(range(shares.shape[1]), list(shares.columns))
    axes.set_xticks([])
    axes.grid(visible=False)
    return image


def _sorted(shares: pd.DataFrame) -> pd.DataFrame:
    values = shares.to_numpy()
    # By language, and within one the expert that has most of it first.
    order = np.lexsort((-values.max(axis=1), values.argmax(axis=1)))
    return shares.iloc[order]
