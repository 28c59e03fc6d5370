"""The one rule that turns a claim and its evidence into a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from reproductions.runs import Runs
from reproductions.verdicts.claims import Claim
from reproductions.verdicts.evidence import (
    Evidence,
    OrderEvidence,
    RateEvidence,
    Reading,
    ValueEvidence,
)
from reproductions.verdicts.intervals import (
    Estimate,
    Interval,
    fewest_seeds_to_show,
    mean_estimate,
    ratio_estimate,
    seeds_to_decide,
    share_interval,
)
from reproductions.verdicts.number_text import difference_unit, number, percentage, span

Word = Literal["matches", "differs", "inconclusive", "not comparable"]
Bound = Literal["exact", "lower", "upper", "unknown"]

CONFIDENCE = 0.95
# A 90 % interval inside the margin is two one-sided tests at 5 % each.
EQUIVALENCE_CONFIDENCE = 0.90
# Two seeds give one degree of freedom, whose 95 % interval is 12.7 standard errors wide either way.
_FEWEST_SEEDS = 3
_A_BOUND = {"lower": "a lower bound", "upper": "an upper bound", "unknown": "a rough guide"}


@dataclass(frozen=True)
class Verdict:
    """What our runs say about one claim.

    value: ``estimate`` is our mean or ratio, in the claim's unit. order: the share of paired
    seeds in which the first is better, a tie counting half. rate, shape: the share of seeds that
    show it. ``interval`` belongs to the estimate, at ``confidence``; None where there are too few
    seeds for one. ``bound`` tells whether censored runs make the estimate a mere bound.
    """

    word: Word
    estimate: float | None
    interval: Interval | None
    confidence: float
    n: int
    explanation: str
    bound: Bound = "exact"


# A claim with its evidence and verdict; None for both where no finished run speaks about it.
Judged = tuple[Claim, Evidence | None, Verdict | None]


def judge(claim: Claim, evidence: Evidence) -> Verdict:
    """Judge one claim by its evidence.

    value: matches if the 90 % Student-t interval of ours minus published lies inside the margin
    (equivalence at 5 %), differs if the 95 % interval lies wholly outside it. order: exact 95 %
    interval of the share of paired seeds against one half. rate, shape: the same against
    ``at_least``. Anything else is inconclusive. Raises ValueError for evidence of another kind.
    """
    match evidence:
        case ValueEvidence() if claim.kind == "value":
            verdict = _judge_value(claim, evidence)
        case OrderEvidence() if claim.kind == "order":
            verdict = _judge_order(claim, evidence)
        case RateEvidence() if claim.kind in ("rate", "shape"):
            verdict = _judge_rate(claim, evidence)
        case _:
            raise ValueError(f"{type(evidence).__name__} is no evidence for a {claim.kind} claim")
    if evidence.not_comparable is not None:
        return replace(verdict, word="not comparable", explanation=evidence.not_comparable)
    return replace(verdict, explanation=verdict.explanation.replace("seeds", claim.sample))


def _judge_value(claim: Claim, evidence: ValueEvidence) -> Verdict:
    sizes = [len(evidence.samples)]
    if evidence.baseline_samples is not None:
        sizes.append(len(evidence.baseline_samples))
    # A ratio is only as well known as the smaller of its two samples.
    n, bound = min(sizes), _bound(evidence)
    if n < 2:
        reason = f"{_seeds(n)}: at least {_FEWEST_SEEDS} seeds are needed for a verdict."
        return Verdict("inconclusive", _single(evidence), None, CONFIDENCE, n, reason, bound)
    estimate = _estimate(evidence)
    if n < _FEWEST_SEEDS:
        word: Word = "inconclusive"
        reason = f"{_seeds(n)}: at least {_FEWEST_SEEDS} seeds are needed for a verdict."
    elif bound != "exact":
        word, reason = _decide_censored(claim, evidence, estimate, bound)
    else:
        word, reason = _decide_value(claim, estimate)
    interval = _reported(estimate.interval(CONFIDENCE), bound)
    return Verdict(word, estimate.point, interval, CONFIDENCE, n, reason, bound)


def _decide_value(claim: Claim, estimate: Estimate) -> tuple[Word, str]:
    published, margin = _target(claim)
    # Schuirmann (1987): two one-sided tests at 5 % each reject exactly where the 90 % interval
    # lies inside the margin. Only this shows equality: a difference that is not significant may
    # just be one of too few seeds.
    inner = _shifted(estimate.interval(EQUIVALENCE_CONFIDENCE), published)
    outer = _shifted(estimate.interval(CONFIDENCE), published)
    inside = -margin <= inner[0] and inner[1] <= margin
    outside = outer[0] > margin or outer[1] < -margin
    allowed = f"the margin of ±{number(margin)}{difference_unit(claim)}"
    start = _gap(claim, estimate.point - published)
    # A t-interval of width 0 would pass for certainty, so the text says that there is none.
    if estimate.standard_error == 0:
        position = "inside" if inside else "outside"
        return (
            "matches" if inside else "differs",
            f"{start}. All seeds gave the same number, so there is no spread to build an interval "
            f"from and the number alone decides: it lies {position} {allowed}.",
        )
    if inside:
        return "matches", (
            f"{start}; the 90 % interval of the difference, {_between(inner)}, "
            f"lies inside {allowed}."
        )
    if outside:
        return "differs", (
            f"{start}; the 95 % interval of the difference, {_between(outer)}, "
            f"lies wholly outside {allowed}."
        )
    needed = seeds_to_decide(estimate, published - margin, published + margin)
    advice = f"About {needed:,} seeds" if needed else "Not even 10,000 seeds"
    return "inconclusive", (
        f"{start}; the 95 % interval of the difference, {_between(outer)}, reaches across the "
        f"edge of {allowed}. {advice} would decide it if mean and spread stayed as they are."
    )


def _decide_censored(
    claim: Claim, evidence: ValueEvidence, estimate: Estimate, bound: Bound
) -> tuple[Word, str]:
    published, margin = _target(claim)
    low, high = estimate.interval(CONFIDENCE)
    censored = evidence.num_censored + evidence.num_censored_baseline
    total = len(evidence.samples) + len(evidence.baseline_samples or ())
    start = (
        f"{censored} of {total} runs never reached the criterion and enter with the epoch limit, "
        f"so ours is only {_A_BOUND[bound]}"
    )
    # Runs that were cut off would have needed longer, so the true mean lies beyond ours: that can
    # show a difference on that side, and never agreement.
    above = bound == "lower" and low > published + margin
    below = bound == "upper" and high < published - margin
    if above or below:
        side = "above" if above else "below"
        return "differs", (
            f"{start}; even so its 95 % interval, {span(claim, low, high)}, lies wholly {side} "
            f"the published {number(published)} with its margin of "
            f"±{number(margin)}{difference_unit(claim)}."
        )
    return "inconclusive", (
        f"{start}, which cannot show agreement. A longer epoch limit, not more seeds, "
        "would decide it."
    )


def _judge_order(claim: Claim, evidence: OrderEvidence) -> Verdict:
    n = len(evidence.first)
    if n == 0:
        return Verdict("inconclusive", None, None, CONFIDENCE, 0, "No paired seeds yet.")
    differences = np.subtract(evidence.first, evidence.second)
    # The sign test on paired seeds: it asks nothing of the distribution of the differences, which
    # for epochs and accuracies of single seeds is far from normal.
    wins = int(np.sum(differences < 0 if claim.better == "lower" else differences > 0))
    ties = int(np.sum(differences == 0))
    # A tie is held against whichever side is being shown, so ties never help a verdict along.
    low = share_interval(wins, n, CONFIDENCE)[0]
    high = share_interval(wins + ties, n, CONFIDENCE)[1]
    word: Word = "inconclusive"
    # An exact 95 % interval that leaves out one half is the two-sided sign test at 5 %.
    if low > 0.5:
        word = "matches"
    elif high < 0.5:
        word = "differs"
    noun = "tie" if ties == 1 else "ties"
    tied = f", with {ties} {noun} (held against either side)" if ties else ""
    advice = _too_few(n, 0.5) if word == "inconclusive" else ""
    reason = (
        f"The first is {claim.better} in {wins} of {n} paired seeds{tied}; the 95 % interval of "
        f"that share, {percentage(low)} to {percentage(high)}, "
        f"{_side(word, 'one half')}. {_effect(claim, differences.tolist())}{advice}"
    )
    # Half a tie for either side, so that the share of the second is one minus that of the first.
    return Verdict(word, (wins + ties / 2) / n, (low, high), CONFIDENCE, n, reason)


def _judge_rate(claim: Claim, evidence: RateEvidence) -> Verdict:
    if claim.at_least is None:
        raise ValueError(f"claim '{claim.id}' has no share to hold the rate against")
    n, successes = evidence.n, evidence.successes
    if n == 0:
        return Verdict("inconclusive", None, None, CONFIDENCE, 0, "No seeds yet.")
    interval = share_interval(successes, n, CONFIDENCE)
    word: Word = "inconclusive"
    # The claim is of all seeds that could be drawn, so the whole interval has to lie above, and
    # not just the share of these seeds.
    if interval[0] >= claim.at_least:
        word = "matches"
    elif interval[1] < claim.at_least:
        word = "differs"
    asked = f"the {percentage(claim.at_least)} asked for"
    advice = _too_few(n, claim.at_least) if word == "inconclusive" else ""
    reason = (
        f"{successes} of {n} seeds show it; the exact 95 % interval of that share, "
        f"{percentage(interval[0])} to {percentage(interval[1])}, {_side(word, asked)}.{advice}"
    )
    return Verdict(word, successes / n, interval, CONFIDENCE, n, reason)


def _target(claim: Claim) -> tuple[float, float]:
    if claim.published is None or claim.margin is None:
        raise ValueError(f"claim '{claim.id}' has no published value with a margin")
    return claim.published.value, claim.margin


def _estimate(evidence: ValueEvidence) -> Estimate:
    if evidence.baseline_samples is None:
        return mean_estimate(evidence.samples)
    return ratio_estimate(evidence.baseline_samples, evidence.samples)


def _single(evidence: ValueEvidence) -> float | None:
    """The point without any spread, for fewer than two seeds."""
    if not evidence.samples or evidence.baseline_samples == ():
        return None
    mean = float(np.mean(evidence.samples))
    if evidence.baseline_samples is None:
        return mean
    return float(np.mean(evidence.baseline_samples)) / mean


def _bound(evidence: ValueEvidence) -> Bound:
    if evidence.num_censored and evidence.num_censored_baseline:
        return "unknown"
    if evidence.num_censored:
        # A denominator that is too small makes the ratio too large.
        return "lower" if evidence.baseline_samples is None else "upper"
    return "lower" if evidence.num_censored_baseline else "exact"


def _reported(interval: Interval, bound: Bound) -> Interval | None:
    low, high = interval
    if bound == "unknown":
        return None
    # A bound is certain on one side only.
    return (low, np.inf) if bound == "lower" else (-np.inf, high) if bound == "upper" else interval


def _shifted(interval: Interval, published: float) -> Interval:
    return interval[0] - published, interval[1] - published


def _between(interval: Interval) -> str:
    return f"{number(interval[0], 3)} to {number(interval[1], 3)}"


def _gap(claim: Claim, difference: float) -> str:
    published = f"the published {number(_target(claim)[0])}"
    if difference == 0:
        return f"Ours equals {published}"
    side = "above" if difference > 0 else "below"
    return f"Ours is {number(abs(difference), 3)}{difference_unit(claim)} {side} {published}"


def _side(word: Word, threshold: str) -> str:
    if word == "inconclusive":
        return f"contains {threshold}"
    return f"lies {'above' if word == 'matches' else 'below'} {threshold}"


def _effect(claim: Claim, differences: list[float]) -> str:
    # The sign test says nothing of the size of a difference, so its mean is told beside it.
    mean = number(float(np.mean(differences)), 3)
    effect = f"Mean difference, first minus second: {mean}{difference_unit(claim)}"
    if len(differences) < 2:
        return f"{effect}."
    return f"{effect} (95 % interval {_between(mean_estimate(differences).interval(CONFIDENCE))})."


def _too_few(n: int, share: float) -> str:
    fewest = fewest_seeds_to_show(share, CONFIDENCE)
    if n >= fewest:
        return ""
    return f" With {_seeds(n).lower()} no outcome could show it: that takes at least {fewest}."


def _seeds(n: int) -> str:
    return {0: "No seeds", 1: "Only 1 seed"}.get(n, f"Only {n} seeds")


def judge_all(
    claims: Sequence[Claim], evidence: Mapping[str, Reading], runs: Runs
) -> tuple[Judged, ...]:
    """Every claim with its evidence and verdict, or None for both where no run speaks about it.

    Runs that are not what their names say, since the user gave them another number of experts
    say, are held against no claim: nothing is said of them there.

    Args:
        claims: a study's claims.
        evidence: by claim id; the names of the runs alone where they are others.
        runs: by the names that the evidence has.

    Raises:
        KeyError: a claim without an entry in ``evidence``.
    """
    return tuple(_judged(claim, evidence[claim.id], runs) for claim in claims)


def _judged(claim: Claim, item: Reading, runs: Runs) -> Judged:
    if item is None:
        return claim, None, None
    names = item if isinstance(item, tuple) else item.runs
    # The differences that make a run another are named, so that its owner knows what to undo.
    others = [text for name in names for text in runs[name].departures(runs[name].own)]
    if isinstance(item, tuple) or others:
        reason = f"These are not the runs that it speaks of: {'; '.join(dict.fromkeys(others))}."
        return claim, None, Verdict("not comparable", None, None, CONFIDENCE, 0, reason)
    return claim, item, judge(claim, item)
