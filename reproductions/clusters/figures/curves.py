"""Dispatch entropy over training, every seed a thin line, and the published curve as points."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reproductions.clusters.measures import entropy_curves
from reproductions.clusters.rows import KIND_COLOURS, KINDS, setting_of
from reproductions.drawing import COLOURS, INK, figure_style
from reproductions.pictures import Picture, still
from reproductions.runs import NamedRun

# Means of ten runs at these steps, from the records of the authors' notebook (their Figure 3).
_STEPS = (0, 25, 50, 75, 100, 150, 200, 300, 400, 500)
_PUBLISHED = {
    (1, "cubic"): (1.386, 1.376, 0.705, 0.347, 0.234, 0.118, 0.120, 0.130, 0.133, 0.135),
    (1, "linear"): (1.386, 1.258, 1.188, 1.204, 1.219, 1.240, 1.254, 1.270, 1.278, 1.285),
    (2, "cubic"): (1.385, 1.377, 0.720, 0.405, 0.278, 0.215, 0.220, 0.237, 0.248, 0.257),
    (2, "linear"): (1.385, 1.214, 1.123, 1.129, 1.135, 1.145, 1.154, 1.168, 1.180, 1.191),
}


def curves(runs: Mapping[str, NamedRun]) -> Picture | None:
    """Figure 3 again; None unless all its runs are there."""
    names = {(setting, kind): f"curves_{setting}_{kind}" for setting in (1, 2) for kind in KINDS}
    if not set(names.values()) <= set(runs):
        return None
    with figure_style():
        figure = Drawing(figsize=(6.4, 4.6))
        grid = figure.subplots(2, 2, sharex=True, sharey=True)
        for (setting, kind), name in names.items():
            axes = grid[KINDS.index(kind), setting - 1]
            _draw(axes, runs[name], COLOURS[KIND_COLOURS[kind]])
            study = runs[name].study
            if runs[name].is_as_named:
                published = _PUBLISHED[setting, kind]
                axes.plot(_STEPS, published, "D", color=INK, ms=4, label="published")
            axes.set_title(f"setting {setting_of(study)}, {study.activation.name} experts")
        if grid[0, 0].get_legend_handles_labels()[0]:
            grid[0, 0].legend(loc="upper right")
        for axes in grid[:, 0]:
            axes.set_ylabel("dispatch entropy (nats)")
        for axes in grid[1]:
            axes.set_xlabel("step")
    claim_ids = [
        f"{name}-{setting}"
        for name in ("flat-then-falls", "linear-climbs-back")
        for setting in (1, 2)
    ]
    return still(
        figure,
        id="entropy-curves",
        title="Figure 3 again: the dispatch entropy over training",
        caption="A thin line is one seed, the heavy one their mean; diamonds are the published "
        f"means of ten runs. 0: every expert sees one cluster. log {study.num_clusters}, dotted: "
        "no expert distinguishes clusters.",
        alt=f"Dispatch entropy over {study.max_steps - 1} steps, one panel per setting and kind of "
        "expert.",
        claim_ids=claim_ids,
        runs=[runs[name] for name in names.values()],
    )


def _draw(axes: Axes, run: NamedRun, colour: str) -> None:
    frame = entropy_curves(run)
    axes.plot(frame.index, frame, color=colour, linewidth=0.6, alpha=0.4)
    axes.plot(frame.index, frame.mean(axis=1), color=colour, linewidth=2.2)
    axes.axhline(np.log(run.study.num_clusters), color=INK, linewidth=1, linestyle=":")
