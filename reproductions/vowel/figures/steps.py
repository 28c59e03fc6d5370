"""Epochs to the stop against the step size: how much the choice of a step decides."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reproductions.drawing import COLOURS, INK, figure_style
from reproductions.pictures import Picture, still
from reproductions.runs import NamedRun
from reproductions.vowel.rows import TABLE_1, Row

_CLAIMS = (
    "experts-faster-4-6",
    "experts-faster-8-12",
    "half-the-epochs-4-6",
    "half-the-epochs-8-12",
)


def steps(runs: Mapping[str, NamedRun]) -> Picture:
    """The exploration of the four systems of Table 1."""
    rows = [row for row in TABLE_1 if row.run in runs and _explored(runs[row.run])]
    with figure_style():
        drawing = Drawing(figsize=(7.6, 4.4))
        axes = drawing.subplots()
        for row in rows:
            _draw(axes, row, runs)
        axes.set_xscale("log", base=2)
        ticks = [2, 4, 8, 16, 32, 64]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_xlabel("step size, on the gradient's mean over the cases")
        axes.set_ylabel("epochs to the stop")
        axes.set_ylim(0, None)
        axes.legend(frameon=False, loc="upper center", fontsize=9, ncols=2)
        used = [runs[row.run] for row in rows]
    return still(
        drawing,
        id="steps",
        title="Epochs to the stop against the step size",
        caption="Every step that was tried, on seeds that are not reported: dots are seeds, lines "
        "their means, the ringed mark is the step that the rule chose, the hollow one the step "
        "that was tuned towards the published epochs. Dots on the dotted line never arrived.",
        alt="Epochs to the stop fall in proportion to the step size for all four systems until "
        "seeds no longer arrive.",
        claim_ids=_CLAIMS,
        runs=used,
    )


def _explored(run: NamedRun) -> bool:
    return (run.finished.path / "exploration.csv").exists()


def _draw(axes: Axes, row: Row, runs: Mapping[str, NamedRun]) -> None:
    run, colour = runs[row.run], COLOURS[row.colour]
    tried = run.finished.table("exploration")
    arrived = tried["status"] == "converged"
    axes.scatter(
        tried["step_size"], tried["epochs"], s=9, color=colour, marker=row.marker, alpha=0.5
    )
    complete = tried[arrived.groupby(tried["step_size"]).transform("all")]
    means = complete.groupby("step_size")["epochs"].mean()
    axes.plot(means.index, means, color=colour, marker=row.marker, label=row.label)
    chosen = float(run.finished.manifest["step_size"])
    if chosen in means.index:
        axes.scatter([chosen], [means[chosen]], s=170, facecolors="none", edgecolors=colour)
    axes.axhline(run.study.exploration_epochs, color=INK, linestyle=":", linewidth=0.8)
    if row.tuned_run in runs:
        tuned = runs[row.tuned_run].finished
        epochs = tuned.table("metrics")["epochs"].mean()
        axes.scatter(
            [float(tuned.manifest["step_size"])],
            [epochs],
            s=60,
            marker=row.marker,
            facecolors="none",
            edgecolors=colour,
        )
