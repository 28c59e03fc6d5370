"""Sentence pairs: read, filtered and split."""

import itertools
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from experiments.runner.errors import UserError
from experiments.text import corpora, text_files
from experiments.text.settings import CorpusConfig, CorpusName

SPLITS = ("train", "valid", "test")

_LOGGER = logging.getLogger(__name__)
_NAMES = {"train": "training", "valid": "validation", "test": "test"}
# Of a corpus of documents, by split: what makes it larger.
_SHARES = {"train": "kinds", "valid": "valid_share", "test": "test_share"}
_NOT_UTF8 = "not UTF-8"
# So many lines that are no UTF-8 are damage, and more are another encoding.
_FEW_LINES, _FEW_SHARE = 3, 0.01
# Above this share what is left out, or is the same in both languages, is worth a warning.
_MUCH = 0.1
_SHORT = 8
# Words of a line that can still be scored: attention over it takes the square of its subwords.
_LONGEST = 5_000
# What is counted beside the reasons.
_TALLIES = ("read", "kept", "alike")
_UNDECODED = re.compile("[\udc80-\udcff]")
# Thai, Lao, Tibetan, Burmese, Khmer, Chinese and Japanese.
_UNSPACED = re.compile(
    "[\u0e00-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"
    "\U00020000-\U0003ffff]+"
)


class Pair(NamedTuple):
    """A sentence, its translation, the kind of text it is from, and the target's language.

    Kind and language are empty where there is one.
    """

    source: str
    target: str
    domain: str = ""
    language: str = ""


Reader = Callable[[], Iterable[Pair]]


class Split:
    """A split's pairs after the filters, read anew whenever they are gone through.

    The filters of length are for what is trained on, and for documents, which we divide ourselves.
    A validation file loses only lines that are empty or no UTF-8; of a test file every line is
    kept, to be translated as it can be read. What is left out is logged the first time.

    Attributes:
        counts: pairs `kept`, and by reason those left out (of a test file: kept all the same);
            there once all have been gone through.
        held_out: of other splits, to be looked for among these pairs.
    """

    def __init__(self, name: str, read: Reader, config: CorpusConfig) -> None:
        """Read nothing yet.

        Args:
            name: of the split.
            read: gives its pairs before the filters; bytes that are no UTF-8 are surrogates.
            config: the filters.
        """
        self.name, self.read, self.config = name, read, config
        self.most = config.max_train_pairs if name == "train" else None
        self.is_given = config.corpus is CorpusName.files and name != "train"
        self.keeps_all = self.is_given and name == "test"
        self.counts: Counter[str] = Counter()
        self.held_out: dict[str, set[tuple[str, str]]] = {}

    def __iter__(self) -> Iterator[Pair]:
        """The pairs.

        Raises:
            UserError: at the end, where none is left or many lines are no UTF-8.
        """
        counts: Counter[str] = Counter()
        first_bad: tuple[int, Pair] | None = None
        found: dict[str, set[tuple[str, str]]] = {name: set() for name in self.held_out}
        for number, pair in enumerate(self.read(), start=1):
            # Asked first, so that not a line too many is read.
            if counts["kept"] == self.most:
                break
            counts["read"] = number
            self._refuse_unbroken(number, pair)
            reason = self._reason(pair)
            if reason:
                counts[reason] += 1
            if reason == _NOT_UTF8:
                first_bad = first_bad or (number, pair)
                pair = pair._replace(source=_replaced(pair.source), target=_replaced(pair.target))
            if reason and not self.keeps_all:
                continue
            counts["kept"] += 1
            # Untranslated lines: harmless where few, and worth a warning where many.
            counts["alike"] += pair.source == pair.target
            for name, others in self.held_out.items():
                if pair[:2] in others:
                    # Of sets, so that a sentence that stands twice counts once.
                    found[name].add(pair[:2])
            yield pair
        self._check(counts, first_bad)
        if not self.counts:
            self._tell(counts, {name: len(own) for name, own in found.items()})
        self.counts = counts

    def _refuse_unbroken(self, number: int, pair: Pair) -> None:
        """Refuse a line that would be scored whole and is far too long for a sentence."""
        if self.is_given and (longest := max(map(num_words, pair[:2]))) > _LONGEST:
            raise UserError(
                f"Line {number:,} of the {_NAMES[self.name]} set "
                f"(study.{', study.'.join(keys_of(self.name))}) has {longest:,} words.",
                "Give a sentence per line; a line ends with a line feed, not with a carriage "
                "return alone.",
            )

    def _reason(self, pair: Pair) -> str:
        """Why a pair is left out, or nothing."""
        if any(_UNDECODED.search(text) for text in pair[:2] if not text.isascii()):
            return _NOT_UTF8
        if any(map(is_empty, pair[:2])):
            return "empty"
        if self.is_given:
            return ""
        # Which side is the longer one does not matter.
        shorter, longer = sorted(map(num_words, pair[:2]))
        if longer > self.config.max_words:
            return f"longer than study.max_words={self.config.max_words}"
        if longer > self.config.max_ratio * shorter and longer > _SHORT:
            return f"of lengths beyond study.max_ratio={self.config.max_ratio:g}"
        return ""

    def _check(self, counts: Counter[str], first_bad: tuple[int, Pair] | None) -> None:
        """Refuse a split that nothing is left of, or that is in another encoding."""
        if first_bad and counts[_NOT_UTF8] > max(_FEW_LINES, _FEW_SHARE * counts["read"]):
            number, bad = first_bad
            side = "target" if _UNDECODED.search(bad.target) else "source"
            key = f"{self.name}_{side}"
            name = f"study.{key}: {_path(self.config, key)} ({counts[_NOT_UTF8]:,} of its lines)"
            line = getattr(bad, side).encode("utf-8", errors="surrogateescape")
            raise text_files.not_utf8(name, number, line)
        if counts["kept"] > (counts["empty"] if self.keeps_all else 0):
            return
        if self.config.corpus is CorpusName.files:
            keys, fix = ", study.".join(keys_of(self.name)), "Give files with a sentence per line"
        else:
            keys, fix = _SHARES[self.name], "Give it another value, or take more kinds of text"
        wider = ", or raise study.max_words or study.max_ratio" if not self.is_given else ""
        reasons = f", left out: {_listed(counts)}" if counts["read"] else ""
        raise UserError(
            f"No sentence pair is left in the {_NAMES[self.name]} set (study.{keys}): "
            f"{counts['read']:,} read{reasons}.",
            f"{fix}{wider}.",
        )

    def _tell(self, counts: Counter[str], found: dict[str, int]) -> None:
        name = f"the {_NAMES[self.name]} set"
        if listed := _listed(counts):
            number = sum(counts[reason] for reason in counts if reason not in _TALLIES)
            what = "are scored as far as they can be read" if self.keeps_all else "are left out"
            is_much = self.name == "test" or number > _MUCH * counts["read"]
            level = logging.WARNING if is_much else logging.INFO
            message = "%s: %d of %d pairs %s (%s)"
            _LOGGER.log(level, message, name, number, counts["read"], what, listed)
        if counts["alike"] > _MUCH * counts["kept"]:
            message = "in %s source and target are the same text in %d of %d pairs"
            _LOGGER.warning(message, name, counts["alike"], counts["kept"])
        for other, number in found.items():
            if number:
                message = "%d of the %d different pairs of the %s set are in %s too"
                num_others = len(self.held_out[other])
                _LOGGER.warning(message, number, num_others, _NAMES[other], name)


def _listed(counts: Counter[str]) -> str:
    """The reasons and how many pairs each holds."""
    return ", ".join(f"{counts[name]:,} {name}" for name in counts if name not in _TALLIES)


def is_empty(text: str) -> bool:
    """Whether a text has nothing to read: subwords know no spaces, controls and marks of format."""
    return not any(each.isprintable() and each != " " for each in text)


def num_words(text: str) -> int:
    """Words of a text by its spaces; of scripts written without any, two letters are a word."""
    if text.isascii() or not _UNSPACED.search(text):
        return len(text.split())
    # Half the letters, rounded up: such scripts are taken to have two per word.
    num_letters = sum(sum(map(str.isalpha, run)) for run in _UNSPACED.findall(text))
    return len(_UNSPACED.sub(" ", text).split()) + (num_letters + 1) // 2


def _replaced(text: str) -> str:
    return _UNDECODED.sub("\ufffd", text)


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
    counts_held_out: dict[str, dict[str, int]]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """What was kept and left out of each split, see `Split.counts`.

        That of `train` is complete once its pairs have been gone through.
        """
        return {"train": dict(self.train.counts), **self.counts_held_out}


def load(config: CorpusConfig) -> Texts:
    """Open a corpus, and read and filter what it is tested on.

    Raises:
        UserError: a file is missing or cannot be read, two files do not have equally many lines,
            or nothing is left of a split; for what is trained on, when it is gone through.
    """
    read = _files(config) if config.corpus is CorpusName.files else _documents(config)
    train, valid, test = (Split(name, read[name], config) for name in SPLITS)
    parts = {"valid": list(valid), "test": list(test)}
    # Training text is compared with the sets that it is tested on, and told, not filtered.
    train.held_out = {name: {pair[:2] for pair in own} for name, own in parts.items()}
    counts = {"valid": dict(valid.counts), "test": dict(test.counts)}
    return Texts(train, parts["valid"], parts["test"], counts)


def _documents(config: CorpusConfig) -> dict[str, Reader]:
    found = corpora.passages(config)
    documents = sorted({passage.document for passage in found})
    # By document: neighbouring verses or paragraphs resemble each other too much to be in two
    # splits.
    split_of = dict(zip(documents, splits(len(documents), config), strict=True))
    parts: dict[str, list[Pair]] = {name: [] for name in SPLITS}
    for passage in found:
        if not config.kinds or passage.domain in config.kinds:
            pair = Pair(passage.english, passage.french, passage.domain, passage.language)
            parts[split_of[passage.document]].append(pair)
    # So that the first so many are from everywhere.
    np.random.default_rng(config.split_seed).shuffle(parts["train"])
    return {name: partial(list, pairs) for name, pairs in parts.items()}


def _files(config: CorpusConfig) -> dict[str, Reader]:
    return {name: partial(_aligned, config, name) for name in SPLITS}


class SplitShares(Protocol):
    """Settings that say how documents are split."""

    valid_share: float
    test_share: float
    split_seed: int


def splits(num_documents: int, config: SplitShares) -> list[str]:
    """The split of each document, drawn by a seed: no passage is in two.

    Args:
        num_documents: how many there are; at least one is for validation, and one for the test.
        config: the shares and the seed.
    """
    order = np.random.default_rng(config.split_seed).permutation(num_documents)
    num_valid = max(1, round(config.valid_share * num_documents))
    num_test = max(1, round(config.test_share * num_documents))
    names = ["train"] * num_documents
    for place in order[:num_valid]:
        names[place] = "valid"
    for place in order[num_valid : num_valid + num_test]:
        names[place] = "test"
    return names


def _aligned(config: CorpusConfig, split: str) -> Iterator[Pair]:
    """Pairs of lines with the same number in two files."""
    paths = {key: _path(config, key) for key in keys_of(split)}
    source, target = (text_files.lines(path, f"study.{key}") for key, path in paths.items())
    for number, both in enumerate(itertools.zip_longest(source, target), start=1):
        if None in both:
            shorter = list(paths.values())[both.index(None)]
            raise UserError(
                f"{shorter} ends at line {number - 1:,}, but the other file goes on.",
                "Take two files with equally many lines, line by line translations.",
            )
        yield Pair(*(line.decode("utf-8", errors="surrogateescape").strip() for line in both))


def keys_of(split: str) -> tuple[str, str]:
    """The settings that name a split's two files."""
    return f"{split}_source", f"{split}_target"


def _path(config: CorpusConfig, key: str) -> Path:
    name = getattr(config, key)
    if not name:
        raise UserError(f"study.{key} is not set.", f"Write study.{key}=PATH.")
    # Of a user who does not exist it leaves the path as it is, where pathlib has a traceback.
    return Path(os.path.expanduser(name))  # noqa: PTH111


def identity(config: CorpusConfig) -> dict[str, object]:
    """What stands for the content of a corpus: the SHA-256 of what it is read from.

    Raises:
        UserError: a file is missing or cannot be read.
    """
    if config.corpus is not CorpusName.files:
        return corpora.identity(config)
    keys = [key for split in SPLITS for key in keys_of(split)]
    return {key: text_files.digest(_path(config, key), f"study.{key}") for key in keys}
