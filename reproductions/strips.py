"""The small picture in a claim's row: what the claim allows, and our interval beside it."""

from dataclasses import dataclass

from reproductions.claims import Claim
from reproductions.verdicts import Verdict

_MARGIN = 0.08  # share of the width left free on either side


@dataclass(frozen=True)
class Strip:
    """Positions along the strip, from 0 (left) to 100 (right).

    ``allowed`` is the band the claim allows, ``published`` the paper's number if it prints one.
    """

    allowed: tuple[float, float]
    published: float | None
    interval: tuple[float, float]
    ours: float


def strip(claim: Claim, verdict: Verdict | None) -> Strip | None:
    """The strip of a judged claim; None where there is no interval to draw.

    Shares run from 0 to 1. For values the strip spans the allowed band and our interval.
    """
    if verdict is None or verdict.interval is None or verdict.estimate is None:
        return None
    allowed = _allowed(claim)
    low, high = (0.0, 1.0)
    if claim.kind == "value":
        ends = [*allowed, verdict.estimate, *verdict.interval]
        finite = [end for end in ends if abs(end) != float("inf")]
        low, high = min(finite), max(finite)

    def place(amount: float) -> float:
        share = (amount - low) / (high - low)
        # An interval without an end runs out of the picture.
        return 100 * min(1.0, max(0.0, _MARGIN + (1 - 2 * _MARGIN) * share))

    published = claim.published if claim.kind == "value" else None
    return Strip(
        allowed=(place(allowed[0]), place(allowed[1])),
        published=None if published is None else place(published.value),
        interval=(place(verdict.interval[0]), place(verdict.interval[1])),
        ours=place(verdict.estimate),
    )


def _allowed(claim: Claim) -> tuple[float, float]:
    if claim.published is not None and claim.margin is not None:
        return claim.published.value - claim.margin, claim.published.value + claim.margin
    return (0.5 if claim.at_least is None else claim.at_least), 1.0
