"""Four kinds of text in balance: the Bible, package descriptions, office help, manual pages.

All but the Bible are what `experiments.text.fetch` has taken from a Debian archive.
"""

import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.runner.errors import UserError
from experiments.text import bible, text_files
from experiments.text.settings import CorpusConfig
from experiments.text.text_files import CACHE, Passage

BIBLE = "bible"
FETCHED = ("package descriptions", "office help", "manual pages")
KINDS = (BIBLE, *FETCHED)
_FIX = "Run make fetch-texts (Debian or Ubuntu, no root needed), or leave it out with study.kinds."
_COLUMNS = ["document", "english", "french"]


def path_of(kind: str) -> Path:
    """The table of a kind's passages."""
    return CACHE / "domains" / f"{kind.replace(' ', '_')}.tsv.gz"


def write(kind: str, passages: list[Passage]) -> None:
    """Keep a kind's passages, whole or not at all."""
    path = path_of(kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(passages)[_COLUMNS]
    # Written under another name first: an interrupted write leaves no half table.
    unfinished = path.with_name(f"unfinished-{path.name}")
    # Without a time in the gzip header, so that the same text has the same digest.
    table.to_csv(unfinished, sep="\t", index=False, compression={"method": "gzip", "mtime": 0})
    unfinished.replace(path)


def passages(config: CorpusConfig) -> list[Passage]:
    """Equally many passages of every kind, from documents drawn at random.

    Raises:
        UserError: a kind has not been fetched, or its table is damaged.
    """
    found = {kind: _drawn(kind, config) for kind in config.kinds or KINDS}
    # In balance: the smallest kind decides how many all have.
    num_each = min(len(own) for own in found.values())
    if config.pairs_per_domain is not None:
        num_each = min(num_each, config.pairs_per_domain)
    return [passage for own in found.values() for passage in own[:num_each]]


def identity(config: CorpusConfig) -> dict[str, object]:
    """SHA-256 of what each kind's texts are read from."""
    return {
        kind: bible.digest() if kind == BIBLE else text_files.digest(_there(kind), kind)
        for kind in config.kinds or KINDS
    }


def _there(kind: str) -> Path:
    if not path_of(kind).exists():
        raise UserError(f"Texts of kind '{kind}' are missing: no file {path_of(kind)}.", _FIX)
    return path_of(kind)


def _drawn(kind: str, config: CorpusConfig) -> list[Passage]:
    """All passages of a kind, document after document in random order."""
    every = _read(kind, config)
    # Sorted first, so that a seed means the same order on every machine.
    documents = sorted({passage.document for passage in every})
    order = np.random.default_rng(config.split_seed).permutation(len(documents))
    rank = dict(zip(documents, order, strict=True))
    # Whole documents one after another: cutting the list off splits one document at most.
    return sorted(every, key=lambda passage: int(rank[passage.document]))


def _read(kind: str, config: CorpusConfig) -> list[Passage]:
    if kind == BIBLE:
        # Here the Bible is one kind of text and not six.
        verses = bible.verses(config.english, config.french)
        return [verse._replace(domain=BIBLE) for verse in verses]
    path = _there(kind)
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)[_COLUMNS]
    except (OSError, EOFError, zlib.error, ValueError, KeyError) as error:
        raise UserError(f"{path} is damaged: {error}.", f"Delete it. {_FIX}") from error
    return [
        Passage(f"{kind}:{document}", kind, english, french)
        for document, english, french in table.itertuples(index=False)
    ]
