"""The figures of the clusters report but the moving one, which is in `figure1`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.figure import SubFigure
from numpy.typing import NDArray

from reproductions.clusters.suite import (
    EXPERT_KINDS,
    KIND_COLOURS,
    SETTINGS,
    SWEEP,
    entropy_curves,
    labelled,
    ladder_labels,
    setting_of,
    settings_in_words,
)
from reproductions.drawing import COLOURS, INK, figure_style, key_line, key_mark, legend_below
from reproductions.runs import NamedRun, Runs, distinct, metric
from reproductions.study_report import Picture, as_picture
from reproductions.verdicts.claims import Claim


def table_1_figure(runs: Runs, claims: Sequence[Claim]) -> Picture | None:
    """Draw the mixtures in all settings that were run."""
    numbers = {claim.id: claim.published for claim in claims}
    named = {
        f"coded_{setting}_{kind}": (setting, kind) for setting in SETTINGS for kind in EXPERT_KINDS
    }
    rows = []
    for run in distinct(runs.get(name) for name in named):
        label = f"{setting_of(run.study)}: {run.study.activation.name}"
        setting, kind = named[run.name]
        beside = _numbers(numbers, setting, kind) if run.is_as_named else ()
        rows.append(SeedRow(label, run, KIND_COLOURS[kind], *beside))
    if not rows:
        return None
    ids = [
        f"{measure}-{setting}-{kind}"
        for measure in ("accuracy", "entropy")
        for setting in SETTINGS
        for kind in EXPERT_KINDS
    ]
    return as_picture(
        _draw_rows(rows),
        id="published",
        title="Table 1 and its extensions, every seed",
        caption="A point is one seed by the authors' recipe, the bar among them their median. The "
        "diamond above is the published mean with one standard deviation. The dotted line is the "
        f"largest possible entropy, log {rows[0].run.study.num_clusters}.",
        alt="Accuracy and dispatch entropy of every seed with the published means, by setting.",
        claim_ids=ids,
        runs=[row.run for row in rows],
    )


def _numbers(numbers: Mapping[str, object], setting: int, kind: str) -> list[tuple[float, float]]:
    found = [numbers[f"{name}-{setting}-{kind}"] for name in ("accuracy", "entropy")]
    return [(item.value, item.spread) for item in found]  # type: ignore[attr-defined]


def ladder(runs: Runs) -> Picture | None:
    """Draw the way from the authors' code to the paper's text, one difference after the other."""
    rows = [
        SeedRow(label, run, KIND_COLOURS[run.name.rpartition("_")[2]])
        for label, run in labelled(ladder_labels(EXPERT_KINDS), runs)
    ]
    if not rows:
        return None
    return as_picture(
        _draw_rows(rows),
        id="ladder",
        title="From the code to the text in six steps",
        caption=f"Setting {settings_in_words(ladder_labels(EXPERT_KINDS), runs)}. "
        "Every row keeps the changes above it: row 0 is the authors' code, row "
        "6 the paper's text. Circles are cubic experts, triangles linear ones.",
        alt="Accuracy and entropy of cubic and linear mixtures at seven steps from code to text.",
        claim_ids=("written-linear", "written-linear-entropy"),
        runs=[row.run for row in rows],
    )


def sweep(runs: Runs) -> Picture | None:
    """Draw the runs that have one setting changed, one row each."""
    rows = [SeedRow(label, run, "blue") for label, run in labelled(SWEEP, runs)]
    if len(rows) < 2:
        return None
    return as_picture(
        _draw_rows(rows),
        id="sweep",
        title="What the division of labour depends on",
        caption=f"Cubic experts by the authors' recipe, setting {settings_in_words(SWEEP, runs)}, "
        "with one setting changed; in "
        "brackets the usual value.",
        alt="Accuracy and entropy of cubic mixtures with one setting changed at a time.",
        runs=[row.run for row in rows],
    )


_MARKERS = {"blue": "o", "vermillion": "^", "green": "s"}


@dataclass(frozen=True)
class SeedRow:
    """One row of points: a run, its colour, and where the paper has a mean and a spread."""

    label: str
    run: NamedRun
    colour: str
    accuracy: tuple[float, float] | None = None
    entropy: tuple[float, float] | None = None


def _draw_rows(rows: Sequence[SeedRow]) -> Drawing:
    """A row of points per run, with its median; published means and spreads as bars above."""
    with figure_style():
        figure = Drawing(figsize=(6.4, 1.8 + 0.34 * len(rows)))
        left, right = figure.subplots(1, 2, sharey=True)
        for place, row in enumerate(rows):
            _draw_row(left, place, row, metric(row.run, "test_accuracy", 100), row.accuracy)
            _draw_row(right, place, row, metric(row.run, "entropy"), row.entropy)
        left.set(yticks=range(len(rows)), yticklabels=[row.label for row in rows])
        left.set(ylim=(len(rows) - 0.4, -0.7), xlabel="accuracy (%)")
        # With equal shares everywhere the entropy is log K, K the number of clusters.
        largest = np.log(rows[0].run.study.num_clusters)
        right.set(xlim=(-0.05, largest + 0.06), xlabel="entropy (nats)")
        left.locator_params(axis="x", nbins=4)
        right.axvline(largest, color=INK, linewidth=1, linestyle=":")
        for axes in (left, right):
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0)
        legend_below(figure, _row_key(rows))
    return figure


def _row_key(rows: Sequence[SeedRow]) -> list[Artist]:
    entries = [
        key_mark(
            f"{row.run.study.activation.name} experts, one seed",
            _MARKERS[row.colour],
            COLOURS[row.colour],
        )
        for row in rows
    ]
    entries.append(key_mark("median of the seeds", "|", size=11))
    if any(row.accuracy for row in rows):
        entries.append(key_mark("published mean ± standard deviation", "D", size=3.5))
    return [*entries, key_line("largest possible entropy", ":", width=1)]


def _draw_row(
    axes: Axes, place: int, row: SeedRow, values: "np.typing.ArrayLike", published: object
) -> None:
    numbers = np.asarray(values, dtype=float)
    # The same scatter on every machine: places in the row follow from the rank.
    shifts = 0.12 * np.sin(2.4 * np.arange(len(numbers)))
    axes.scatter(
        numbers,
        place + shifts,
        s=13,
        color=COLOURS[row.colour],
        marker=_MARKERS[row.colour],
        alpha=0.75,
        linewidths=0,
    )
    if len(numbers):
        axes.plot([np.median(numbers)] * 2, [place - 0.3, place + 0.3], color=INK, linewidth=1.6)
    # Above the seeds, so that neither hides the other.
    if isinstance(published, tuple):
        mean, spread = published
        axes.errorbar(mean, place - 0.36, xerr=spread, color=INK, fmt="D", ms=3.5, lw=1, capsize=2)


# Means of ten runs at these steps, from the records of the authors' notebook (their Figure 3).
_PUBLISHED_STEPS = (0, 25, 50, 75, 100, 150, 200, 300, 400, 500)
_PUBLISHED_ENTROPIES = {
    (1, "cubic"): (1.386, 1.376, 0.705, 0.347, 0.234, 0.118, 0.120, 0.130, 0.133, 0.135),
    (1, "linear"): (1.386, 1.258, 1.188, 1.204, 1.219, 1.240, 1.254, 1.270, 1.278, 1.285),
    (2, "cubic"): (1.385, 1.377, 0.720, 0.405, 0.278, 0.215, 0.220, 0.237, 0.248, 0.257),
    (2, "linear"): (1.385, 1.214, 1.123, 1.129, 1.135, 1.145, 1.154, 1.168, 1.180, 1.191),
}
# Half of the 95 % interval that is drawn at step 500, of cubic experts: 1.96 s / sqrt(10).
_PUBLISHED_CUBIC_HALVES = {1: 0.061, 2: 0.063}
_NUM_PUBLISHED = 10
_NUM_SAMPLES = 10_000


def curves(runs: Runs) -> Picture | None:
    """Draw Figure 3 again; return None unless all its runs are there."""
    names = {
        (setting, kind): f"curves_{setting}_{kind}" for setting in (1, 2) for kind in EXPERT_KINDS
    }
    if not set(names.values()) <= set(runs):
        return None
    with figure_style():
        figure = Drawing(figsize=(6.4, 5.2))
        grid = figure.subplots(2, 2, sharex=True, sharey=True)
        for (setting, kind), name in names.items():
            axes = grid[EXPERT_KINDS.index(kind), setting - 1]
            _draw_curves(axes, runs[name], COLOURS[KIND_COLOURS[kind]])
            study = runs[name].study
            if runs[name].is_as_named:
                # Other settings have no published curve.
                published = _PUBLISHED_ENTROPIES[setting, kind]
                axes.plot(_PUBLISHED_STEPS, published, "D", color=INK, ms=4)
            axes.set_title(f"setting {setting_of(study)}, {study.activation.name} experts")
        legend_below(figure, _curve_key([runs[name] for name in names.values()]))
        for axes in grid[:, 0]:
            axes.set_ylabel("dispatch entropy (nats)")
        for axes in grid[1]:
            axes.set_xlabel("step")
    claim_ids = [
        f"{name}-{setting}"
        for name in ("flat-then-falls", "linear-climbs-back")
        for setting in (1, 2)
    ]
    return as_picture(
        figure,
        id="entropy-curves",
        title="Figure 3 again: the dispatch entropy over training",
        caption="A thin line is one seed, the heavy one their mean; diamonds are the published "
        f"means of ten runs. 0: every expert sees one cluster. log {study.num_clusters}, dotted: "
        f"no expert distinguishes clusters.{_spread_note(runs)}",
        alt=f"Dispatch entropy over {study.max_steps - 1} steps, one panel per setting and kind of "
        "expert.",
        claim_ids=claim_ids,
        runs=[runs[name] for name in names.values()],
    )


def _spread_note(runs: Runs) -> str:
    """Why the curves of cubic experts spread more widely than the published ones."""
    found = {setting: runs[f"curves_{setting}_cubic"] for setting in _PUBLISHED_CUBIC_HALVES}
    curve = {setting: entropy_curves(run) for setting, run in found.items()}
    last, are_as_named = _PUBLISHED_STEPS[-1], all(run.is_as_named for run in found.values())
    # A short run has no such step, and few seeds have no samples of ten.
    is_long = all(last in each.index and each.shape[1] > _NUM_PUBLISHED for each in curve.values())
    if not (are_as_named and is_long):
        return ""
    times, shares = [], []
    for setting, each in curve.items():
        published = _PUBLISHED_CUBIC_HALVES[setting] * np.sqrt(_NUM_PUBLISHED) / 1.96
        last_R = each.loc[last].to_numpy(float)
        times.append(last_R.std(ddof=1) / published)
        shares.append(100 * share_as_narrow(last_R, _NUM_PUBLISHED, published))
    return (
        f" At step 500 our cubic seeds spread {times[0]:.1f} and {times[1]:.1f} times as widely as "
        "the published ones. A few seeds, whose experts go on sharing clusters, make most of that: "
        f"{_NUM_PUBLISHED} of our seeds, drawn at random, would spread as little as published in "
        f"{shares[0]:.0f} and {shares[1]:.0f} % of draws."
    )


def share_as_narrow(values_R: NDArray[np.float64], size: int, spread: float) -> float:
    """The share of samples of some seeds whose standard deviation is at most ``spread``.

    Args:
        values_R: one per seed.
        size: seeds in a sample, drawn without replacement.
        spread: a standard deviation in the unit of the values.
    """
    generator = np.random.default_rng(0)
    samples = [generator.choice(values_R, size, replace=False) for _ in range(_NUM_SAMPLES)]
    return float(np.mean(np.std(samples, axis=1, ddof=1) <= spread))


def _curve_key(found: Sequence[NamedRun]) -> list[Artist]:
    entries = [key_line("one seed", width=0.6), key_line("mean of the seeds", width=2.2)]
    if any(run.is_as_named for run in found):
        entries.append(key_mark("published mean of ten runs", "D", size=4))
    return [*entries, key_line("no expert tells clusters apart", ":", width=1)]


def _draw_curves(axes: Axes, run: NamedRun, colour: str) -> None:
    frame = entropy_curves(run)
    axes.plot(frame.index, frame, color=colour, linewidth=0.6, alpha=0.4)
    axes.plot(frame.index, frame.mean(axis=1), color=colour, linewidth=2.2)
    axes.axhline(np.log(run.study.num_clusters), color=INK, linewidth=1, linestyle=":")


_PANELS = {
    "expert_feature": "experts and features",
    "expert_centre": "experts and centres",
    "gate_feature": "gate and features",
    "gate_centre": "gate and centres",
}


def alignment(runs: Runs) -> Picture | None:
    """Draw the largest inner product of every kind over training; return None without the runs."""
    every = distinct(runs.get(f"coded_1_{kind}") for kind in EXPERT_KINDS)
    if not every:
        return None
    # By what the runs are and not by their names, which an override may have made untrue.
    found = {run.study.activation.name: run for run in every}
    setting = setting_of(every[0].study)
    with figure_style():
        figure = Drawing(figsize=(6.4, 4.8))
        grid = figure.subplots(2, 2, sharex=True, sharey="row")
        for axes, (name, title) in zip(grid.flat, _PANELS.items(), strict=True):
            for kind, run in found.items():
                arrays = run.finished.arrays("snapshots")
                # Largest over experts, filters and clusters, as in the caption.
                largest_SR = np.abs(arrays[name]).max(axis=(2, 3))
                colour = COLOURS[KIND_COLOURS[run.name.rpartition("_")[2]]]
                axes.plot(arrays["steps"], largest_SR, color=colour, linewidth=0.6, alpha=0.4)
                style = "-" if kind == "cubic" else "--"
                mean = largest_SR.mean(axis=1)
                label = f"{kind} experts, mean of the seeds"
                axes.plot(arrays["steps"], mean, style, color=colour, linewidth=2.2, label=label)
            axes.set_title(title)
        handles, _ = grid[0, 0].get_legend_handles_labels()
        legend_below(figure, [*handles, key_line("one seed", width=0.6)])
        grid[0, 0].set_ylabel("largest inner product")
        grid[1, 0].set_ylabel("largest inner product")
        for axes in grid[1]:
            axes.set_xlabel("step")
    return as_picture(
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


Shares = NDArray[np.float64]
_PER_ROW = 9
# Three rows of each kind of expert.
_MOST_SEEDS = 27


def matrices(runs: Runs, prefix: str) -> Picture | None:
    """Draw the shares of clusters at experts over seeds; return None without the runs."""
    found = distinct(runs.get(f"{prefix}_{kind}") for kind in EXPERT_KINDS)
    if not found:
        return None
    study = found[0].study
    num_experts, num_clusters = study.num_experts, study.num_clusters
    blocks = {run.study.activation.name: _shares(run) for run in found}
    num_rows = {kind: -(-len(block) // _PER_ROW) for kind, block in blocks.items()}
    with figure_style():
        figure = Drawing(figsize=(6.4, 0.5 + sum(0.75 * n + 0.4 for n in num_rows.values())))
        # Every matrix is equally large, though one kind may have fewer seeds.
        heights = list(num_rows.values())
        parts = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, (kind, block) in zip(parts, blocks.items(), strict=True):
            part.suptitle(f"{num_experts} {kind} experts", fontsize=12, x=0.01, ha="left")
            grid = part.subplots(num_rows[kind], _PER_ROW, squeeze=False)
            _draw_matrices(part, grid, block)
    return as_picture(
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


def _draw_matrices(part: SubFigure, grid: NDArray[Any], block: Mapping[int, Shares]) -> None:
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.set_frame_on(False)
        axes.grid(visible=False)
    for axes, (seed, share_KE) in zip(grid.flat, block.items(), strict=False):
        # From 0 to 1 in all of them, so that matrices can be compared.
        image = axes.imshow(share_KE, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_title(f"seed {seed}", fontsize=9, loc="center", pad=2)
    # All matrices have these axes; the first one names them.
    grid[0, 0].set_xlabel("expert", fontsize=9, labelpad=2)
    grid[0, 0].set_ylabel("cluster", fontsize=9, labelpad=2)
    bar = part.colorbar(image, ax=grid.ravel().tolist(), aspect=30, pad=0.01)
    bar.set_label("share of the cluster", fontsize=10)


def _shares(run: NamedRun) -> dict[int, Shares]:
    counts_RKE = run.finished.arrays("snapshots")["counts"][-1].astype(float)
    seeds = run.table("metrics")["seed"]
    # Clusters differ a little in size, and a row should tell where its own examples go.
    shares_RKE = counts_RKE / counts_RKE.sum(axis=2, keepdims=True)
    return dict(zip(seeds[:_MOST_SEEDS].tolist(), shares_RKE, strict=False))
