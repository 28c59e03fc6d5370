"""The laws of the verdict, on data whose truth is known."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reproductions.verdicts.claims import Claim, Direction, Kind, Published
from reproductions.verdicts.evidence import OrderEvidence, RateEvidence, ValueEvidence
from reproductions.verdicts.interval_bar import interval_bar
from reproductions.verdicts.intervals import (
    fewest_seeds_to_show,
    mean_estimate,
    ratio_estimate,
    seeds_to_decide,
)
from reproductions.verdicts.judge import Verdict, judge
from reproductions.verdicts.number_text import number
from reproductions.verdicts.verdict_text import (
    _joined,
    margin_text,
    ours_text,
    published_text,
    verdict_word,
)

# Whole numbers over 8 are exact in binary, so shifting them is exact too.
eighths = st.integers(-4000, 4000).map(lambda number: number / 8)
samples = st.lists(eighths, min_size=1, max_size=12).map(tuple)
counts = st.integers(0, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def value_claim(published: float = 100, margin: float = 10) -> Claim:
    return Claim("v", "s", "p", "value", Published(published), margin, "reason")


def order_claim(better: Direction = "lower") -> Claim:
    return Claim("o", "s", "p", "order", better=better)


def rate_claim(at_least: float, kind: Kind = "rate") -> Claim:
    return Claim("r", "s", "p", kind, at_least=at_least)


def judge_value(numbers: tuple[float, ...], claim: Claim | None = None, **more: int) -> Verdict:
    return judge(claim or value_claim(), ValueEvidence(numbers, (), **more))


def judge_order(
    first: tuple[float, ...], second: tuple[float, ...], better: Direction = "lower"
) -> Verdict:
    return judge(order_claim(better), OrderEvidence(first, second, (), paired=True))


# Values.


@pytest.mark.parametrize(
    ("numbers", "word"),
    [
        ((99, 100, 101, 102), "matches"),
        ((149, 150, 151, 152), "differs"),
        ((49, 50, 51, 52), "differs"),
        ((80, 95, 105, 125), "inconclusive"),
    ],
)
def test_a_value_is_judged_by_where_its_interval_lies(
    numbers: tuple[float, ...], word: str
) -> None:
    assert judge_value(numbers).word == word


def test_the_interval_of_a_value_is_the_t_interval_of_our_mean() -> None:
    numbers = (97.0, 104.0, 99.0, 108.0, 101.0)
    expected = stats.ttest_1samp(numbers, 0).confidence_interval(0.95)
    verdict = judge_value(numbers)
    assert verdict.interval == pytest.approx((expected.low, expected.high))
    assert (verdict.estimate, verdict.confidence, verdict.n) == (101.8, 0.95, 5)


@given(samples, eighths, st.integers(1, 400))
def test_shifting_published_and_ours_together_leaves_the_word(
    numbers: tuple[float, ...], shift: float, margin: int
) -> None:
    here = judge_value(numbers, value_claim(0, margin))
    there = judge_value(tuple(number + shift for number in numbers), value_claim(shift, margin))
    # Only an interval that ends within rounding of the margin may fall to either side.
    edges = [abs(abs(end) - margin) for end in _both_intervals(numbers)]
    assert here.word == there.word or min(edges) < 1e-6


def _both_intervals(numbers: tuple[float, ...]) -> list[float]:
    if len(numbers) < 2:
        return []
    estimate = mean_estimate(numbers)
    return [*estimate.interval(0.90), *estimate.interval(0.95)]


@given(samples, eighths, st.integers(1, 400), st.integers(0, 400))
def test_a_wider_margin_never_takes_agreement_back(
    numbers: tuple[float, ...], published: float, margin: int, more: int
) -> None:
    narrow = judge_value(numbers, value_claim(published, margin)).word
    wide = judge_value(numbers, value_claim(published, margin + more)).word
    assert wide == "matches" or narrow != "matches"
    assert narrow == "differs" or wide != "differs"


@given(samples, st.integers(1, 400))
def test_mirroring_all_numbers_leaves_the_word(numbers: tuple[float, ...], margin: int) -> None:
    mirrored = tuple(-number for number in numbers)
    claim = value_claim(0, margin)
    assert judge_value(numbers, claim).word == judge_value(mirrored, claim).word


@given(st.lists(eighths, min_size=0, max_size=2).map(tuple))
def test_fewer_than_three_seeds_decide_nothing(numbers: tuple[float, ...]) -> None:
    assert judge_value(numbers).word == "inconclusive"


@pytest.mark.parametrize(
    ("number", "word"), [(100.0, "matches"), (110.0, "matches"), (110.1, "differs")]
)
def test_equal_seeds_are_decided_by_their_number(number: float, word: str) -> None:
    verdict = judge_value((number,) * 5)
    assert verdict.word == word
    assert verdict.interval == (number, number)
    assert "same number" in verdict.explanation


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        ValueEvidence((1.0, number), ())
    with pytest.raises(ValueError, match="finite"):
        OrderEvidence((1.0, number), (1.0, 2.0), ())


def test_an_inconclusive_value_says_how_many_seeds_would_decide() -> None:
    numbers = (80.0, 95.0, 105.0, 125.0)
    estimate = mean_estimate(numbers)
    needed = seeds_to_decide(estimate, 90, 110)
    assert needed is not None
    assert f"About {needed} seeds" in judge_value(numbers).explanation
    spread = float(np.std(numbers, ddof=1))
    room = 110 - estimate.point
    halves = [stats.t.ppf(0.95, n - 1) * spread / math.sqrt(n) for n in (needed - 1, needed)]
    assert halves[1] < room <= halves[0]


def test_more_seeds_are_asked_for_wherever_the_edges_lie() -> None:
    numbers = np.array([80.0, 95.0, 105.0, 125.0])
    needed = seeds_to_decide(mean_estimate(numbers.tolist()), 90, 110)
    for shift in (100, 101):
        moved = mean_estimate((numbers - shift).tolist())
        assert seeds_to_decide(moved, 90 - shift, 110 - shift) == needed
    # What is decided already takes one more at most.
    assert seeds_to_decide(mean_estimate((99.0, 100.0, 101.0)), 90, 110) == 4


def test_a_mean_on_the_edge_is_decided_by_no_number_of_seeds() -> None:
    assert seeds_to_decide(mean_estimate((105.0, 110.0, 115.0)), 90, 110) is None


def _words(mean: float, n: int, repeats: int, seed: int) -> dict[str, float]:
    """How often each word is given for normal data of spread 10."""
    generator = np.random.default_rng(seed)
    words = Counter(
        judge_value(tuple(generator.normal(mean, 10, n).tolist())).word for _ in range(repeats)
    )
    return {word: count / repeats for word, count in words.items()}


@pytest.mark.parametrize("n", [5, 25])
def test_a_true_value_on_the_margin_rarely_matches_and_rarely_differs(n: int) -> None:
    shares = _words(mean=110, n=n, repeats=2000, seed=1)
    assert shares.get("matches", 0) <= 0.06
    assert shares.get("differs", 0) <= 0.035


def test_equal_truths_match_almost_always_with_25_seeds() -> None:
    shares = _words(mean=100, n=25, repeats=500, seed=2)
    assert shares["matches"] > 0.97
    assert "differs" not in shares


def test_a_far_truth_differs_almost_always() -> None:
    assert _words(mean=120, n=25, repeats=500, seed=3)["differs"] > 0.97


# Censored values.


def test_runs_that_never_finish_can_show_that_we_are_slower() -> None:
    verdict = judge_value((180, 200, 200, 200), num_censored=3)
    assert verdict.word == "differs"
    assert verdict.bound == "lower"
    assert verdict.interval is not None
    assert verdict.interval[1] == math.inf


@given(samples, st.integers(1, 12))
def test_runs_that_never_finish_never_match(numbers: tuple[float, ...], censored: int) -> None:
    num_censored = min(censored, len(numbers))
    verdict = judge_value(numbers, value_claim(0, 400), num_censored=num_censored)
    assert verdict.word in ("inconclusive", "differs")


def test_a_lower_bound_below_the_published_value_shows_nothing() -> None:
    assert judge_value((20, 21, 22, 22), num_censored=2).word == "inconclusive"


# Ratios.


def test_a_ratio_is_baseline_over_samples() -> None:
    evidence = ValueEvidence((99, 100, 101), (), baseline_samples=(198, 200, 202))
    verdict = judge(value_claim(2, 0.2), evidence)
    assert verdict.word == "matches"
    assert verdict.estimate == pytest.approx(2)


def test_the_interval_of_a_ratio_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(4)
    covered = 0
    for _ in range(1000):
        low, high = ratio_estimate(
            generator.normal(200, 30, 10).tolist(), generator.normal(100, 8, 6).tolist()
        ).interval(0.95)
        covered += low < 2 < high
    assert 0.93 <= covered / 1000 <= 0.97


@pytest.mark.parametrize(
    ("censored", "baseline_censored", "bound", "word"),
    [
        (1, 0, "upper", "differs"),
        (0, 1, "lower", "inconclusive"),
        (1, 1, "unknown", "inconclusive"),
    ],
)
def test_censoring_bounds_a_ratio_from_the_side_it_pushes(
    censored: int, baseline_censored: int, bound: str, word: str
) -> None:
    evidence = ValueEvidence(
        (99, 100, 101),
        (),
        baseline_samples=(99, 100, 101),
        num_censored=censored,
        num_censored_baseline=baseline_censored,
    )
    verdict = judge(value_claim(2, 0.5), evidence)
    assert (verdict.bound, verdict.word) == (bound, word)


def test_a_ratio_of_means_that_are_not_positive_is_refused() -> None:
    evidence = ValueEvidence((0, 0, 0), (), baseline_samples=(1, 2, 3))
    with pytest.raises(ValueError, match="positive"):
        judge(value_claim(), evidence)


# Orders.


@pytest.mark.parametrize(("n", "word"), [(5, "inconclusive"), (6, "matches"), (25, "matches")])
def test_an_order_in_all_seeds_is_shown_from_six_seeds_on(n: int, word: str) -> None:
    first, second = tuple(map(float, range(n))), tuple(number + 1.0 for number in range(n))
    verdict = judge_order(first, second)
    assert verdict.word == word
    assert "Mean difference, first minus second: −1 (95 % interval" in verdict.explanation
    assert judge_order(second, first, better="higher").word == word


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30))
def test_swapping_the_two_turns_matches_into_differs(pairs: list[tuple[int, int]]) -> None:
    first = tuple(float(pair[0]) for pair in pairs)
    second = tuple(float(pair[1]) for pair in pairs)
    swapped = {"matches": "differs", "differs": "matches", "inconclusive": "inconclusive"}
    assert judge_order(second, first).word == swapped[judge_order(first, second).word]


def test_ties_help_neither_side() -> None:
    wins, ties = 8, 12
    first, second = (0.0,) * (wins + ties), (1.0,) * wins + (0.0,) * ties
    verdict = judge_order(first, second)
    assert verdict.word == "inconclusive"
    assert verdict.estimate == (wins + ties / 2) / (wins + ties)
    assert f"{ties} ties" in verdict.explanation


def test_equal_variants_are_rarely_ordered() -> None:
    generator = np.random.default_rng(5)
    words = Counter(
        judge_order(tuple(first.tolist()), tuple(second.tolist())).word
        for first, second in generator.normal(size=(1000, 2, 25))
    )
    assert words["matches"] / 1000 <= 0.035
    assert words["differs"] / 1000 <= 0.035


def test_pairs_must_be_complete() -> None:
    with pytest.raises(ValueError, match="same length"):
        OrderEvidence((1.0,), (1.0, 2.0), (), paired=True)


# Rates and shapes.


@pytest.mark.parametrize(
    ("successes", "n", "at_least", "word"),
    [
        (25, 25, 0.86, "matches"),
        (25, 25, 0.87, "inconclusive"),
        (10, 10, 0.86, "inconclusive"),
        (0, 25, 0.86, "differs"),
        (0, 0, 0.86, "inconclusive"),
    ],
)
def test_a_rate_is_held_against_the_share_asked_for(
    successes: int, n: int, at_least: float, word: str
) -> None:
    for kind in ("rate", "shape"):
        evidence = RateEvidence(successes, n, ())
        assert judge(rate_claim(at_least, kind), evidence).word == word


@given(counts, st.floats(0.05, 0.95))
def test_one_more_success_never_speaks_against_a_rate(
    count: tuple[int, int], at_least: float
) -> None:
    successes, n = count
    rank = {"differs": 0, "inconclusive": 1, "matches": 2}
    before = judge(rate_claim(at_least), RateEvidence(successes, n, ())).word
    after = judge(rate_claim(at_least), RateEvidence(min(successes + 1, n), n, ())).word
    assert rank[after] >= rank[before]


@given(st.floats(0.05, 0.97))
def test_the_fewest_seeds_that_can_show_a_rate_are_named(at_least: float) -> None:
    fewest = fewest_seeds_to_show(at_least, 0.95)
    enough = judge(rate_claim(at_least), RateEvidence(fewest, fewest, ()))
    assert enough.word == "matches"
    # Nobody is told to train more where that is not needed.
    assert "at least" not in enough.explanation
    fewer = judge(rate_claim(at_least), RateEvidence(fewest - 1, fewest - 1, ()))
    assert fewer.word == "inconclusive"
    assert fewest == 1 or f"at least {fewest}." in fewer.explanation or fewer.n == 0


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="between 0 and n"):
        RateEvidence(successes, n, ())


# All kinds.


def test_what_is_not_comparable_says_why_and_keeps_its_numbers() -> None:
    evidence = ValueEvidence((100, 101, 102), (), not_comparable="Run at a tenth of the scale.")
    verdict = judge(value_claim(), evidence)
    assert (verdict.word, verdict.estimate) == ("not comparable", 101)
    assert verdict.explanation == "Run at a tenth of the scale."


def test_evidence_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no evidence for a value claim"):
        judge(value_claim(), RateEvidence(1, 2, ()))


def test_what_is_counted_is_named_as_the_claim_names_it() -> None:
    claim = Claim("r", "s", "p", "rate", at_least=0.5, sample="experts")
    verdict = judge(claim, RateEvidence(30, 40, ()))
    assert "30 of 40 experts show it" in verdict.explanation
    assert ours_text(claim, verdict).endswith(" of experts")
    assert margin_text(claim) == "at least 50 % of experts"


def test_a_rate_is_its_share_of_successes_and_its_bar_begins_at_the_share_asked_for() -> None:
    claim = rate_claim(0.5)
    verdict = judge(claim, RateEvidence(7, 10, ()))
    assert verdict.estimate == 0.7
    bar = interval_bar(claim, verdict)
    assert bar is not None
    # The bar leaves 8 % free on either side.
    assert bar.allowed == pytest.approx((8 + 84 * 0.5, 92))
    wanted = interval_bar(rate_claim(0.9), verdict)
    assert wanted is not None
    assert wanted.allowed == pytest.approx((8 + 84 * 0.9, 92))
    # Without a margin an order asks for more than half of the pairs.
    order = interval_bar(order_claim(), verdict)
    assert order is not None
    assert order.allowed == bar.allowed


def test_the_bar_of_a_value_marks_the_published_number_and_an_order_has_none_to_mark() -> None:
    verdict = judge_value((99, 100, 101, 102))
    bar = interval_bar(value_claim(), verdict)
    assert bar is not None
    # The margin is as wide on either side of what was published.
    assert bar.published == pytest.approx((bar.allowed[0] + bar.allowed[1]) / 2)
    for kind in ("order", "rate"):
        claim = replace(value_claim(), kind=kind, better="lower", at_least=0.5)
        other = interval_bar(claim, verdict)
        assert other is not None
        assert other.published is None


def test_half_a_tie_counts_for_either_side() -> None:
    assert judge_order((1, 2, 3), (1, 3, 4)).estimate == pytest.approx(2.5 / 3)


def test_a_verdict_and_a_published_number_in_words() -> None:
    assert verdict_word(judge_value((99, 100, 101, 102))) == "matches"
    assert verdict_word(None) == "not run"
    printed = Published(99.46, 0.55, "standard deviation", 10, "%")
    told = published_text(Claim("v", "s", "p", "value", printed, 1))
    assert told == "99.46 ± 0.55 % (standard deviation, n = 10)"
    # A comparison of a paper stands in words; a question of ours is not published at all.
    assert published_text(order_claim()) == "–"
    assert [number(amount) for amount in (999.4, 1000, 12345)] == ["999.4", "1,000", "12,345"]
    assert published_text(replace(order_claim(), source="sentence")) == "in words"
    assert [_joined(["a", "b", "c"][:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
