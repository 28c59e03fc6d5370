"""How numbers, shares and intervals are written, the same way in every report."""

import math

from reproductions.verdicts.claims import Claim


def number(amount: float, digits: int = 4) -> str:
    """Significant digits; from 1,000 on whole numbers with separators."""
    if math.isinf(amount):
        return "−∞" if amount < 0 else "∞"
    # Rounded first: 999.7 with three digits is 1,000, not 1e+03.
    if amount != 0 and abs(float(f"{amount:.{digits}g}")) >= 1000:
        text = f"{amount:,.0f}"
    elif amount == 0 or abs(amount) < 1e-4:
        text = f"{amount:.{min(digits, 3)}g}"
    else:
        text = f"{amount:.{digits}g}"
    # A true minus sign is as wide as a digit, so columns line up.
    return text.replace("-", "−")


def percentage(share: float) -> str:
    """A share of 1 as a percentage."""
    # Three digits: with a hundred seeds a share has no more.
    return f"{100 * share:.3g} %"


def is_share(claim: Claim) -> bool:
    """Whether verdicts on the claim are about a share: of seeds, or of pairs."""
    return claim.kind != "value" and claim.margin_is is None


def quantity(claim: Claim, amount: float) -> str:
    """A value, a difference or a ratio as a number, a share of seeds as a percentage."""
    return percentage(amount) if is_share(claim) else number(amount)


def span(claim: Claim, low: float, high: float) -> str:
    """An interval in words; an infinite end reads "at least" or "at most"."""
    if math.isinf(high):
        return f"at least {quantity(claim, low)}"
    if math.isinf(low):
        return f"at most {quantity(claim, high)}"
    return f"{quantity(claim, low)} to {quantity(claim, high)}"


def unit_of(claim: Claim) -> str:
    """The claim's unit with a space before it, or nothing."""
    return f" {claim.published.unit}" if claim.published and claim.published.unit else ""


def difference_unit(claim: Claim) -> str:
    """The unit of differences and margins: for percentages it is the percentage point."""
    if claim.published and claim.published.unit == "%":
        return " percentage points"
    return unit_of(claim)
