"""The groups of claims that the summary of the translation report speaks of."""

from collections.abc import Mapping

from reproductions.runs import NamedRun
from reproductions.summary import Group
from reproductions.translation.balance import why_uneven
from reproductions.translation.early import why_many_lose, why_more_lose
from reproductions.translation.seeds import in_every_training

Runs = Mapping[str, NamedRun]


def _why_it_loses(runs: Runs) -> str:
    """The causes that runs tell of, and whether other seeds end so."""
    return "; ".join(part for part in (in_every_training(runs), why_many_lose(runs)) if part)


GROUPS = (
    Group("perplexity-2048", "the published perplexity"),
    Group("bleu-2048", "the published BLEU"),
    Group(
        "equal-cost-perplexity", "2,048 experts beat one of equal cost in perplexity", _why_it_loses
    ),
    Group("perplexity-order-", "more experts give lower perplexity", why_more_lose),
    Group("bleu-order", "2,048 experts beat one of equal cost in BLEU"),
    Group("balance", "balance losses keep loads even", why_uneven),
    Group("experts-meaning", "experts specialise in words"),
    Group("experts-syntax", "experts specialise by word class"),
    Group("experts-topic", "experts specialise by topic"),
    Group("experts-one-word", "some experts are about one word"),
)
