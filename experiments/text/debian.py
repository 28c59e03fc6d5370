"""English-French text of a Debian archive: package descriptions, office help, manual pages."""

import gzip
import re
import shlex
from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import NamedTuple

import lxml.html

from experiments.text.text_files import Passage

DESCRIPTIONS = "package descriptions"


def package_descriptions(lists: Path) -> Iterator[Passage]:
    """Summaries and paragraphs of all descriptions that have equally many of them.

    Args:
        lists: apt's folder of lists.
    """
    # A translation names its original by the MD5 of the English description; of others that have
    # changed since, there is none.
    english = {record["Description-md5"]: record for record in _records(lists, "en")}
    for record in _records(lists, "fr"):
        original = english.get(record["Description-md5"])
        if original is None:
            continue
        both = (_pieces(original["Description-en"]), _pieces(record["Description-fr"]))
        # Paragraphs are paired by their place, which needs equally many.
        if len(both[0]) == len(both[1]):
            for first, second in zip(*both, strict=True):
                yield Passage(record["Package"], DESCRIPTIONS, first, second)


def _records(lists: Path, language: str) -> Iterator[Message]:
    parser = HeaderParser()
    for path in sorted(lists.glob(f"*_Translation-{language}")):
        for record in path.read_text(encoding="utf-8").split("\n\n"):
            if record.strip():
                yield parser.parsestr(record)


def _pieces(description: str) -> list[str]:
    summary, *body = description.split("\n")
    # In control files every line of a description begins with a space, and a dot alone ends a
    # paragraph.
    paragraphs = "\n".join(line.removeprefix(" ") for line in body).split("\n.\n")
    return [summary, *paragraphs]


HELP = "office help"
HELP_PACKAGES = ("libreoffice-help-en-us", "libreoffice-help-fr")
_ROOT = Path("usr/share/libreoffice/help")
_BLOCKS = "//*[@id='DisplayArea']//*[self::p or self::h1 or self::h2 or self::h3][@id]"


def office_help(files: Path) -> Iterator[Passage]:
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
        # A paragraph keeps its identifier in translation.
        for identifier in blocks.keys() & own.keys():
            yield Passage(str(name), HELP, blocks[identifier], own[identifier])


def _blocks(page: Path) -> dict[str, str]:
    tree = lxml.html.parse(str(page), lxml.html.HTMLParser(encoding="utf-8"))
    return {block.get("id"): block.text_content() for block in tree.xpath(_BLOCKS)}


MANUALS = "manual pages"
MANUAL_PACKAGES = ("manpages", "manpages-dev", "manpages-fr", "manpages-fr-dev")
_PARAGRAPHS = {"PP", "P", "LP", "IP", "TP", "TQ", "SS"}
_WITH_TAG = {"TP", "TQ"}
# Fonts whose arguments are joined without spaces.
_ALTERNATING = {"BR", "RB", "BI", "IB", "IR", "RI"}
_FONTS = {"B", "I", "R", "SM", "SB", *_ALTERNATING}
# Blocks of code and tables, up to the macro that ends them.
_SKIPPED = {"nf": "fi", "EX": "EE", "TS": "TE", "de": "."}
_ESCAPES = (
    (re.compile(r"\\f(?:\[[^\]]*\]|\(..|.)"), ""),
    (re.compile(r"\\s[+-]?\d"), ""),
    (re.compile(r"\\\*(?:\[[^\]]*\]|\(..|.)"), ""),
    (re.compile(r"\\(?:\(aq|\[aq\])"), "'"),
    (re.compile(r"\\(?:\(dq|\[dq\])"), '"'),
    (re.compile(r"\\(?:\(Fo|\[Fo\])"), "«"),
    (re.compile(r"\\(?:\(Fc|\[Fc\])"), "»"),
    (re.compile(r"\\(?:\(em|\[em\]|\(en|\[en\]|\(mi|\[mi\])"), "-"),
    (re.compile(r"\\(?:\(ha|\[ha\])"), "^"),
    (re.compile(r"\\(?:\(ti|\[ti\])"), "~"),
    (re.compile(r"\\(?:\[[^\]]*\]|\(..)"), ""),
    (re.compile(r"\\[~ 0|^]"), " "),
    (re.compile(r"\\[&:/,%c]"), ""),
    (re.compile(r"\\-"), "-"),
    # Last, since the backslash that it makes must not begin another escape.
    (re.compile(r"\\[e\\]"), r"\\"),
)


class _Block(NamedTuple):
    """A paragraph: the macro it began with and its text."""

    macro: str
    text: str


def manual_pages(files: Path) -> Iterator[Passage]:
    """Paragraphs of sections with the same macros in both languages.

    Args:
        files: the unpacked packages.
    """
    root = files / "usr/share/man"
    for page in sorted(root.glob("man*/*.gz")):
        translated = root / "fr" / page.parent.name / page.name
        if not translated.exists():
            continue
        name = page.name.removesuffix(".gz")
        # Section by section: where translators changed one, the others can still be paired.
        for own, other in zip(_sections(page), _sections(translated), strict=False):
            if [block.macro for block in own] == [block.macro for block in other]:
                for first, second in zip(own, other, strict=True):
                    yield Passage(name, MANUALS, first.text, second.text)


def _sections(page: Path) -> list[list[_Block]]:
    """The blocks of every section."""
    text = gzip.decompress(page.read_bytes()).decode("utf-8", errors="replace")
    sections: list[list[_Block]] = []
    words: list[str] = []
    begun = "TH"

    def end_block(next_macro: str) -> None:
        nonlocal begun
        if words and sections:
            sections[-1].append(_Block(begun, _plain(" ".join(words))))
        words.clear()
        begun = next_macro

    def add(line: str) -> None:
        words.append(line)
        # The first line is the word that is explained.
        if begun in _WITH_TAG:
            end_block("explanation")

    ends_with = ""
    for line in text.splitlines():
        macro, rest = _macro(line)
        # Within a block all is passed over up to the macro that ends it.
        if ends_with:
            ends_with = "" if macro == ends_with else ends_with
        elif macro in _SKIPPED:
            ends_with = _SKIPPED[macro]
        elif macro == "SH":
            end_block(macro)
            sections.append([])
        elif macro in _PARAGRAPHS:
            end_block(macro)
        elif macro in _FONTS:
            add(("" if macro in _ALTERNATING else " ").join(_arguments(rest)))
        elif not macro and line.strip():
            add(line)
    end_block("")
    return sections


def _macro(line: str) -> tuple[str, str]:
    """The macro of a line, empty for text, and its arguments."""
    if not line.startswith((".", "'")):
        return "", ""
    name, _, rest = line[1:].strip().partition(" ")
    return ("comment" if name.startswith('\\"') else name or "comment"), rest


def _arguments(rest: str) -> list[str]:
    try:
        # Quotes join words as in a shell; backslashes and apostrophes are text here.
        return shlex.split(rest.replace("\\", "\\\\").replace("'", "\\'"))
    except ValueError:
        return rest.split()


def _plain(text: str) -> str:
    for pattern, replacement in _ESCAPES:
        text = pattern.sub(replacement, text)
    return text
