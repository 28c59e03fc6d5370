"""The summary paragraph of the vowel report, put together from verdicts and measurements."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reproductions.claims import Claim
from reproductions.formatting import number
from reproductions.report_types import Judged
from reproductions.runs import NamedRun
from reproductions.verdicts import Verdict
from reproductions.vowel import lines
from reproductions.wording import count_verdicts, ours_text

Runs = Mapping[str, NamedRun]
_VERBS = {
    "matches": ("matches", "match"),
    "differs": ("differs", "differ"),
    "inconclusive": ("stays open", "stay open"),
    "not comparable": ("is not comparable", "are not comparable"),
    "not run": ("is not run", "are not run"),
}
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
        return (
            f"standard classifiers score {number(scores.min(), 3)} to {number(scores.max(), 3)} % "
            "on these recordings"
        )

    return why


def _one_for_each_pair(runs: Runs) -> str:
    metrics = [
        runs[name].finished.table("metrics") for name in ("experts_4", "experts_8") if name in runs
    ]
    pairs = ["experts_on_iy_ih", "experts_on_aa_ah"]
    shares = [float((table[pairs] == 1).all(axis=1).mean()) for table in metrics]
    if not shares or min(shares) < 0.5:
        return ""
    return f"one expert for each pair of vowels is enough in {min(shares):.0%} of seeds or more"


def _strictness(runs: Runs) -> str:
    return (
        "we ask that all lines, used later or not, lie within "
        f"{lines.ANGLE_TOLERANCE:g} degrees and half a standard deviation of X at one epoch"
    )


GROUPS = (
    Group("experts-faster", "experts learn in fewer epochs than back-propagation"),
    Group("half-the-epochs", "they need about half the epochs", lambda runs: _STEPS),
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
    """Sentences: the count of verdicts, then what matches, what differs and why, and the rest."""
    counts = count_verdicts(verdict for _, _, verdict in judged)
    parts = [f"{count} {_VERBS[word][count != 1]}" for word, count in counts.items() if count]
    sentences = [f"Of {len(judged)} published claims {_joined(parts)}."]
    openings = {
        "matches": "What matches",
        "differs": "What differs",
        "inconclusive": "What stays open",
        "not comparable": "What our runs cannot be held against",
    }
    for word, opening in openings.items():
        found = [text for group in GROUPS if (text := _group_text(group, word, judged, runs))]
        if found:
            sentences.append(f"{opening}: {'; '.join(found)}.")
    return sentences


def _group_text(group: Group, word: str, judged: Sequence[Judged], runs: Runs) -> str:
    members = [
        (claim, verdict)
        for claim, _, verdict in judged
        if claim.id.startswith(group.prefix) and verdict is not None
    ]
    chosen = [(claim, verdict) for claim, verdict in members if verdict.word == word]
    if not chosen:
        return ""
    text = group.words
    if len(chosen) < len(members):
        text += f" ({len(chosen)} of {len(members)} claims)"
    if word == "differs":
        text += _numbers(chosen)
        reason = group.why(runs)
        text += f" – {reason}" if reason else ""
    return text


def _numbers(chosen: Sequence[tuple[Claim, Verdict]]) -> str:
    """Ours beside the published numbers, for claims about numbers."""
    values = [
        f"{ours_text(claim, verdict)}, published {number(claim.published.value)}"
        for claim, verdict in chosen
        if claim.kind == "value" and claim.published is not None
    ]
    return f" (ours {'; '.join(values)})" if values else ""


def _joined(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)
