"""Claims and verdicts in words: what the page, RESULTS.md and the pictures say alike."""

from collections import Counter
from collections.abc import Iterable

from reproductions.claims import Claim
from reproductions.formatting import difference_unit, number, percentage, quantity, span, unit_of
from reproductions.verdicts import Verdict

NOT_RUN = "not run"

# Word and symbol carry the verdict; colour never does so alone.
SYMBOLS = {
    "matches": "=",
    "differs": "≠",
    "inconclusive": "?",
    "not comparable": "∥",
    NOT_RUN: "○",
}

MEANINGS = {
    "matches": "our interval lies inside what the claim allows",
    "differs": "our interval lies wholly outside what the claim allows",
    "inconclusive": "our runs do not settle it",
    "not comparable": "our runs measure something else, such as a smaller task",
    NOT_RUN: "no finished run speaks about it yet",
}


def verdict_word(verdict: Verdict | None) -> str:
    """The verdict's word, or "not run"."""
    return verdict.word if verdict else NOT_RUN


def count_verdicts(verdicts: Iterable[Verdict | None]) -> dict[str, int]:
    """How often each word occurs, in a fixed order, zeros included."""
    counted = Counter(verdict_word(verdict) for verdict in verdicts)
    return {word: counted[word] for word in SYMBOLS}


def published_text(claim: Claim) -> str:
    """What the paper prints, with the meaning of its spread and its number of runs.

    A claim without a published number stands in words only.
    """
    published = claim.published
    if published is None:
        return "in words"
    is_share = claim.kind in ("rate", "shape")
    text = percentage(published.value) if is_share else number(published.value)
    if published.spread is not None:
        text += f" ± {number(published.spread)}"
    details = [
        *([published.spread_is] if published.spread_is else []),
        *([f"n = {published.n}"] if published.n else []),
    ]
    unit = f" of {claim.sample}" if is_share else unit_of(claim)
    return text + unit + (f" ({', '.join(details)})" if details else "")


def ours_text(claim: Claim, verdict: Verdict | None) -> str:
    """Our estimate with its unit, marked if it is only a bound; "–" where there is none."""
    if verdict is None or verdict.estimate is None:
        return "–"
    mark = {"exact": "", "lower": "≥ ", "upper": "≤ ", "unknown": "≈ "}[verdict.bound]
    unit = unit_of(claim) if claim.kind == "value" else f" of {claim.sample}"
    return f"{mark}{quantity(claim, verdict.estimate)}{unit}"


def interval_text(claim: Claim, verdict: Verdict | None) -> str:
    """The interval and the number of seeds; the seeds alone where there is no interval."""
    if verdict is None:
        return ""
    if verdict.interval is None:
        return f"n = {verdict.n}" if verdict.n else ""
    confidence = f"{100 * verdict.confidence:.0f} % interval"
    return f"{confidence} {span(claim, *verdict.interval)}; n = {verdict.n}"


def margin_text(claim: Claim) -> str:
    """What the claim allows, without the reason."""
    if claim.margin is not None:
        return f"±{number(claim.margin)}{difference_unit(claim)}"
    if claim.at_least is not None:
        return f"at least {percentage(claim.at_least)} of {claim.sample}"
    return f"first {claim.better} in over half of paired {claim.sample}"
