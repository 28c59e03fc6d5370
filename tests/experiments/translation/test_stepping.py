"""Recurrent layers against torch's own LSTM, and against autograd."""

from contextlib import ExitStack
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from experiments.text.subwords import PAD
from experiments.translation import stepping, translator
from experiments.translation.recurrence import AttentiveSteps
from experiments.translation.stepping import Cells, run, run_both_ways
from experiments.translation.translator import Translator
from tests.experiments.translation.translation_cases import TINY

LENGTHS = torch.tensor([5, 2, 4])


def layer(bidirectional: bool = False) -> nn.LSTM:
    torch.manual_seed(0)
    return nn.LSTM(
        4, 6, proj_size=3, batch_first=True, bidirectional=bidirectional, dtype=torch.float64
    )


def gradients(outputs: Tensor, lstm: nn.LSTM, *others: Tensor) -> list[Tensor]:
    weight = torch.linspace(-1, 1, outputs.numel(), dtype=torch.float64).view(outputs.shape)
    return list(torch.autograd.grad((outputs * weight).sum(), [*lstm.parameters(), *others]))


def test_one_way_equals_torch_in_outputs_states_and_gradients() -> None:
    lstm = layer()
    inputs = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    first = torch.randn(1, 3, 3, dtype=torch.float64, requires_grad=True)
    cell = torch.randn(1, 3, 6, dtype=torch.float64, requires_grad=True)
    found, expected = run(lstm, inputs, (first, cell)), lstm(inputs, (first, cell))
    torch.testing.assert_close(found, expected)
    both = [gradients(outputs, lstm, inputs, first, cell) for outputs, _ in (found, expected)]
    torch.testing.assert_close(both[0], both[1])


def test_both_ways_equal_torch_on_packed_sentences() -> None:
    lstm = layer(bidirectional=True)
    inputs = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    mask = torch.arange(5) < LENGTHS[:, None]
    found = run_both_ways(lstm, inputs, mask)
    packed = pack_padded_sequence(inputs, LENGTHS, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(lstm(packed)[0], batch_first=True)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, lstm, inputs), gradients(expected, lstm, inputs))


def test_attentive_steps_have_the_gradients_of_what_they_answer() -> None:
    torch.manual_seed(0)
    mask = torch.arange(5) < LENGTHS[:, None]
    # Gates, matrices of the output before, of units, of context and query; keys, memory; start.
    shapes = [(3, 4, 24), (2, 24), (6, 2), (2, 24), (2, 3), (3, 5, 3), (3, 5, 2), (3, 2), (3, 6)]
    rows = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]

    def answer(*rows: Tensor) -> Cells:
        steps: Cells = AttentiveSteps.apply(*rows[:7], mask, *rows[7:])  # type: ignore[no-untyped-call]
        return steps

    assert torch.autograd.gradcheck(answer, rows)


def test_a_translator_answers_alike_with_steps_of_its_own_and_with_torchs() -> None:
    model = Translator(TINY, 12, seed=0).double().eval()
    source, target = (torch.randint(PAD + 1, 12, (3, length)) for length in (6, 5))
    source[1, 4:], target[2, 3:] = PAD, PAD
    found, expected = [], []
    for is_taken_step_by_step, kept in ((True, found), (False, expected)):
        with ExitStack() as stack:
            for module in (stepping, translator):
                stack.enter_context(
                    mock.patch.object(
                        module, "is_taken_step_by_step", return_value=is_taken_step_by_step
                    )
                )
            output = model(source, target)
        loss = output.logits.sin().sum() + output.attention_BTS.square().sum()
        kept += [output.logits, output.attention_BTS, *output.state.first]
        kept += torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    torch.testing.assert_close(found, expected)
