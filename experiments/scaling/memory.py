"""Bytes that the layer keeps for the backward pass, beside its weights."""

from typing import Any

import torch
from torch import Tensor

from experiments.scaling.settings import ScalingConfig
from moe.gates import NoisyTopKGate
from moe.layer import MoE
from moe.stacked import FeedForwardExperts


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
