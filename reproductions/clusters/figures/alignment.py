"""Inner products of gate and experts with the signals over training (appendix of the paper)."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure as Drawing

from reproductions.clusters.rows import KIND_COLOURS, KINDS, setting_of
from reproductions.drawing import COLOURS, figure_style
from reproductions.pictures import Picture, still
from reproductions.runs import NamedRun, distinct

_PANELS = {
    "expert_feature": "experts and features",
    "expert_centre": "experts and centres",
    "gate_feature": "gate and features",
    "gate_centre": "gate and centres",
}


def alignment(runs: Mapping[str, NamedRun]) -> Picture | None:
    """The largest inner product of every kind over training; None without the runs."""
    every = distinct(runs.get(f"coded_1_{kind}") for kind in KINDS)
    if not every:
        return None
    found = {run.study.activation.name: run for run in every}
    setting = setting_of(every[0].study)
    with figure_style():
        figure = Drawing(figsize=(6.4, 4.4))
        grid = figure.subplots(2, 2, sharex=True, sharey="row")
        for axes, (name, title) in zip(grid.flat, _PANELS.items(), strict=True):
            for kind, run in found.items():
                arrays = run.finished.arrays("snapshots")
                largest_SR = np.abs(arrays[name]).max(axis=(2, 3))
                colour = COLOURS[KIND_COLOURS[run.name.rpartition("_")[2]]]
                axes.plot(arrays["steps"], largest_SR, color=colour, linewidth=0.6, alpha=0.4)
                style = "-" if kind == "cubic" else "--"
                mean = largest_SR.mean(axis=1)
                axes.plot(arrays["steps"], mean, style, color=colour, linewidth=2.2, label=kind)
            axes.set_title(title)
        grid[0, 0].legend()
        grid[0, 0].set_ylabel("largest |inner product|")
        grid[1, 0].set_ylabel("largest |inner product|")
        for axes in grid[1]:
            axes.set_xlabel("step")
    return still(
        figure,
        id="alignment",
        title="The gate learns centres, the experts learn features",
        caption="Largest absolute inner product over experts, filters and clusters, by the "
        f"authors' recipe in setting {setting}; thin lines are seeds (one that stopped keeps its "
        "last value), heavy ones their means.",
        alt="Largest inner products of experts and gate with features and centres over training.",
        claim_ids=("gate-learns-centres", "experts-learn-features"),
        runs=found.values(),
    )
