"""Recurrent layers of mixed precision: which dtype they see, compute and return."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from experiments.mixed_precision import lstm_answer, packed_lstm_outputs
from experiments.runner.schema import Precision
from experiments.text.encoded import collate
from experiments.text.subwords import PAD
from experiments.translation.evaluation import cross_entropy
from experiments.translation.translator import Translator
from tests.experiments.translation.translation_cases import NUM_SUBWORDS, PAIRS, TINY

MIXED = replace(TINY, precision=Precision.bfloat16, dropout=0.0)


def tensors_in(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return (
        [each for part in value for each in tensors_in(part)]
        if isinstance(value, list | tuple)
        else []
    )


class Recurrences(TorchFunctionMode):
    """Notes the dtypes of every recurrent layer that is called, and whether autocast was on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[set[torch.dtype], bool]] = []

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        answer = function(*arguments, **(options or {}))
        if getattr(function, "__name__", "") == "lstm":
            floats = [t for t in tensors_in([arguments, answer]) if t.is_floating_point()]
            is_on = torch.is_autocast_enabled("cpu")
            self.seen.append(({t.dtype for t in floats}, is_on))
        return answer


def step(config: Any) -> tuple[Translator, list[tuple[set[torch.dtype], bool]]]:
    model = Translator(config, NUM_SUBWORDS, 0)
    batch = collate(PAIRS, [0, 5, 7, 11])
    with Recurrences() as noted:
        output = model(batch.source_BS, batch.target_in_BT)
    cross_entropy(output, batch).backward()
    return model, noted.seen


@pytest.mark.parametrize("bidirectional", [True, False])
def test_every_recurrent_layer_of_the_translator_has_bfloat16_cast_on_purpose(
    bidirectional: bool,
) -> None:
    # Autocast on, cuDNN's layers would become float16 whatever it was asked for.
    _, seen = step(replace(MIXED, bidirectional=bidirectional))
    assert seen == [({torch.bfloat16}, False)] * (3 if bidirectional else 4)


def test_gradients_of_recurrent_weights_are_float32_and_none_vanishes() -> None:
    (mixed, _), (full, _) = step(MIXED), step(replace(MIXED, precision=Precision.float32))
    for (name, ours), theirs in zip(mixed.named_parameters(), full.parameters(), strict=True):
        if "weight_hh" in name:
            assert ours.grad is not None
            assert ours.grad.dtype is torch.float32
            zeros = [float((weight.grad == 0).float().mean()) for weight in (ours, theirs)]
            assert zeros[0] <= zeros[1] + 0.01, name


LAYERS: dict[str, Callable[[], nn.LSTM]] = {
    "projected": lambda: nn.LSTM(4, 6, proj_size=3, batch_first=True),
    "plain": lambda: nn.LSTM(4, 6),
    "two ways": lambda: nn.LSTM(4, 6, proj_size=3, batch_first=True, bidirectional=True),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_it_answers_as_the_layer_does_and_in_the_dtype_asked_for(kind: str) -> None:
    torch.manual_seed(0)
    lstm, inputs = LAYERS[kind](), torch.randn(3, 5, 4)
    expected, (output, cell) = lstm(inputs)
    for start in (None, (torch.zeros_like(output), torch.zeros_like(cell))):
        with torch.autocast("cpu", torch.bfloat16):
            found, after = lstm_answer(lstm, inputs, start)
        assert {part.dtype for part in (found, *after)} == {torch.bfloat16}
        parts = zip((found, *after), (expected, output, cell), strict=True)
        for ours, theirs in parts:
            torch.testing.assert_close(ours.float(), theirs, rtol=0.02, atol=0.02)
    assert torch.equal(lstm_answer(lstm, inputs)[0], expected)


def test_sentences_of_several_lengths_too() -> None:
    torch.manual_seed(0)
    lstm = LAYERS["two ways"]()
    lengths = torch.tensor([2, 5, 4])
    packed = pack_padded_sequence(torch.randn(3, 5, 4), lengths, True, False)
    expected: PackedSequence = lstm(packed)[0]
    with torch.autocast("cpu", torch.bfloat16):
        found = packed_lstm_outputs(lstm, packed)
    assert found.data.dtype is torch.bfloat16
    torch.testing.assert_close(found.data.float(), expected.data, rtol=0.02, atol=0.02)
    assert torch.equal(packed_lstm_outputs(lstm, packed).data, expected.data)


class Operators(TorchDispatchMode):
    """Counts what would be kernels: views cost none."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        self.count[str(function.overloadpacket).removeprefix("aten.")] += 1
        return function(*arguments, **(options or {}))


def operators_of_decoding(num_positions: int) -> Counter[str]:
    torch.manual_seed(0)
    model = Translator(MIXED, NUM_SUBWORDS, 0).eval()
    source, target = (
        torch.randint(PAD + 1, NUM_SUBWORDS, (2, size)) for size in (6, num_positions)
    )
    with torch.no_grad(), Operators() as noted:
        memory = model.encode(source)
        model.decode(target, target != PAD, memory, model.start(memory))
    return noted.count


def test_a_target_position_casts_no_matrix_again() -> None:
    few, many = operators_of_decoding(3), operators_of_decoding(13)
    casts = (many["_to_copy"] - few["_to_copy"]) / 10
    # The weights of attention into bfloat16 and back out of softmax; the cell's tanh.
    assert casts <= 3, many - few
