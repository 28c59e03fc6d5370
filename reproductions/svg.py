"""Turns matplotlib's SVG files into elements that live together inside one HTML page."""

import hashlib
import re
from xml.etree import ElementTree

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_PIXELS_PER_POINT = 96 / 72
# Squeezed into the width of a phone, the print of a wider picture would be under six pixels high.
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
    return rename_ids(bare, f"p{hashlib.sha256(bare.encode()).hexdigest()[:8]}-")


def rename_ids(svg: str, prefix: str) -> str:
    """The same picture with ids that begin with ``prefix``; ids nothing refers to are dropped."""
    root = ElementTree.fromstring(svg)
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
