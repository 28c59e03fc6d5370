"""LSTM, a block between, LSTM: the models of Table 7 at equal operations per word.

Shapes: S subwords of B streams, D width, V subwords in all, E experts, H units of an expert.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import isqrt

import torch
from torch import Tensor, nn

from experiments.language_model.settings import (
    LEARNT_GATES,
    Block,
    Gate,
    LanguageModelConfig,
    num_hidden_layers,
    num_lstms,
)
from moe.gates import Gate as MoEGate
from moe.gates import HierarchicalGate, NoisyTopKGate, SoftmaxGate
from moe.gates.base import count_load, even_routing
from moe.layer import MoE, MoEOutput
from moe.routing import Routing
from moe.stacked import FeedForwardExperts

State = list[tuple[Tensor, Tensor]]
# Odd numbers with well mixed bits, as of multiplicative hashing (Knuth, volume 3, section 6.4).
_MULTIPLIERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)


@dataclass(frozen=True)
class Output:
    """What the model says of a stretch.

    Attributes:
        logits_SBV: of the next subword.
        state: of the LSTMs after the stretch.
        moe: the mixture's output, where there is one.
    """

    logits_SBV: Tensor
    state: State
    moe: MoEOutput | None


class HashGate(nn.Module):
    """Experts by a fixed hash of the last words: nothing is learnt, all weigh the same.

    A control: what does capacity alone give, and what does the learnt gate add?
    """

    def __init__(self, num_experts: int, k: int) -> None:
        """Hash to k different ones of so many experts."""
        super().__init__()
        self.num_experts, self.k = num_experts, k

    def forward(self, words: Tensor, mask: Tensor | None = None) -> Routing:
        """Route words `[..., W]`, int64, by all W of them."""
        words_TW = words.flatten(0, -2)
        # Word after word, so that "a b" and "b a" differ. Plus one, or the word 0 would leave no
        # trace.
        key_T = torch.zeros_like(words_TW[:, 0])
        for word_T in words_TW.unbind(dim=1):
            key_T = _mixed(key_T + word_T + 1)
        # The first expert by the hash, the others by steps that never come back to it within k.
        step_T = _mixed(key_T) % max(1, (self.num_experts - 1) // max(1, self.k - 1)) + 1
        number_K = torch.arange(self.k, device=key_T.device)
        expert_TK = (key_T.unsqueeze(1) + step_T.unsqueeze(1) * number_K) % self.num_experts
        weight_TK = torch.full(expert_TK.shape, 1 / self.k, device=key_T.device)
        load_E = count_load(expert_TK, None, self.num_experts)
        return even_routing(expert_TK, weight_TK, None, load_E)


def _mixed(key_T: Tensor) -> Tensor:
    # The multipliers as signed numbers of 64 bits, which is all that torch has.
    first, second = (value - 2**64 if value >= 2**63 else value for value in _MULTIPLIERS)
    # Products wrap around in int64, as the hash wants. A shift brings the high bits, which depend
    # on all of the key, down to the low ones, which the remainder by the number of experts reads.
    key_T = (key_T * first) ^ ((key_T * first) >> 29)
    # The mask leaves 47 bits without a sign, so that no sum with a word or with k steps overflows.
    return ((key_T * second) >> 3) & 0x7FFFFFFFFFFF


class ExpertBlock(nn.Module):
    """The mixture of experts.

    Source: Shazeer et al. (2017), section 3.1 and appendix C.1: one ReLU layer per expert.
    """

    def __init__(self, config: LanguageModelConfig) -> None:
        """Make gate and experts."""
        super().__init__()
        self.kind, width = config.gate, config.width
        experts = FeedForwardExperts(config.num_experts, width, config.expert_units)
        self.layer = MoE(gate_of(config), experts)
        if config.gate is Gate.random_words:
            # A fixed random vector per word: a gate that can tell words apart and cannot learn.
            self.vectors = nn.Embedding(config.num_subwords, width)
            self.vectors.requires_grad_(False)

    def forward(self, inputs_SBD: Tensor, words_SB2: Tensor) -> MoEOutput:
        """The layer's output; a control's gate sees the words instead of the inputs."""
        seen = None
        if self.kind is Gate.hash_word:
            seen = words_SB2[..., 1:]
        elif self.kind is Gate.hash_two_words:
            seen = words_SB2
        elif self.kind is Gate.random_words:
            seen = self.vectors(words_SB2[..., 1])
        output: MoEOutput = self.layer(inputs_SBD, gate_inputs=seen)
        return output


def gate_of(config: LanguageModelConfig) -> nn.Module:
    """The gate that a config asks for; a hierarchy takes the root of k on either level."""
    width, num_experts, k = config.width, config.num_experts, config.k
    if config.gate is Gate.hierarchical:
        return HierarchicalGate(width, num_experts, config.num_groups, isqrt(k), isqrt(k))
    if config.gate in (Gate.hash_word, Gate.hash_two_words):
        return HashGate(num_experts, k)
    if config.gate in (Gate.random_words, Gate.random_inputs):
        gate: MoEGate = SoftmaxGate(width, num_experts, k, init_scale=1.0)
        return gate.requires_grad_(False)
    return NoisyTopKGate(width, num_experts, k)


class LanguageModel(nn.Module):
    """The model of section 5.1 and appendix C.1.

    Every layer's output has dropout and is added to its input; a mixture's goes through a sigmoid
    before.
    """

    def __init__(self, config: LanguageModelConfig, num_subwords: int) -> None:
        """Make the layers; their first weights are of torch's generator."""
        super().__init__()
        width = config.width
        self.config = config
        self.embedding = nn.Embedding(num_subwords, width)
        num_between = int(num_lstms(config)) if config.block is Block.lstm else 0
        self.lstms = nn.ModuleList(nn.LSTM(width, width) for _ in range(2 + num_between))
        self.between = _between(config)
        self.softmax = nn.Linear(width, num_subwords)
        self.dropout = nn.Dropout(config.dropout)
        for weight in (self.embedding.weight, self.softmax.weight):
            nn.init.uniform_(weight, -config.init_range, config.init_range)
        nn.init.zeros_(self.softmax.bias)

    @property
    def mixture(self) -> MoE | None:
        """The mixture of experts, where there is one."""
        return self.between.layer if isinstance(self.between, ExpertBlock) else None

    def forward(
        self, inputs_SB: Tensor, state: State | None = None, before_B: Tensor | None = None
    ) -> Output:
        """Predict what comes next.

        Args:
            inputs_SB: a stretch of all streams.
            state: of the LSTMs before it; None for zeros.
            before_B: the inputs before the stretch; None for zeros.
        """
        state = state or [None] * len(self.lstms)  # type: ignore[list-item]
        hidden = self.dropout(self.embedding(inputs_SB))
        after: State = []
        moe: MoEOutput | None = None
        for place, lstm in enumerate(self.lstms):
            if place == 1:
                hidden, moe = self._through_block(hidden, _last_two(inputs_SB, before_B))
            answer, own = lstm(hidden, state[place])
            hidden = hidden + self.dropout(answer)
            after.append((own[0].detach(), own[1].detach()))
        return Output(self.softmax(hidden), after, moe)

    def _through_block(self, hidden: Tensor, words_SB2: Tensor) -> tuple[Tensor, MoEOutput | None]:
        if self.config.block in (Block.none, Block.lstm):
            return hidden, None
        moe: MoEOutput | None = None
        if isinstance(self.between, ExpertBlock):
            moe = self.between(hidden, words_SB2)
            answer = moe.outputs
        elif self.between is None:
            # What a mixture adds before it has learnt anything: the control of Figure 4.
            answer = torch.zeros_like(hidden)
        else:
            answer = self.between(hidden)
        answer = torch.sigmoid(answer) if self.config.sigmoid else answer
        return hidden + self.dropout(answer), moe


def _last_two(inputs_SB: Tensor, before_B: Tensor | None) -> Tensor:
    """Every input and the one before it, `[S, B, 2]`, the newer one last."""
    before_B = torch.zeros_like(inputs_SB[0]) if before_B is None else before_B
    earlier_SB = torch.cat([before_B.unsqueeze(0), inputs_SB[:-1]])
    return torch.stack([earlier_SB, inputs_SB], dim=-1)


def _between(config: LanguageModelConfig) -> nn.Module | None:
    width, units = config.width, config.expert_units
    if config.block is Block.experts:
        return ExpertBlock(config)
    if config.block is Block.wide:
        return _layers(width, [config.k * units])
    if config.block is Block.deep:
        return _layers(width, [units] * int(num_hidden_layers(config)))
    return None


def _layers(width: int, hidden: list[int]) -> nn.Sequential:
    """One expert of any depth, without biases, as experts have none."""
    sizes = [width, *hidden, width]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after, bias=False), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def is_learnt(config: LanguageModelConfig) -> bool:
    """Whether the model has a gate that learns."""
    return config.block is Block.experts and config.gate in LEARNT_GATES
