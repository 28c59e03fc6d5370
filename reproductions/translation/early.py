"""What holds many experts back: 2,048 experts beside one wide expert, early in training.

An expert of 2,048 sees few words per step. Runs with the full learning rate for experts, and with
four times the words per step, show how far the gap between the two models is a matter of that.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from reproductions.runs import NamedRun
from reproductions.translation.perplexity import perplexity
from reproductions.translation.seeds import MANY, SEED_RUNS, WIDE, as_named

Runs = Mapping[str, NamedRun]
_BY_NUMBER = ("experts_32", "experts_512", "experts_2048")
SHORT_RUNS = ("rate_1_", "batch_4_")
"""How the names of these runs begin."""


class Gap(NamedTuple):
    """Held-out perplexities of both models at one step.

    Attributes:
        step: updates done.
        wide: perplexity of one wide expert.
        many: perplexity of 2,048 experts.
        num_tokens: that were measured.
    """

    step: int
    wide: float
    many: float
    num_tokens: int

    @property
    def ratio(self) -> float:
        """Of the perplexities; above one 2,048 experts are worse."""
        return self.many / self.wide


def gaps(runs: Runs, before: str = "") -> list[Gap]:
    """The gap at every step at which both models were measured; empty where one is missing.

    Args:
        runs: by name.
        before: how the names of both runs begin.
    """
    names = (before + WIDE, before + MANY)
    if not as_named(runs, *names):
        return []
    wide, many = (runs[name].finished.table("evaluations") for name in names)
    both = wide.merge(many, on="step", suffixes=("", "_many"))
    columns = ["step", "perplexity", "perplexity_many", "num_tokens"]
    return [Gap(*row) for row in both[columns].itertuples(index=False)]


def early_table(runs: Runs) -> pd.DataFrame:
    """A row per setting: the gap at its last step.

    Beside it the main runs' gap at the same step, after the same number of words, and at the end.
    """
    rows = []
    for before in SHORT_RUNS:
        if found := gaps(runs, before):
            rows += [_row(runs[MANY].study, gap) for gap in _beside(runs, before)]
            rows.append(_row(runs[before + MANY].study, found[-1]))
    if main := gaps(runs):
        rows.append(_row(runs[MANY].study, main[-1]))
    return pd.DataFrame(rows)


def _beside(runs: Runs, before: str) -> list[Gap]:
    """The main runs' gaps at the short runs' last step, and after as many words."""
    main = {gap.step: gap for gap in gaps(runs)}
    last = gaps(runs, before)[-1].step
    as_many_words = last * runs[before + MANY].study.batches_per_step
    return [main[step] for step in sorted({last, as_many_words}) if step in main]


def _row(study: Any, gap: Gap) -> dict[str, str]:
    tokens = study.tokens_per_batch * study.batches_per_step
    share = study.expert_learning_rate
    return {
        "step": f"{gap.step:,}",
        "tokens per step": f"{tokens:,}",
        "experts' share of the learning rate": f"{share:g}",
        "perplexity, one wide expert": f"{gap.wide:.1f}",
        "perplexity, 2,048 experts": f"{gap.many:.1f}",
        "ratio": f"{gap.ratio:.3f}",
        "held-out tokens": f"{gap.num_tokens:,}",
    }


def why_many_lose(runs: Runs) -> str:
    """What the short runs say of the cause; empty where there are none."""
    changes = ("at the full learning rate", "with four times the words per step")
    parts = []
    for before, change in zip(SHORT_RUNS, changes, strict=True):
        found = gaps(runs, before)
        if found and (beside := _beside(runs, before)):
            without = " and ".join(_ratios(runs, gap.step) for gap in beside)
            parts.append(
                f"{found[-1].ratio:.2f} {change} at step {found[-1].step:,} (without: {without})"
            )
    if not parts:
        return ""
    return (
        f"held-out perplexity over that of one wide expert is {' and '.join(parts)}, and "
        f"{_ratios(runs, gaps(runs)[-1].step)}"
    )


def _ratios(runs: Runs, step: int) -> str:
    """The main runs' ratio at a step, from lowest to highest where other seeds are there."""
    found = [
        gap.ratio for before in ("", *SEED_RUNS) for gap in gaps(runs, before) if gap.step == step
    ]
    if len(found) == 1:
        return f"{found[0]:.2f} at step {step:,}"
    return f"{min(found):.2f} to {max(found):.2f} with {len(found)} seeds at step {step:,}"


def why_more_lose(runs: Runs) -> str:
    """Perplexity beside the words that an expert sees per step; empty for fewer than two runs."""
    names = [name for name in _BY_NUMBER if as_named(runs, name)]
    if len(names) < 2:
        return ""
    numbers = ", ".join(f"{runs[name].study.num_experts:,}" for name in names)
    words = ", ".join(f"{_words_per_step(runs[name].study):.0f}" for name in names)
    perplexities = ", ".join(f"{perplexity(runs[name]):.1f}" for name in names)
    return (
        f"with {numbers} experts one expert sees about {words} of a step's words and test "
        f"perplexity is {perplexities}; the paper's experts saw about two thousand"
    )


def _words_per_step(study: Any) -> float:
    return float(study.tokens_per_batch * study.batches_per_step * study.k / study.num_experts)
