"""What a corpus that is divided into documents consists of, and where texts are kept."""

import os
from pathlib import Path
from typing import NamedTuple

CACHE = Path(os.environ.get("MOE_CACHE", "cache"), "translation")


class Passage(NamedTuple):
    """A piece of text in both languages.

    Attributes:
        document: what the split keeps together.
        domain: the kind of text.
        english: text.
        french: text.
    """

    document: str
    domain: str
    english: str
    french: str
