"""What the encoder and the decoder are built from.

Shapes: B sentences, S positions, T target positions, D width, U attention units.
"""

from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments import mixed_precision
from experiments.translation.settings import Attention, GateName, ModelConfig
from experiments.translation.stepping import run_both_ways
from moe.gates import Gate, HierarchicalGate, NoisyTopKGate, StrictlyBalancedGate
from moe.layer import MoE, MoEOutput
from moe.stacked import FeedForwardExperts


def lstm(config: ModelConfig, num_inputs: int | None = None) -> nn.LSTM:
    """An LSTM whose output is projected to the width, and recurrent in that form."""
    return nn.LSTM(
        config.width if num_inputs is None else num_inputs,
        config.num_units,
        proj_size=config.width,
        batch_first=True,
    )


class Bidirectional(nn.Module):
    """Two LSTMs, one from either end, whose outputs are added.

    Both have full size: only then do the operations per timestep come to the published 85 million
    (see `counts`), if a pair counts as two of the encoder's three layers.
    """

    def __init__(self, config: ModelConfig) -> None:
        """Make both."""
        super().__init__()
        # One module of both directions: torch then runs them in one call.
        self.layers = nn.LSTM(
            config.width,
            config.num_units,
            proj_size=config.width,
            bidirectional=True,
            batch_first=True,
        )

    def forward(self, inputs_BSD: Tensor, mask_BS: Tensor) -> Tensor:
        """Answer every position, `[B, S, D]`; the backward one begins at a sentence's own end."""
        # Added, not side by side: all layers have inputs and outputs of one width (appendix E).
        return _added(run_both_ways(self.layers, inputs_BSD, mask_BS))


def _added(outputs_BSD: Tensor) -> Tensor:
    forward_BSD, backward_BSD = outputs_BSD.chunk(2, dim=2)
    return forward_BSD + backward_BSD


class MoEBlock(nn.Module):
    """Mixture of experts, sigmoid, dropout, and the input added to it.

    Source: Shazeer et al. (2017), appendix E, in the order of appendix C.1.
    """

    def __init__(self, config: ModelConfig) -> None:
        """Make gate and experts."""
        super().__init__()
        self.layer = MoE(gate_of(config), experts_of(config, config.num_experts), fused=True)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, inputs: Tensor, mask: Tensor) -> tuple[Tensor, MoEOutput]:
        """Outputs of the inputs' shape, and the layer's own output with its routing."""
        # The layer chooses its own precisions: gates in float32, experts in that of their weights.
        with torch.autocast(inputs.device.type, enabled=False):
            # Padding is masked: it takes no expert's time, and counts in no balance loss.
            output = self.layer(inputs.to(self.layer.stacks[0].weight.dtype), mask)
        # Shazeer et al. (2017), appendix E: sigmoid(MoE(x)), dropout, then the residual x.
        outputs: Tensor = inputs + self.dropout(torch.sigmoid(output.outputs))
        return outputs, output


def experts_of(config: ModelConfig, num_experts: int) -> FeedForwardExperts:
    """So many of the experts that a config asks for: all of them, or one process's."""
    sizes = (num_experts, config.width, config.expert_units)
    return FeedForwardExperts(*sizes, dtype=dtype_of(config))


def dtype_of(config: ModelConfig) -> torch.dtype:
    """Of the experts' weights, and of the other layers' products."""
    return mixed_precision.dtype_of(config.precision)


def gate_of(config: ModelConfig) -> Gate:
    """The gate that a config asks for; a hierarchy takes the root of k on either level."""
    if config.gate is GateName.hierarchical:
        # Appendix E: k = 2 on each level, which makes exactly 4 experts.
        k = isqrt(config.k)
        return HierarchicalGate(config.width, config.num_experts, config.num_groups, k, k)
    if config.gate is GateName.balanced:
        return StrictlyBalancedGate(config.width, config.num_experts, config.k)
    return NoisyTopKGate(config.width, config.num_experts, config.k)


class AttentionLayer(nn.Module):
    """Where in the source to look.

    Source: Shazeer et al. (2017), appendix G: A(x, y) = sum_d V_d tanh(xU)_d tanh(yW)_d; GNMT has
    sum_d V_d tanh(xU + yW)_d.
    """

    def __init__(self, config: ModelConfig) -> None:
        """Make U, W and V."""
        super().__init__()
        self.multiplicative = config.attention is Attention.multiplicative
        self.of_source = nn.Linear(config.width, config.attention_units, bias=False)
        self.of_query = nn.Linear(config.width, config.attention_units, bias=False)
        self.value_U = nn.Parameter(torch.empty(config.attention_units))

    def keys(self, memory_BSD: Tensor) -> Tensor:
        """What the source offers to every query, `[B, S, U]`; computed once per sentence."""
        # tanh(xU)_d V_d does not depend on the query: it is computed once per sentence.
        keys: Tensor = self.of_source(memory_BSD)
        return torch.tanh(keys) * self.value_U if self.multiplicative else keys

    def look(self, query_BD: Tensor, keys_BSU: Tensor, mask_BS: Tensor) -> Tensor:
        """Where to look, `[B, S]`: weights over source positions, zero at padding.

        Args:
            query_BD: what asks.
            keys_BSU: what the source offers.
            mask_BS: true where there is a subword.
        """
        query_BU = self.of_query(query_BD)
        # Appendix G gives the reason: a matrix product in place of a tanh for every pair.
        if self.multiplicative:
            score_BS = (torch.tanh(query_BU)[:, None] @ keys_BSU.transpose(1, 2)).squeeze(1)
        else:
            # GNMT: A(x_s, y) = sum_u V_u tanh(x_s U + y W)_u
            score_BS = torch.tanh(keys_BSU + query_BU[:, None]) @ self.value_U
        return F.softmax(score_BS.masked_fill(~mask_BS, -torch.inf), dim=1)
