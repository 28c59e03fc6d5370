"""How every picture looks, and how it becomes an SVG for the page or a PNG for RESULTS.md.

Pictures are drawn with matplotlib's object interface (``matplotlib.figure.Figure``, not
pyplot) in two stand-in colours: INK for text, axes and lines, PAPER for edges that should melt
into the background. The SVG takes both from the page, so it follows light and dark mode.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine

from experiments.atomic import write_atomically
from reproductions.svg import tidy_svg

INK = "#1b1e23"
PAPER = "#fefdfc"

# Okabe and Ito's colours for colour-blind readers, without their black (INK takes its place).
COLOURS = {
    "blue": "#0072b2",
    "vermillion": "#d55e00",
    "green": "#009e73",
    "orange": "#e69f00",
    "purple": "#cc79a7",
    "sky": "#56b4e9",
    "yellow": "#f0e442",
}

_WIDTH, _HEIGHT = 6.4, 3.8  # inches; 1 inch shows as 96 CSS pixels at most

# Any, because the stubs list the allowed keys version by version.
_STYLE: Any = {
    "figure.figsize": (_WIDTH, _HEIGHT),
    "figure.facecolor": "none",
    # The SVG writer lays out at 72 dots per inch; overlays must be laid out at the same.
    "figure.dpi": 72,
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "none",
    "savefig.bbox": "standard",
    "axes.facecolor": "none",
    "axes.prop_cycle": cycler(color=list(COLOURS.values())),
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titleweight": "normal",
    "axes.titlesize": 12,
    "axes.labelsize": 11.5,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.7,
    "lines.color": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "patch.edgecolor": INK,
    "hatch.color": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.frameon": False,
    "legend.fontsize": 11,
    # Large enough to be read when a phone shows the picture at half its width.
    "font.size": 11.5,
    # A font that matplotlib brings along, so that every machine lays out the same picture.
    "font.family": "DejaVu Sans",
    "image.cmap": "cividis",
    "svg.fonttype": "none",
    "svg.hashsalt": "reproductions",
    "path.simplify": True,
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Draws in the house style: create the figure and fill its axes inside this context."""
    with mpl.rc_context():
        # Start from matplotlib's own defaults: a personal matplotlibrc must not show through.
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def overlay_of(base: Figure) -> tuple[Figure, list[Axes]]:
    """An empty figure whose axes lie exactly over those of ``base``, for one frame of a slider.

    The axes share position, scales and limits with their counterparts and draw nothing of
    their own. Call it once ``base`` is complete: its layout is frozen here.
    """
    if not isinstance(base.get_layout_engine(), PlaceHolderLayoutEngine):
        base.draw_without_rendering()
        base.set_layout_engine("none")
    width, height = base.get_size_inches()
    overlay = Figure(figsize=(width, height))
    overlay.set_layout_engine("none")
    copies = []
    for axes in base.axes:
        copy = overlay.add_axes(axes.get_position().bounds)
        copy.set(xscale=axes.get_xscale(), yscale=axes.get_yscale())
        copy.set(xlim=axes.get_xlim(), ylim=axes.get_ylim(), autoscale_on=False)
        copy.set_axis_off()
        copies.append(copy)
    return overlay, copies


def to_svg(figure: Figure, *, label: str) -> str:
    """The figure as one ``<svg>`` element for a page; the same figure gives the same bytes.

    ``label`` becomes its text alternative. INK turns into ``currentColor``, PAPER into the
    page's background, width and height into a viewBox with a maximal width, and ids become
    unique by a prefix taken from the picture's content.
    """
    buffer = io.StringIO()
    with figure_style():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return tidy_svg(buffer.getvalue(), label=label, ink=INK, paper=PAPER)


def to_png(figure: Figure, path: Path) -> None:
    """Writes the figure on white at 144 dots per inch; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with figure_style():
        figure.savefig(
            buffer, format="png", dpi=144, facecolor="white", metadata={"Software": None}
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())
