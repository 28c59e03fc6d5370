"""What our own runs say about a claim: one frozen dataclass per kind of claim."""

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class ValueEvidence:
    """One number per seed, for a claim about a number.

    With ``baseline_samples`` the claim is about the ratio of means, baseline over samples.
    ``num_censored`` samples (and ``num_censored_baseline`` baseline samples) are runs that never
    reached the criterion: they enter with the epoch limit, so they are lower bounds.
    ``runs`` names the runs the numbers came from. ``not_comparable`` says why they cannot be
    held against the paper, such as a reduced scale. Raises ValueError for NaN and infinity.
    """

    samples: tuple[float, ...]
    runs: tuple[str, ...]
    baseline_samples: tuple[float, ...] | None = None
    num_censored: int = 0
    num_censored_baseline: int = 0
    not_comparable: str | None = None

    def __post_init__(self) -> None:
        """Rejects numbers that no verdict could rest on."""
        baseline = self.baseline_samples or ()
        _check_finite((*self.samples, *baseline))
        if not 0 <= self.num_censored <= len(self.samples):
            raise ValueError("num_censored must lie between 0 and the number of samples")
        if not 0 <= self.num_censored_baseline <= len(baseline):
            raise ValueError("num_censored_baseline must lie between 0 and the number of samples")


@dataclass(frozen=True)
class OrderEvidence:
    """One number per seed of two variants, paired by position: entry i of both is one seed.

    The claim says whether lower or higher is better; it claims that the first is better.
    Raises ValueError for unequal lengths, NaN and infinity.
    """

    first: tuple[float, ...]
    second: tuple[float, ...]
    runs: tuple[str, ...]
    not_comparable: str | None = None

    def __post_init__(self) -> None:
        """Rejects numbers that no verdict could rest on."""
        _check_finite((*self.first, *self.second))
        if len(self.first) != len(self.second):
            raise ValueError("paired samples must have the same length")


@dataclass(frozen=True)
class RateEvidence:
    """How many of ``n`` seeds showed what a rate or shape claim says.

    Raises ValueError unless 0 <= successes <= n.
    """

    successes: int
    n: int
    runs: tuple[str, ...]
    not_comparable: str | None = None

    def __post_init__(self) -> None:
        """Rejects counts that no verdict could rest on."""
        if not 0 <= self.successes <= self.n:
            raise ValueError("successes must lie between 0 and n")


Evidence = ValueEvidence | OrderEvidence | RateEvidence


def _check_finite(numbers: Iterable[float]) -> None:
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError("every sample must be a finite number")
