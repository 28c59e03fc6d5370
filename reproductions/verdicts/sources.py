"""Where claims come from, and counts of verdicts that keep apart what a paper prints.

A paper's printed numbers are the test of a reproduction. Our reading of its sentences, numbers of
its authors' notebooks, what follows from other claims, and our own goals are counted beside them,
never with them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import get_args

from reproductions.verdicts.claims import Source, load_claims

MEANINGS: Mapping[Source, str] = {
    "printed": "the paper prints the number, or a comparison of printed numbers",
    "sentence": "a sentence or figure of the paper, for which the criterion is ours",
    "notebook": "a number of the authors' notebooks, not of the paper",
    "implied": "it follows from other claims on the same runs",
    "ours": "a question or goal of this project",
}
SOURCES: tuple[Source, ...] = get_args(Source)
# Before the word "claims".
_ADJECTIVES: Mapping[Source, str] = {**{name: name for name in SOURCES}, "ours": "own"}
_VERBS = {
    "matches": ("matches", "match"),
    "differs": ("differs", "differ"),
    "inconclusive": ("stays open", "stay open"),
    "not comparable": ("is not comparable", "are not comparable"),
    "not run": ("is not run", "are not run"),
}
# One verdict: the source of its claim, and its word.
Counted = tuple[Source, str]


def by_source(verdicts: Iterable[Counted]) -> dict[Source, Counter[str]]:
    """How often each word occurs, printed claims first; sources without claims are left out."""
    counts: dict[Source, Counter[str]] = {name: Counter() for name in SOURCES}
    for source, word in verdicts:
        counts[source][word] += 1
    return {source: found for source, found in counts.items() if found}


def headline(verdicts: Iterable[Counted]) -> str:
    """The count of verdicts in words: of the printed claims, then of each other kind apart."""
    counts = by_source(verdicts)
    parts = [
        f"of {_claims(found.total(), source)}, {counted(found)}" for source, found in counts.items()
    ]
    if not parts:
        return "There are no claims."
    text = "; ".join(parts)
    text = f"{text[0].upper()}{text[1:]}."
    return text if "printed" in counts else f"None of these claims is printed in the paper. {text}"


def _claims(num: int, source: Source) -> str:
    return f"{num} {_ADJECTIVES[source]} claim{'s' if num != 1 else ''}"


def counted(counts: Counter[str]) -> str:
    """The count of verdicts in words, such as "3 match and 1 differs"."""
    words = [
        f"{counts[word]} {verbs[counts[word] != 1]}"
        for word, verbs in _VERBS.items()
        if counts[word]
    ]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


@cache
def sources_of(study: str) -> Mapping[str, Source]:
    """Where each claim of a study comes from, by its id."""
    path = Path(__file__).parents[1] / study / "claims.yaml"
    return {claim.id: claim.source for claim in load_claims(path)}


def source_of(study: str, claim_id: str) -> Source:
    """Where a published claim comes from; what is no longer claimed counts as ours."""
    return sources_of(study).get(claim_id, "ours")
