"""Verdicts on orders: which of two variants is better, over pairs or over all pairs.

Three ways, by what the claim and its evidence say:

- true pairs (same start, same noise): the sign test, an exact binomial interval;
- no pairs: Mann & Whitney's test over all n x m pairs, with the probability of superiority;
- a margin: an interval of the difference of means, or of the ratio of geometric means. Welch's
  without pairs, since nets of different kinds have different spreads; Student's with pairs.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from reproductions.verdicts.claims import Claim
from reproductions.verdicts.evidence import OrderEvidence
from reproductions.verdicts.intervals import (
    Estimate,
    difference_estimate,
    fewest_seeds_to_show,
    mean_estimate,
    share_interval,
)
from reproductions.verdicts.number_text import difference_unit, number, percentage
from reproductions.verdicts.superiority import (
    can_decide,
    fewest_each,
    superiority_interval,
    superiority_p,
)
from reproductions.verdicts.verdict import (
    CONFIDENCE,
    EQUIVALENCE_CONFIDENCE,
    FEWEST_SEEDS,
    Verdict,
    Word,
    between,
    seeds_text,
    side,
)


def judge_order(claim: Claim, evidence: OrderEvidence) -> Verdict:
    """Judge an order by the test that fits the claim and its samples."""
    n = min(len(evidence.first), len(evidence.second))
    if n == 0:
        what = "paired seeds" if evidence.paired else "seeds of both"
        return Verdict("inconclusive", None, None, CONFIDENCE, 0, f"No {what} yet.")
    if claim.margin is not None:
        return _judge_margin(claim, evidence, n)
    return _judge_pairs(claim, evidence) if evidence.paired else _judge_all_pairs(claim, evidence)


def _judge_pairs(claim: Claim, evidence: OrderEvidence) -> Verdict:
    n = len(evidence.first)
    # The sign test on paired seeds: it asks nothing of the distribution of the differences, which
    # for epochs and accuracies of single seeds is far from normal.
    wins, ties = _wins_and_ties(claim, np.subtract(evidence.first, evidence.second))
    # A tie is held against whichever side is being shown, so ties never help a verdict along.
    low = share_interval(wins, n, CONFIDENCE)[0]
    high = share_interval(wins + ties, n, CONFIDENCE)[1]
    # An exact 95 % interval that leaves out one half is the two-sided sign test at 5 %.
    word = _word(low, high, 0.5)
    fewest = fewest_seeds_to_show(0.5, CONFIDENCE)
    advice = _no_outcome(seeds_text(n).lower(), f"at least {fewest}") if n < fewest else ""
    reason = (
        f"The first is {claim.better} in {wins} of {n} paired seeds{_tied(ties)}; the 95 % "
        f"interval of that share, {percentage(low)} to {percentage(high)}, "
        f"{side(word, 'one half')}. {_effect(claim, evidence)}{advice}"
    )
    # Half a tie for either side, so that the share of the second is one minus that of the first.
    return Verdict(word, (wins + ties / 2) / n, (low, high), CONFIDENCE, n, reason)


def _judge_all_pairs(claim: Claim, evidence: OrderEvidence) -> Verdict:
    sizes = len(evidence.first), len(evidence.second)
    num_pairs = sizes[0] * sizes[1]
    # Nets of different kinds are no pairs, even from one seed: which of them stand side by side
    # would be chance, so that every net is held against every other.
    wins, ties = _wins_and_ties(claim, np.subtract.outer(evidence.first, evidence.second))
    low, high = superiority_interval(wins, ties, *sizes, CONFIDENCE)
    word = _word(low, high, 0.5)
    advice = ""
    if not can_decide(*sizes, CONFIDENCE):
        few = f"{sizes[0]} and {sizes[1]} seeds"
        advice = _no_outcome(few, f"at least {fewest_each(CONFIDENCE)} each")
    reason = (
        f"The first is {claim.better} in {wins} of all {num_pairs} pairs of {sizes[0]} and "
        f"{sizes[1]} seeds{_tied(ties)}; the 95 % interval of that probability, "
        f"{percentage(low)} to {percentage(high)}, {side(word, 'one half')} (Mann and Whitney's "
        f"p = {number(superiority_p(wins, ties, *sizes), 2)}). {_effect(claim, evidence)}{advice}"
    )
    estimate = (wins + ties / 2) / num_pairs
    return Verdict(word, estimate, (low, high), CONFIDENCE, min(sizes), reason)


def _judge_margin(claim: Claim, evidence: OrderEvidence, n: int) -> Verdict:
    if n < 2:
        reason = f"{seeds_text(n)}: at least {FEWEST_SEEDS} seeds are needed for a verdict."
        return Verdict("inconclusive", None, None, CONFIDENCE, n, reason)
    verdict = judge_estimate(claim, margin_estimate(claim, evidence), n)
    sizes = f"Over {len(evidence.first)} and {len(evidence.second)} seeds. "
    return replace(verdict, explanation=f"{sizes}{verdict.explanation}")


def judge_estimate(claim: Claim, estimate: Estimate, n: int) -> Verdict:
    """Judge an order by an estimate of the first minus the second, or of their ratio.

    Without a margin it has to be better at all.
    """
    outer = estimate.interval(CONFIDENCE)
    low, high = allowed_span(claim)
    word: Word = "inconclusive"
    interval, confidence = outer, CONFIDENCE
    if claim.asks == "equal":
        # Schuirmann (1987): both one-sided tests at 5 % reject where the 90 % interval lies
        # inside. The interval that decides is the one that is shown.
        inner = estimate.interval(EQUIVALENCE_CONFIDENCE)
        if low <= inner[0] and inner[1] <= high:
            word, interval, confidence = "matches", inner, EQUIVALENCE_CONFIDENCE
    elif low < outer[0] and outer[1] < high:
        word = "matches"
    if outer[1] < low or outer[0] > high:
        word = "differs"
    advice = ""
    if n < FEWEST_SEEDS:
        word, interval, confidence = "inconclusive", outer, CONFIDENCE
        advice = f" At least {FEWEST_SEEDS} seeds are needed for a verdict."
    position = {"matches": "inside", "differs": "wholly outside"}.get(word, "partly outside")
    reason = (
        f"{_measure(claim)}: {number(estimate.point, 3)}; its {100 * confidence:.0f} % interval, "
        f"{between(interval)}, lies {position} what is allowed, {_allowed_text(claim)}.{advice}"
    )
    return Verdict(word, estimate.point, interval, confidence, n, reason)


def margin_estimate(claim: Claim, evidence: OrderEvidence) -> Estimate:
    """First minus second, or the ratio of their geometric means, of at least two seeds each.

    Raises ValueError for a ratio of numbers that are not positive.
    """
    first, second = (_scaled(claim, side) for side in (evidence.first, evidence.second))
    is_log = claim.margin_is == "ratio"
    if evidence.paired:
        return mean_estimate((first - second).tolist(), is_log=is_log, bounds=claim.bounds)
    samples = first.tolist(), second.tolist()
    return difference_estimate(*samples, is_log=is_log, bounds=claim.bounds)


def allowed_span(claim: Claim) -> tuple[float, float]:
    """From where to where the first minus the second, or their ratio, may lie.

    better: better by more than the margin. no worse: not worse by more than the margin. equal:
    neither better nor worse by more than it.
    """
    is_ratio = claim.margin_is == "ratio"
    margin = claim.margin or 0.0
    low, high = (1 / margin if is_ratio else -margin), margin
    if claim.asks == "equal":
        return low, high
    if claim.asks == "no worse":
        return (-math.inf, high) if claim.better == "lower" else (low, math.inf)
    return (-math.inf, low) if claim.better == "lower" else (high, math.inf)


def _allowed_text(claim: Claim) -> str:
    low, high = allowed_span(claim)
    unit = "" if claim.margin_is == "ratio" else difference_unit(claim)
    if math.isinf(high):
        return f"above {number(low)}{unit}"
    if claim.asks != "equal":
        return f"below {number(high)}{unit}"
    return f"{number(low)} to {number(high)}{unit}"


def _measure(claim: Claim) -> str:
    if claim.margin_is == "ratio":
        return "Ratio of the geometric means, first over second"
    return "Difference of the means, first minus second"


def _scaled(claim: Claim, samples: tuple[float, ...]) -> NDArray[np.float64]:
    values = np.array(samples, dtype=float)
    if claim.margin_is != "ratio":
        return values
    if values.min() <= 0:
        raise ValueError(f"claim '{claim.id}' has a margin by ratio, which needs positive numbers")
    logs: NDArray[np.float64] = np.log(values)
    return logs


def _wins_and_ties(claim: Claim, differences: NDArray[np.float64]) -> tuple[int, int]:
    wins = np.sum(differences < 0 if claim.better == "lower" else differences > 0)
    return int(wins), int(np.sum(differences == 0))


def _word(low: float, high: float, threshold: float) -> Word:
    if low > threshold:
        return "matches"
    return "differs" if high < threshold else "inconclusive"


def _tied(ties: int) -> str:
    noun = "tie" if ties == 1 else "ties"
    return f", with {ties} {noun} (held against either side)" if ties else ""


def _no_outcome(few: str, needed: str) -> str:
    return f" With {few} no outcome could show it: that takes {needed}."


def _effect(claim: Claim, evidence: OrderEvidence) -> str:
    # The tests say nothing of the size of a difference, so its mean is told beside them.
    first, second = evidence.first, evidence.second
    mean = number(float(np.mean(first) - np.mean(second)), 3)
    effect = f"Mean difference, first minus second: {mean}{difference_unit(claim)}"
    if min(len(first), len(second)) < 2:
        return f"{effect}."
    if evidence.paired:
        estimate = mean_estimate(np.subtract(first, second).tolist())
    else:
        estimate = difference_estimate(first, second)
    return f"{effect} (95 % interval {between(estimate.interval(CONFIDENCE))})."
