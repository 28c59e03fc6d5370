"""Figure 3 of the paper as curves: where every expert's line lies at each epoch, for one seed."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray

from reproductions.drawing import INK, PAPER, figure_style
from reproductions.runs import NamedRun, Runs
from reproductions.study_report import Picture, as_picture
from reproductions.vowel import decision_lines
from reproductions.vowel.decision_lines import Trajectory, formants, lone_line, trajectory
from reproductions.vowel.figure2 import UNUSED_ALPHA, expert_colours, listed
from reproductions.vowel.suite import LINES

Array = NDArray[np.float64]
_Measure = Callable[[Array, decision_lines.Frame], Array]


def figure3(experts: NamedRun, lone: Runs) -> Picture:
    """Angles, offsets and mixing proportions of the first seed of the 8-expert run.

    Args:
        experts: a mixture whose experts have one output each.
        lone: the runs of single experts by name; ``line_X`` is needed, T0 and T1 are drawn if
            they are there.
    """
    path = trajectory(experts)
    references = {LINES[name]: lone_line(run) for name, run in lone.items() if name in LINES}
    frame = decision_lines.frame_of(references["X"], formants(experts))
    drawing = _draw(path, references, frame)
    live = np.flatnonzero(path.live_SE[-1])
    return as_picture(
        drawing,
        id="figure3",
        title="Figure 3 again: the experts' lines from the start to the stop",
        caption=_caption(path, frame, listed(live)),
        alt="Angle and offset of every expert's decision line and its mean mixing proportion "
        f"over the epochs; experts {listed(live)} are in use at the stop.",
        claim_ids=(
            "first-heading",
            "first-arriving",
            "first-together-then-apart",
            "two-or-three-live-8",
        ),
        runs=[experts, *lone.values()],
    )


def _draw(
    path: Trajectory, references: Mapping[str, Array], frame: decision_lines.Frame
) -> Drawing:
    with figure_style():
        figure = Drawing(figsize=(6.8, 8.2))
        turned, shifted, mixed = figure.subplots(3, 1, sharex=True, height_ratios=[1.2, 1.2, 1])
        # Room to the right for the labels at the lines' ends.
        mixed.set_xlim(0, 1.19 * path.epochs[-1])
        _draw_lines(turned, path, references, frame, decision_lines.angle)
        # Two lines differ by 90 degrees at most.
        turned.set(ylabel="angle to X (degrees)", ylim=(-90, 90), yticks=range(-90, 91, 30))
        _draw_lines(shifted, path, references, frame, decision_lines.offset)
        shifted.set_ylabel("offset from the centre (kHz)")
        shifted.set_ylim(*_limits(path, frame, references.values()))
        shares = path.proportions_SEN.mean(axis=-1)
        _draw_experts(mixed, path, shares)
        mixed.set(ylabel="mean mixing proportion", xlabel="epoch", ylim=(0, None))
        # Labels are moved apart by the height of the axes, which is known after the layout only.
        figure.draw_without_rendering()
        last = (
            decision_lines.angle(path.lines_SE3[-1], frame),
            decision_lines.offset(path.lines_SE3[-1], frame),
        )
        for axes, ends in zip((turned, shifted, mixed), (*last, shares[-1]), strict=True):
            label_ends(axes, float(path.epochs[-1]), _entries(path, ends))
    return figure


def _draw_lines(
    axes: Axes,
    path: Trajectory,
    references: Mapping[str, Array],
    frame: decision_lines.Frame,
    measure: _Measure,
) -> None:
    for name, line in references.items():
        height = float(measure(line, frame))
        axes.axhline(height, color=INK, linewidth=1.1, linestyle=(0, (4, 3)))
        axes.annotate(
            name,
            (1, height),
            xycoords=("axes fraction", "data"),
            xytext=(3, 0),
            textcoords="offset points",
            fontweight="bold",
            verticalalignment="center",
        )
    curves = measure(path.lines_SE3, frame)
    # A line that turns past 90 degrees comes back at -90, measured from its other side: the pen
    # is lifted there.
    turns = np.abs(np.diff(decision_lines.angle(path.lines_SE3, frame), axis=0)) > 90
    curves[1:][turns] = np.nan
    _draw_experts(axes, path, curves)


def _limits(
    path: Trajectory, frame: decision_lines.Frame, references: Iterable[Array]
) -> list[float]:
    """Limits that show every reference's offset and all but the wildest 1 % of the experts'."""
    # An expert without cases may wander far off; scaled to it, all others would be one line.
    shown = np.nanpercentile(decision_lines.offset(path.lines_SE3, frame), [0.5, 99.5])
    heights = [*shown, *(float(decision_lines.offset(line, frame)) for line in references)]
    pad = 0.06 * (max(heights) - min(heights))
    return [min(heights) - pad, max(heights) + pad]


def _draw_experts(axes: Axes, path: Trajectory, curves_SE: Array) -> None:
    live = path.live_SE[-1]
    colours = expert_colours(live)
    # Unused experts first, so that they lie below the others.
    for expert in np.argsort(live):
        axes.plot(
            path.epochs,
            curves_SE[:, expert],
            color=colours[expert],
            linewidth=2.4 if live[expert] else 1.1,
            alpha=1.0 if live[expert] else UNUSED_ALPHA,
        )


def _entries(path: Trajectory, ends: Array) -> "list[Entry]":
    live, colours = path.live_SE[-1], expert_colours(path.live_SE[-1])
    unused = np.flatnonzero(~live)
    entries = [(float(ends[i]), f"expert {i + 1}", colours[i], 1.0) for i in np.flatnonzero(live)]
    if len(unused):
        entries.append((float(np.median(ends[unused])), "unused", INK, 0.7))
    return entries


def _caption(path: Trajectory, frame: decision_lines.Frame, live: str) -> str:
    # How close the run comes to the paper's story, whatever the strict verdict says.
    near = decision_lines.is_near_reference(path.lines_SE3, frame).sum(axis=1)
    num_experts = path.gate_SE3.shape[1]
    return (
        f"Every expert's decision line, followed for the {path.epochs[-1]:,} epochs of seed "
        f"{path.seed}, the first one, not chosen. X is where a single expert trained alone on all "
        "vowels ends up, T0 the same for [i]/[ɪ] and T1 for [ɑ]/[ʌ]. The paper draws the foot of "
        "the normal from the origin, where T0 and T1 coincide; angle and offset (distance from "
        f"the centre of the training cases) tell them apart. Experts {live} are in use at the "
        f"stop; the others are grey. At most {near.max()} of the {num_experts} lines lie near X at "
        f"one time, that is within {decision_lines.ANGLE_TOLERANCE:g} degrees and "
        f"{decision_lines.OFFSET_TOLERANCE * frame.spread:.2g} kHz."
    )


Entry = tuple[float, str, str, float]


def label_ends(axes: Axes, x: float, entries: Sequence[Entry], fontsize: float = 10.5) -> None:
    """Writes each text to the right of (x, y), moved up or down where two would overlap.

    Args:
        axes: axes whose limits are final.
        x: data coordinate of the ends.
        entries: (y in data coordinates, text, colour, alpha) each.
        fontsize: in points.
    """
    low, high = axes.get_ylim()
    figure = axes.get_figure(root=True)
    assert figure is not None
    height = axes.get_position().height * figure.get_size_inches()[1] * 72
    gap = 1.25 * fontsize / height * (high - low)
    ordered = sorted(entries)
    # An end outside of the picture is labelled at its edge.
    places = spread_apart([min(max(entry[0], low + gap / 2), high) for entry in ordered], gap)
    for y, (_, text, colour, alpha) in zip(places, ordered, strict=True):
        axes.annotate(
            "■",
            (x, y),
            xytext=(4, 0),
            textcoords="offset points",
            color=colour,
            alpha=alpha,
            fontsize=0.8 * fontsize,
            verticalalignment="center",
            annotation_clip=False,
        )
        # In the text's colour, which can be read on any background; the square tells whose it is.
        axes.annotate(
            text,
            (x, y),
            xytext=(14, 0),
            textcoords="offset points",
            alpha=alpha,
            fontsize=fontsize,
            verticalalignment="center",
            annotation_clip=False,
            # Lines that pass below a label would strike it through.
            bbox={"boxstyle": "square,pad=0.1", "facecolor": PAPER, "linewidth": 0},
        )


def spread_apart(places: Sequence[float], gap: float) -> list[float]:
    """Ascending places moved as little as need be for neighbours to be ``gap`` apart.

    Neighbours that are too close form a block that is centred where they were.
    """
    # Pooling of neighbours, as in isotonic regression: each block takes the mean of its places.
    blocks: list[list[float]] = []
    for place in places:
        blocks.append([place])
        while len(blocks) > 1 and _top(blocks[-2], gap) + gap > _bottom(blocks[-1], gap):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    return [_bottom(block, gap) + gap * index for block in blocks for index in range(len(block))]


def _bottom(block: list[float], gap: float) -> float:
    return float(np.mean(block)) - gap * (len(block) - 1) / 2


def _top(block: list[float], gap: float) -> float:
    return float(np.mean(block)) + gap * (len(block) - 1) / 2
