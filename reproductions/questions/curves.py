"""Figures of questions 2, 3 and 5: a measure over training, one panel per study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reproductions.drawing import (
    COLOURS,
    INK,
    Style,
    figure_style,
    key_band,
    key_line,
    legend_below,
)
from reproductions.questions.evidence import STARTS, curve
from reproductions.runs import NamedRun, Runs, distinct
from reproductions.study_report import Picture, as_picture


@dataclass(frozen=True)
class Line:
    """A run in a panel: its name in the suite, its words and its colour."""

    run: str
    label: str
    colour: str


# By study: the published start, a collapsed gate, a frozen one.
_STARTS: dict[str, tuple[Line, ...]] = {
    "vowel": (
        Line("vowel_published", "published start", "blue"),
        Line("vowel_collapsed", "collapsed gate", "vermillion"),
        Line("vowel_frozen", "frozen gate", "green"),
    ),
    "clusters": (
        Line("clusters_published", "published start", "blue"),
        Line("clusters_collapsed", "collapsed gate", "vermillion"),
        Line("clusters_collapsed_balanced", "collapsed, balance loss", "orange"),
        Line("clusters_frozen", "frozen gate", "green"),
    ),
    "translation": (
        Line("text_published", "published start", "blue"),
        Line("text_collapsed_unbalanced", "collapsed gate", "vermillion"),
        Line("text_collapsed", "collapsed, balance loss", "orange"),
        Line("text_unbalanced", "no balance loss", "purple"),
        Line("text_frozen", "frozen gate", "green"),
    ),
}
_IDENTICAL: dict[str, tuple[Line, ...]] = {
    "vowel": (
        Line("vowel_published", "own weights", "blue"),
        Line("vowel_identical", "identical, no noise", "vermillion"),
        Line("vowel_identical_noise", "identical + 1 % noise", "orange"),
        Line("vowel_identical_noise_blend", "the same, equation 1.1", "green"),
    ),
    "clusters": (
        Line("clusters_published", "own weights", "blue"),
        Line("clusters_identical", "identical, routing noise", "purple"),
        Line("clusters_identical_quiet", "identical, no noise", "vermillion"),
    ),
    "translation": (
        Line("text_published", "own weights", "blue"),
        Line("text_identical", "identical, routing noise", "purple"),
    ),
}
_STEP = {"vowel": "epoch", "clusters": "step", "translation": "step"}
_FOUND = {
    "vowel": (("vowel_published", "pair", "blue"), ("vowel_published", "vowel", "sky")),
    "clusters": (("clusters_published", "cluster", "blue"),),
    "translation": (
        ("text_published", "word class", "blue"),
        ("text_published", "kind of book", "sky"),
    ),
}
_METHODS: dict[str, Style] = {"k-means": ":", "Gaussian mixture": "--"}
_RANGE = key_band("range over seeds", INK, alpha=0.15)


def collapse(runs: Runs) -> Picture | None:
    """Question 2: effective experts, and the gradient at the gate, from each start."""
    # Only runs that are there: a figure of one study alone is better than none.
    lines = _present(_STARTS, runs)
    if not lines:
        return None
    with figure_style():
        figure = Drawing(figsize=(6.4, 5.4))
        grid = figure.subplots(2, len(lines), squeeze=False)
        for place, (study, own) in enumerate(lines.items()):
            _draw(grid[0, place], runs, own, "effective_experts")
            _draw(grid[1, place], runs, own, "gate_gradient")
            grid[0, place].set(title=study, ylim=(0, None))
            grid[1, place].set(yscale="log", xlabel=_STEP[study])
        grid[0, 0].set_ylabel("effective experts")
        grid[1, 0].set_ylabel("gradient at the gate")
        _legend(figure, grid[0])
    return as_picture(
        figure,
        id="collapse",
        title="From a collapsed gate, and with a frozen one",
        caption="Means over seeds, with their range as bands. Above: how many experts answer, as "
        "the exponential of the entropy of their shares. Below: the norm of the task's gradient "
        "at the gate, without the balance losses (in the clusters study with them); a frozen gate "
        "has it too in the first two studies, and does not follow it.",
        alt="Effective experts and gate gradients over training from several starts, per study.",
        claim_ids=(
            "leaves-vowel",
            "leaves-clusters",
            "leaves-text",
            "stays-text-unbalanced",
            "balance-text",
        ),
        runs=_used(lines, runs),
    )


def identity(runs: Runs) -> Picture | None:
    """Question 3: how alike the experts are over training."""
    lines = _present(_IDENTICAL, runs)
    if not lines:
        return None
    with figure_style():
        figure = Drawing(figsize=(6.4, 3.9))
        panels = figure.subplots(1, len(lines), squeeze=False)[0]
        for axes, (study, own) in zip(panels, lines.items(), strict=True):
            _draw(axes, runs, own, "similarity")
            axes.set(title=study, xlabel=_STEP[study])
        panels[0].set_ylabel("mean cosine of two experts")
        _legend(figure, panels)
    return as_picture(
        figure,
        id="identity",
        title="From identical experts",
        caption="Mean cosine of the weights of every two experts; means over seeds, with their "
        "range as bands. 1: all are the same.",
        alt="Similarity of experts over training from own and identical weights, per study.",
        claim_ids=(
            "noise-breaks",
            "competition-parts",
            "routing-noise-parts",
            "text-parts",
        ),
        runs=_used(lines, runs),
    )


def groups(runs: Runs) -> Picture | None:
    """Question 5: what the routing says of known groups, beside standard clusterings."""
    studies = {study: own for study, own in _FOUND.items() if own[0][0] in runs}
    if not studies:
        return None
    with figure_style():
        figure = Drawing(figsize=(6.4, 4.6))
        panels = figure.subplots(1, len(studies), squeeze=False)[0]
        for axes, (study, own) in zip(panels, studies.items(), strict=True):
            for name, of, colour in own:
                line = Line(name, of, colour)
                _draw(axes, runs, [line], f"agreement_{of}")
                _references(axes, runs[name], of, colour)
            axes.set(title=study, xlabel=_STEP[study], ylim=(-0.03, 1.03))
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), title="groups")
        panels[0].set_ylabel("adjusted mutual information")
        methods = [key_line(name, style, width=1.2) for name, style in _METHODS.items()]
        legend_below(figure, [_RANGE, *methods], num_columns=3)
    return as_picture(
        figure,
        id="groups",
        title="What the gate learns: groups that nobody told it of",
        caption="Adjusted mutual information of the first expert and the true groups over "
        "training (0: chance; 1: the same); means over seeds, with their range as bands. On the "
        "same inputs and told the number of groups: k-means (dotted) and a Gaussian mixture "
        "(dashed), the mean of three starts.",
        alt="Mutual information of routing and groups over training, with k-means and a mixture.",
        claim_ids=(
            "gate-finds-pairs",
            "gate-finds-clusters",
            "gate-over-clustering",
            "gate-finds-word-classes",
        ),
        runs=[runs[own[0][0]] for own in studies.values()],
    )


def _present(panels: Mapping[str, Sequence[Line]], runs: Runs) -> dict[str, list[Line]]:
    """The runs that are there, each once, with labels that are true of them."""
    found = {}
    for study, lines in panels.items():
        kept = {run.name for run in distinct(runs.get(line.run) for line in lines)}
        found[study] = [
            replace(line, label=runs[line.run].called(line.label, STARTS))
            for line in lines
            if line.run in kept
        ]
    return {study: lines for study, lines in found.items() if lines}


def _used(lines: Mapping[str, Sequence[Line]], runs: Runs) -> list[NamedRun]:
    return [runs[line.run] for own in lines.values() for line in own]


def _draw(axes: Axes, runs: Runs, lines: Sequence[Line], column: str) -> None:
    for line in lines:
        frame = curve(runs[line.run]).pivot(index="step", columns="seed", values=column)
        if column == "gate_gradient":
            # Zero has no place on a logarithmic axis.
            frame = frame.where(frame > 0)
        if frame.notna().to_numpy().any():
            colour = COLOURS[line.colour]
            axes.plot(frame.index, frame.mean(axis=1), color=colour, label=line.label)
            # Ranges and not intervals: with few seeds the reader should see what happened.
            axes.fill_between(
                frame.index, frame.min(axis=1), frame.max(axis=1), color=colour, alpha=0.15, lw=0
            )


def _references(axes: Axes, run: NamedRun, of: str, colour: str) -> None:
    table = run.table("references")
    # k-means and the mixture depend on their start, so the mean of three is drawn.
    means = table[table["of"] == of].groupby("method")["agreement"].mean()
    for method, style in _METHODS.items():
        axes.axhline(float(means[method]), color=COLOURS[colour], linestyle=style, linewidth=1.2)


def _legend(figure: Drawing, panels: np.ndarray) -> None:
    """One legend for all panels, each label once."""
    handles = [handle for axes in panels for handle in axes.get_legend_handles_labels()[0]]
    legend_below(figure, [*handles, _RANGE])
