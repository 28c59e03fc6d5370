"""Text as documents of a language or kind, split by document, and as ids in parallel streams.

Shapes: B streams, S subwords of a stream.
"""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from experiments.language_model.settings import LanguageModelConfig, Text
from experiments.runner.errors import UserError
from experiments.runner.storage import storage_errors
from experiments.text import bible, domains, text_files
from experiments.text.pairs import splits
from experiments.text.settings import CorpusConfig, CorpusName
from experiments.text.subwords import END, Subwords, learn
from experiments.text.text_files import CACHE as TRANSLATION_CACHE

CACHE = TRANSLATION_CACHE.with_name("language_model")
SPLITS = ("train", "valid", "test")
# Of the training text, enough to learn subwords from: sentencepiece holds it in memory.
_CHARACTERS_TO_LEARN_FROM = 6_000_000


class Document(NamedTuple):
    """What a split keeps together.

    Attributes:
        name: documents of one name, such as a chapter in two languages, go into one split.
        kind: its language, or kind of text.
        passages: verses, paragraphs or sentences in their order.
    """

    name: str
    kind: str
    passages: Sequence[str]


@dataclass(frozen=True)
class Encoded:
    """A split as ids, document after document, each with an end.

    Attributes:
        ids: of all documents.
        start: of each document in `ids`, and their end; one more than there are documents.
        kind: of each document, a number in `kinds`.
        kinds: their names.
    """

    ids: NDArray[np.int32]
    start: NDArray[np.int64]
    kind: NDArray[np.int32]
    kinds: list[str]

    def __len__(self) -> int:
        """The number of subwords, ends included."""
        return len(self.ids)

    def in_order(self, order: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Ids of the documents in an order, and the kind of every id."""
        parts = [self.ids[self.start[place] : self.start[place + 1]] for place in order]
        lengths = np.diff(self.start)[order]
        return np.concatenate(parts), np.repeat(self.kind[order], lengths)


def documents(config: LanguageModelConfig) -> dict[str, Iterable[Document]]:
    """The documents of every split.

    Raises:
        UserError: a text is missing or damaged, or a split is empty.
    """
    if config.text is Text.files:
        paths = {name: getattr(config, f"{name}_files") for name in SPLITS}
        return {name: _Lines(tuple(own), name) for name, own in paths.items()}
    found = list(_bibles(config) if config.text is Text.bibles else _domains())
    names = sorted({document.name for document in found})
    split_of = dict(zip(names, splits(len(names), config), strict=True))
    return {
        name: [document for document in found if split_of[document.name] == name] for name in SPLITS
    }


def identity(config: LanguageModelConfig) -> dict[str, object]:
    """SHA-256 of what the text is read from.

    Raises:
        UserError: a file is missing or cannot be read.
    """
    if config.text is Text.bibles:
        return {"bible": bible.digest()}
    if config.text is Text.domains:
        return domains.identity(CorpusConfig(corpus=CorpusName.domains))
    return {
        f"{name}_files": [
            text_files.digest(Path(path), f"study.{name}_files")
            for path in getattr(config, f"{name}_files")
        ]
        for name in SPLITS
    }


def _bibles(config: LanguageModelConfig) -> Iterator[Document]:
    if unknown := [code for code in config.bibles if code not in bible.BIBLES]:
        listed = ", ".join(
            f"{code} ({', '.join(map(str, what[1:]))})" for code, what in bible.BIBLES.items()
        )
        raise UserError(
            f"study.bibles: {', '.join(unknown)} is none of the free Bibles.",
            f"Choose from: {listed}.",
        )
    for code in config.bibles:
        chapters: dict[str, list[str]] = {}
        for verse in bible.verses([code], [code]):
            chapters.setdefault(verse.document, []).append(verse.english)
        language = bible.BIBLES[code].language
        yield from (Document(name, language, own) for name, own in chapters.items())


def _domains() -> Iterator[Document]:
    found: dict[tuple[str, str], list[str]] = {}
    for passage in domains.passages(CorpusConfig(corpus=CorpusName.domains)):
        for language, text in (("English", passage.english), ("French", passage.french)):
            kind = f"{passage.domain}, {language}"
            found.setdefault((passage.document, kind), []).append(text)
    return (Document(name, kind, own) for (name, kind), own in found.items())


class _Lines:
    """The lines of files as documents, read anew each time."""

    def __init__(self, paths: Sequence[str], split: str) -> None:
        self.paths, self.split = paths, split

    def __iter__(self) -> Iterator[Document]:
        for path in self.paths:
            for line in text_files.lines(Path(path), f"study.{self.split}_files"):
                text = line.decode("utf-8", errors="replace").strip()
                if text:
                    yield Document("", Path(path).name, [text])


def prepare(config: LanguageModelConfig) -> tuple[Subwords, dict[str, Encoded]]:
    """The subwords of a config's training text, and its splits as ids.

    Encoded text is kept by its content: trainings of one suite share it.

    Raises:
        UserError: a text is missing or damaged, or nothing is left of a split.
    """
    found = documents(config)
    subwords = learn(partial(_lines, found["train"]), config.num_subwords, CACHE)
    # All that decides the ids: the text, how it is split, and the subwords.
    key = json.dumps([identity(config), config.bibles, config.valid_share, config.test_share,
                      config.split_seed, config.text.name, subwords.digest])  # fmt: skip
    folder = CACHE / sha256(key.encode()).hexdigest()[:16]
    return subwords, {name: _encoded(found[name], subwords, folder / name) for name in SPLITS}


def _lines(train: Iterable[Document]) -> Iterator[str]:
    """Passages from all over the text, as many as subwords are learnt from."""
    # Every so many documents from the whole text. With Bibles the first ones alone would be of one
    # language.
    num_characters = sum(len(text) for document in train for text in document.passages)
    every = max(1, round(num_characters / _CHARACTERS_TO_LEARN_FROM))
    for number, document in enumerate(train):
        if number % every == 0:
            yield from document.passages


def _encoded(found: Iterable[Document], subwords: Subwords, folder: Path) -> Encoded:
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Runs of a suite begin at once: one encodes, the others wait for it.
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if not folder.exists():
                _encode(found, subwords, folder)
    arrays = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("ids", "start", "kind")]
    kinds = json.loads((folder / "kinds.json").read_text("utf-8"))
    if len(arrays[0]) == 0:
        raise UserError(
            f"No text is left in the {folder.name} split.",
            "Give it a larger share, or take more text.",
        )
    return Encoded(arrays[0], arrays[1], arrays[2], kinds)


def _encode(found: Iterable[Document], subwords: Subwords, folder: Path) -> None:
    kinds: dict[str, int] = {}
    ids, start, kind = [], [0], []
    for document in found:
        own = [number for text in document.passages for number in subwords.encode(text)]
        ids.append(np.array([*own, END], np.int32))
        start.append(start[-1] + len(own) + 1)
        kind.append(kinds.setdefault(document.kind, len(kinds)))
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=folder.parent))
    np.save(unfinished / "ids.npy", np.concatenate(ids) if ids else np.empty(0, np.int32))
    np.save(unfinished / "start.npy", np.array(start, np.int64))
    np.save(unfinished / "kind.npy", np.array(kind, np.int32))
    (unfinished / "kinds.json").write_text(json.dumps(list(kinds)), "utf-8")
    unfinished.rename(folder)


@dataclass(frozen=True)
class Window:
    """A stretch of all streams.

    Attributes:
        inputs_SB: int64.
        targets_SB: what comes next, int64.
        kind_SB: of the document that the input is from, int64.
    """

    inputs_SB: Tensor
    targets_SB: Tensor
    kind_SB: Tensor


def windows(
    text: Encoded,
    num_streams: int,
    num_unrolled: int,
    device: str,
    random: np.random.Generator | None = None,
    with_rest: bool = False,
) -> Iterator[Window]:
    """The text once, in parallel streams: each goes on from window to window.

    Args:
        text: a split.
        num_streams: B.
        num_unrolled: S.
        device: of the windows.
        random: of the documents' order; None leaves it as it is.
        with_rest: whether a shorter window comes last.
    """
    num_documents = len(text.kind)
    order = np.arange(num_documents) if random is None else random.permutation(num_documents)
    ids, kind = text.in_order(order)
    # One less than there are ids, since each needs one after it as its target; the rest is left
    # out.
    length = (len(ids) - 1) // num_streams
    inputs, targets, kinds = (
        torch.from_numpy(part[: length * num_streams].astype(np.int64)).view(num_streams, -1).T
        for part in (ids, ids[1:], kind)
    )
    end = length if with_rest else length - num_unrolled + 1
    for first in range(0, end, num_unrolled):
        stretch = slice(first, first + num_unrolled)
        parts = (each[stretch].contiguous().to(device) for each in (inputs, targets, kinds))
        yield Window(*parts)


Report = Callable[[str, float], None]
