"""One run of the scaling study: time every contender at every number of experts."""

import os
from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from experiments.run_folder import RunFolder
from experiments.runner.provenance import cpu_model
from experiments.scaling.settings import ScalingConfig
from experiments.scaling.timing import contenders, interleaved
from moe.gates import NoisyTopKGate
from moe.layer import MoE
from moe.memory import keep_memory
from moe.stacked import FeedForwardExperts


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


def memory_row(config: ScalingConfig, num_experts: int) -> dict[str, float]:
    """Bytes of the experts' weights, and bytes kept per token, of one number of experts.

    Kept are the tensors that autograd saves, each storage once, without the weights themselves
    and without the gate's logits over all experts, which `gate_bytes_per_token` counts.
    """
    layer = MoE(
        NoisyTopKGate(config.num_features, num_experts, config.k),
        FeedForwardExperts(num_experts, config.num_features, config.num_hidden),
    )
    torch.manual_seed(0)
    tokens = torch.randn(config.num_tokens, config.num_features)
    own = {weight.untyped_storage().data_ptr() for weight in layer.parameters()}
    # Autograd keeps what the gate saves too; taken away, what is left is the experts'.
    both = _saved_bytes(lambda: layer(tokens), own)
    gate = _saved_bytes(lambda: layer.gate(tokens), own)
    return {
        "num_experts": num_experts,
        "weight_bytes": sum(4 * weight.numel() for weight in layer.experts.parameters()),
        "kept_bytes_per_token": (both - gate) / config.num_tokens,
        "gate_bytes_per_token": gate / config.num_tokens,
    }


def _saved_bytes(work: Any, own: set[int]) -> int:
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        # The result stays alive until all is counted: a freed storage's address is used again.
        kept = work()
    del kept
    return sum(sizes.values())
