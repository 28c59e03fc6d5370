"""The scaling study's report, put together from finished timings."""

from pathlib import Path

import pandas as pd

from moe.benchmarks.timing import ratios, spread
from reproductions.runs import Found, NamedRun, Runs, distinct
from reproductions.scaling.evidence import evidence, limit, ours, seconds
from reproductions.scaling.figures import cost_per_token, skew_and_gates
from reproductions.study_report import Picture, StudyReport, drawn, filled, load_notes
from reproductions.translation import SHAZEER_2017, SHAZEER_2017_URL
from reproductions.verdicts.claims import load_claims
from reproductions.verdicts.judge import judge_all
from reproductions.verdicts.verdict_text import Group, summary

_HERE = Path(__file__).parent


def build(found: Found, runs_dir: str, command: str) -> tuple[StudyReport, list[Picture]]:
    """The report and its pictures.

    Args:
        found: the suite's finished runs.
        runs_dir: folder of all runs.
        command: the line that makes the report again.
    """
    judged = judge_all(load_claims(_HERE / "claims.yaml"), evidence(found.runs), found.runs)
    pictures = drawn([cost_per_token(found.runs), skew_and_gates(found.runs)])
    report = StudyReport(
        study="scaling",
        title="Constant cost: the scaling study",
        summary="\n\n".join(summary(judged, found.runs, GROUPS)),
        citation=SHAZEER_2017,
        tables=tuple(_tables(found)),
        judged=judged,
        figures=tuple(figure for figure, _ in pictures),
        notes=load_notes(_HERE / "notes.yaml"),
        command=command,
        citation_url=SHAZEER_2017_URL,
    )
    return report, pictures


def _tables(found: Found) -> list[tuple[str, pd.DataFrame]]:
    tables = [
        (
            f"{run.study.num_tokens:,} tokens{', Zipf' if run.study.skew else ''}: medians over "
            "rounds, with lowest and highest.",
            times_table(run),
        )
        for run in distinct(found.runs.values())
    ]
    tables.append(("Memory, float32.", memory_table(found.runs)))
    return filled(tables)


GROUPS = (
    Group("flat-cost", "cost per token is flat in the number of experts"),
    Group("near-limit", "our layer is near its limit"),
    Group("skew", "skewed routing costs no more"),
    Group("two-level-gate", "the two-level gate is cheap beside the experts"),
    Group("two-level-cheaper", "the two-level gate is cheaper than the flat one"),
    Group("faster-than", "our layer is faster than the usual port"),
)


def times_table(run: NamedRun) -> pd.DataFrame:
    """Times and ratios of every contender at every number of experts; medians, low and high."""
    rows = []
    for num_experts, times in seconds(run).groupby("num_experts"):
        bound = limit(times).tolist()
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
    """Bytes by number of experts."""
    if "tokens_4096" not in runs:
        return pd.DataFrame()
    memory = runs["tokens_4096"].finished.table("memory")
    return pd.DataFrame(
        {
            "experts": [f"{size:,}" for size in memory["num_experts"]],
            "weights, MB": (memory["weight_bytes"] / 1e6).round(1),
            "kept per token by the experts, bytes": memory["kept_bytes_per_token"].round(),
            "kept per token by the flat gate, bytes": memory["gate_bytes_per_token"].round(),
        }
    )
