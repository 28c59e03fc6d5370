"""Other trainings of the two models of equal cost: is the gap one of the models or of the seed?"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from reproductions.intervals import Estimate, mean_estimate
from reproductions.runs import NamedRun
from reproductions.translation.perplexity import perplexity, perplexity_text

Runs = Mapping[str, NamedRun]
WIDE, MANY = "wide", "experts_2048"
"""The two models of equal cost."""
SEED_RUNS = ("seed_1_", "seed_2_")
"""How the names of these runs begin."""


def label(run: NamedRun, runs: Runs) -> str:
    """A model by its settings, for readers; the wide one beside the many of equal cost."""
    study, many = run.study, runs.get(MANY)
    if study.num_experts != 1:
        return run.called(f"{study.num_experts:,} experts")
    times = study.expert_units / many.study.expert_units if many is not None else 1.0
    return run.called(f"1 expert, {times:g} times as wide" if times != 1 else "1 expert")


def as_named(runs: Runs, *names: str) -> bool:
    """Whether runs of these names are there and have the settings that the names stand for."""
    return all(name in runs and runs[name].is_as_named for name in names)


def _pairs(runs: Runs) -> list[tuple[NamedRun, NamedRun]]:
    """The wide model and 2,048 experts of each seed of which both are there."""
    names = [(before + WIDE, before + MANY) for before in ("", *SEED_RUNS)]
    return [(runs[wide], runs[many]) for wide, many in names if as_named(runs, wide, many)]


def _gap(pairs: list[tuple[NamedRun, NamedRun]]) -> Estimate:
    """Perplexity of 2,048 experts over that of the wide one: geometric mean over at least two."""
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
    gap = _gap(pairs)
    low, high = gap.interval(0.95)
    rows.append(
        {"seed": "mean", "ratio": f"{gap.point:.3f} ({low:.3f} to {high:.3f}; n = {gap.n})"}
    )
    return pd.DataFrame(rows)


def in_every_training(runs: Runs) -> str:
    """In how many trainings 2,048 experts are worse; empty for fewer than two."""
    pairs = _pairs(runs)
    if len(pairs) < 2:
        return ""
    worse = sum(perplexity(many) > perplexity(wide) for wide, many in pairs)
    gap = _gap(pairs)
    low, high = gap.interval(0.95)
    return (
        f"{worse} of {gap.n} seeds end so, with {gap.point:.2f} times the test perplexity "
        f"(95 % interval over seeds {low:.2f} to {high:.2f})"
    )
