"""What holds many experts back: 2,048 experts beside one wide expert, early in training.

An expert of 2,048 sees few words per step. Runs with the full learning rate for experts, and with
four times the words per step, show how far the gap between the two models is a matter of that.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from reproductions.runs import NamedRun, Runs
from reproductions.verdicts.intervals import Estimate, mean_estimate


def perplexity(run: NamedRun) -> float:
    """Return the perplexity per subword of the test chapters."""
    table = run.table("metrics")
    return float(table.loc[table["split"] == "test", "perplexity"].iloc[0])


def perplexity_text(run: NamedRun) -> str:
    """Test perplexity with its 95 % interval over sentences."""
    low, high = _interval(run.table("sentences"))
    return f"{perplexity(run):.2f} ({low:.2f} to {high:.2f})"


def _interval(sentences: pd.DataFrame) -> tuple[float, float]:
    """Return the 95 % interval of the perplexity, over sentences weighted by their tokens."""
    tokens, loss = sentences["num_tokens"], sentences["loss"]
    mean = float(np.average(loss, weights=tokens))
    # Cochran (1977), section 6: the mean loss per token is a ratio of two means over sentences, so
    # its variance is that of tokens (loss - mean) / mean tokens, which takes in that sentences
    # differ in length.
    residual = tokens * (loss - mean) / tokens.mean()
    half = float(stats.t.ppf(0.975, len(loss) - 1) * stats.sem(residual)) if len(loss) > 1 else 0.0
    # The interval is of the log, which is nearer to normal; exp keeps order, so its ends go over.
    return float(np.exp(mean - half)), float(np.exp(mean + half))


# The two models of equal cost.
WIDE, MANY = "wide", "experts_2048"
# How the names of these runs begin.
SEED_RUNS = ("seed_1_", "seed_2_")


def label(run: NamedRun, runs: Runs) -> str:
    """A model by its settings, for readers; the wide one beside the many of equal cost."""
    study, many = run.study, runs.get(MANY)
    if study.num_experts != 1:
        return run.called(f"{study.num_experts:,} experts")
    times = study.expert_units / many.study.expert_units if many is not None else 1.0
    return run.called(f"1 expert, {times:g} times as wide" if times != 1 else "1 expert")


def as_named(runs: Runs, *names: str) -> bool:
    """Tell whether runs of these names are there and have the settings that the names stand for."""
    return all(name in runs and runs[name].is_as_named for name in names)


def _pairs(runs: Runs) -> list[tuple[NamedRun, NamedRun]]:
    """The wide model and 2,048 experts of each seed of which both are there."""
    # Both models of one seed, so that only the layer differs.
    names = [(before + WIDE, before + MANY) for before in ("", *SEED_RUNS)]
    return [(runs[wide], runs[many]) for wide, many in names if as_named(runs, wide, many)]


def _mean_gap(pairs: list[tuple[NamedRun, NamedRun]]) -> Estimate:
    """Perplexity of 2,048 experts over that of the wide one: geometric mean over at least two."""
    # Ratios are averaged as logs: a half and a double are then one on average.
    logs = [float(np.log(perplexity(many) / perplexity(wide))) for wide, many in pairs]
    return replace(mean_estimate(logs), is_log=True)


def seeds_table(runs: Runs) -> pd.DataFrame:
    """A row per training seed, and their mean ratio; empty for fewer than two seeds."""
    pairs = _pairs(runs)
    if len(pairs) < 2:
        return pd.DataFrame()
    rows = [
        {
            "seed": str(wide.study.seed),
            "test perplexity, one wide expert": perplexity_text(wide),
            "test perplexity, 2,048 experts": perplexity_text(many),
            "ratio": f"{perplexity(many) / perplexity(wide):.3f}",
        }
        for wide, many in pairs
    ]
    gap = _mean_gap(pairs)
    low, high = gap.interval(0.95)
    rows.append(
        {"seed": "mean", "ratio": f"{gap.point:.3f} ({low:.3f} to {high:.3f}; n = {gap.n})"}
    )
    return pd.DataFrame(rows)


def in_every_training(runs: Runs) -> str:
    """Tell in how many trainings 2,048 experts are worse; empty for fewer than two."""
    pairs = _pairs(runs)
    if len(pairs) < 2:
        return ""
    worse = sum(perplexity(many) > perplexity(wide) for wide, many in pairs)
    gap = _mean_gap(pairs)
    low, high = gap.interval(0.95)
    return (
        f"{worse} of {gap.n} seeds end so, with {gap.point:.2f} times the test perplexity "
        f"(95 % interval over seeds {low:.2f} to {high:.2f})"
    )


_BY_NUMBER = ("experts_32", "experts_512", "experts_2048")
# How the names of these runs begin.
SHORT_RUNS = ("rate_1_", "batch_4_")


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
        """The ratio of the perplexities; above one 2,048 experts are worse."""
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
    wide, many = (runs[name].table("evaluations") for name in names)
    # At the steps that both were measured at.
    both = wide.merge(many, on="step", suffixes=("", "_many"))
    columns = ["step", "perplexity", "perplexity_many", "num_tokens"]
    return [Gap(*row) for row in both[columns].itertuples(index=False)]


def short_runs_table(runs: Runs) -> pd.DataFrame:
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
    # Only steps at which the main runs were measured too can be set beside each other.
    main = {gap.step: gap for gap in gaps(runs)}
    last = gaps(runs, before)[-1].step
    # The longer batches read several times the words by the same step.
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
