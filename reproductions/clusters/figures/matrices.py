"""Which expert gets which cluster at the end, one small matrix per seed."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure as Drawing

from reproductions.clusters.rows import KINDS
from reproductions.drawing import figure_style
from reproductions.pictures import Picture, still
from reproductions.runs import NamedRun, distinct

_PER_ROW = 9
_MOST = 27


def matrices(runs: Mapping[str, NamedRun], prefix: str) -> Picture | None:
    """Shares of clusters at experts over seeds, cubic above linear; None without the runs."""
    found = distinct(runs.get(f"{prefix}_{kind}") for kind in KINDS)
    if not found:
        return None
    study = found[0].study
    num_experts, num_clusters = study.num_experts, study.num_clusters
    blocks = {run.study.activation.name: _shares(run) for run in found}
    num_rows = {kind: -(-len(block) // _PER_ROW) for kind, block in blocks.items()}
    with figure_style():
        figure = Drawing(figsize=(6.4, 0.5 + sum(0.75 * n + 0.4 for n in num_rows.values())))
        heights = list(num_rows.values())
        parts = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, (kind, block) in zip(parts, blocks.items(), strict=True):
            part.suptitle(f"{num_experts} {kind} experts", fontsize=12, x=0.01, ha="left")
            grid = part.subplots(num_rows[kind], _PER_ROW, squeeze=False)
            for axes in grid.flat:
                axes.set_axis_off()
            for axes, (seed, share_KE) in zip(grid.flat, block.items(), strict=False):
                axes.imshow(share_KE, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
                axes.set_title(f"seed {seed}", fontsize=9, loc="center", pad=2)
    return still(
        figure,
        id=f"dispatch-{prefix.replace('_', '-')}",
        title=f"Who gets what: clusters at {num_experts} experts",
        caption="One matrix per seed at the end of training: rows are the "
        f"{num_clusters} clusters, columns the "
        f"{num_experts} experts; the lighter, the larger the share of the cluster that the expert "
        "gets. One light cell per row: the cluster is at one expert.",
        alt=f"Matrices of clusters by {num_experts} experts for every seed.",
        claim_ids=("one-to-one",) if prefix == "four" else (),
        runs=found,
    )


def _shares(run: NamedRun) -> dict[int, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    counts_RKE = run.finished.arrays("snapshots")["counts"][-1].astype(float)
    seeds = run.finished.table("metrics")["seed"]
    shares_RKE = counts_RKE / counts_RKE.sum(axis=2, keepdims=True)
    return dict(zip(seeds[:_MOST].tolist(), shares_RKE, strict=False))
