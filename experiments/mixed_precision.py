"""Recurrent layers in the precision that was asked for, and not in the one that torch picks.

Under autocast torch gives cuDNN's recurrent layers float16 whatever dtype was asked for
(ATen/cudnn/AutocastRNN.cpp). Its smallest normal number is 6e-5, so that most gradients of
recurrent weights would become zero unless losses were scaled. Here they are cast on purpose, with
autocast off.
"""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from experiments.runner.schema import Precision

Cells = tuple[Tensor, Tensor]
_NOT_IN_ONE_PIECE = "RNN module weights are not part of single contiguous chunk of memory"


def dtype_of(precision: Precision) -> torch.dtype:
    """The same for torch."""
    return torch.bfloat16 if precision is Precision.bfloat16 else torch.float32


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Products in this precision; no change for float32."""
    is_mixed = precision is not Precision.float32
    return torch.autocast(device.type, dtype_of(precision), enabled=is_mixed)


def lstm_answer(
    lstm: nn.LSTM, inputs_BTK: Tensor, cells: Cells | None = None
) -> tuple[Tensor, Cells]:
    """What a layer answers, in autocast's dtype where that is on.

    Args:
        lstm: of any number of layers, batch first or not.
        inputs_BTK: as the layer takes them.
        cells: output and cell before the first step; zeros by default.

    Returns:
        Outputs of all steps, and output and cell after the last.
    """
    dtype = _wanted_dtype(inputs_BTK.device.type)
    if dtype is None:
        return lstm(inputs_BTK, cells)  # type: ignore[no-any-return]
    num_rows = inputs_BTK.shape[0 if lstm.batch_first else 1]
    start = _start(lstm, inputs_BTK, num_rows) if cells is None else cells
    arguments = (*_settings(lstm), lstm.batch_first)
    outputs, *last = _call(inputs_BTK, (), start, lstm, dtype, arguments)
    return outputs, (last[0], last[1])


def packed_lstm_outputs(lstm: nn.LSTM, packed: PackedSequence) -> PackedSequence:
    """The outputs of sentences of several lengths, from zeros; the dtype is as above."""
    dtype = _wanted_dtype(packed.data.device.type)
    if dtype is None:
        outputs: PackedSequence = lstm(packed)[0]
        return outputs
    start = _start(lstm, packed.data, int(packed.batch_sizes[0]))
    data = _call(packed.data, (packed.batch_sizes,), start, lstm, dtype, _settings(lstm))[0]
    return PackedSequence(data, *packed[1:])


def _wanted_dtype(device: str) -> torch.dtype | None:
    # Outside autocast a layer keeps the dtype of its weights.
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def _settings(lstm: nn.LSTM) -> tuple[object, ...]:
    return (lstm.bias, lstm.num_layers, lstm.dropout, lstm.training, lstm.bidirectional)


def _start(lstm: nn.LSTM, inputs: Tensor, num_rows: int) -> Cells:
    num_passes = lstm.num_layers * (2 if lstm.bidirectional else 1)
    sizes = (lstm.proj_size or lstm.hidden_size, lstm.hidden_size)
    output, cell = (inputs.new_zeros(num_passes, num_rows, size) for size in sizes)
    return output, cell


def _call(
    inputs: Tensor,
    lengths: tuple[Tensor, ...],
    cells: Cells,
    lstm: nn.LSTM,
    dtype: torch.dtype,
    arguments: Sequence[object],
) -> tuple[Tensor, ...]:
    weights = [weight.to(dtype) for layer in lstm.all_weights for weight in layer]
    own = [cell.to(dtype) for cell in cells]
    with torch.autocast(inputs.device.type, enabled=False), warnings.catch_warnings():
        # cuDNN packs the weights anew at every call: they have just been cast, so it must.
        warnings.filterwarnings("ignore", _NOT_IN_ONE_PIECE)
        found: tuple[Tensor, ...] = torch.lstm(  # type: ignore[call-overload]
            inputs.to(dtype), *lengths, own, weights, *arguments
        )
    return found
