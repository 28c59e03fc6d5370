"""Interval estimates over seeds: Student-t for means and ratios, exact binomial for shares."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Interval = tuple[float, float]

Values = NDArray[np.float64]
# Standard errors by true values.
Errors = Callable[[Values], Values]
# More seeds than this nobody would train: the answer is then that seeds will not decide.
_MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` seeds (or the log of a ratio of means) with its standard error.

    ``freedom`` is the degrees of freedom of its Student-t distribution. A standard error of 0
    (all seeds gave the same number) makes every interval the point itself. ``bounds`` are the
    least and the greatest value that the measure can have: 0 and 100 % of a set, say. With
    ``error_at`` the interval holds the values from which ours is not too far, by the error that it
    would have if they were true: where a true value of chance has far less of it than others.
    """

    center: float
    standard_error: float
    freedom: float
    n: int
    is_log: bool = False
    bounds: Interval | None = None
    error_at: Errors | None = None

    @property
    def point(self) -> float:
        """The estimate in the unit of the claim."""
        return math.exp(self.center) if self.is_log else self.center

    def interval(self, confidence: float) -> Interval:
        """Two-sided Student-t interval in the unit of the claim."""
        half = 0.0
        if self.error_at is not None and self.bounds is not None:
            quantile = _student((1 + confidence) / 2, self.freedom)
            return _inverted(self.center, quantile, self.error_at, self.bounds)
        if self.standard_error > 0:
            # Student (1908): mean ± t(1 - a/2, df) s / sqrt(n).
            half = self.standard_error * _student((1 + confidence) / 2, self.freedom)
        low, high = self.center - half, self.center + half
        if self.bounds is not None and half > 0:
            return _bounded(self.center, half, self.bounds)
        return (math.exp(low), math.exp(high)) if self.is_log else (low, high)


def mean_estimate(
    samples: Sequence[float], *, is_log: bool = False, bounds: Interval | None = None
) -> Estimate:
    """The mean of at least two samples; with ``is_log`` they are logs, and the mean a ratio's."""
    n = len(samples)
    return Estimate(float(np.mean(samples)), _standard_error(samples), n - 1, n, is_log, bounds)


def pairs_estimate(
    values_RR: NDArray[np.float64],
    *,
    bounds: Interval | None = None,
    error_at: Errors | None = None,
) -> Estimate:
    """The mean over all pairs of at least three seeds of a number that every pair has.

    A U-statistic with the standard error of the jackknife, which leaves out one seed at a time:
    pairs that share a seed are not independent, and seeds are.

    Args:
        values_RR: symmetric; its diagonal is not read.
        bounds: the least and the greatest value that a pair can have.
        error_at: the standard error by the true mean, where it is known.
    """
    n = len(values_RR)
    off_RR = values_RR - np.diag(np.diag(values_RR))
    center = float(off_RR.sum() / (n * (n - 1)))
    # What the mean is without seed r: its row and its column go.
    left_R = (off_RR.sum() - 2 * off_RR.sum(axis=1)) / ((n - 1) * (n - 2))
    # Efron & Stein (1981): (n - 1) / n times the sum of squares about the mean.
    error = math.sqrt((n - 1) / n * float(np.sum((left_R - left_R.mean()) ** 2)))
    # A spread within rounding is none.
    error = error if error > 1e-12 else 0.0
    return Estimate(center, error, n - 1, n, bounds=bounds, error_at=error_at)


def map_error(n: int, num_choices: int, scale: float = 1.0) -> Errors:
    """The standard error of how far n seeds' maps agree, by the true agreement.

    In a share q of seeds the map is a common one; in the others it is a permutation drawn at
    random, of which two agree in one place of K. The jackknife would find too small an error where
    few seeds happen to share a map.

    Args:
        n: number of seeds.
        num_choices: K, of experts and of clusters.
        scale: of agreement; 100 for percent.
    """
    chance = 1 / num_choices

    def errors(agreement: Values) -> Values:
        # A = q^2 + (1 - q^2) / K. Below chance nothing is shared.
        shared = np.clip((agreement / scale - chance) / (1 - chance), 0, 1)
        q, mean = np.sqrt(shared), chance + (1 - chance) * shared
        # Hoeffding (1948): of what one seed's map agrees with in the mean, and of a single pair. A
        # permutation's number of fixed points has variance 1.
        of_seed = q * (q + (1 - q) * chance - mean) ** 2
        of_seed += (1 - q) * ((chance - mean) ** 2 + (q * chance) ** 2)
        of_pair = q**2 + (1 - q**2) * 2 * chance**2 - mean**2
        variance = (4 * (n - 2) * of_seed + 2 * of_pair) / (n * (n - 1))
        found: Values = scale * np.sqrt(np.maximum(variance, 0.0))
        return found

    return errors


def _inverted(center: float, quantile: float, error_at: Errors, bounds: Interval) -> Interval:
    """All true values from which the estimate is at most so many of their errors away."""
    grid = np.linspace(*bounds, 4001)
    # The estimate itself belongs to it, also where it lies between two steps of the grid.
    near = [center, *grid[np.abs(center - grid) <= quantile * error_at(grid)].tolist()]
    return min(near), max(near)


def spread_estimate(samples: Sequence[float]) -> Estimate:
    """The standard deviation of at least three samples, by its log.

    Its error is that of the jackknife, which asks for no normal distribution, but at least that of
    normal samples, 1 / sqrt(2 (n - 1)): few samples rarely show their own tails.
    """
    n = len(samples)
    values = np.asarray(samples, dtype=float)
    # Row r holds all samples but the r-th.
    left_RS = np.broadcast_to(values, (n, n))[~np.eye(n, dtype=bool)].reshape(n, n - 1)
    left = np.std(left_RS, axis=1, ddof=1)
    if float(np.std(values)) == 0 or left.min() == 0:
        return Estimate(float(np.std(values, ddof=1)), 0.0, n - 1, n)
    logs = np.log(left)
    error = math.sqrt((n - 1) / n * float(np.sum((logs - logs.mean()) ** 2)))
    error = max(error, 1 / math.sqrt(2 * (n - 1)))
    return Estimate(math.log(np.std(values, ddof=1)), error, n - 1, n, is_log=True)


def minus(first: Estimate, second: Estimate) -> Estimate:
    """The difference of two independent estimates (Welch)."""
    parts = [first.standard_error**2, second.standard_error**2]
    freedom = _welch_freedom(parts, (first.n, second.n))
    center = first.center - second.center
    return Estimate(center, math.sqrt(sum(parts)), freedom, min(first.n, second.n))


def difference_estimate(
    first: Sequence[float],
    second: Sequence[float],
    *,
    is_log: bool = False,
    bounds: Interval | None = None,
) -> Estimate:
    """The mean of the first minus that of the second, of at least two samples each (Welch).

    With ``is_log`` the samples are logs, and the estimate is the ratio of their geometric means.
    ``bounds`` are the least and the greatest value that the difference can have.
    """
    parts = [_standard_error(values) ** 2 for values in (first, second)]
    center = float(np.mean(first) - np.mean(second))
    n = min(len(first), len(second))
    freedom = _welch_freedom(parts, (len(first), len(second)))
    return Estimate(center, math.sqrt(sum(parts)), freedom, n, is_log, bounds)


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
        return _student(quantile, freedom) * standard_error < abs(inside)

    # More seeds only ever narrow the interval, so bisection finds the fewest that do.
    counts = range(estimate.n + 1, _MOST_SEEDS + 1)
    place = bisect_left(counts, True, key=is_enough)
    return counts[place] if place < len(counts) else None


def _standard_error(samples: Sequence[float]) -> float:
    # Equal samples must give exactly 0, which the floating-point formula does not promise.
    if min(samples) == max(samples):
        return 0.0
    return float(np.std(samples, ddof=1)) / math.sqrt(len(samples))


def _student(share: float, freedom: float) -> float:
    """The quantile of Student's t distribution: that of scipy.stats without its checks."""
    return float(special.stdtrit(freedom, share))


def _bounded(center: float, half: float, bounds: Interval) -> Interval:
    """An interval that stays within the bounds: symmetric on the logit's scale."""
    low, high = bounds
    share = (center - low) / (high - low)
    if not 0 < share < 1:
        return max(low, center - half), min(high, center + half)
    # Delta method: the error of logit(p) is that of p over p (1 - p). Near a bound the interval
    # reaches further away from it than towards it, as the samples do.
    reach = half / (high - low) / (share * (1 - share))
    logit = math.log(share / (1 - share))
    ends = special.expit([logit - reach, logit + reach])
    return low + (high - low) * float(ends[0]), low + (high - low) * float(ends[1])


def _log(number: float) -> float:
    return math.log(number) if number > 0 else -math.inf
