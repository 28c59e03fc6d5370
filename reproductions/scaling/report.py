"""The scaling study's report, put together from finished timings."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from experiments.scaling.timing import ratios, spread
from reproductions.runs import NamedRun, Runs, Source, SuiteRuns, distinct
from reproductions.scaling.evidence import FORMS, FREE, limit, ours, seconds
from reproductions.scaling.figures import cost_per_token, skew_and_gates
from reproductions.study_report import Parts, Study, departures_except
from reproductions.translation import SHAZEER_2017, SHAZEER_2017_URL
from reproductions.verdicts.judge import Judged


def _parts(found: SuiteRuns, judged: Sequence[Judged], source: Source) -> Parts:
    tables = [
        (
            f"{run.study.num_tokens:,} tokens{', Zipf' if run.study.skew else ''}: medians over "
            "rounds, with lowest and highest.",
            times_table(run),
        )
        for run in distinct(found.runs.values())
    ]
    tables.append(("Memory, float32.", memory_table(found.runs)))
    return Parts([cost_per_token(found.runs), skew_and_gates(found.runs)], tables)


def times_table(run: NamedRun) -> pd.DataFrame:
    """Times and ratios of every contender at every number of experts; medians, low and high."""
    rows = []
    for num_experts, times in seconds(run).groupby("num_experts"):
        # Dense plus traffic is what one reaches that does one after the other.
        bound = limit(times).tolist()
        # Ratios are taken round by round, so that what slows a whole round cancels.
        mine = times[ours(times)].tolist()
        for name in times.columns[times.notna().all()]:
            own = times[name].tolist()
            rows.append(
                {
                    "experts": f"{num_experts:,}",
                    "contender": name,
                    "µs per token": spread([1e6 * time / run.study.num_tokens for time in own]),
                    "over dense + traffic": spread(ratios(own, bound)),
                    "over ours": spread(ratios(own, mine)),
                }
            )
    return pd.DataFrame(rows)


def memory_table(runs: Runs) -> pd.DataFrame:
    """Show the bytes of weights and of what a token keeps, by number of experts."""
    if "tokens_4096" not in runs:
        return pd.DataFrame()
    memory = runs["tokens_4096"].table("memory")
    return pd.DataFrame(
        {
            "experts": [f"{size:,}" for size in memory["num_experts"]],
            "weights, MB": (memory["weight_bytes"] / 1e6).round(1),
            "kept per token by the experts, bytes": memory["kept_bytes_per_token"].round(),
            "kept per token by the flat gate, bytes": memory["gate_bytes_per_token"].round(),
        }
    )


STUDY = Study(
    name="scaling",
    title="Constant cost: the scaling study",
    citation=SHAZEER_2017,
    citation_url=SHAZEER_2017_URL,
    folder=Path(__file__).parent,
    forms=FORMS,
    why_not_comparable=departures_except(FREE),
    parts=_parts,
    target="scaling",
    about="A sparse layer asks only a few of its many experts about each word. In theory more "
    "experts then cost nothing more per word; here their time is measured from 4 to 2,048 "
    "experts, and that of the gate beside it.",
    next_steps=("make benchmark-core   the same sizes and a whole training step, as plain tables",),
)
