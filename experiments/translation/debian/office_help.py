"""Help pages of LibreOffice; a document is a page."""

from collections.abc import Iterator
from pathlib import Path

import lxml.html

from experiments.translation.passages import Passage

KIND = "office help"
PACKAGES = ("libreoffice-help-en-us", "libreoffice-help-fr")
_ROOT = Path("usr/share/libreoffice/help")
_BLOCKS = "//*[@id='DisplayArea']//*[self::p or self::h1 or self::h2 or self::h3][@id]"


def passages(files: Path) -> Iterator[Passage]:
    """Paragraphs and headings that have the same identifier on the same page.

    Args:
        files: the unpacked packages.
    """
    english = files / _ROOT / "en-US"
    for page in sorted((english / "text").rglob("*.html")):
        name = page.relative_to(english)
        translated = files / _ROOT / "fr" / name
        if not translated.exists():
            continue
        blocks, own = _blocks(page), _blocks(translated)
        for identifier in blocks.keys() & own.keys():
            yield Passage(str(name), KIND, blocks[identifier], own[identifier])


def _blocks(page: Path) -> dict[str, str]:
    tree = lxml.html.parse(str(page), lxml.html.HTMLParser(encoding="utf-8"))
    return {block.get("id"): block.text_content() for block in tree.xpath(_BLOCKS)}
