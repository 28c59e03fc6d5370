"""Pairs as numbers, on disk rather than in memory, so that a corpus may be larger than it."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import IO, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from experiments.translation.pairs import Pair
from experiments.translation.subwords import Subwords

_DTYPE = np.int32


@dataclass(frozen=True)
class Rows:
    """Rows of ids of any length, one after another.

    Attributes:
        ids: of all rows.
        start: of each row in `ids`, and their end; one more than there are rows.
    """

    ids: NDArray[np.int32]
    start: NDArray[np.int64]

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.start) - 1

    def __getitem__(self, place: int) -> list[int]:
        """One row."""
        ids: list[int] = self.ids[self.start[place] : self.start[place + 1]].tolist()
        return ids

    def __iter__(self) -> Iterator[list[int]]:
        """All rows."""
        return (self[place] for place in range(len(self)))

    def first(self, count: int | None) -> "Rows":
        """The first so many rows; all with None."""
        return Rows(self.ids, self.start[: None if count is None else count + 1])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Ids per row."""
        return np.diff(self.start)


@dataclass(frozen=True)
class Encoded:
    """Pairs as ids, without start and end, and the kind of text each is from.

    `domain` is empty where the corpus is of one kind.
    """

    source: Rows
    target: Rows
    domain: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.source)

    def first(self, count: int | None) -> "Encoded":
        """The first so many pairs; all with None."""
        return Encoded(self.source.first(count), self.target.first(count), self.domain[:count])


def rows_of(lists: Sequence[Sequence[int]]) -> Rows:
    """Rows in memory."""
    ids = np.fromiter((number for row in lists for number in row), _DTYPE)
    return Rows(ids, np.fromiter(accumulate(map(len, lists), initial=0), np.int64))


def encode(pairs: Iterable[Pair], subwords: Subwords, folder: Path) -> Encoded:
    """All pairs as ids; they are read once and only their lengths stay in memory.

    Args:
        pairs: of one split.
        subwords: of both languages.
        folder: holds the ids while they are in use, in a file without a name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    starts: tuple[list[int], list[int]] = ([0], [0])
    domains: list[str] = []
    with tempfile.TemporaryFile(dir=folder) as source, tempfile.TemporaryFile(dir=folder) as target:
        for pair in pairs:
            for file, start, text in zip(
                (source, target), starts, (pair.source, pair.target), strict=True
            ):
                ids = np.array(subwords.encode(text), _DTYPE)
                file.write(ids.tobytes())
                start.append(start[-1] + len(ids))
            if pair.domain:
                domains.append(pair.domain)
        rows = [
            Rows(_mapped(file, start[-1]), np.array(start, np.int64))
            for file, start in zip((source, target), starts, strict=True)
        ]
    return Encoded(rows[0], rows[1], domains)


def _mapped(file: IO[bytes], count: int) -> NDArray[np.int32]:
    file.flush()
    if not count:
        return np.empty(0, _DTYPE)
    # The map keeps the file's content after the file is closed.
    return np.memmap(cast(BinaryIO, file), _DTYPE, "r", shape=(count,))
