r"""Manual pages of Linux; a document is a page.

A translated page has the macros of its original, and a section about the translation at the end;
paragraphs of a section are paired where both have the same sequence of macros.
"""

import gzip
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from experiments.translation.passages import Passage

KIND = "manual pages"
PACKAGES = ("manpages", "manpages-dev", "manpages-fr", "manpages-fr-dev")
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
    (re.compile(r"\\[e\\]"), r"\\"),
)


class _Block(NamedTuple):
    """A paragraph: the macro it began with and its text."""

    macro: str
    text: str


def passages(files: Path) -> Iterator[Passage]:
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
        for own, other in zip(_sections(page), _sections(translated), strict=False):
            if [block.macro for block in own] == [block.macro for block in other]:
                for first, second in zip(own, other, strict=True):
                    yield Passage(name, KIND, first.text, second.text)


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
        return shlex.split(rest.replace("\\", "\\\\").replace("'", "\\'"))
    except ValueError:
        return rest.split()


def _plain(text: str) -> str:
    for pattern, replacement in _ESCAPES:
        text = pattern.sub(replacement, text)
    return text
