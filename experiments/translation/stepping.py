"""Recurrent layers of the translator: torch's own, or, where that is slow, `recurrence`.

Shapes: B rows, T steps, K an LSTM's inputs, D its projected outputs, H its units, G four times as
many.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from experiments.mixed_precision import lstm_answer, packed_lstm_outputs
from experiments.translation.recurrence import LSTMSteps
from moe.grouped import as_autocast

Cells = tuple[Tensor, Tensor]


def is_taken_step_by_step(tensor: Tensor) -> bool:
    """Whether `recurrence` takes the steps: on a CPU in full precision, where torch is slower."""
    device = tensor.device.type
    return device == "cpu" and not torch.is_autocast_enabled(device)


class SteppedLSTM:
    """The steps of a one-layer `nn.LSTM` with projection, one pass."""

    def __init__(self, lstm: nn.LSTM, direction: str = "") -> None:
        """Take the weights of a layer.

        Args:
            lstm: one layer with `proj_size`.
            direction: `_reverse` for the backward one.
        """
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_hr_l0")
        input_weight, hidden_weight, input_bias, hidden_bias, projection = (
            getattr(lstm, name + direction) for name in names
        )
        # Two biases as in torch; only their sum counts.
        # Cast once: autocast keeps casts of parameters alone, and would cast views at every step.
        self.input_weight = as_autocast(input_weight)
        self.bias = as_autocast(input_bias + hidden_bias)
        self.hidden_DG, self.projection_HD = map(as_autocast, (hidden_weight.T, projection.T))

    def of_inputs(self, inputs_BTK: Tensor) -> Tensor:
        """The gates' share of inputs that are known before the first step, `[B, T, G]`.

        Args:
            inputs_BTK: the first of the layer's inputs, or all.
        """
        # One product for all steps. What is known only step by step, the attention's context, has
        # the weight's other columns.
        weight = self.input_weight[:, : inputs_BTK.shape[-1]]
        return nn.functional.linear(inputs_BTK, weight, self.bias)

    def step(self, gates_BG: Tensor, cells: Cells) -> Cells:
        """One step.

        Args:
            gates_BG: the inputs' share, `[B, G]`.
            cells: output `[B, D]` and cell `[B, H]` before it.

        Returns:
            Output and cell after it.
        """
        output_BD, cell_BH = cells
        gates_BG = gates_BG + output_BD @ self.hidden_DG
        into, forget, new, out = gates_BG.chunk(4, dim=1)
        # c_t = sigma(f) c_(t-1) + sigma(i) tanh(g), in torch's order of gates: i, f, g, o.
        cell_BH = forget.sigmoid() * cell_BH + into.sigmoid() * new.tanh()
        # r_t = (sigma(o) tanh(c_t)) W_r, the projected output that is recurrent (Sak et al. 2014).
        return (out.sigmoid() * cell_BH.tanh()) @ self.projection_HD, cell_BH


def run(lstm: nn.LSTM, inputs_BTD: Tensor, cells: Cells | None = None) -> tuple[Tensor, Cells]:
    """What a one-way `lstm` answers.

    Args:
        lstm: one layer with projection, batch first.
        inputs_BTD: `[B, T, K]`.
        cells: output `[1, B, D]` and cell `[1, B, H]` before the first step; zeros by default.

    Returns:
        Outputs `[B, T, D]`, and output and cell after the last step.
    """
    if not is_taken_step_by_step(inputs_BTD):
        return lstm_answer(lstm, inputs_BTD, cells)
    start = _start(lstm, inputs_BTD) if cells is None else (cells[0][0], cells[1][0])
    outputs_BTD, cell_BH = _steps(lstm, inputs_BTD, start)
    return outputs_BTD, (outputs_BTD[None, :, -1], cell_BH[None])


def run_both_ways(lstm: nn.LSTM, inputs_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """What a two-way `lstm` answers; padding comes last and counts as nothing.

    Args:
        lstm: one layer, bidirectional, with projection.
        inputs_BTD: `[B, T, K]`.
        mask_BT: true where there is a token.

    Returns:
        Outputs `[B, T, 2 * D]`, zeros at padding.
    """
    if not is_taken_step_by_step(inputs_BTD):
        # A packed sequence needs at least one token, which a sentence of padding alone lacks.
        lengths = mask_BT.sum(dim=1).clamp(min=1).cpu()
        packed = pack_padded_sequence(inputs_BTD, lengths, batch_first=True, enforce_sorted=False)
        answered = packed_lstm_outputs(lstm, packed)
        padded, _ = pad_packed_sequence(answered, batch_first=True, total_length=mask_BT.shape[1])
        return padded
    start = _start(lstm, inputs_BTD)
    ways = [_steps(lstm, inputs_BTD, start, mask_BT, way)[0] for way in ("", "_reverse")]
    return torch.cat(ways, dim=2)


def _steps(
    lstm: nn.LSTM,
    inputs_BTD: Tensor,
    start: Cells,
    mask_BT: Tensor | None = None,
    direction: str = "",
) -> Cells:
    layer = SteppedLSTM(lstm, direction)
    matrices = layer.hidden_DG, layer.projection_HD
    gates_BTG = layer.of_inputs(inputs_BTD)
    if not direction:
        steps: Cells = LSTMSteps.apply(gates_BTG, *matrices, *start, mask_BT)  # type: ignore[no-untyped-call]
        return steps
    assert mask_BT is not None
    # It begins at each sentence's own end: before it, all stays zero.
    outputs_BTD, cell_BH = LSTMSteps.apply(  # type: ignore[no-untyped-call]
        gates_BTG.flip(1), *matrices, *start, mask_BT.flip(1)
    )
    return outputs_BTD.flip(1), cell_BH


def _start(lstm: nn.LSTM, inputs_BTD: Tensor) -> Cells:
    num_rows = len(inputs_BTD)
    sizes = (lstm.proj_size, lstm.hidden_size)
    output_BD, cell_BH = (inputs_BTD.new_zeros(num_rows, size) for size in sizes)
    return output_BD, cell_BH
