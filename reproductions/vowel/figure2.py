"""Figure 2 of the paper, moving: vowels, the experts' lines and the gate's border by epoch."""

from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

from experiments.vowel import data
from reproductions.drawing import (
    COLOURS,
    INK,
    PAPER,
    figure_style,
    key_band,
    key_line,
    legend_below,
    overlay_of,
    to_svg,
)
from reproductions.runs import NamedRun
from reproductions.study_report import Frame, Picture, as_picture
from reproductions.vowel.decision_lines import Trajectory, formants, trajectory

Array = NDArray[np.float64]
_INCHES = (6.4, 6.6)
# Shades of the vowels by the bit that they ask for; the sign tells the two of a bit apart.
# A purple that no expert has: 3 to 1 at least against the page and every tint, light and dark.
_BIT_COLOURS = {1: INK, 0: "#b252b2"}


def figure2(run: NamedRun, id: str = "figure2") -> Picture:
    """The picture of the first seed of a mixture whose experts have one output each."""
    path = trajectory(run)
    vowels = data.load(run.study)
    with figure_style():
        base = _base(run)
        svg = to_svg(base, label="Training vowels in the plane of F1 and F2")
        frames = [
            Frame(_label(path, step), _frame_svg(base, path, step))
            for step in frame_positions(len(path.epochs))
        ]
        at_stop = _base(run)
        _draw_state(at_stop.axes[0], path, len(path.epochs) - 1)
    num_experts = path.gate_SE3.shape[1]
    live = np.flatnonzero(path.live_SE[-1])
    return as_picture(
        at_stop,
        id=id,
        title=f"Figure 2 again: how {num_experts} experts share the vowels",
        caption=_caption(path, vowels.train.inputs_DN.shape[1]),
        alt=f"Vowels in the plane of F1 and F2 with the decision lines of {num_experts} experts "
        f"at the stop: experts {listed(live)} are in use.",
        base_svg=svg,
        frames=frames,
        claim_ids=(f"two-or-three-live-{num_experts}", f"two-experts-on-a-{num_experts}")
        if num_experts in (4, 8)
        else (),
        runs=[run],
    )


def state_at(run: NamedRun, path: Trajectory, step: int) -> Drawing:
    """The whole picture at one snapshot; draw it within `figure_style`."""
    figure = _base(run)
    _draw_state(figure.axes[0], path, step)
    return figure


def _caption(path: Trajectory, num_cases: int) -> str:
    return (
        f"The {num_cases} training cases as vowel signs, purple where the answer should be 0, in "
        "the colour of the text where it should be 1. A line is where an expert answers exactly "
        "0.5: thick within the part of the plane in which the gate prefers this expert (tinted, "
        "the more so the surer the gate) and thin elsewhere. The dashed line is the gate's border, "
        "where two experts have equal mixing proportions. Grey lines belong to experts whose "
        "mixing proportion is effectively 0 for every case. Move the slider to follow the "
        f"training. This is seed {path.seed}, the first one; it was not chosen."
    )


def _base(run: NamedRun) -> Drawing:
    vowels = data.load(run.study)
    points = formants(run)
    bits = vowels.codes_VO[:, 0].tolist()
    figure = Drawing(figsize=_INCHES)
    axes = figure.add_subplot()
    for index, vowel in enumerate(run.study.vowels):
        chosen = vowels.train.vowels_N.numpy() == index
        axes.scatter(
            points[chosen, 0],
            points[chosen, 1],
            marker=vowel_marker(vowel),
            s=68,
            color=_BIT_COLOURS[int(bits[index])],
            linewidths=0,
            alpha=0.9,
            label=f"[{vowel_symbol(vowel)}]: {int(bits[index])}",
        )
    unit = "kHz" if run.study.input_scale.name == "kilohertz" else "standard deviations"
    axes.set(xlabel=f"F1 ({unit})", ylabel=f"F2 ({unit})")
    axes.set(xlim=_limits(points[:, 0]), ylim=_limits(points[:, 1]))
    axes.grid(visible=False)
    axes.legend(loc="upper right", title="vowel and its target", ncols=2, handletextpad=0.1)
    key = [
        key_line("an expert's answer is 0.5 (in its colour)", width=3),
        key_band("the gate prefers this expert (in its colour)", INK, alpha=0.15),
        key_line("border of the gate", "--", width=1.3),
        key_line("the line of an expert that is not in use (grey)", width=0.9, alpha=UNUSED_ALPHA),
    ]
    legend_below(figure, key, num_columns=1)
    # Room above the picture for the frame's own line of text.
    axes.set_title(" ")
    return figure


def _limits(values: Array) -> tuple[float, float]:
    pad = 0.06 * float(np.ptp(values))
    return float(values.min()) - pad, float(values.max()) + pad


def _label(path: Trajectory, step: int) -> str:
    epoch = f"epoch {path.epochs[step]:,}"
    is_stop = step == len(path.epochs) - 1 and path.status == "converged"
    return f"{epoch} (stop)" if is_stop else epoch


def _frame_svg(base: Drawing, path: Trajectory, step: int) -> str:
    overlay, (axes,) = overlay_of(base)
    _draw_state(axes, path, step)
    return to_svg(overlay, label=f"Lines and regions at {_label(path, step)}")


def _draw_state(axes: Axes, path: Trajectory, step: int) -> None:
    corners = box(axes.get_xlim(), axes.get_ylim())
    colours = expert_colours(path.live_SE[-1])
    live = path.live_SE[step]
    regions = winner_regions(path.gate_SE3[step], corners)
    # The gate starts at zero: all proportions are equal, and no region is anybody's.
    undecided = np.ptp(path.gate_SE3[step], axis=0).max() == 0
    for expert, region in enumerate(regions):
        line = path.lines_SE3[step, expert]
        whole = segment(line, corners)
        # A line without cases decides nothing: it is drawn thin and grey, but not left out.
        if not live[expert]:
            axes.plot(*whole.T, color=INK, linewidth=0.9, alpha=UNUSED_ALPHA)
            continue
        axes.plot(*whole.T, color=colours[expert], linewidth=1.1, alpha=0.75)
        if not undecided:
            axes.fill(*region.T, color=colours[expert], alpha=_tint(path, step, expert), lw=0)
            axes.plot(*segment(line, region).T, color=colours[expert], linewidth=3)
    if not undecided:
        _draw_borders(axes, path.gate_SE3[step], regions)
    _label_lines(axes, path, step, regions if not undecided else [corners] * len(regions))
    # In the frame and not in the base, since it changes with the epoch.
    axes.text(0, 1.025, _status(path, step), transform=axes.transAxes, fontsize=11)


def _tint(path: Trajectory, step: int, expert: int) -> float:
    """Return 0 for a gate that is undecided between all, up to 0.2 for one that is certain."""
    proportions_EN = path.proportions_SEN[step]
    won = proportions_EN.argmax(axis=0) == expert
    if not won.any() or len(proportions_EN) == 1:
        return 0.0
    # From chance (0) to certainty (1), so that 4 and 8 experts are tinted alike.
    chance = 1 / len(proportions_EN)
    return 0.2 * float((proportions_EN[expert, won].mean() - chance) / (1 - chance))


def _draw_borders(axes: Axes, gate_E3: Array, regions: list[Array]) -> None:
    """The gate's border between every two experts, where they beat all the others."""
    for first in range(len(regions)):
        for second in range(first + 1, len(regions)):
            border = _shared_edge(gate_E3[first] - gate_E3[second], regions[first])
            other = _shared_edge(gate_E3[first] - gate_E3[second], regions[second])
            if len(border) == 2 and len(other) == 2:
                axes.plot(*border.T, color=INK, linewidth=1.3, linestyle=(0, (5, 3)))


def _shared_edge(line: Array, region: Array) -> Array:
    """The corners of a region that lie on the line along which it was cut."""
    if not len(region):
        return np.empty((0, 2))
    # Corners come out of cuts along these very lines, so only rounding keeps them off.
    corners: Array = region[np.abs(region @ line[:2] + line[2]) < 1e-9 * np.abs(line).sum()]
    return corners


def _label_lines(axes: Axes, path: Trajectory, step: int, regions: list[Array]) -> None:
    colours = expert_colours(path.live_SE[-1])
    for expert in np.flatnonzero(path.live_SE[step]):
        ends = segment(path.lines_SE3[step, expert], regions[expert])
        if len(ends) != 2:
            continue
        # Near the lower end, where vowels are sparse.
        place = ends[np.argmin(ends[:, 1])] * 0.9 + ends[np.argmax(ends[:, 1])] * 0.1
        axes.annotate(
            str(expert + 1),
            place,
            color=PAPER,
            fontsize=10.5,
            fontweight="bold",
            horizontalalignment="center",
            verticalalignment="center",
            bbox={"boxstyle": "circle,pad=0.22", "facecolor": colours[expert], "linewidth": 0},
        )


def _status(path: Trajectory, step: int) -> str:
    live = path.live_SE[step]
    unused = np.flatnonzero(~live)
    text = f"{_label(path, step)}; in use: {listed(np.flatnonzero(live))}"
    return text + (f"; unused (grey): {listed(unused)}" if len(unused) else "")


IPA = {"iy": "i", "ih": "ɪ", "aa": "ɑ", "ah": "ʌ"}
# A colour for each of the experts that are in use at the stop, in the order of their numbers.
EXPERT_COLOURS = (
    COLOURS["blue"],
    COLOURS["vermillion"],
    COLOURS["green"],
    COLOURS["orange"],
    COLOURS["sky"],
    COLOURS["purple"],
)
UNUSED_ALPHA = 0.5
_FONT = FontProperties(family="DejaVu Sans", weight="bold")


def vowel_symbol(vowel: str) -> str:
    """The vowel's sign in the International Phonetic Alphabet, or its name."""
    return IPA.get(vowel, vowel)


@cache
def vowel_marker(vowel: str) -> Path:
    """The vowel's sign as a marker: an outline, so that no reader's font can change it."""
    sign = TextPath((0, 0), vowel_symbol(vowel), size=1, prop=_FONT)
    # Centred on the case, as a dot would be; letters differ in height and width.
    extents = sign.get_extents()
    middle = np.array([extents.x0 + extents.x1, extents.y0 + extents.y1]) / 2
    return Path(np.asarray(sign.vertices) - middle, sign.codes)


def expert_colours(live_E: NDArray[np.bool_]) -> list[str]:
    """A colour per expert: INK for those that are not in use at the stop."""
    colours = [INK] * len(live_E)
    # By the state at the stop: an expert keeps its colour through all frames.
    for position, expert in enumerate(np.flatnonzero(live_E)):
        colours[expert] = EXPERT_COLOURS[position % len(EXPERT_COLOURS)]
    return colours


def frame_positions(num_snapshots: int, num_frames: int = 40) -> list[int]:
    """Which snapshots a slider shows: the first, the last, and ever wider apart between."""
    if num_snapshots <= num_frames:
        return list(range(num_snapshots))
    # Early positions coincide when rounded, so more are asked for than come out.
    for asked in range(num_frames, 4 * num_frames):
        # Experts move most in the first epochs.
        spaced = np.geomspace(1, num_snapshots - 1, asked - 1).round().astype(int)
        positions = [0, *np.unique(spaced).tolist()]
        if len(positions) >= num_frames:
            break
    return positions


def listed(experts: NDArray[np.int64]) -> str:
    """Numbers of experts, counted from 1, in words."""
    names = [str(number + 1) for number in experts.tolist()]
    if not names:
        return "none"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def box(xlim: tuple[float, float], ylim: tuple[float, float]) -> Array:
    """The corners of a rectangle, counter-clockwise, `[4, 2]`."""
    (left, right), (low, high) = xlim, ylim
    return np.array([[left, low], [right, low], [right, high], [left, high]])


def winner_regions(gate_E3: Array, corners: Array) -> list[Array]:
    """The polygon `[P, 2]` in which each expert has the largest proportion; empty for none.

    Args:
        gate_E3: gate weights on F1, F2 and the constant one.
        corners: the picture's box.
    """
    return [
        # Softmax keeps the order of its logits: g_i > g_j where (w_i - w_j) x > 0, a half-plane for
        # each rival j.
        _intersection(corners, np.delete(gate_E3[expert] - gate_E3, expert, axis=0))
        for expert in range(len(gate_E3))
    ]


def clipped(polygon: Array, line: Array) -> Array:
    """The part of a convex polygon where w1 x + w2 y + b is not negative, `[P, 2]`."""
    if not len(polygon):
        return polygon
    heights = polygon @ line[:2] + line[2]
    kept = []
    for here, there, now, then in zip(
        polygon, np.roll(polygon, -1, axis=0), heights, np.roll(heights, -1), strict=True
    ):
        if now >= 0:
            # Sutherland & Hodgman (1974): corners inside stay, an edge that crosses adds one.
            kept.append(here)
        if (now >= 0) != (then >= 0):
            kept.append(here + (there - here) * now / (now - then))
    return np.array(kept).reshape(-1, 2)


def segment(line: Array, polygon: Array) -> Array:
    """The two ends of a line within a convex polygon, `[2, 2]`; empty where it misses."""
    if not len(polygon):
        return np.empty((0, 2))
    heights = polygon @ line[:2] + line[2]
    ends = [
        here + (there - here) * now / (now - then)
        for here, there, now, then in zip(
            polygon, np.roll(polygon, -1, axis=0), heights, np.roll(heights, -1), strict=True
        )
        if (now >= 0) != (then >= 0)
    ]
    return np.array(ends).reshape(-1, 2)


def _intersection(polygon: Array, lines: Array) -> Array:
    for line in lines:
        polygon = clipped(polygon, line)
    return polygon
