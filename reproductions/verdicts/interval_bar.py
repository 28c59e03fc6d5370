"""Where the ends of an interval bar lie, which a page draws beside a claim."""

from dataclasses import dataclass

from reproductions.verdicts.claims import Claim
from reproductions.verdicts.number_text import is_share
from reproductions.verdicts.orders import allowed_span
from reproductions.verdicts.verdict import Verdict

_BAR_MARGIN = 0.08  # share of the width left free on either side


@dataclass(frozen=True)
class IntervalBar:
    """Positions along the bar, from 0 (left) to 100 (right).

    ``allowed`` is the band the claim allows, ``published`` the paper's number if it prints one.
    """

    allowed: tuple[float, float]
    published: float | None
    interval: tuple[float, float]
    ours: float


def interval_bar(claim: Claim, verdict: Verdict | None) -> IntervalBar | None:
    """The interval bar of a judged claim; None where there is no interval to draw.

    Shares run from 0 to 1. Otherwise the bar spans the allowed band and our interval.
    """
    if verdict is None or verdict.interval is None or verdict.estimate is None:
        return None
    allowed = _allowed(claim)
    # Rates and orders are shares of seeds or pairs, and comparable from row to row on one scale.
    low, high = (0.0, 1.0)
    if not is_share(claim):
        ends = [*allowed, verdict.estimate, *verdict.interval]
        # A bound's infinite end cannot stretch the bar.
        finite = [end for end in ends if abs(end) != float("inf")]
        low, high = min(finite), max(finite)

    def place(amount: float) -> float:
        share = (amount - low) / (high - low)
        # An interval without an end runs out of the picture.
        return 100 * min(1.0, max(0.0, _BAR_MARGIN + (1 - 2 * _BAR_MARGIN) * share))

    published = claim.published if claim.kind == "value" else None
    return IntervalBar(
        allowed=(place(allowed[0]), place(allowed[1])),
        published=None if published is None else place(published.value),
        interval=(place(verdict.interval[0]), place(verdict.interval[1])),
        ours=place(verdict.estimate),
    )


def _allowed(claim: Claim) -> tuple[float, float]:
    if claim.margin_is is not None:
        return allowed_span(claim)
    if claim.published is not None and claim.margin is not None:
        return claim.published.value - claim.margin, claim.published.value + claim.margin
    # An order claims that the first is better in more than half of the pairs.
    return (0.5 if claim.at_least is None else claim.at_least), 1.0
