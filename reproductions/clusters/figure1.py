"""Figure 1 of the paper, moving: what each of four experts gets, and where the classes part."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier

from reproductions.clusters.suite import EXPERT_KINDS
from reproductions.drawing import COLOURS, INK, figure_style, overlay_of, to_svg
from reproductions.runs import NamedRun, Runs, distinct
from reproductions.study_report import Frame, Picture, as_picture

Array = NDArray[Any]
Arrays = Mapping[str, Array]
_EXPERT_COLOURS = ("blue", "vermillion", "green", "purple", "orange", "sky", "yellow")
_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
_GRID = 100
_NUM_FRAMES = 13


def figure1(runs: Runs) -> Picture | None:
    """Cubic experts above linear ones, first seed, with a slider over training."""
    found = distinct(runs.get(f"picture_{kind}") for kind in EXPERT_KINDS)
    if len(found) < len(EXPERT_KINDS):
        return None
    pictures = [run.finished.arrays("picture") for run in found]
    # Both rows move together, though one may stop earlier: a frame is a share of either training.
    shares = np.linspace(0, 1, _NUM_FRAMES)
    with figure_style():
        base = _empty(pictures, _kinds(found))
        frames = [_frame(base, pictures, _kinds(found), share) for share in shares]
        moments = _three_moments(pictures, _kinds(found))
    return as_picture(
        moments,
        id="figure1",
        title="Figure 1 again: experts settle on clusters",
        caption="Training examples in the plane of a t-SNE of their unshuffled patches (its axes "
        "mean nothing). A colour is the expert that the gate chooses, a marker the true cluster, "
        "a line the border between predicted classes (nearest neighbour). Move the slider to "
        "follow the training from start to end. The first seed; it was not chosen.",
        alt=f"Examples of {_num_clusters(pictures)} clusters coloured by the expert that gets "
        f"them, for {' and '.join(_kinds(found))} experts.",
        base_svg=to_svg(base, label="The plane of the examples"),
        frames=frames,
        claim_ids=("one-to-one",),
        runs=found,
    )


def _kinds(found: Sequence[NamedRun]) -> list[str]:
    return [run.study.activation.name for run in found]


def _num_clusters(pictures: Sequence[Arrays]) -> int:
    return int(pictures[0]["clusters"].max()) + 1


def _num_experts(pictures: Sequence[Arrays]) -> int:
    return 1 + max(int(picture["choices"].max()) for picture in pictures)


def _empty(pictures: Sequence[Arrays], kinds: Sequence[str]) -> Drawing:
    figure = Drawing(figsize=(6.4, 7.6))
    grid = figure.subplots(2, 1)
    for axes, picture, kind in zip(grid, pictures, kinds, strict=True):
        _bare(axes, picture)
        axes.set_title(f"{kind} experts")
    _legend(figure, _num_clusters(pictures), _num_experts(pictures))
    return figure


def _bare(axes: Axes, picture: Arrays) -> None:
    positions = picture["positions"]
    for setter, column in ((axes.set_xlim, 0), (axes.set_ylim, 1)):
        low, high = float(positions[:, column].min()), float(positions[:, column].max())
        pad = 0.04 * (high - low)
        setter(low - pad, high + pad)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)


def _legend(figure: Drawing, num_clusters: int, num_experts: int) -> None:
    markers = [_MARKERS[place % len(_MARKERS)] for place in range(num_clusters)]
    handles = [
        Line2D([], [], marker=marker, linestyle="", color=INK, label=f"cluster {place + 1}")
        for place, marker in enumerate(markers)
    ]
    handles.append(Line2D([], [], color=INK, linewidth=1.2, label="class border"))
    handles += [
        Line2D([], [], marker="s", linestyle="", color=colour, label=f"expert {place + 1}")
        for place, colour in enumerate(_expert_colours()[:num_experts])
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, handletextpad=0.2)


def _expert_colours() -> list[str]:
    return [COLOURS[name] for name in _EXPERT_COLOURS]


def _frame(base: Drawing, pictures: Sequence[Arrays], kinds: Sequence[str], share: float) -> Frame:
    overlay, layers = overlay_of(base)
    steps = []
    for axes, picture in zip(layers, pictures, strict=True):
        # Snapshots lie a fixed number of steps apart.
        place = round(share * (len(picture["steps"]) - 1))
        steps.append(int(picture["steps"][place]))
        _scatter(axes, picture, place)
    label = f"step {steps[0]} ({kinds[0]}), {steps[1]} ({kinds[1]})"
    return Frame(label, to_svg(overlay, label=f"Experts' examples at {label}"))


def _scatter(axes: Axes, picture: Arrays, place: int) -> None:
    positions, clusters = picture["positions"], picture["clusters"]
    colours = np.array(_expert_colours())
    # Thousands of points as one image: as shapes they would be megabytes per frame.
    for cluster in np.unique(clusters).tolist():
        chosen, marker = clusters == cluster, _MARKERS[cluster % len(_MARKERS)]
        axes.scatter(
            positions[chosen, 0],
            positions[chosen, 1],
            s=11,
            marker=marker,
            c=colours[picture["choices"][place, chosen] % len(colours)],
            linewidths=0,
            alpha=0.85,
            rasterized=True,
        )
    _border(axes, positions, picture["predictions"][place])


def _border(axes: Axes, positions: Array, predictions: Array) -> None:
    if len(np.unique(predictions)) < 2:
        return
    across, up = (np.linspace(*limits, _GRID) for limits in (axes.get_xlim(), axes.get_ylim()))
    points = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    # A t-SNE has no inverse: a point between examples cannot be classified, so the border is that
    # of the nearest example's class.
    nearest = KNeighborsClassifier(n_neighbors=1).fit(positions, predictions).predict(points)
    field = nearest.reshape(_GRID, _GRID).astype(float)
    axes.contour(across, up, field, levels=[0.0], colors=[INK], linewidths=0.9)


def _three_moments(pictures: Sequence[Arrays], kinds: Sequence[str]) -> Drawing:
    """Draw start, middle and end side by side, as the paper prints them."""
    figure = Drawing(figsize=(9.6, 6.6))
    grid = figure.subplots(2, 3)
    for row, picture, kind in zip(grid, pictures, kinds, strict=True):
        last = len(picture["steps"]) - 1
        # The paper's middle: steps 61 (cubic) and 31 (linear).
        middle = int(np.searchsorted(picture["steps"], 61 if kind == "cubic" else 31))
        for axes, place in zip(row, (0, min(middle, last), last), strict=True):
            _bare(axes, picture)
            _scatter(axes, picture, place)
            axes.set_title(f"{kind}, step {int(picture['steps'][place])}")
    _legend(figure, _num_clusters(pictures), _num_experts(pictures))
    return figure
