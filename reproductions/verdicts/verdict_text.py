"""Claims and verdicts in words, one by one and as a report's summary."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from reproductions.runs import Runs
from reproductions.verdicts.claims import Claim
from reproductions.verdicts.judge import Judged, Verdict
from reproductions.verdicts.number_text import (
    difference_unit,
    number,
    percentage,
    quantity,
    span,
    unit_of,
)
from reproductions.verdicts.sources import headline

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


def why_not_run(claim: Claim) -> str:
    """What is said of a claim without a verdict."""
    if claim.not_run_here:
        return f"Not run here: {claim.not_run_here}"
    return "No finished run yet."


def count_verdicts(verdicts: Iterable[Verdict | None]) -> dict[str, int]:
    """How often each word occurs, in a fixed order, zeros included."""
    # In the order of SYMBOLS, so that counts can be compared from report to report.
    counted = Counter(verdict_word(verdict) for verdict in verdicts)
    return {word: counted[word] for word in SYMBOLS}


def published_text(claim: Claim) -> str:
    """What the paper prints, with the meaning of its spread and its number of runs.

    A claim without a published number stands in words only, or nowhere where it is our own.
    """
    published = claim.published
    if published is None:
        return "–" if claim.source in ("ours", "implied") else "in words"
    # A rate is published as a share, and read as a percentage.
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
    # Signs of a bound stand before the number, where they cannot be overlooked.
    mark = {"exact": "", "lower": "≥ ", "upper": "≤ ", "unknown": "≈ "}[verdict.bound]
    return f"{mark}{quantity(claim, verdict.estimate)}{_unit_of_estimate(claim)}"


def _unit_of_estimate(claim: Claim) -> str:
    if claim.kind == "order":
        # A margin's estimate is a difference or a ratio of the two.
        return {None: " of pairs", "ratio": " times"}.get(claim.margin_is, difference_unit(claim))
    return unit_of(claim) if claim.kind == "value" else f" of {claim.sample}"


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
    if claim.kind == "order" and claim.margin_is is not None:
        return _order_margin_text(claim)
    if claim.margin is not None:
        return f"±{number(claim.margin)}{difference_unit(claim)}"
    if claim.at_least is not None:
        return f"at least {percentage(claim.at_least)} of {claim.sample}"
    return f"first {claim.better} in over half of pairs of {claim.sample}"


def _order_margin_text(claim: Claim) -> str:
    is_ratio, better = claim.margin_is == "ratio", claim.better
    unit = "" if is_ratio else difference_unit(claim)
    size = f"{'a factor of ' if is_ratio else ''}{number(claim.margin or 0)}{unit}"
    if claim.asks == "equal":
        return f"first and second within {size} of each other"
    if claim.margin == (1 if is_ratio else 0):
        return f"first {better} in the mean {'ratio' if is_ratio else 'difference'}"
    if claim.asks == "no worse":
        worse = "higher" if better == "lower" else "lower"
        return f"first not {worse} by more than {size}"
    return f"first {better} by more than {size}"


def headline_of(judged: Sequence[Judged]) -> str:
    """The count of verdicts in words, by where the claims come from."""
    return headline((claim.source, verdict_word(verdict)) for claim, _, verdict in judged)


_OPENINGS = {
    "matches": "What matches",
    "inconclusive": "What stays open",
    "not comparable": "What our runs cannot be held against",
}
_Judgement = tuple[Claim, Verdict]


@dataclass(frozen=True)
class Group:
    """Claims that say one thing: the beginning of their ids, in words, and why they may fail.

    ``why`` gives the reason for a difference, from the runs where it is a measurement.
    """

    prefix: str
    words: str
    why: Callable[[Runs], str]


def load_groups(path: Path, reasons: Mapping[str, Callable[[Runs], str]]) -> tuple[Group, ...]:
    """Read a study's groups of claims; a reason that is measured comes before a written one.

    Args:
        path: of groups.yaml.
        reasons: measured ones, by the beginning of the claims' ids.
    """

    def written(text: str) -> Callable[[Runs], str]:
        return lambda runs: text

    return tuple(
        Group(name, entry["words"], reasons.get(name) or written(entry.get("why", "")))
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))
        for name in [entry["claims"]]
    )


def summary(
    judged: Sequence[Judged],
    runs: Runs,
    groups: Sequence[Group],
) -> list[str]:
    """Paragraphs: the count of verdicts and what matches; a sentence for each difference; the rest.

    Claims that the paper prints are counted first, the others apart. A paragraph without content
    is left out. Every claim belongs to one of the groups.
    """
    chosen = {word: _chosen(word, judged, groups) for word in SYMBOLS}
    lists = {
        word: f"{opening}: {'; '.join(_phrase(*item, judged) for item in chosen[word])}."
        for word, opening in _OPENINGS.items()
        if chosen[word]
    }
    paragraphs = [
        [headline_of(judged), lists.pop("matches", "")],
        [_difference(*item, judged, runs) for item in chosen["differs"]],
        list(lists.values()),
    ]
    return [text for sentences in paragraphs if (text := " ".join(filter(None, sentences)))]


def _chosen(
    word: str, judged: Sequence[Judged], groups: Sequence[Group]
) -> list[tuple[Group, list[_Judgement]]]:
    """The groups with claims of this verdict, and those claims."""
    found = []
    for group in groups:
        members = [
            (claim, verdict)
            for claim, _, verdict in judged
            if claim.id.startswith(group.prefix) and verdict is not None and verdict.word == word
        ]
        if members:
            found.append((group, members))
    return found


def _phrase(group: Group, members: Sequence[_Judgement], judged: Sequence[Judged]) -> str:
    num_claims = sum(claim.id.startswith(group.prefix) for claim, _, _ in judged)
    # All claims of a group: no need to count them.
    if len(members) == num_claims:
        return group.words
    return f"{group.words} ({len(members)} of {num_claims} claims)"


def _difference(
    group: Group, members: Sequence[_Judgement], judged: Sequence[Judged], runs: Runs
) -> str:
    words = _phrase(group, members, judged)
    reason = group.why(runs)
    text = f"{words[0].upper()}{words[1:]}: differs{_numbers(members)}"
    return f"{text}; {reason}." if reason else f"{text}."


def _numbers(members: Sequence[_Judgement]) -> str:
    """Ours beside the published numbers, for claims about numbers."""
    # The numbers of one group, each once: four claims with the same published 90 % print one.
    pairs = [
        (number(verdict.estimate, 3), number(claim.published.value))
        for claim, verdict in members
        if claim.kind == "value" and claim.published and verdict.estimate is not None
    ]
    if not pairs:
        return ""
    ours, published = (_joined(list(dict.fromkeys(side))) for side in zip(*pairs, strict=True))
    return f" (ours {ours}, published {published})"


def _joined(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)
