"""Batches of pairs of similar length with a bound on their tokens.

Shapes: B pairs, S and T source and target positions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.translation.encoded import Encoded
from experiments.translation.subwords import END, PAD, START

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
        """Without padding, ends included."""
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
    lengths = np.maximum(pairs.source.lengths, pairs.target.lengths) + 1
    if epoch is None:
        yield from _cut(np.argsort(lengths, kind="stable"), lengths, tokens_per_batch)
        return
    random = np.random.default_rng([seed, epoch])
    places = random.permutation(len(lengths))
    pool = _POOL * max(1, int(tokens_per_batch / lengths.mean()))
    for start in range(0, len(places), pool):
        chosen = places[start : start + pool]
        by_length = chosen[np.argsort(lengths[chosen], kind="stable")]
        batches = list(_cut(by_length, lengths, tokens_per_batch))
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
        _padded([[START, *ids] for ids in target]),
        _padded([[*ids, END] for ids in target]),
        torch.tensor(chosen),
    )


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    padded = torch.full((len(rows), max(1, max(map(len, rows)))), PAD)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = torch.tensor(row, dtype=torch.int64)
    return padded
