"""One run of the scaling study: time every contender at every number of experts."""

import os
from collections.abc import Callable
from typing import Any

import pandas as pd

from experiments.provenance import cpu_model
from experiments.run_folder import RunFolder
from experiments.scaling.contenders import contenders
from experiments.scaling.memory import memory_row
from experiments.scaling.settings import ScalingConfig
from moe.benchmarks.timing import interleaved
from moe.memory import keep_memory


def identity(config: ScalingConfig) -> dict[str, object]:
    """What beside config and code decides a timing: the machine."""
    return {"cpu": cpu_model(), "num_cores": os.cpu_count()}


def run(
    config: ScalingConfig, folder: RunFolder, report: Callable[[str, float], None]
) -> dict[str, Any]:
    """Time all contenders, continuing after the last number of experts that was finished.

    Writes metrics.csv (seconds by number of experts, contender and round) and memory.csv.

    Args:
        config: the settings.
        folder: a claimed run folder.
        report: called with a stage's name and the share of it that is done.

    Returns:
        Facts for the manifest: whether freed memory was kept.
    """
    kept = keep_memory()
    done = folder.load_checkpoint() or {"times": [], "memory": []}
    for num_experts in config.num_experts[len(done["memory"]) :]:
        done["times"] += _times(config, num_experts)
        done["memory"].append(memory_row(config, num_experts))
        folder.save_checkpoint(done)
        report("sizes", len(done["memory"]) / len(config.num_experts))
    folder.write_table("metrics", pd.DataFrame(done["times"]))
    folder.write_table("memory", pd.DataFrame(done["memory"]))
    return {"freed_memory_kept": kept}


def _times(config: ScalingConfig, num_experts: int) -> list[dict[str, Any]]:
    seconds = interleaved(contenders(config, num_experts), config.num_rounds)
    return [
        {"num_experts": num_experts, "contender": name, "round": place, "seconds": time}
        for name, times in seconds.items()
        for place, time in enumerate(times)
    ]
