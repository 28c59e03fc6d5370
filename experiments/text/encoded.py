"""Pairs as numbers on disk, and batches of them of similar length."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import IO, BinaryIO, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.text.pairs import Pair
from experiments.text.subwords import END, PAD, START, Subwords

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
        """How many ids each row has."""
        return np.diff(self.start)


@dataclass(frozen=True)
class Encoded:
    """Pairs as ids, without start and end; the kind of text, and the target's language, of each.

    `domain` and `language` are empty where there is one. With languages, a source begins with the
    mark of its target's.
    """

    source: Rows
    target: Rows
    domain: list[str] = field(default_factory=list)
    language: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.source)

    def take(self, places: Sequence[int]) -> "Encoded":
        """The pairs at these places."""
        source, target = (
            rows_of([rows[it] for it in places]) for rows in (self.source, self.target)
        )
        domain, language = (
            [each[it] for it in places] if each else [] for each in (self.domain, self.language)
        )
        return Encoded(source, target, domain, language)


def rows_of(lists: Sequence[Sequence[int]]) -> Rows:
    """Put lists of ids into one array in memory."""
    # One array for all rows: a list of Python's integers takes several times the memory.
    ids = np.fromiter((number for row in lists for number in row), _DTYPE)
    # Running sums of the lengths are where the rows begin, and where the last one ends.
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
    languages: list[str] = []
    with tempfile.TemporaryFile(dir=folder) as source, tempfile.TemporaryFile(dir=folder) as target:
        for pair in pairs:
            both = (
                [*subwords.mark(pair.language), *subwords.encode(pair.source)],
                subwords.encode(pair.target),
            )
            for file, start, own in zip((source, target), starts, both, strict=True):
                ids = np.array(own, _DTYPE)
                # Text larger than memory goes to the disk, and is mapped from there.
                file.write(ids.tobytes())
                start.append(start[-1] + len(ids))
            if pair.domain:
                domains.append(pair.domain)
            if pair.language:
                languages.append(pair.language)
        rows = [
            Rows(_mapped(file, start[-1]), np.array(start, np.int64))
            for file, start in zip((source, target), starts, strict=True)
        ]
    return Encoded(rows[0], rows[1], domains, languages)


def _mapped(file: IO[bytes], count: int) -> NDArray[np.int32]:
    file.flush()
    if not count:
        return np.empty(0, _DTYPE)
    # The map keeps the file's content after the file is closed.
    return np.memmap(cast(BinaryIO, file), _DTYPE, "r", shape=(count,))


Numbers = NDArray[np.int64]
_POOL = 100  # batches' worth of pairs that are sorted by length together


@dataclass(frozen=True)
class Batch:
    """Padded pairs.

    Attributes:
        source_BS: ids.
        target_in_BT: the answer so far, beginning with `START`.
        target_out_BT: what comes next, ending with `END`.
        pair_B: their numbers.
    """

    source_BS: Tensor
    target_in_BT: Tensor
    target_out_BT: Tensor
    pair_B: Tensor

    @property
    def source_mask_BS(self) -> Tensor:
        """True where there is a subword."""
        return self.source_BS != PAD

    @property
    def target_mask_BT(self) -> Tensor:
        """True where there is a subword or the end."""
        return self.target_out_BT != PAD

    @property
    def num_target_tokens(self) -> int:
        """How many target subwords there are, ends included and padding left out."""
        return int(self.target_mask_BT.sum())

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        return Batch(*(part.to(device) for part in vars(self).values()))


def order(
    pairs: Encoded, tokens_per_batch: int, seed: int, epoch: int | None
) -> Iterator[list[int]]:
    """The numbers of the pairs of every batch; the same for the same seed and epoch.

    Pairs come in random order, in pools that are sorted by length and cut where source or target
    with their padding would pass `tokens_per_batch`; then a pool's batches change places. Without
    an epoch: all pairs by length, each in one batch.
    """
    # Plus one for the start or the end, which the target has beside its subwords.
    lengths = np.maximum(pairs.source.lengths, pairs.target.lengths) + 1
    if epoch is None:
        yield from _cut(np.argsort(lengths, kind="stable"), lengths, tokens_per_batch)
        return
    random = np.random.default_rng([seed, epoch])
    places = random.permutation(len(lengths))
    # Sorted within pools only: over all pairs, batches would be the same in every epoch.
    pool = _POOL * max(1, int(tokens_per_batch / lengths.mean()))
    for start in range(0, len(places), pool):
        chosen = places[start : start + pool]
        by_length = chosen[np.argsort(lengths[chosen], kind="stable")]
        batches = list(_cut(by_length, lengths, tokens_per_batch))
        # Otherwise a pool would train from its shortest pairs to its longest.
        yield from (batches[place] for place in random.permutation(len(batches)))


def _cut(places: Numbers, lengths: Numbers, most: int) -> Iterator[list[int]]:
    batch: list[int] = []
    for place in places.tolist():
        # In order of length the newest is the longest, to which all are padded.
        if batch and (len(batch) + 1) * int(lengths[place]) > most:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def collate(pairs: Encoded, chosen: Sequence[int]) -> Batch:
    """Pad the chosen pairs to one length on each side."""
    source = [pairs.source[place] for place in chosen]
    target = [pairs.target[place] for place in chosen]
    return Batch(
        _padded(source),
        # Teacher forcing: the input is the target moved on by one, so that each subword is asked
        # from those before it.
        _padded([[START, *ids] for ids in target]),
        _padded([[*ids, END] for ids in target]),
        torch.tensor(chosen),
    )


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    padded = torch.full((len(rows), max(1, max(map(len, rows)))), PAD)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = torch.tensor(row, dtype=torch.int64)
    return padded
