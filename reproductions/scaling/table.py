"""The tables of the scaling report."""

from collections.abc import Mapping

import pandas as pd

from experiments.scaling.timing import ratios, spread
from reproductions.runs import NamedRun
from reproductions.scaling.measures import limit, ours, seconds


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


def memory_table(runs: Mapping[str, NamedRun]) -> pd.DataFrame:
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
