"""What a verdict is, and the words that every kind of verdict shares."""

from dataclasses import dataclass
from typing import Literal

from reproductions.verdicts.intervals import Interval
from reproductions.verdicts.number_text import number

Word = Literal["matches", "differs", "inconclusive", "not comparable"]
Bound = Literal["exact", "lower", "upper", "unknown"]

CONFIDENCE = 0.95
# A 90 % interval inside the margin is two one-sided tests at 5 % each.
EQUIVALENCE_CONFIDENCE = 0.90
# Two seeds give one degree of freedom, whose 95 % interval is 12.7 standard errors wide either way.
FEWEST_SEEDS = 3


@dataclass(frozen=True)
class Verdict:
    """What our runs say about one claim.

    value: ``estimate`` is our mean or ratio, in the claim's unit. order: the share of pairs in
    which the first is better, a tie counting half; with a margin, the first minus the second or
    their ratio. rate, shape: the share of seeds that show it. ``interval`` belongs to the
    estimate, at ``confidence``; None where there are too few seeds for one. ``n`` is the smaller
    number of seeds where there are two. ``bound`` tells whether censored runs make the estimate
    a mere bound.
    """

    word: Word
    estimate: float | None
    interval: Interval | None
    confidence: float
    n: int
    explanation: str
    bound: Bound = "exact"


def side(word: Word, threshold: str) -> str:
    """Where an interval lies, beside a threshold that matches are above."""
    if word == "inconclusive":
        return f"contains {threshold}"
    return f"lies {'above' if word == 'matches' else 'below'} {threshold}"


def seeds_text(n: int) -> str:
    """A number of seeds that is too small."""
    return {0: "No seeds", 1: "Only 1 seed"}.get(n, f"Only {n} seeds")


def between(interval: Interval) -> str:
    """The ends of an interval."""
    return f"{number(interval[0], 3)} to {number(interval[1], 3)}"
