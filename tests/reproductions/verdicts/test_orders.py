"""The laws of orders without pairs, and of orders with a margin, on data whose truth is known."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reproductions.verdicts.claims import Claim
from reproductions.verdicts.evidence import OrderEvidence
from reproductions.verdicts.interval_bar import interval_bar
from reproductions.verdicts.judge import Verdict, judge
from reproductions.verdicts.superiority import (
    _distribution,
    _normal_tail,
    _tail,
    superiority_interval,
    superiority_p,
)
from reproductions.verdicts.verdict_text import interval_text, margin_text, ours_text

few_numbers = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=7).map(tuple)
MIRRORED = {"matches": "differs", "differs": "matches", "inconclusive": "inconclusive"}


def order_claim(**more: Any) -> Claim:
    return Claim("o", "s", "p", "order", **{"better": "lower", **more})


def judged(
    first: Sequence[float], second: Sequence[float], *, paired: bool = False, **more: Any
) -> Verdict:
    return judge(order_claim(**more), OrderEvidence(tuple(first), tuple(second), (), paired=paired))


# All pairs.


@pytest.mark.parametrize(
    ("sizes", "word"),
    [((3, 3), "inconclusive"), ((4, 4), "matches"), ((5, 5), "matches"), ((2, 7), "inconclusive")],
)
def test_complete_separation_is_decided_from_four_trainings_each(
    sizes: tuple[int, int], word: str
) -> None:
    low, high = range(sizes[0]), range(100, 100 + sizes[1])
    assert judged(low, high).word == word
    assert judged(high, low).word == MIRRORED[word]
    assert judged(high, low, better="higher").word == word


def test_five_and_five_have_the_exact_p_of_mann_and_whitney() -> None:
    verdict = judged(range(5), range(5, 10))
    assert superiority_p(25, 0, 5, 5) == pytest.approx(2 / 252)
    assert "p = 0.0079" in verdict.explanation
    assert "25 of all 25 pairs of 5 and 5 seeds" in verdict.explanation
    assert verdict.interval is not None
    assert 0.5 < verdict.interval[0] < verdict.interval[1] == 1


def test_three_and_three_are_told_that_no_outcome_could_show_it() -> None:
    for first in permutations(range(6), 3):
        second = sorted(set(range(6)) - set(first))
        verdict = judged(first, second)
        assert verdict.word == "inconclusive"
        assert "With 3 and 3 seeds no outcome could show it: that takes at least 4 each." in (
            verdict.explanation
        )
    assert "no outcome" not in judged((0, 1, 2, 9), (3, 4, 5, 6)).explanation


@given(few_numbers, few_numbers)
def test_the_decision_is_that_of_mann_and_whitneys_exact_test(
    first: tuple[float, ...], second: tuple[float, ...]
) -> None:
    # Shifted apart, so that there are no ties; whole numbers keep their order.
    first = tuple(number + 0.01 * place for place, number in enumerate(first))
    second = tuple(number + 0.005 + 0.01 * place for place, number in enumerate(second))
    verdict = judged(first, second)
    p = float(stats.mannwhitneyu(first, second, method="exact").pvalue)
    assert (verdict.word != "inconclusive") == (p < 0.05)
    assert verdict.word == "inconclusive" or (verdict.word == "matches") == (
        np.median(np.subtract.outer(first, second)) < 0
    )


@given(few_numbers, few_numbers)
def test_decision_and_interval_agree_and_the_interval_is_bounded(
    first: tuple[float, ...], second: tuple[float, ...]
) -> None:
    verdict = judged(first, second)
    assert verdict.interval is not None
    assert verdict.estimate is not None
    low, high = verdict.interval
    assert 0 <= low <= verdict.estimate <= high <= 1
    expected = "matches" if low > 0.5 else "differs" if high < 0.5 else "inconclusive"
    assert verdict.word == expected


@given(few_numbers, few_numbers)
def test_swapping_or_mirroring_the_samples_turns_the_verdict_round(
    first: tuple[float, ...], second: tuple[float, ...]
) -> None:
    here, swapped = judged(first, second), judged(second, first)
    negative = judged([-x for x in first], [-x for x in second])
    assert here.interval is not None
    reversed_interval = pytest.approx((1 - here.interval[1], 1 - here.interval[0]), abs=1e-6)
    for other in (swapped, negative):
        assert other.word == MIRRORED[here.word]
        assert other.interval == reversed_interval


@given(few_numbers, few_numbers, st.randoms())
def test_the_order_of_seeds_is_nothing_without_pairs(
    first: tuple[float, ...], second: tuple[float, ...], random: Any
) -> None:
    shuffled = random.sample(second, len(second))
    assert judged(first, second) == judged(first, shuffled)


@pytest.mark.parametrize(
    ("asks", "better", "text"),
    [
        ("equal", "lower", "what is allowed, −2 to 2."),
        ("no worse", "lower", "what is allowed, below 2."),
        ("no worse", "higher", "what is allowed, above −2."),
        ("better", "lower", "what is allowed, below −2."),
        ("better", "higher", "what is allowed, above 2."),
    ],
)
def test_what_a_margin_allows_is_told(asks: str, better: str, text: str) -> None:
    edge: dict[str, Any] = {"asks": asks, "better": better, "margin": 2.0}
    verdict = judged((1, 2, 3, 4), (1, 2, 3, 4), margin_is="difference", **edge)
    assert text in verdict.explanation


def test_ties_help_neither_side() -> None:
    # Without the ties each side would be decided: 4 and 4, completely apart.
    verdict = judged((0, 1, 2, 3, 9, 9), (9, 9, 9, 9))
    assert verdict.word == "inconclusive"
    assert "8 ties (held against either side)" in verdict.explanation
    assert verdict.estimate == (16 + 8 / 2) / 24


def test_equal_kinds_are_rarely_ordered() -> None:
    generator = np.random.default_rng(6)
    words = Counter(
        judged(draw[:5], draw[5:]).word for draw in generator.normal(size=(1000, 10)).tolist()
    )
    # 2.5 % on either side, and two standard errors of a thousand draws.
    assert words["matches"] / 1000 <= 0.035
    assert words["differs"] / 1000 <= 0.035


def test_the_interval_covers_the_true_probability() -> None:
    generator = np.random.default_rng(7)
    truth = float(stats.norm.cdf(1 / math.sqrt(2)))
    covered = 0
    for _ in range(400):
        first, second = generator.normal(0, 1, 8), generator.normal(1, 1, 12)
        wins = int((first[:, None] < second).sum())
        low, high = superiority_interval(wins, 0, 8, 12, 0.95)
        covered += low <= truth <= high
    assert covered / 400 >= 0.93


def test_the_distribution_at_one_half_counts_all_orders_alike() -> None:
    # By hand: of the six orders of two and two, U is 0, 1, 2, 2, 3 and 4.
    assert _distribution(2, 2, 0.5) == pytest.approx(np.array([1, 1, 2, 1, 1]) / 6)


def test_the_distribution_is_that_of_exponential_draws() -> None:
    generator = np.random.default_rng(8)
    theta, repeats = 0.7, 20_000
    first = generator.exponential(1 / theta, (repeats, 3))
    second = generator.exponential(1 / (1 - theta), (repeats, 4))
    wins = (first[:, :, None] < second[:, None, :]).sum(axis=(1, 2))
    shares = np.bincount(wins, minlength=13) / repeats
    assert np.abs(shares - _distribution(3, 4, theta)).max() < 0.012


@pytest.mark.parametrize("theta", [0.5, 0.8])
def test_many_pairs_are_judged_by_nearly_the_same_tail(theta: float) -> None:
    for wins in (550, 600, 650, 700):
        assert _normal_tail(wins, 30, 30, theta) == pytest.approx(
            _tail(wins, 30, 30, theta), abs=0.02
        )


def test_two_hundred_trainings_each_are_judged_in_a_moment() -> None:
    generator = np.random.default_rng(9)
    verdict = judged(generator.normal(0, 1, 200), generator.normal(1, 1, 200))
    assert verdict.word == "matches"
    assert verdict.interval is not None
    assert verdict.interval[0] < stats.norm.cdf(1 / math.sqrt(2)) < verdict.interval[1]


def test_an_order_without_seeds_is_open() -> None:
    assert judged((), (1.0, 2.0)).word == "inconclusive"


# Margins.


NO_WORSE = {"asks": "no worse", "margin": 1.0, "margin_is": "difference"}
FIVE_PERCENT = {"asks": "no worse", "margin": 1.05, "margin_is": "ratio"}


@pytest.mark.parametrize(
    ("shift", "word"), [(0.0, "matches"), (-9.0, "matches"), (1.0, "inconclusive"), (3, "differs")]
)
def test_no_worse_asks_only_that_the_first_is_not_behind(shift: float, word: str) -> None:
    noise = np.array([-0.2, -0.1, 0, 0.1, 0.2])
    first, second = 10 + shift + noise, 10 + noise
    assert judged(first, second, **NO_WORSE).word == word
    assert judged(-first, -second, better="higher", **NO_WORSE).word == word
    assert judged(first, second, paired=True, **{**NO_WORSE, "margin": 1.5}).word == (
        "matches" if shift < 1.5 else "differs"
    )


@pytest.mark.parametrize(
    ("shift", "word"), [(0, "matches"), (-3, "differs"), (3, "differs"), (1, "inconclusive")]
)
def test_equal_asks_for_both_sides(shift: float, word: str) -> None:
    noise = np.array([-0.2, -0.1, 0, 0.1, 0.2])
    claim = {**NO_WORSE, "asks": "equal"}
    assert judged(10 + shift + noise, 10 + noise, **claim).word == word
    assert judged(10 + noise, 10 + shift + noise, **claim).word == word


def test_better_by_a_margin_asks_for_more_than_the_margin() -> None:
    noise = np.array([-0.2, -0.1, 0, 0.1, 0.2])
    claim = {**NO_WORSE, "asks": "better"}
    assert judged(7 + noise, 10 + noise, **claim).word == "matches"
    assert judged(9.9 + noise, 10 + noise, **claim).word == "differs"
    assert judged(9 + noise, 10 + noise, **claim).word == "inconclusive"


def test_a_ratio_has_no_unit() -> None:
    generator = np.random.default_rng(10)
    first, second = generator.lognormal(3, 0.01, 5), generator.lognormal(3, 0.01, 5)
    here = judged(first, second, **FIVE_PERCENT)
    there = judged(100 * first, 100 * second, **FIVE_PERCENT)
    assert here.word == there.word == "matches"
    assert here.interval == pytest.approx(there.interval)
    logs = stats.ttest_ind(np.log(first), np.log(second), equal_var=False)
    bounds = logs.confidence_interval(0.95)
    assert here.interval == pytest.approx((math.exp(bounds.low), math.exp(bounds.high)))
    assert judged(1.2 * first, second, **FIVE_PERCENT).word == "differs"


def test_a_ratio_of_numbers_that_are_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        judged((0, 1, 2), (1, 2, 3), **FIVE_PERCENT)


def test_the_interval_that_decides_equality_is_the_one_that_is_shown() -> None:
    # The 90 % interval lies inside the margin, the 95 % interval does not.
    noise = np.array([-2.0, -1, 0, 1, 2])
    claim = {**NO_WORSE, "asks": "equal"}
    reach = {
        level: stats.ttest_ind(noise, noise, equal_var=False).confidence_interval(level).high
        for level in (0.90, 0.95)
    }
    margin = (reach[0.90] + reach[0.95]) / 2
    verdict = judged(noise, noise, **{**claim, "margin": margin})
    assert (verdict.word, verdict.confidence) == ("matches", 0.90)
    assert verdict.interval == pytest.approx((-reach[0.90], reach[0.90]))
    assert judged(noise, noise, **{**NO_WORSE, "margin": margin}).word == "inconclusive"


@pytest.mark.parametrize("sizes", [(3, 3), (5, 5), (3, 12)])
@pytest.mark.parametrize("spreads", [(1, 1), (1, 4)])
def test_what_is_worse_by_the_margin_rarely_passes(
    sizes: tuple[int, int], spreads: tuple[int, int]
) -> None:
    generator = np.random.default_rng(11)
    words: Counter[str] = Counter()
    for _ in range(1000):
        first = generator.normal(1, spreads[0], sizes[0])
        second = generator.normal(0, spreads[1], sizes[1])
        words[judged(first, second, **NO_WORSE).word] += 1
    # 2.5 % on either side, and two standard errors of a thousand draws.
    assert words["matches"] <= 35
    assert words["differs"] <= 35


def test_two_seeds_decide_no_margin() -> None:
    assert judged((1, 1.001), (1, 1.001), **FIVE_PERCENT).word == "inconclusive"
    assert judged((1,), (1, 2, 3), **FIVE_PERCENT).word == "inconclusive"


@pytest.mark.parametrize(("first", "second"), [(1.0, 3.0), (3.0, 1.0)])
def test_what_lies_on_the_edge_of_a_margin_is_still_allowed(first: float, second: float) -> None:
    sides = [first] * 5, [second] * 5
    edge: dict[str, Any] = {"margin": 2.0, "margin_is": "difference"}
    assert judged(*sides, asks="equal", **edge).word == "matches"
    assert judged(*sides, asks="equal", margin=1.9, margin_is="difference").word == "differs"
    # Better by more than the margin, or worse by more, is neither.
    assert judged(*sides, **edge).word == ("inconclusive" if first < second else "differs")
    assert judged(*sides, asks="no worse", **edge).word != "differs"


def test_ties_are_counted_in_words() -> None:
    assert ", with 1 tie (" in judged((1, 2, 3, 4), (4, 5, 6, 7)).explanation
    assert ", with 2 ties (" in judged((1, 2, 3, 4), (3, 4, 6, 7)).explanation
    assert "tie" not in judged((1, 2, 3, 4), (5, 6, 7, 8)).explanation


def test_a_margin_is_put_into_words() -> None:
    claim = order_claim(**FIVE_PERCENT)
    assert margin_text(claim) == "first not higher by more than a factor of 1.05"
    evidence = OrderEvidence((10.0, 10.1, 10.2), (10.0, 10.1, 10.2), ())
    verdict = judge(claim, evidence)
    assert ours_text(claim, verdict) == "1 times"
    assert interval_text(claim, verdict).startswith("95 % interval 0.97")
    bar = interval_bar(claim, verdict)
    assert bar is not None
    assert bar.allowed[0] == 0 < bar.interval[0] < bar.ours < bar.interval[1] < bar.allowed[1]
    both = order_claim(asks="equal", margin=2.0, margin_is="difference")
    assert margin_text(both) == "first and second within 2 of each other"
    assert margin_text(order_claim(margin=2.0, margin_is="difference")) == (
        "first lower by more than 2"
    )


@pytest.mark.parametrize("theta", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("sizes", [(6, 6), (4, 9), (9, 4)])
def test_the_normal_distribution_has_the_variance_of_the_exact_one(
    sizes: tuple[int, int], theta: float
) -> None:
    exact = _distribution(*sizes, theta)
    wins = np.arange(len(exact))
    mean = float(exact @ wins)
    deviation = math.sqrt(float(exact @ (wins - mean) ** 2))
    assert mean == pytest.approx(sizes[0] * sizes[1] * theta)
    # One standard deviation above the mean, with half a pair for the step.
    wanted = stats.norm.sf(1)
    assert _normal_tail(mean + 0.5 + deviation, *sizes, theta) == pytest.approx(wanted)  # type: ignore[arg-type]
