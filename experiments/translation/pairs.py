"""Sentence pairs: read, filtered and split."""

import gzip
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np

from experiments.errors import UserError
from experiments.translation import corpora
from experiments.translation.settings_corpus import CorpusConfig, CorpusName

SPLITS = ("train", "valid", "test")


class Pair(NamedTuple):
    """A sentence, its translation, and the kind of text it is from (empty where there is one)."""

    source: str
    target: str
    domain: str = ""


Reader = Callable[[Counter[str]], Iterable[Pair]]


class Split:
    """A split's pairs after the filters, read anew whenever they are gone through.

    Attributes:
        counts: lines kept, and dropped for which reason; there once all have been gone through.
    """

    def __init__(self, name: str, read: Reader, config: CorpusConfig) -> None:
        """Read nothing yet.

        Args:
            name: of the split.
            read: gives its pairs before the filters, and counts what it drops itself.
            config: the filters.
        """
        self.name, self.read, self.config = name, read, config
        self.most = config.max_train_pairs if name == "train" else None
        self.counts: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Pair]:
        """The pairs."""
        counts: Counter[str] = Counter()
        for pair in itertools.islice(_filtered(self.read(counts), self.config, counts), self.most):
            counts[f"kept_{self.name}"] += 1
            yield pair
        self.counts = counts


@dataclass(frozen=True)
class Texts:
    """Pairs by split.

    Attributes:
        train: may be larger than memory.
        valid: in memory.
        test: in memory.
        counts_held_out: of valid and test, see `Split`.
    """

    train: Split
    valid: list[Pair]
    test: list[Pair]
    counts_held_out: Counter[str]

    @property
    def counts(self) -> dict[str, int]:
        """Lines kept and dropped of all splits; complete once `train` has been gone through."""
        return dict(self.counts_held_out + self.train.counts)


def load(config: CorpusConfig) -> Texts:
    """Open a corpus, and read and filter what it is tested on.

    Raises:
        UserError: a file is missing, two files do not have equally many lines, or nothing is left
            to train on.
    """
    read = _files(config) if config.corpus is CorpusName.files else _documents(config)
    train, valid, test = (Split(name, read[name], config) for name in SPLITS)
    if next(iter(train), None) is None:
        raise UserError(
            "No sentence pair is left to train on.", "Look at the filters and the files."
        )
    return Texts(train, list(valid), list(test), valid.counts + test.counts)


def _documents(config: CorpusConfig) -> dict[str, Reader]:
    found = corpora.passages(config)
    documents = sorted({passage.document for passage in found})
    split_of = dict(zip(documents, _splits(len(documents), config), strict=True))
    parts: dict[str, list[Pair]] = {name: [] for name in SPLITS}
    for passage in found:
        if not config.kinds or passage.domain in config.kinds:
            pair = Pair(passage.english, passage.french, passage.domain)
            parts[split_of[passage.document]].append(pair)
    # So that the first so many are from everywhere.
    np.random.default_rng(config.split_seed).shuffle(parts["train"])
    return {name: partial(_listed, pairs) for name, pairs in parts.items()}


def _listed(pairs: list[Pair], counts: Counter[str]) -> list[Pair]:
    return pairs


def _files(config: CorpusConfig) -> dict[str, Reader]:
    return {name: partial(_aligned, config, name) for name in SPLITS}


def _splits(num_documents: int, config: CorpusConfig) -> list[str]:
    """The split of each document: no passage is in two."""
    order = np.random.default_rng(config.split_seed).permutation(num_documents)
    num_valid = max(1, round(config.valid_share * num_documents))
    num_test = max(1, round(config.test_share * num_documents))
    names = ["train"] * num_documents
    for place in order[:num_valid]:
        names[place] = "valid"
    for place in order[num_valid : num_valid + num_test]:
        names[place] = "test"
    return names


def _filtered(pairs: Iterable[Pair], config: CorpusConfig, counts: Counter[str]) -> Iterator[Pair]:
    for pair in pairs:
        lengths = (len(pair.source.split()), len(pair.target.split()))
        if min(lengths) == 0:
            counts["dropped_empty"] += 1
        elif max(lengths) > config.max_words:
            counts["dropped_too_long"] += 1
        elif max(lengths) > config.max_ratio * min(lengths) and max(lengths) > 8:
            counts["dropped_unlike_lengths"] += 1
        else:
            yield pair


def _aligned(config: CorpusConfig, split: str, counts: Counter[str]) -> Iterator[Pair]:
    """Lines of two files that belong together; undecodable ones are counted and left out."""
    paths = [_path(config, f"{split}_{side}") for side in ("source", "target")]
    with _open(paths[0]) as source, _open(paths[1]) as target:
        for number, (first, second) in enumerate(itertools.zip_longest(source, target), start=1):
            if first is None or second is None:
                shorter = paths[0] if first is None else paths[1]
                raise UserError(
                    f"{shorter} ends at line {number - 1:,}, but the other file goes on.",
                    "Take two files with equally many lines, line by line translations.",
                )
            try:
                yield Pair(first.decode("utf-8").strip(), second.decode("utf-8").strip())
            except UnicodeDecodeError:
                counts["dropped_not_utf8"] += 1


def _path(config: CorpusConfig, key: str) -> Path:
    name = getattr(config, key)
    if not name:
        raise UserError(f"study.{key} is not set.", f"Write study.{key}=PATH.")
    if not Path(name).exists():
        raise UserError(f"study.{key}: there is no file {name}.", "Correct the path.")
    return Path(name)


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    return path.open("rb")


def size_of(config: CorpusConfig, key: str) -> list[int]:
    """Bytes and time of the last change of a file, which stand for its content."""
    found = _path(config, key).stat()
    return [found.st_size, found.st_mtime_ns]
