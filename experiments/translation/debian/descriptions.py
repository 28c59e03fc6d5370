"""Package descriptions and their translations; a document is a package.

Format: records with the fields Package, Description-md5 and Description-en or Description-fr. The
first line of a description is its summary; " ." parts the paragraphs after it.
"""

from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from experiments.translation.passages import Passage

KIND = "package descriptions"


def passages(lists: Path) -> Iterator[Passage]:
    """Summaries and paragraphs of all descriptions that have equally many of them.

    Args:
        lists: apt's folder of lists.
    """
    english = {record["Description-md5"]: record for record in _records(lists, "en")}
    for record in _records(lists, "fr"):
        original = english.get(record["Description-md5"])
        if original is None:
            continue
        both = (_pieces(original["Description-en"]), _pieces(record["Description-fr"]))
        if len(both[0]) == len(both[1]):
            for first, second in zip(*both, strict=True):
                yield Passage(record["Package"], KIND, first, second)


def _records(lists: Path, language: str) -> Iterator[Message]:
    parser = HeaderParser()
    for path in sorted(lists.glob(f"*_Translation-{language}")):
        for record in path.read_text(encoding="utf-8").split("\n\n"):
            if record.strip():
                yield parser.parsestr(record)


def _pieces(description: str) -> list[str]:
    summary, *body = description.split("\n")
    paragraphs = "\n".join(line.removeprefix(" ") for line in body).split("\n.\n")
    return [summary, *paragraphs]
