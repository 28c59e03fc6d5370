"""The summary paragraph of the vowel report, put together from verdicts and measurements."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reproductions.claims import Claim
from reproductions.formatting import number
from reproductions.report_types import Judged
from reproductions.runs import NamedRun
from reproductions.verdicts import Verdict
from reproductions.vowel import lines
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
_MIXTURES = ("experts_4", "experts_8")
_STEPS = "the paper gives no step sizes and the epochs depend on them"


@dataclass(frozen=True)
class Group:
    """Claims that say one thing: the beginning of their ids, in words, and why they may fail.

    ``why`` gives the reason for a difference, from the runs where it is a measurement.
    """

    prefix: str
    words: str
    why: Callable[[Runs], str] = lambda runs: ""


def _reference_scores(column: str) -> Callable[[Runs], str]:
    def why(runs: Runs) -> str:
        if "references" not in runs:
            return ""
        scores = 100 * runs["references"].finished.table("metrics")[column]
        low, high = number(float(scores.min()), 3), number(float(scores.max()), 3)
        return f"standard classifiers score {low} to {high} % on these recordings"

    return why


def _one_for_each_pair(runs: Runs) -> str:
    tables = [runs[name].finished.table("metrics") for name in _MIXTURES if name in runs]
    pairs = ["experts_on_iy_ih", "experts_on_aa_ah"]
    seeds = [bool(all_one) for table in tables for all_one in (table[pairs] == 1).all(axis=1)]
    if not seeds:
        return ""
    return f"one expert for each pair of vowels does in {sum(seeds)} of {len(seeds)} runs"


def _strictness(runs: Runs) -> str:
    return (
        "we ask that all lines, used later or not, lie within "
        f"{lines.ANGLE_TOLERANCE:g} degrees and half a standard deviation of X at one epoch"
    )


GROUPS = (
    Group("experts-faster", "experts learn in fewer epochs than back-propagation"),
    Group("half-the-epochs", "experts need about half the epochs", lambda runs: _STEPS),
    Group("epochs", "the mean epochs of Table 1", lambda runs: _STEPS),
    Group("eight-faster-than-four", "8 experts are slightly faster than 4"),
    Group("backprop-12-slower", "12 hidden units are slower than 6"),
    Group("train-accuracy", "88 % on the training cases", _reference_scores("train_accuracy")),
    Group("test-accuracy", "90 % on the test cases", _reference_scores("test_accuracy")),
    Group("equal-test-accuracy", "experts and back-propagation are equally accurate"),
    Group("two-or-three-live", "all but two or three experts go unused"),
    Group("two-experts-on-a", "two experts share [a]/[A]", _one_for_each_pair),
    Group("likelihood-beats", "equation 1.3 does better than 1.2"),
    Group("first-together", "all experts first head for one line, then part", _strictness),
)


def summary(judged: Sequence[Judged], runs: Runs) -> list[str]:
    """Paragraphs: the count of verdicts and what matches; a sentence for each difference; the rest.

    A paragraph without content is left out.
    """
    counts = count_verdicts(verdict for _, _, verdict in judged)
    parts = [f"{count} {_VERBS[word][count != 1]}" for word, count in counts.items() if count]
    chosen = {word: _chosen(word, judged) for word in _VERBS}
    lists = {
        word: f"{opening}: {'; '.join(_phrase(*item, judged) for item in chosen[word])}."
        for word, opening in _OPENINGS.items()
        if chosen[word]
    }
    paragraphs = [
        [f"Of {len(judged)} published claims, {_joined(parts)}.", lists.pop("matches", "")],
        [_difference(*item, judged, runs) for item in chosen["differs"]],
        list(lists.values()),
    ]
    return [text for sentences in paragraphs if (text := " ".join(filter(None, sentences)))]


def _chosen(word: str, judged: Sequence[Judged]) -> list[tuple[Group, list[_Judgement]]]:
    """The groups with claims of this verdict, and those claims."""
    found = []
    for group in GROUPS:
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
