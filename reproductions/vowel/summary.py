"""The groups of claims that the summary of the vowel report speaks of."""

from collections.abc import Callable

from reproductions.formatting import number
from reproductions.runs import distinct
from reproductions.summary import Group, Runs
from reproductions.vowel import lines

_MIXTURES = ("experts_4", "experts_8")
_STEPS = "the paper gives no step sizes and the epochs depend on them"


def _reference_scores(column: str) -> Callable[[Runs], str]:
    def why(runs: Runs) -> str:
        if "references" not in runs:
            return ""
        scores = 100 * runs["references"].finished.table("metrics")[column]
        low, high = number(float(scores.min()), 3), number(float(scores.max()), 3)
        return f"standard classifiers score {low} to {high} % on these recordings"

    return why


def _one_for_each_pair(runs: Runs) -> str:
    mixtures = distinct(runs.get(name) for name in _MIXTURES)
    tables = [run.finished.table("metrics") for run in mixtures]
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
