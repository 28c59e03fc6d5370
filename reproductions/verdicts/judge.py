"""The one rule that turns a claim and its evidence into a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

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
from reproductions.verdicts.orders import judge_order
from reproductions.verdicts.verdict import (
    CONFIDENCE,
    EQUIVALENCE_CONFIDENCE,
    FEWEST_SEEDS,
    Bound,
    Verdict,
    Word,
    between,
    seeds_text,
    side,
)

__all__ = ["CONFIDENCE", "RULE", "Judged", "Verdict", "judge", "judge_all"]

# Version of the rule, kept with what is published: see docs/verdicts.md for what changed.
RULE = 2
_A_BOUND = {"lower": "a lower bound", "upper": "an upper bound", "unknown": "a rough guide"}


# A claim with its evidence and verdict; None for both where no finished run speaks about it.
Judged = tuple[Claim, Evidence | None, Verdict | None]


def judge(claim: Claim, evidence: Evidence) -> Verdict:
    """Judge one claim by its evidence.

    value: matches if the 90 % Student-t interval of ours minus published lies inside the margin
    (equivalence at 5 %), differs if the 95 % interval lies wholly outside it. order: see
    `verdicts.orders`. rate, shape: exact 95 % interval of the share of seeds against
    ``at_least``. Anything else is inconclusive. Raises ValueError for evidence of another kind.
    """
    match evidence:
        case ValueEvidence() if claim.kind == "value":
            verdict = _judge_value(claim, evidence)
        case OrderEvidence() if claim.kind == "order":
            verdict = judge_order(claim, evidence)
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
        reason = f"{seeds_text(n)}: at least {FEWEST_SEEDS} seeds are needed for a verdict."
        return Verdict("inconclusive", _single(evidence), None, CONFIDENCE, n, reason, bound)
    estimate = _estimate(evidence)
    if n < FEWEST_SEEDS:
        word: Word = "inconclusive"
        reason = f"{seeds_text(n)}: at least {FEWEST_SEEDS} seeds are needed for a verdict."
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
            f"{start}; the 90 % interval of the difference, {between(inner)}, "
            f"lies inside {allowed}."
        )
    if outside:
        return "differs", (
            f"{start}; the 95 % interval of the difference, {between(outer)}, "
            f"lies wholly outside {allowed}."
        )
    needed = seeds_to_decide(estimate, published - margin, published + margin)
    advice = f"About {needed:,} seeds" if needed else "Not even 10,000 seeds"
    return "inconclusive", (
        f"{start}; the 95 % interval of the difference, {between(outer)}, reaches across the "
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
        f"{percentage(interval[0])} to {percentage(interval[1])}, {side(word, asked)}.{advice}"
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


def _gap(claim: Claim, difference: float) -> str:
    published = f"the published {number(_target(claim)[0])}"
    if difference == 0:
        return f"Ours equals {published}"
    side = "above" if difference > 0 else "below"
    return f"Ours is {number(abs(difference), 3)}{difference_unit(claim)} {side} {published}"


def _too_few(n: int, share: float) -> str:
    fewest = fewest_seeds_to_show(share, CONFIDENCE)
    if n >= fewest:
        return ""
    return f" With {seeds_text(n).lower()} no outcome could show it: that takes at least {fewest}."


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
