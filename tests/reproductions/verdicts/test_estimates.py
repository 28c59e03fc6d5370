"""The laws of estimates: bounded ones, those over all pairs of seeds, and their verdicts."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from reproductions.verdicts.claims import Claim, Published
from reproductions.verdicts.evidence import EstimateEvidence, OrderEvidence, ValueEvidence
from reproductions.verdicts.intervals import (
    Estimate,
    map_error,
    mean_estimate,
    minus,
    pairs_estimate,
    spread_estimate,
)
from reproductions.verdicts.judge import judge
from reproductions.verdicts.simulation import Case, chances

percents = st.lists(st.integers(0, 100).map(float), min_size=2, max_size=12)


@given(percents, st.sampled_from([0.9, 0.95]))
def test_a_bounded_mean_has_a_bounded_interval(samples: list[float], confidence: float) -> None:
    estimate = mean_estimate(samples, bounds=(0, 100))
    low, high = estimate.interval(confidence)
    # Sums of hundredths are not exact.
    assert 0 <= low <= estimate.center + 1e-9
    assert estimate.center - 1e-9 <= high <= 100


def test_far_from_its_bounds_a_mean_has_students_interval() -> None:
    samples = [49.0, 50.0, 51.0, 50.5, 49.5]
    free, bounded = mean_estimate(samples), mean_estimate(samples, bounds=(0, 100))
    assert bounded.interval(0.95) == pytest.approx(free.interval(0.95), abs=0.01)


def test_near_a_bound_the_interval_reaches_further_away_from_it() -> None:
    low, high = mean_estimate([97.0, 99.0, 100.0, 100.0], bounds=(0, 100)).interval(0.95)
    assert 100 - 99 > high - 99 > 0
    assert 99 - low > high - 99


def test_an_estimate_at_a_bound_keeps_its_error_on_the_other_side() -> None:
    half = 0.1 * float(stats.t.ppf(0.975, 9))
    top = Estimate(1.0, 0.1, 9, 10, bounds=(0, 1)).interval(0.95)
    assert top == pytest.approx((1 - half, 1))
    assert Estimate(0.0, 0.1, 9, 10, bounds=(0, 1)).interval(0.95) == pytest.approx((0, half))


def test_the_bounds_of_a_claim_reach_its_verdict() -> None:
    samples = (99.0, 100.0, 100.0, 99.9)
    accuracy = Claim("a", "s", "p", "value", Published(99, unit="%"), 1)
    entropy = Claim("e", "s", "p", "value", Published(99, unit="nats", bounds=(0, 100)), 1)
    free = Claim("f", "s", "p", "value", Published(99, unit="nats"), 1)
    ends = [judge(claim, ValueEvidence(samples, ())).interval for claim in (accuracy, entropy)]
    assert ends[0] == ends[1]
    assert ends[0] is not None
    assert ends[0][1] < 100
    unbounded = judge(free, ValueEvidence(samples, ())).interval
    assert unbounded is not None
    assert unbounded[1] > 100


def test_what_training_adds_to_a_share_is_at_most_one() -> None:
    trained, untrained = (1.0, 0.9, 1.0, 0.6), (0.1, 0.0, 0.2, 0.0)
    more: dict[str, Any] = {"better": "higher", "margin": 0.05, "margin_is": "difference"}
    for paired in (True, False):
        evidence = OrderEvidence(trained, untrained, (), paired=paired)
        free = judge(Claim("f", "s", "p", "order", **more), evidence).interval
        learnt = judge(Claim("l", "s", "p", "order", rule="learnt", **more), evidence).interval
        assert free is not None
        assert learnt is not None
        assert learnt[0] < free[0] < learnt[1] < 1 < free[1]


def test_the_interval_of_a_skewed_share_covers_it() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(1000):
        samples = generator.beta(18, 2, 10).tolist()
        low, high = mean_estimate(samples, bounds=(0, 1)).interval(0.95)
        covered += low <= 0.9 <= high
    assert covered / 1000 >= 0.93


def agreement(maps_RK: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of clusters at the same expert, for every two seeds."""
    shares: NDArray[np.float64] = (maps_RK[:, None] == maps_RK[None]).mean(axis=2)
    return shares


def test_the_mean_over_pairs_does_not_read_the_diagonal() -> None:
    values_RR = np.array([[9.0, 1, 2], [1, 9, 3], [2, 3, 9]])
    estimate = pairs_estimate(values_RR)
    assert estimate.center == 2
    # Without one seed a single pair is left: 3, 2 or 1. Efron and Stein: 2 / 3 of their squares.
    assert estimate.standard_error == pytest.approx(math.sqrt(2 / 3 * 2))
    assert pairs_estimate(np.ones((4, 4))).standard_error == 0


def test_the_error_of_two_maps_is_the_spread_of_one_pair() -> None:
    # Half of the seeds have a common map of four: they agree with 1/4 + 3/4 of a random pair's
    # share, whose square is 2 / 16 in the mean, as a permutation has 1 fixed point with variance 1.
    mean = 0.25 + 0.75 / 4
    wanted = math.sqrt(0.25 + 0.75 * 2 / 16 - mean**2)
    assert map_error(2, 4)(np.array([mean])) == pytest.approx(wanted)


def test_errors_of_a_difference_add_by_their_squares() -> None:
    found = minus(Estimate(5.0, 0.3, 4, 5), Estimate(2.0, 0.4, 6, 7))
    assert (found.center, found.standard_error, found.n) == (3.0, pytest.approx(0.5), 5)


@pytest.mark.parametrize("n", [10, 25])
def test_the_interval_over_pairs_covers_the_agreement_of_random_maps(n: int) -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        maps = np.stack([generator.permutation(4) for _ in range(n)])
        low, high = pairs_estimate(agreement(maps), bounds=(0, 1)).interval(0.95)
        covered += low <= 0.25 <= high
    assert covered / 400 >= 0.93


def test_random_maps_match_chance_and_shared_maps_do_not() -> None:
    claim = Claim("r", "s", "p", "value", Published(25, unit="%"), 10)
    generator = np.random.default_rng(3)
    words: dict[str, Counter[str]] = {"random": Counter(), "shared": Counter()}
    for _ in range(200):
        maps = np.stack([generator.permutation(4) for _ in range(25)])
        half = np.where(generator.random((25, 1)) < 0.95, np.arange(4), maps)
        for name, drawn in (("random", maps), ("shared", half)):
            estimate = pairs_estimate(100 * agreement(drawn), bounds=(0, 100))
            words[name][judge(claim, EstimateEvidence(estimate, ())).word] += 1
    assert words["random"]["matches"] >= 180
    assert words["shared"]["differs"] >= 190


def test_an_estimated_order_is_judged_against_nothing_or_its_margin() -> None:
    first, second = (pairs_estimate(np.full((5, 5), level)) for level in (0.6, 0.5))
    noisy = Estimate(0.0, 0.01, 4, 5)
    for margin, word in ((0.0, "matches"), (0.2, "differs")):
        claim = Claim(
            "o", "s", "p", "order", margin=margin, better="higher", margin_is="difference"
        )
        evidence = EstimateEvidence(minus(first, minus(second, noisy)), ())
        assert judge(claim, evidence).word == word


@pytest.mark.parametrize("sample", ["test sentences", "experts", "points of training"])
def test_one_training_says_nothing_of_a_method(sample: str) -> None:
    claim = Claim("o", "s", "p", "order", better="lower", sample=sample)
    many = tuple(float(number) for number in range(500))
    later = tuple(number + 0.5 for number in many)
    verdict = judge(claim, OrderEvidence(many, later, (), paired=True))
    assert verdict.word == "not comparable"
    assert "of these models alone" in verdict.explanation
    assert f"500 of 500 paired {sample}" in verdict.explanation
    of_seeds = Claim("o", "s", "p", "order", better="lower")
    assert judge(of_seeds, OrderEvidence(many, later, (), paired=True)).word == "matches"


def test_a_count_is_judged_without_seeds() -> None:
    claim = Claim("c", "s", "p", "value", Published(85, unit="million"), 0.5)
    for count, word in ((84.9, "matches"), (84.4, "differs")):
        verdict = judge(claim, EstimateEvidence(Estimate(count, 0.0, 0, 0), (), is_exact=True))
        assert (verdict.word, verdict.interval) == (word, None)
        assert "It is arithmetic" in verdict.explanation


def test_a_spread_has_an_interval_that_covers_it() -> None:
    generator = np.random.default_rng(4)
    covered = 0
    for _ in range(500):
        low, high = spread_estimate(generator.normal(100, 10, 25).tolist()).interval(0.95)
        covered += low <= 10 <= high
    assert covered / 500 >= 0.90
    assert spread_estimate([2.0, 2.0, 2.0]).interval(0.95) == (0, 0)


def test_a_spread_of_few_even_samples_has_the_error_of_normal_ones() -> None:
    # They show no tails, so that the jackknife finds hardly any error.
    estimate = spread_estimate([-1.0, 1.0] * 6)
    assert estimate.standard_error == pytest.approx(1 / math.sqrt(2 * 11))


def test_the_error_of_agreement_is_that_of_maps_of_which_some_are_shared() -> None:
    generator = np.random.default_rng(5)
    for kept in (0.0, 0.6):
        means = []
        for _ in range(2000):
            maps = np.stack([generator.permutation(4) for _ in range(12)])
            maps[generator.random(12) < kept] = np.arange(4)
            same_RR = agreement(maps)
            means.append((same_RR.sum() - 12) / (12 * 11))
        true = kept**2 + (1 - kept**2) / 4
        error = float(map_error(12, 4)(np.array([true]))[0])
        assert np.std(means) == pytest.approx(error, rel=0.06)


def test_maps_that_share_a_little_rarely_pass_for_random_ones() -> None:
    claim = Claim("r", "s", "p", "value", Published(25, unit="%"), 10, rule="chance-map")
    words = chances(Case(claim, (25, 25), shape="maps"), 1.0, num_draws=300)
    assert words.get("matches", 0) <= 0.05
    assert words.get("differs", 0) <= 0.05


def test_a_mean_that_lies_on_a_bound_has_an_interval_that_ends_there() -> None:
    assert Estimate(0.0, 0.1, 9, 10, bounds=(0, 1)).interval(0.95)[0] == 0
    assert Estimate(1.0, 0.1, 9, 10, bounds=(0, 1)).interval(0.95)[1] == 1


def test_a_spread_has_the_jackknifes_error_where_that_is_larger() -> None:
    samples = [1.0, 2.0, 3.0, 50.0]
    logs = [math.log(np.std(samples[:i] + samples[i + 1 :], ddof=1)) for i in range(4)]
    # Efron & Stein (1981), of n values that each leave one sample out.
    wanted = math.sqrt(3 / 4 * sum((each - np.mean(logs)) ** 2 for each in logs))
    assert wanted > 1 / math.sqrt(2 * 3)
    estimate = spread_estimate(samples)
    assert (estimate.standard_error, estimate.freedom) == (pytest.approx(wanted), 3)


@pytest.mark.parametrize("n", [3, 5, 25])
def test_maps_at_random_agree_with_the_error_of_independent_pairs(n: int) -> None:
    # Of K places a random permutation fixes one, with variance one: 1 / K^2 for a share. Any two
    # pairs of seeds are independent then, and there are n (n - 1) / 2 of them.
    at_chance = map_error(n, 4)(np.array([0.25]))
    assert at_chance == pytest.approx([math.sqrt(1 / 16 / (n * (n - 1) / 2))])
