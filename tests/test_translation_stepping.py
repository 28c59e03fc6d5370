"""Stepped layers against torch's own LSTM, and against autograd."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from experiments.translation.stepping import SteppedMatrix, run, run_both_ways

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


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5)])
def test_a_matrix_of_many_steps_gets_the_sum_of_their_gradients(shape: tuple[int, ...]) -> None:
    matrix = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    rows = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)

    def steps(matrix: Tensor, rows: Tensor) -> Tensor:
        stepped = SteppedMatrix(matrix)
        return torch.stack([stepped.times(rows * factor).sin() for factor in (1.0, 2.0, 0.5)])

    assert torch.autograd.gradcheck(steps, (matrix, rows))
