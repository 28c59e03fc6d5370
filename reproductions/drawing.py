"""How every picture looks, and how it becomes an SVG for the page or a PNG for RESULTS.md.

Pictures are drawn with matplotlib's object interface (``matplotlib.figure.Figure``, not
pyplot) in two stand-in colours: INK for text, axes and lines, PAPER for edges that should melt
into the background. The SVG takes both from the page, so it follows light and dark mode.
"""

import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import matplotlib as mpl
from cycler import cycler
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments.runner.storage import write_atomically

# Any two colours that no picture uses otherwise; the page replaces them by its own.
INK = "#1b1e23"
PAPER = "#fefdfc"

# Okabe and Ito's colours for colour-blind readers, without their black (INK takes its place). The
# four light ones are darker than theirs: a mark needs 3 to 1 against a light and a dark page.
COLOURS = {
    "blue": "#0072b2",
    "vermillion": "#d55e00",
    "green": "#009e73",
    "orange": "#c08000",
    "purple": "#c86ea0",
    "sky": "#3797d6",
    "yellow": "#9a8f00",
}

Style = Literal["-", "--", "-.", ":"]

_WIDTH, _HEIGHT = 6.4, 3.8  # inches; 1 inch shows as 96 CSS pixels at most

# Any, because the stubs list the allowed keys version by version.
_STYLE: Any = {
    "figure.figsize": (_WIDTH, _HEIGHT),
    "figure.facecolor": "none",
    # The SVG writer lays out at 72 dots per inch; overlays must be laid out at the same.
    "figure.dpi": 72,
    # Labels of any length must fit, and no picture is laid out by hand.
    "figure.constrained_layout.use": True,
    # The page's background shows through, light or dark.
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
    # Frames and strong grids carry no data.
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
    # Text stays text: it can be searched, and is a fraction of the bytes of outlines.
    "svg.fonttype": "none",
    # Without it ids are random, and no two SVGs of a figure would be the same.
    "svg.hashsalt": "reproductions",
    # Curves of thousands of epochs have more points than a screen has pixels.
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


def key_line(
    label: str, style: Style = "-", colour: str = INK, width: float = 1.8, alpha: float = 1.0
) -> Artist:
    """A legend's entry for a line."""
    return Line2D([], [], color=colour, linestyle=style, lw=width, alpha=alpha, label=label)


def key_mark(label: str, marker: str, colour: str = INK, size: float = 5.5) -> Artist:
    """A legend's entry for a kind of point."""
    return Line2D([], [], color=colour, marker=marker, markersize=size, linestyle="", label=label)


def key_band(label: str, colour: str, alpha: float = 1.0) -> Artist:
    """A legend's entry for a filled area."""
    return Patch(facecolor=colour, alpha=alpha, edgecolor="none", label=label)


def legend_below(figure: Figure, entries: Iterable[Artist], num_columns: int = 2) -> None:
    """Name every mark and line of the figure below it; of entries with one label, the first."""
    each: dict[object, Artist] = {}
    for entry in entries:
        each.setdefault(entry.get_label(), entry)
    for columns in range(num_columns, 0, -1):
        legend = figure.legend(
            handles=list(each.values()), loc="outside lower center", ncols=columns
        )
        # Fewer columns where so many are wider than the figure, which would cut off their words.
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def overlay_of(base: Figure) -> tuple[Figure, list[Axes]]:
    """An empty figure whose axes lie exactly over those of ``base``, for one frame of a slider.

    The axes share position, scales and limits with their counterparts and draw nothing of
    their own. Call it once ``base`` is complete: its layout is frozen here.
    """
    # One layout for all frames, or the picture would jump from one to the next.
    _settle_layout(base)
    width, height = base.get_size_inches()
    overlay = Figure(figsize=(width, height))
    overlay.set_layout_engine("none")
    copies = []
    for axes in base.axes:
        # In figure coordinates, so the layout engine must not move them again.
        copy = overlay.add_axes(axes.get_position().bounds)
        copy.set(xscale=axes.get_xscale(), yscale=axes.get_yscale())
        copy.set(xlim=axes.get_xlim(), ylim=axes.get_ylim(), autoscale_on=False)
        copy.set_axis_off()
        copies.append(copy)
    return overlay, copies


def _settle_layout(figure: Figure) -> None:
    """Place the axes once and for all, unless that was done."""
    engine = figure.get_layout_engine()
    if engine is None or isinstance(engine, PlaceHolderLayoutEngine):
        return
    # Every drawing moves the axes a little, so that without an end to it the same figure would be
    # another picture the second time. The second pass knows the sizes that the first one gave.
    for _ in range(2):
        figure.draw_without_rendering()
    figure.set_layout_engine("none")


def to_svg(figure: Figure, *, label: str) -> str:
    """The figure as one ``<svg>`` element for a page; the same figure gives the same bytes.

    ``label`` becomes its text alternative. INK turns into ``currentColor``, PAPER into the
    page's background, width and height into a viewBox with a maximal width, and ids become
    unique by a prefix taken from the picture's content.
    """
    buffer = io.StringIO()
    with figure_style():
        _settle_layout(figure)
        # No date, so that a page changes only where its picture does.
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return tidy_svg(buffer.getvalue(), label=label, ink=INK, paper=PAPER)


def to_png(figure: Figure, path: Path) -> None:
    """Writes the figure on white at 144 dots per inch; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with figure_style():
        _settle_layout(figure)
        figure.savefig(
            buffer, format="png", dpi=144, facecolor="white", metadata={"Software": None}
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())


_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_PIXELS_PER_POINT = 96 / 72
# Squeezed into the width of a phone, the print of a wider picture would be under six pixels high.
# Such a picture scrolls sideways instead.
_WIDE = 500 * _PIXELS_PER_POINT
_ROOT_STYLE = (
    "stroke-linejoin: round; stroke-linecap: butt; "
    "font-family: system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif"
)
_FONT = re.compile(r"font-family: [^;]+;? ?")
_DECIMAL = re.compile(r"-?\d+\.\d{3,}")
_URL = re.compile(r"url\(#([^)]+)\)")

# Without this the serialiser would write every tag as ns0:tag.
ElementTree.register_namespace("", _SVG)


def tidy_svg(svg: str, *, label: str, ink: str, paper: str) -> str:
    """One ``<svg>`` element in the page's colours and font, made from a matplotlib SVG file.

    ``ink`` and ``paper`` are the stand-in colours (lower-case hex) that turn into the page's
    text and background colour; ``label`` becomes the text alternative.
    """
    root = ElementTree.fromstring(
        # As text: the colours stand in attributes, styles and gradients alike.
        svg.replace(ink, "currentColor").replace(paper, "var(--paper, #fff)")
    )
    for element in list(root.iter()):
        _drop_children(element, ("metadata", "style"))
        _use_plain_links(element)
        _use_page_font(element)
        _shorten(element)
    width = float(root.attrib.pop("width").removesuffix("pt")) * _PIXELS_PER_POINT
    root.attrib.pop("height")
    if width > _WIDE:
        root.set("class", "wide")
    root.set("role", "img")
    root.set("aria-label", label)
    # matplotlib sets the line ends in a style sheet, which would apply to the whole page.
    root.set("style", f"max-width: {width:g}px; {_ROOT_STYLE}")
    bare = _to_text(root)
    # From the content: the same picture has the same ids on every machine.
    return rename_ids(bare, f"p{hashlib.sha256(bare.encode()).hexdigest()[:8]}-")


def rename_ids(svg: str, prefix: str) -> str:
    """The same picture with ids that begin with ``prefix``; ids nothing refers to are dropped."""
    root = ElementTree.fromstring(svg)
    # Two pictures in one page must not refer to each other's clip paths and markers.
    used = {target for element in root.iter() for target in _targets(element)}
    names = {
        element.attrib["id"]: f"{prefix}{position}"
        for position, element in enumerate(root.iter())
        if element.get("id") in used
    }
    for element in root.iter():
        if "id" in element.attrib:
            old = element.attrib.pop("id")
            if old in names:
                element.set("id", names[old])
        for key, text in element.attrib.items():
            element.set(key, _redirected(key, text, names))
    return _to_text(root)


def view_box(svg: str) -> str:
    """The picture's coordinate frame, which pictures that lie over each other must share."""
    return ElementTree.fromstring(svg).attrib["viewBox"]


def _drop_children(element: ElementTree.Element, names: tuple[str, ...]) -> None:
    for child in list(element):
        if child.tag in {f"{{{_SVG}}}{name}" for name in names}:
            element.remove(child)


def _use_plain_links(element: ElementTree.Element) -> None:
    target = element.attrib.pop(f"{{{_XLINK}}}href", None)
    if target is not None:
        element.set("href", target)


def _use_page_font(element: ElementTree.Element) -> None:
    # Formulas are set letter by letter in matplotlib's font and would tear in another.
    if element.tag == f"{{{_SVG}}}text" and "style" in element.attrib:
        element.set("style", _FONT.sub("", element.attrib["style"]))


def _shorten(element: ElementTree.Element) -> None:
    # A hundredth of a point cannot be seen; the digits beyond it are half of the file.
    if element.tag != f"{{{_SVG}}}image":
        for key in ("d", "x", "y"):
            if key in element.attrib:
                text = " ".join(element.attrib[key].split())
                element.set(key, _DECIMAL.sub(lambda found: f"{float(found[0]):.2f}", text))
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]


def _targets(element: ElementTree.Element) -> list[str]:
    link = element.get("href", "")
    found = [link[1:]] if link.startswith("#") else []
    return found + [name for text in element.attrib.values() for name in _URL.findall(text)]


def _redirected(key: str, text: str, names: dict[str, str]) -> str:
    if key == "href" and text.startswith("#"):
        return f"#{names[text[1:]]}"
    return _URL.sub(lambda found: f"url(#{names[found[1]]})", text)


def _to_text(root: ElementTree.Element) -> str:
    for element in root.iter():
        # Indentation between elements is dead weight; text keeps its own.
        if not element.tag.endswith(("text", "tspan")):
            element.text = (element.text or "").strip() or None
        element.tail = (element.tail or "").strip() or None
    return ElementTree.tostring(root, encoding="unicode")
