"""How often the rule gives each word where the truth is known: by simulation, or exactly.

A `Case` is a claim with its samples' sizes and a truth. The truth is told as `distance`: 0 is what
the claim says (for an order, what it asks by as much again), 1 the edge of what it allows, and 2 as
far beyond the edge. Samples are normal; shares are binomial and are counted exactly.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from reproductions.verdicts.claims import Claim
from reproductions.verdicts.evidence import (
    EstimateEvidence,
    Evidence,
    OrderEvidence,
    RateEvidence,
    ValueEvidence,
)
from reproductions.verdicts.intervals import map_error, pairs_estimate, spread_estimate
from reproductions.verdicts.judge import judge

NUM_DRAWS = 400
# The probability of superiority, or of a win, where an order without a margin is right.
RIGHT_ORDER = 0.9
_NUM_CLUSTERS = 4
Words = Mapping[str, float]
Draw = Callable[[np.random.Generator], Evidence]


@dataclass(frozen=True)
class Case:
    """A claim as its runs would speak about it.

    Attributes:
        claim: to be judged.
        sizes: of its two samples, or of the one that it has, twice.
        spread: standard deviation over seeds, in the claim's unit; of logs for a ratio.
        is_paired: whether the two samples are pairs.
        shape: "samples", or "maps", "spread" or "ratio" for statistics of their own.
        spreads: spreads of the first and of the second sample, as multiples of ``spread``.
    """

    claim: Claim
    sizes: tuple[int, int]
    spread: float = 1.0
    is_paired: bool = False
    shape: str = "samples"
    spreads: tuple[float, float] = (1.0, 1.0)


def chances(case: Case, distance: float, num_draws: int = NUM_DRAWS) -> Words:
    """How often the rule gives each word at a truth.

    Args:
        case: claim and sizes.
        distance: 0 right, 1 on the edge, 2 wrong by as much again.
        num_draws: where it has to be simulated.
    """
    if case.claim.kind in ("rate", "shape"):
        return _of_counts(case.claim, case.sizes[0], _share(case.claim, distance))
    if case.claim.kind == "order" and case.claim.margin_is is None:
        theta = RIGHT_ORDER + (0.5 - RIGHT_ORDER) * distance
        if case.is_paired:
            return _of_wins(case.claim, case.sizes[0], theta)
        return _of_all_pairs(case.sizes, theta, case.spreads, num_draws)
    draw = _DRAWS[case.shape if case.claim.kind == "value" else "order"](case, distance)
    return _simulated(case.claim, draw, num_draws)


def _simulated(claim: Claim, draw: Draw, num_draws: int) -> Words:
    # The same draws every time, so that the table can be made again to the digit.
    generator = np.random.default_rng(0)
    words = Counter(judge(claim, draw(generator)).word for _ in range(num_draws))
    return {word: count / num_draws for word, count in words.items()}


def _share(claim: Claim, distance: float) -> float:
    """The true share of seeds: right lies half way to 1, wrong as far below what is asked for."""
    asked = claim.at_least or 0.5
    # Where a share of 1 is published it is taken to be nearly so.
    reach = 0.9 * (1 - asked) if claim.published else 0.7 * (1 - asked)
    return asked + reach * (1 - distance)


def _of_counts(claim: Claim, n: int, share: float) -> Words:
    words: defaultdict[str, float] = defaultdict(float)
    for successes, chance in enumerate(stats.binom.pmf(range(n + 1), n, share)):
        words[judge(claim, RateEvidence(successes, n, ())).word] += float(chance)
    return dict(words)


def _of_wins(claim: Claim, n: int, theta: float) -> Words:
    words: defaultdict[str, float] = defaultdict(float)
    sign = 1.0 if claim.better == "higher" else -1.0
    for wins, chance in enumerate(stats.binom.pmf(range(n + 1), n, theta)):
        first = (sign,) * wins + (-sign,) * (n - wins)
        evidence = OrderEvidence(first, (0.0,) * n, (), paired=True)
        words[judge(claim, evidence).word] += float(chance)
    return dict(words)


@cache
def _of_all_pairs(
    sizes: tuple[int, int], theta: float, spreads: tuple[float, float], num_draws: int
) -> Words:
    claim = Claim("order", "", "", "order", better="lower")
    # P(X < Y) = Phi(shift / sqrt(s1^2 + s2^2)) for normal X and Y.
    shift = float(stats.norm.ppf(theta)) * math.hypot(*spreads)

    def draw(generator: np.random.Generator) -> Evidence:
        first = generator.normal(0, spreads[0], sizes[0]).tolist()
        second = generator.normal(shift, spreads[1], sizes[1]).tolist()
        return OrderEvidence(tuple(first), tuple(second), ())

    return _simulated(claim, draw, num_draws)


def _target(claim: Claim) -> tuple[float, float]:
    assert claim.published is not None
    return claim.published.value, claim.margin or 0.0


def _values(case: Case, distance: float) -> Draw:
    value, margin = _target(case.claim)
    bounds = case.claim.bounds
    # Away from a bound that is near, since nothing lies beyond it.
    sign = -1 if bounds and value + 2 * margin > bounds[1] else 1

    def draw(generator: np.random.Generator) -> Evidence:
        samples = generator.normal(value + sign * distance * margin, case.spread, case.sizes[0])
        within = np.clip(samples, *bounds) if bounds else samples
        return ValueEvidence(tuple(within.tolist()), ())

    return draw


def _ratios(case: Case, distance: float) -> Draw:
    value, margin = _target(case.claim)

    def draw(generator: np.random.Generator) -> Evidence:
        logs = generator.normal(0, case.spread, sum(case.sizes))
        samples = np.exp(logs)
        baseline = (value + distance * margin) * samples[: case.sizes[0]]
        rest = tuple(samples[case.sizes[0] :].tolist())
        return ValueEvidence(rest, (), baseline_samples=tuple(baseline.tolist()))

    return draw


def _spreads(case: Case, distance: float) -> Draw:
    value, margin = _target(case.claim)

    def draw(generator: np.random.Generator) -> Evidence:
        samples = generator.normal(1000, value + distance * margin, case.sizes[0])
        return EstimateEvidence(spread_estimate(samples.tolist()), ())

    return draw


def _maps(case: Case, distance: float) -> Draw:
    _, margin = _target(case.claim)
    # Two seeds that both keep a common map agree on all clusters, all others on one in four.
    wanted = 1 / _NUM_CLUSTERS + distance * margin / 100
    error_at = map_error(case.sizes[0], _NUM_CLUSTERS, 100)
    kept = math.sqrt((wanted - 1 / _NUM_CLUSTERS) / (1 - 1 / _NUM_CLUSTERS))

    def draw(generator: np.random.Generator) -> Evidence:
        maps = np.stack([generator.permutation(_NUM_CLUSTERS) for _ in range(case.sizes[0])])
        maps[generator.random(len(maps)) < kept] = np.arange(_NUM_CLUSTERS)
        same_RR: NDArray[np.float64] = (maps[:, None] == maps[None]).mean(axis=2)
        return EstimateEvidence(
            pairs_estimate(100 * same_RR, bounds=(0, 100), error_at=error_at), ()
        )

    return draw


def _orders(case: Case, distance: float) -> Draw:
    claim, is_ratio = case.claim, case.claim.margin_is == "ratio"
    margin = claim.margin or 0.0
    edge = math.log(margin) if is_ratio else margin
    # Better at all: right is as far as an order without a margin is.
    size = edge or float(stats.norm.ppf(RIGHT_ORDER)) * math.sqrt(2) * case.spread
    advantage = {
        "equal": -distance * size,
        "no worse": -distance * size,
        "better": edge + (1 - distance) * size,
    }[claim.asks]
    shift = advantage if claim.better == "higher" else -advantage

    def draw(generator: np.random.Generator) -> Evidence:
        noise = [
            case.spread * share * generator.normal(size=n)
            for share, n in zip(case.spreads, case.sizes, strict=True)
        ]
        # A pair's difference varies by the spread itself, and is put on its first number.
        first, second = noise[0] + shift, (0 * noise[1] if case.is_paired else noise[1])
        pair = [np.exp(each) if is_ratio else each for each in (first, second)]
        samples = [tuple(each.tolist()) for each in pair]
        return OrderEvidence(samples[0], samples[1], (), paired=case.is_paired)

    return draw


_DRAWS: Mapping[str, Callable[[Case, float], Draw]] = {
    "samples": _values,
    "ratio": _ratios,
    "spread": _spreads,
    "maps": _maps,
    "order": _orders,
}
