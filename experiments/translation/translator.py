"""The model: encoder, attention, decoder.

Shapes: B sentences, S source positions, T target positions, N rows of a beam, D width, V subwords,
U attention units.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from experiments.mixed_precision import autocast
from experiments.text.subwords import PAD
from experiments.translation.blocks import AttentionLayer, Bidirectional, MoEBlock, lstm
from experiments.translation.recurrence import AttentiveSteps
from experiments.translation.settings import ModelConfig
from experiments.translation.stepping import SteppedLSTM, is_taken_step_by_step, run
from moe.grouped import as_autocast
from moe.layer import MoEOutput

Cells = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Memory:
    """An encoded source.

    Attributes:
        outputs_BSD: of the encoder.
        keys_BSU: what attention asks of them.
        mask_BS: true where there is a subword.
        moe: by place, `encoder` where there is a mixture.
    """

    outputs_BSD: Tensor
    keys_BSU: Tensor
    mask_BS: Tensor
    moe: dict[str, MoEOutput]

    def take(self, index_N: Tensor) -> "Memory":
        """Rows in another order or number, for a beam."""
        outputs, keys, mask = (
            part[index_N] for part in (self.outputs_BSD, self.keys_BSU, self.mask_BS)
        )
        return Memory(outputs, keys, mask, self.moe)


@dataclass(frozen=True)
class State:
    """The decoder between two subwords.

    Attributes:
        query_ND: the first layer's last output.
        first: output and cell of the first layer, `[1, N, ...]`.
        second: the same of the second.
    """

    query_ND: Tensor
    first: Cells
    second: Cells

    def take(self, index_N: Tensor) -> "State":
        """Rows in another order or number, for a beam."""
        first, second = (
            (hidden[:, index_N], cell[:, index_N]) for hidden, cell in (self.first, self.second)
        )
        return State(self.query_ND[index_N], first, second)


@dataclass(frozen=True)
class Output:
    """What the decoder says of a whole target, or of one subword.

    Attributes:
        logits: `[B, T, V]`.
        attention_BTS: where it looked.
        moe: by place.
        state: after it.
    """

    logits: Tensor
    attention_BTS: Tensor
    moe: dict[str, MoEOutput]
    state: State


class Translator(nn.Module):
    """LSTM, mixture, LSTM on either side, with attention between.

    Source: Shazeer et al. (2017), appendix E. The first decoder layer gets the context of the
    output that it gave one subword before, as in GNMT; the paper does not say which.
    """

    def __init__(self, config: ModelConfig, num_subwords: int, seed: int) -> None:
        """Make all weights, uniform within `init_range`; the gates' start is their own."""
        super().__init__()
        torch.manual_seed(seed)
        self.config = config
        self.embedding = nn.Embedding(num_subwords, config.width, padding_idx=PAD)
        bottom = Bidirectional(config) if config.bidirectional else lstm(config)
        self.bottom = bottom
        self.middle = None if config.bidirectional else lstm(config)
        self.top = lstm(config)
        self.first = lstm(config, 2 * config.width)
        self.second = lstm(config)
        self.attention = AttentionLayer(config)
        has_experts = config.num_experts > 0
        self.encoder_moe = MoEBlock(config) if has_experts else None
        self.decoder_moe = MoEBlock(config) if has_experts else None
        self.constant = 0.5 if config.constant else 0.0
        self.logits = nn.Linear(config.width, num_subwords, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        self._draw(config.init_range)

    def _draw(self, init_range: float) -> None:
        # Gates start at zero and experts as torch's linear layers do; neither is drawn anew.
        experts = {id(weight) for block in self.blocks() for weight in block.parameters()}
        for weight in self.parameters():
            if id(weight) not in experts:
                nn.init.uniform_(weight, -init_range, init_range)

    def blocks(self) -> list[MoEBlock]:
        """The mixtures that there are."""
        return [block for block in (self.encoder_moe, self.decoder_moe) if block is not None]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.weight.device

    def _precision(self) -> torch.autocast:
        return autocast(self.device, self.config.precision)

    def forward(self, source_BS: Tensor, target_in_BT: Tensor) -> Output:
        """The next subword at every target position, given the true ones before it."""
        memory = self.encode(source_BS)
        mask_BT = target_in_BT != PAD
        return self.decode(target_in_BT, mask_BT, memory, self.start(memory))

    def encode(self, source_BS: Tensor) -> Memory:
        """Read the source."""
        with self._precision():
            return self._encode(source_BS)

    def _encode(self, source_BS: Tensor) -> Memory:
        mask_BS = source_BS != PAD
        # A sentence of padding alone would have nothing to look at.
        mask_BS[:, 0] = True
        # Appendix C.1: every layer's output has dropout and is added to the layer's input.
        # Embeddings have dropout too (appendix E), and nothing to be added to.
        hidden = self.dropout(self.embedding(source_BS))
        if isinstance(self.bottom, Bidirectional):
            hidden = hidden + self.dropout(self.bottom(hidden, mask_BS))
        else:
            hidden = hidden + self.dropout(run(self.bottom, hidden)[0])
        if self.middle is not None:
            hidden = hidden + self.dropout(run(self.middle, hidden)[0])
        moe = {}
        if self.encoder_moe is not None:
            hidden, moe["encoder"] = self.encoder_moe(hidden, mask_BS)
        hidden = self._with_constant(hidden)
        hidden = hidden + self.dropout(run(self.top, hidden)[0])
        return Memory(hidden, self.attention.keys(hidden), mask_BS, moe)

    def _with_constant(self, hidden: Tensor) -> Tensor:
        """Add what a mixture adds before it has learnt anything, if it stands in its place."""
        # dropout(sigmoid(0)), as in `MoEBlock`: 0.5 in every coordinate.
        if not self.constant:
            return hidden
        added: Tensor = self.dropout(torch.full_like(hidden, self.constant))
        return hidden + added

    def start(self, memory: Memory) -> State:
        """The decoder before the first subword: zeros."""
        num_rows = len(memory.outputs_BSD)
        hidden = memory.outputs_BSD.new_zeros(1, num_rows, self.config.width)
        cell = memory.outputs_BSD.new_zeros(1, num_rows, self.config.num_units)
        return State(hidden[0], (hidden, cell), (hidden, cell))

    def decode(self, target_NT: Tensor, mask_NT: Tensor, memory: Memory, state: State) -> Output:
        """Say the next subword after each of the given ones; for one step T is 1."""
        with self._precision():
            return self._decode(target_NT, mask_NT, memory, state)

    def _decode(self, target_NT: Tensor, mask_NT: Tensor, memory: Memory, state: State) -> Output:
        embedded_NTD = self.dropout(self.embedding(target_NT))
        first_NTD, attention_NTS, query_ND, first = self._first_layer(embedded_NTD, memory, state)
        hidden = embedded_NTD + self.dropout(first_NTD)
        moe = dict(memory.moe)
        if self.decoder_moe is not None:
            hidden, moe["decoder"] = self.decoder_moe(hidden, mask_NT)
        hidden = self._with_constant(hidden)
        answered, second = run(self.second, hidden, state.second)
        hidden = hidden + self.dropout(answered)
        after = State(query_ND, first, second)
        return Output(self.logits(hidden).float(), attention_NTS, moe, after)

    def _first_layer(
        self, embedded_NTD: Tensor, memory: Memory, state: State
    ) -> tuple[Tensor, Tensor, Tensor, Cells]:
        # Step by step: each step's context depends on the output before it.
        # The input's share of the gates for all steps at once; the context's columns come step by
        # step.
        width, lstm = embedded_NTD.shape[2], SteppedLSTM(self.first)
        gates_NTG, context_DG = lstm.of_inputs(embedded_NTD), lstm.input_weight[:, width:].T
        # GNMT asks with the output of the step before. A(x, y_(t-1)) needs nothing of step t.
        query_ND, cell_NH = state.query_ND, state.first[1][0]
        if self.attention.multiplicative and is_taken_step_by_step(embedded_NTD):
            of_lstm = (gates_NTG, lstm.hidden_DG, lstm.projection_HD, context_DG)
            of_source = (memory.keys_BSU, memory.outputs_BSD, memory.mask_BS)
            outputs_NTD, cell_NH, attention_NTS = AttentiveSteps.apply(  # type: ignore[no-untyped-call]
                *of_lstm, self.attention.of_query.weight.T, *of_source, query_ND, cell_NH
            )
            query_ND = outputs_NTD[:, -1]
            return outputs_NTD, attention_NTS, query_ND, (query_ND[None], cell_NH[None])
        outputs, looked = [], []
        # Cast once: autocast would do it at every step.
        keys_BSU, outputs_BSD = as_autocast(memory.keys_BSU), as_autocast(memory.outputs_BSD)
        for gates_NG in gates_NTG.unbind(dim=1):
            weight_NS = self.attention.look(query_ND, keys_BSU, memory.mask_BS)
            context_ND = (weight_NS[:, None] @ outputs_BSD).squeeze(1)
            gates_NG = gates_NG + context_ND @ context_DG
            query_ND, cell_NH = lstm.step(gates_NG, (query_ND, cell_NH))
            outputs.append(query_ND)
            looked.append(weight_NS)
        after = (query_ND[None], cell_NH[None])
        return torch.stack(outputs, 1), torch.stack(looked, 1), query_ND, after
