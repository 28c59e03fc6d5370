"""A report's summary in words, put together from verdicts and measurements."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reproductions.claims import Claim
from reproductions.formatting import number
from reproductions.report_types import Judged
from reproductions.runs import NamedRun
from reproductions.verdicts import Verdict
from reproductions.wording import count_verdicts

Runs = Mapping[str, NamedRun]
_VERBS = {
    "matches": ("matches", "match"),
    "differs": ("differs", "differ"),
    "inconclusive": ("stays open", "stay open"),
    "not comparable": ("is not comparable", "are not comparable"),
    "not run": ("is not run", "are not run"),
}
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
    why: Callable[[Runs], str] = lambda runs: ""


def summary(
    judged: Sequence[Judged],
    runs: Runs,
    groups: Sequence[Group],
    what: str = "published claims",
) -> list[str]:
    """Paragraphs: the count of verdicts and what matches; a sentence for each difference; the rest.

    A paragraph without content is left out. Every claim belongs to one of the groups; ``what``
    the claims are is said once.
    """
    counts = count_verdicts(verdict for _, _, verdict in judged)
    parts = [f"{count} {_VERBS[word][count != 1]}" for word, count in counts.items() if count]
    chosen = {word: _chosen(word, judged, groups) for word in _VERBS}
    lists = {
        word: f"{opening}: {'; '.join(_phrase(*item, judged) for item in chosen[word])}."
        for word, opening in _OPENINGS.items()
        if chosen[word]
    }
    paragraphs = [
        [f"Of {len(judged)} {what}, {_joined(parts)}.", lists.pop("matches", "")],
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
