"""How probable it is that one draw is smaller than another, with an interval, from two samples.

The probability of superiority is theta = P(X < Y). Its estimate is the share of all n x m pairs
with X < Y, which is Mann & Whitney's U / (n m). The interval inverts the test of U: theta belongs
to it if neither tail of U's distribution at that theta is below half of one minus the confidence.

U's distribution at theta is that of Lehmann's (1953) alternatives, under which P(Y > t) is a power
of P(X > t), as with two exponential distributions of other rates. At theta = 1/2 it is that of Mann
& Whitney's test itself, whatever the distribution. So the interval leaves out one half exactly
where that test rejects, and it lies in [0, 1].
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from reproductions.verdicts.intervals import Interval

# Up to this number of pairs U's distribution is computed exactly; beyond, by its moments.
_MOST_EXACT_PAIRS = 900
# Logits beyond which theta is 0 or 1 for all that is reported, and the first steps to a root.
_FAR, _NEAR = 27.0, 0.2


def superiority_interval(
    wins: int, ties: int, num_first: int, num_second: int, confidence: float
) -> Interval:
    """The interval of P(X < Y), ties held against either side.

    Args:
        wins: pairs with X < Y.
        ties: pairs with X = Y.
        num_first: size of the sample of X.
        num_second: size of the sample of Y.
        confidence: 0.95, say.
    """
    losses = num_first * num_second - wins - ties
    tail = (1 - confidence) / 2
    low = _lower_bound(wins, num_first, num_second, tail)
    # P(Y < X) is the other side: the samples change their places.
    return low, 1 - _lower_bound(losses, num_second, num_first, tail)


def superiority_p(wins: int, ties: int, num_first: int, num_second: int) -> float:
    """Two-sided p of Mann & Whitney's test, ties held against the side that is ahead."""
    losses = num_first * num_second - wins - ties
    more = max(wins, losses)
    return min(1.0, 2 * _tail(more, num_first, num_second, 0.5))


def can_decide(num_first: int, num_second: int, confidence: float) -> bool:
    """Whether complete separation of two samples of these sizes would be decided."""
    # All C(n + m, n) orders are equally probable where nothing differs.
    return 1 / math.comb(num_first + num_second, num_first) < (1 - confidence) / 2


def fewest_each(confidence: float) -> int:
    """The fewest of each sample, in equal numbers, that complete separation would decide."""
    return next(n for n in range(1, 100) if can_decide(n, n, confidence))


@cache
def _lower_bound(wins: int, num_first: int, num_second: int, tail: float) -> float:
    """The smallest theta at which so many wins, or more, are as probable as ``tail``."""
    if wins == 0:
        return 0.0

    @cache
    def excess(logit: float) -> float:
        # On these scales it is nearly a straight line, which takes few steps to solve.
        return math.log(_tail(wins, num_first, num_second, float(special.expit(logit))) / tail)

    def excess_by_moments(logit: float) -> float:
        return _normal_tail(wins, num_first, num_second, float(special.expit(logit))) - tail

    # The moments are quick to compute, and their root is near.
    near = optimize.brentq(excess_by_moments, -_FAR, _FAR, xtol=0.01)
    low, high = near - _NEAR, near + _NEAR
    while excess(low) > 0:
        low -= _NEAR
    while excess(high) < 0:
        high += _NEAR
    return float(special.expit(optimize.brentq(excess, low, high, xtol=1e-9)))


def _tail(wins: int, num_first: int, num_second: int, theta: float) -> float:
    """P(U >= wins), the larger of the two families that are each other's mirror images.

    With ``P(X > t)`` in the place of ``P(X <= t)`` Lehmann's family is another one where the
    samples' sizes differ. Nothing says which of them holds, so the more cautious one counts.
    """
    sizes = {(num_first, num_second), (num_second, num_first)}
    if num_first * num_second > _MOST_EXACT_PAIRS:
        return max(_normal_tail(wins, *pair, theta) for pair in sizes)
    return max(float(_distribution(*pair, theta)[wins:].sum()) for pair in sizes)


def _distribution(num_first: int, num_second: int, theta: float) -> NDArray[np.float64]:
    """P(U = u) for u from 0 to n m, X and Y being exponential with rates theta and 1 - theta."""
    # The largest of all has rank 1. The ranks of X sum to V; among X alone they sum to this, and U
    # is the rest: one for each Y above each X.
    of_x_alone = num_first * (num_first + 1) // 2
    # rows_FV[i] holds V's distribution with i of X among the `left` largest, left growing.
    rows_FV = np.zeros((num_first + 1, num_first * num_second + of_x_alone + 1))
    rows_FV[0, 0] = 1.0
    for left in range(1, num_first + num_second + 1):
        fewest, most = max(0, left - num_second), min(num_first, left)
        size = most * (2 * left - most + 1) // 2 + 1
        i = np.arange(fewest, most + 1)
        # The smallest of them is an X with probability i theta / (i theta + j (1 - theta)), j
        # being the number of Y among them, and its rank is their number.
        is_x = (i * theta / (i * theta + (left - i) * (1 - theta)))[:, None]
        rows = (1 - is_x) * rows_FV[fewest : most + 1, :size]
        first = max(fewest, 1)
        rows[first - fewest :, left:] += (
            is_x[first - fewest :] * rows_FV[first - 1 : most, : size - left]
        )
        rows_FV[fewest : most + 1, :size] = rows
    distribution_U: NDArray[np.float64] = rows_FV[num_first, of_x_alone:]
    return distribution_U


def _normal_tail(wins: int, num_first: int, num_second: int, theta: float) -> float:
    """P(U >= wins) by the normal distribution with the same mean and variance."""
    # Hanley & McNeil (1982): P(X1, X2 < Y) and P(X < Y1, Y2) for exponential distributions.
    both_below, below_both = 2 * theta**2 / (1 + theta), theta / (2 - theta)
    variance = (num_first * num_second) * (
        theta * (1 - theta)
        + (num_first - 1) * (both_below - theta**2)
        + (num_second - 1) * (below_both - theta**2)
    )
    # Half a pair for the step of a whole number.
    distance = wins - 0.5 - num_first * num_second * theta
    return float(stats.norm.sf(distance / math.sqrt(variance)))
