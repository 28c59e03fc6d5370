"""All seeds as dots beside the published values."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reproductions.claims import Claim
from reproductions.drawing import COLOURS, INK, figure_style
from reproductions.pictures import Picture, still
from reproductions.runs import NamedRun
from reproductions.vowel.rows import COSTS, TABLE_1


def seeds(runs: Mapping[str, NamedRun], claims: Sequence[Claim]) -> Picture:
    """Epochs and test accuracy of every seed of the systems of Table 1."""
    by_id = {claim.id: claim for claim in claims}
    rows = [row for row in TABLE_1 if row.run in runs]
    with figure_style():
        drawing = Drawing(figsize=(7.8, 4.2))
        panels = drawing.subplots(1, 2)
        for place, row in enumerate(rows):
            metrics = runs[row.run].finished.table("metrics")
            colour = COLOURS[row.colour]
            _dots(panels[0], place, metrics["epochs"].to_numpy(float), colour, row.marker)
            _dots(
                panels[1], place, 100 * metrics["test_accuracy"].to_numpy(float), colour, row.marker
            )
            _published(panels[0], place, by_id[f"epochs-{row.suffix}"])
            _published(panels[1], place, by_id[f"test-accuracy-{row.suffix}"])
        for axes, label in zip(
            panels, ("epochs to the stop", "test cases correct, %"), strict=True
        ):
            names = [row.label.replace(", ", ",\n") for row in rows]
            axes.set_xticks(range(len(rows)), names, fontsize=8)
            axes.set_ylabel(label)
    return still(
        drawing,
        id="seeds",
        title="Every seed beside the published values",
        caption="Dots are seeds, the short thick line is their mean; the black diamond is the "
        "value of Table 1, with its published standard deviation where one is printed.",
        alt="Epochs to the stop and test accuracy of all seeds of the four systems of Table 1, "
        "with the published values.",
        claim_ids=[
            f"{name}-{row.suffix}" for row in TABLE_1 for name in ("epochs", "test-accuracy")
        ],
        runs=[runs[row.run] for row in rows],
    )


def costs(runs: Mapping[str, NamedRun]) -> Picture:
    """Epochs of every seed under the three costs, with 4 and 8 experts."""
    with figure_style():
        drawing = Drawing(figsize=(7.8, 3.8))
        panels = drawing.subplots(1, 2, sharey=True)
        colours = (COLOURS["blue"], COLOURS["green"], COLOURS["purple"])
        for axes, size in zip(panels, (4, 8), strict=True):
            for place, (prefix, _) in enumerate(COSTS):
                run = runs.get(f"{prefix}_{size}")
                if run is not None:
                    epochs = run.finished.table("metrics")["epochs"].to_numpy(float)
                    _dots(axes, place, epochs, colours[place], "osD"[place])
            names = [label.replace(" (", "\n(") for _, label in COSTS]
            axes.set_xticks(range(len(COSTS)), names, fontsize=7.5)
            axes.set_title(f"{size} experts")
        panels[0].set_ylabel("epochs to the stop")
    names = [f"{prefix}_{size}" for prefix, _ in COSTS for size in (4, 8)]
    return still(
        drawing,
        id="costs",
        title="The three costs, each at its own best step",
        caption="Dots are seeds, the short thick line is their mean. Equation 1.1 stops first, "
        "since the stop is its own error; the paper compares 1.3 with 1.2.",
        alt="Epochs to the stop under equations 1.1, 1.2 and 1.3 for 4 and 8 experts.",
        claim_ids=[f"likelihood-beats-expected-error-{size}" for size in (4, 8)],
        runs=[runs[name] for name in names if name in runs],
    )


def _dots(axes: Axes, place: int, values: np.ndarray, colour: str, marker: str) -> None:
    # Spread sideways by rank, so that equal values do not hide each other.
    offsets = 0.28 * (np.arange(len(values)) * 0.618 % 1 - 0.5)
    axes.scatter(place + offsets, values, s=12, color=colour, marker=marker, alpha=0.75)
    axes.hlines(np.nanmean(values), place - 0.25, place + 0.25, color=colour, linewidth=3)


def _published(axes: Axes, place: int, claim: Claim) -> None:
    assert claim.published is not None
    axes.errorbar(
        place + 0.36,
        claim.published.value,
        yerr=claim.published.spread,
        color=INK,
        marker="D",
        markersize=5,
        capsize=3,
        linestyle="none",
    )
