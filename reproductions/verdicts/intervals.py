"""Interval estimates over seeds: Student-t for means and ratios, exact binomial for shares."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats

Interval = tuple[float, float]

# More seeds than this nobody would train: the answer is then that seeds will not decide.
_MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` seeds (or the log of a ratio of means) with its standard error.

    ``freedom`` is the degrees of freedom of its Student-t distribution. A standard error of 0
    (all seeds gave the same number) makes every interval the point itself.
    """

    center: float
    standard_error: float
    freedom: float
    n: int
    is_log: bool = False

    @property
    def point(self) -> float:
        """The estimate in the unit of the claim."""
        return math.exp(self.center) if self.is_log else self.center

    def interval(self, confidence: float) -> Interval:
        """Two-sided Student-t interval in the unit of the claim."""
        half = 0.0
        if self.standard_error > 0:
            # Student (1908): mean ± t(1 - a/2, df) s / sqrt(n).
            half = self.standard_error * float(stats.t.ppf((1 + confidence) / 2, self.freedom))
        low, high = self.center - half, self.center + half
        return (math.exp(low), math.exp(high)) if self.is_log else (low, high)


def mean_estimate(samples: Sequence[float], *, is_log: bool = False) -> Estimate:
    """The mean of at least two samples; with ``is_log`` they are logs, and the mean a ratio's."""
    n = len(samples)
    return Estimate(float(np.mean(samples)), _standard_error(samples), n - 1, n, is_log)


def difference_estimate(
    first: Sequence[float], second: Sequence[float], *, is_log: bool = False
) -> Estimate:
    """The mean of the first minus that of the second, of at least two samples each (Welch).

    With ``is_log`` the samples are logs, and the estimate is the ratio of their geometric means.
    """
    parts = [_standard_error(values) ** 2 for values in (first, second)]
    center = float(np.mean(first) - np.mean(second))
    n = min(len(first), len(second))
    freedom = _welch_freedom(parts, (len(first), len(second)))
    return Estimate(center, math.sqrt(sum(parts)), freedom, n, is_log)


def _welch_freedom(variances: Sequence[float], sizes: Sequence[int]) -> float:
    """Degrees of freedom of a difference of two means with these variances."""
    if sum(variances) == 0:
        return float(min(sizes) - 1)
    # Welch (1947): df = (v1 + v2)^2 / (v1^2 / (n1 - 1) + v2^2 / (n2 - 1)).
    pairs = zip(variances, sizes, strict=True)
    return sum(variances) ** 2 / sum(part**2 / (size - 1) for part, size in pairs)


def ratio_estimate(baseline: Sequence[float], samples: Sequence[float]) -> Estimate:
    """The ratio of means, baseline over samples, of at least two samples each.

    Works on the log of the ratio: the delta method gives the variance of each log mean, and
    Welch's formula the degrees of freedom. Raises ValueError unless both means are positive.
    """
    means = [float(np.mean(baseline)), float(np.mean(samples))]
    if min(means) <= 0:
        raise ValueError("a ratio of means needs positive means")
    parts = [
        # Delta method: Var(log m) = Var(m) / m^2 to first order. On the log scale the interval of
        # a ratio's inverse is the inverse of its interval.
        (_standard_error(values) / mean) ** 2
        for values, mean in zip((baseline, samples), means, strict=True)
    ]
    n = min(len(baseline), len(samples))
    freedom = _welch_freedom(parts, (len(baseline), len(samples)))
    center = math.log(means[0]) - math.log(means[1])
    return Estimate(center, math.sqrt(sum(parts)), freedom, n, is_log=True)


@cache
def share_interval(successes: int, n: int, confidence: float) -> Interval:
    """Exact (Clopper-Pearson) interval of a share of ``n`` seeds."""
    # Clopper & Pearson (1934). Its coverage is at least the stated one for every share and n, where
    # the normal approximation fails for shares near 0 and 1, which are the usual ones here.
    bounds = stats.binomtest(successes, n).proportion_ci(confidence, method="exact")
    return float(bounds.low), float(bounds.high)


def fewest_seeds_to_show(share: float, confidence: float) -> int:
    """The fewest seeds that, succeeding one and all, put the exact interval above ``share``."""
    # With all n successes the lower end is (a/2)^(1/n), so n > log(a/2) / log(share). Begin one
    # below that number, since rounding may have gone either way.
    n = max(1, math.floor(math.log((1 - confidence) / 2) / math.log(share)) - 1)
    while share_interval(n, n, confidence)[0] <= share:
        n += 1
    return n


def seeds_to_decide(estimate: Estimate, low_edge: float, high_edge: float) -> int | None:
    """Roughly how many seeds would decide, if mean and spread stayed as they are.

    Inside the edges the 90 % interval must fit; outside them the 95 % interval must clear the
    nearer edge. None if even 10,000 seeds would not do.
    """
    low, high = (_log(edge) if estimate.is_log else edge for edge in (low_edge, high_edge))
    inside = min(estimate.center - low, high - estimate.center)
    # One end of a two-sided 90 % interval inside the margin, of a 95 % one outside it.
    quantile = 0.95 if inside > 0 else 0.975

    def is_enough(count: int) -> bool:
        # Spread stays, so the standard error shrinks with sqrt(n) and freedom grows with n - 1.
        freedom = estimate.freedom * (count - 1) / (estimate.n - 1)
        standard_error = estimate.standard_error * math.sqrt(estimate.n / count)
        return bool(stats.t.ppf(quantile, freedom) * standard_error < abs(inside))

    # More seeds only ever narrow the interval, so bisection finds the fewest that do.
    counts = range(estimate.n + 1, _MOST_SEEDS + 1)
    place = bisect_left(counts, True, key=is_enough)
    return counts[place] if place < len(counts) else None


def _standard_error(samples: Sequence[float]) -> float:
    # Equal samples must give exactly 0, which the floating-point formula does not promise.
    if min(samples) == max(samples):
        return 0.0
    return float(stats.sem(samples))


def _log(number: float) -> float:
    return math.log(number) if number > 0 else -math.inf
