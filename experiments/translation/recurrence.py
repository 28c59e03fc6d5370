"""All steps of a recurrent layer on a CPU as one operation of autograd.

A step of a small layer costs more in keeping its graph than in its products. Here a pass notes what
its gradients need, in arrays made once, and goes back over them; one product of all steps gives a
matrix its gradient, where autograd would form one at every step and add them up.

Shapes: B rows, T steps, D the LSTM's projected outputs, H its units, G four times as many, S source
positions, U attention units. Arrays over steps hold the last step first, the order in which the
gradients come.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_ATEN = torch.ops.aten


@dataclass(frozen=True)
class _Tape:
    """What a pass notes; cells and outputs have one more, those before the first step."""

    gates_TBG: Tensor
    tanh_TBH: Tensor
    units_TBH: Tensor
    cells_TBH: Tensor
    outputs_TBD: Tensor


@dataclass(frozen=True)
class _Source:
    """What is looked at, and how."""

    query_DU: Tensor
    keys_BUS: Tensor
    memory_BSD: Tensor
    is_nothing_BS: Tensor


@dataclass(frozen=True)
class _Looks:
    """What a pass notes of its attention, or the gradients of that (of scores, for weights)."""

    query_TBU: Tensor
    weight_TBS: Tensor
    context_TBD: Tensor


class LSTMSteps(torch.autograd.Function):
    """The steps of an LSTM with projection."""

    @staticmethod
    def forward(
        ctx: Any,
        gates_BTG: Tensor,
        hidden_DG: Tensor,
        projection_HD: Tensor,
        output_BD: Tensor,
        cell_BH: Tensor,
        mask_BT: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Answer every step.

        Args:
            ctx: of autograd.
            gates_BTG: the inputs' share of the gates.
            hidden_DG: what the output before adds to them.
            projection_HD: from units to outputs.
            output_BD: before the first step.
            cell_BH: before the first step.
            mask_BT: where there is a token; elsewhere output and cell become zero.

        Returns:
            Outputs `[B, T, D]`, and the last cell.
        """
        tape = _new_tape(gates_BTG, output_BD, cell_BH)
        product_BG = torch.empty_like(tape.gates_TBG[0])
        for step, at in _places(gates_BTG.shape[1]):
            # The place after this one holds the step before: the last step comes first.
            torch.mm(tape.outputs_TBD[at + 1], hidden_DG, out=product_BG)
            torch.add(gates_BTG[:, step], product_BG, out=tape.gates_TBG[at])
            _answer(tape, at, projection_HD)
            if mask_BT is not None:
                is_token_B1 = mask_BT[:, step, None]
                tape.outputs_TBD[at].mul_(is_token_B1)
                tape.cells_TBH[at].mul_(is_token_B1)
        ctx.save_for_backward(hidden_DG, projection_HD, mask_BT, *vars(tape).values())
        # Without the last place, which holds what was before the first step.
        return _by_rows(tape.outputs_TBD[:-1]), tape.cells_TBH[0].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the gates' share, of both matrices, and of the start."""
        hidden_DG, projection_HD, mask_BT, *noted = ctx.saved_tensors
        tape = _Tape(*noted)
        d_outputs_BTD, d_cell_BH = grads[0], grads[1].clone()
        d_gates_TBG = torch.empty_like(tape.gates_TBG)
        d_outputs_TBD = torch.empty_like(tape.outputs_TBD[1:])
        d_output_BD = torch.zeros_like(tape.outputs_TBD[0])
        for step, at in reversed(_places(len(d_gates_TBG))):
            # An output has two readers: the layer above, and the gates of the next step.
            torch.add(d_outputs_BTD[:, step], d_output_BD, out=d_outputs_TBD[at])
            if mask_BT is not None:
                is_token_B1 = mask_BT[:, step, None]
                d_outputs_TBD[at].mul_(is_token_B1)
                d_cell_BH.mul_(is_token_B1)
            _go_back(tape, at, projection_HD, d_outputs_TBD[at], d_cell_BH, d_gates_TBG[at])
            torch.mm(d_gates_TBG[at], hidden_DG.T, out=d_output_BD)
        return (
            _by_rows(d_gates_TBG),
            # Gates multiply the output of the step before, which lies one place further on.
            _of_matrix(tape.outputs_TBD[1:], d_gates_TBG),
            _of_matrix(tape.units_TBH, d_outputs_TBD),
            d_output_BD,
            d_cell_BH,
            None,
        )


class AttentiveSteps(torch.autograd.Function):
    """The steps of an LSTM with projection that looks at a source before each of them.

    The attention is A(x, y) = sum_u V_u tanh(xU)_u tanh(yW)_u, by the output y of the step before.
    Source: Shazeer et al. (2017), appendix G.
    """

    @staticmethod
    def forward(
        ctx: Any,
        gates_BTG: Tensor,
        hidden_DG: Tensor,
        projection_HD: Tensor,
        context_DG: Tensor,
        query_DU: Tensor,
        keys_BSU: Tensor,
        memory_BSD: Tensor,
        mask_BS: Tensor,
        output_BD: Tensor,
        cell_BH: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Answer every step.

        Args:
            ctx: of autograd.
            gates_BTG: the inputs' share of the gates.
            hidden_DG: what the output before adds to them.
            projection_HD: from units to outputs.
            context_DG: what the context adds to the gates.
            query_DU: W.
            keys_BSU: V tanh(xU).
            memory_BSD: what is looked at.
            mask_BS: where there is something.
            output_BD: before the first step.
            cell_BH: before the first step.

        Returns:
            Outputs `[B, T, D]`, the last cell, and the weights of the attention `[B, T, S]`.
        """
        num_steps = gates_BTG.shape[1]
        tape = _new_tape(gates_BTG, output_BD, cell_BH)
        source = _Source(query_DU, keys_BSU.transpose(1, 2), memory_BSD, ~mask_BS)
        looks = _new_looks(num_steps, source)
        product_BG = torch.empty_like(tape.gates_TBG[0])
        for step, at in _places(num_steps):
            query_BD, gates = tape.outputs_TBD[at + 1], tape.gates_TBG[at]
            _look(looks, at, source, query_BD)
            torch.mm(looks.context_TBD[at], context_DG, out=product_BG)
            torch.add(gates_BTG[:, step], product_BG, out=gates)
            # The order of the sums is that of the steps one by one, in `translator`.
            gates.add_(torch.mm(query_BD, hidden_DG, out=product_BG))
            _answer(tape, at, projection_HD)
        matrices = (hidden_DG, projection_HD, context_DG)
        noted = [part for each in (source, looks, tape) for part in vars(each).values()]
        ctx.save_for_backward(*matrices, *noted)
        outputs_BTD, weight_BTS = _by_rows(tape.outputs_TBD[:-1]), _by_rows(looks.weight_TBS)
        return outputs_BTD, tape.cells_TBH[0].clone(), weight_BTS

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the gates' share, of all matrices, of the source, and of the start."""
        hidden_DG, projection_HD, context_DG, *noted = ctx.saved_tensors
        source, looks, tape = _Source(*noted[:4]), _Looks(*noted[4:7]), _Tape(*noted[7:])
        d_outputs_BTD, d_cell_BH, d_weight_BTS = grads[0], grads[1].clone(), grads[2]
        d_gates_TBG = torch.empty_like(tape.gates_TBG)
        d_outputs_TBD = torch.empty_like(tape.outputs_TBD[1:])
        d_looks = _new_looks(len(d_gates_TBG), source)
        # Unpacked from one array of zeros: what the step after asks of the output, through its
        # gates and through its attention.
        d_output_BD, d_query_BD = torch.zeros_like(tape.outputs_TBD[:2])
        for step, at in reversed(_places(len(d_gates_TBG))):
            torch.add(d_outputs_BTD[:, step], d_output_BD, out=d_outputs_TBD[at])
            d_outputs_TBD[at].add_(d_query_BD)
            _go_back(tape, at, projection_HD, d_outputs_TBD[at], d_cell_BH, d_gates_TBG[at])
            torch.mm(d_gates_TBG[at], hidden_DG.T, out=d_output_BD)
            # The gates are sums x W_x + c W_c + y W_y, so that each part has its gradient by its
            # own matrix.
            torch.mm(d_gates_TBG[at], context_DG.T, out=d_looks.context_TBD[at])
            _look_back(looks, d_looks, at, source, d_weight_BTS[:, step])
            torch.mm(d_looks.query_TBU[at], source.query_DU.T, out=d_query_BD)
        return (
            _by_rows(d_gates_TBG),
            _of_matrix(tape.outputs_TBD[1:], d_gates_TBG),
            _of_matrix(tape.units_TBH, d_outputs_TBD),
            _of_matrix(looks.context_TBD, d_gates_TBG),
            _of_matrix(tape.outputs_TBD[1:], d_looks.query_TBU),
            # In `d_looks` the weights' place holds the gradients of the scores.
            _of_matrices(looks.query_TBU, d_looks.weight_TBS).transpose(1, 2),
            _of_matrices(looks.weight_TBS, d_looks.context_TBD),
            None,
            # The output before the first step is read by the first gates and asks the first
            # question.
            d_output_BD + d_query_BD,
            d_cell_BH,
        )


def _new_tape(gates_BTG: Tensor, output_BD: Tensor, cell_BH: Tensor) -> _Tape:
    # Made once and filled in place: a step allocates next to nothing.
    num_rows, num_steps, num_gates = gates_BTG.shape
    num_units, num_outputs = cell_BH.shape[1], output_BD.shape[1]
    new = gates_BTG.new_empty
    tape = _Tape(
        gates_TBG=new(num_steps, num_rows, num_gates),
        tanh_TBH=new(num_steps, num_rows, num_units),
        units_TBH=new(num_steps, num_rows, num_units),
        cells_TBH=new(num_steps + 1, num_rows, num_units),
        outputs_TBD=new(num_steps + 1, num_rows, num_outputs),
    )
    tape.outputs_TBD[-1], tape.cells_TBH[-1] = output_BD, cell_BH
    return tape


def _new_looks(num_steps: int, source: _Source) -> _Looks:
    num_rows, num_places, num_features = source.memory_BSD.shape
    sizes = (source.query_DU.shape[1], num_places, num_features)
    return _Looks(*(source.memory_BSD.new_empty(num_steps, num_rows, size) for size in sizes))


def _places(num_steps: int) -> list[tuple[int, int]]:
    """Each step in its order, and where its arrays are."""
    return [(step, num_steps - 1 - step) for step in range(num_steps)]


def _by_rows(rows_TBX: Tensor) -> Tensor:
    """From the last step first to `[B, T, X]`."""
    # Back in the order of the steps, then rows first.
    return rows_TBX.flip(0).transpose(0, 1).contiguous()


def _of_matrix(rows_TBK: Tensor, d_rows_TBN: Tensor) -> Tensor:
    """The gradient `[K, N]` of a matrix that multiplied these rows."""
    # Of y_t = x_t W for all steps t: dE/dW = sum_t x_t' dE/dy_t, as one product over steps and
    # rows.
    return rows_TBK.flatten(0, 1).T @ d_rows_TBN.flatten(0, 1)


def _of_matrices(rows_TBK: Tensor, d_rows_TBN: Tensor) -> Tensor:
    """The gradients `[B, K, N]` of one matrix per row."""
    # The same for each row b on its own: dE/dW_b = sum_t x_tb' dE/dy_tb.
    return rows_TBK.permute(1, 2, 0) @ d_rows_TBN.transpose(0, 1)


def _look(looks: _Looks, at: int, source: _Source, query_BD: Tensor) -> None:
    """From the output before a step to its context."""
    # Appendix G of Shazeer et al. (2017), with V and tanh(xU) already in the keys: A(x_s, y) =
    # sum_u V_u tanh(x_s U)_u tanh(y W)_u.
    query_BU = torch.mm(query_BD, source.query_DU, out=looks.query_TBU[at]).tanh_()
    score_BS = (query_BU[:, None] @ source.keys_BUS).squeeze(1)
    score_BS.masked_fill_(source.is_nothing_BS, -torch.inf)
    # The weights are softmax_s A(x_s, y), and the context is sum_s weight_s x_s.
    torch.softmax(score_BS, dim=1, out=looks.weight_TBS[at])
    context_B1D = looks.context_TBD[at, :, None]
    torch.bmm(looks.weight_TBS[at, :, None], source.memory_BSD, out=context_B1D)


def _look_back(
    looks: _Looks, d_looks: _Looks, at: int, source: _Source, d_weight_BS: Tensor
) -> None:
    """From a context's gradient, and what else asks of the weights, to the query's."""
    # Of c = sum_s w_s x_s: dE/dw_s = <x_s, dE/dc>. Weights have a second reader, the coverage or a
    # plot.
    of_context_BS = (source.memory_BSD @ d_looks.context_TBD[at, :, :, None]).squeeze(2)
    weight_BS, d_score_BS = looks.weight_TBS[at], d_looks.weight_TBS[at]
    # Of w = softmax(a): dE/da_s = w_s (dE/dw_s - sum_r w_r dE/dw_r).
    _ATEN._softmax_backward_data.out(
        of_context_BS.add_(d_weight_BS), weight_BS, 1, weight_BS.dtype, grad_input=d_score_BS
    )
    d_score_BS.masked_fill_(source.is_nothing_BS, 0)
    # Of a_s = sum_u k_su q_u: dE/dq_u = sum_s k_su dE/da_s; then dtanh(z)/dz = 1 - tanh(z)^2.
    d_tanh_BU = (source.keys_BUS @ d_score_BS[:, :, None]).squeeze(2)
    query_BU, d_query_BU = looks.query_TBU[at], d_looks.query_TBU[at]
    _ATEN.tanh_backward.grad_input(d_tanh_BU, query_BU, grad_input=d_query_BU)


def _answer(tape: _Tape, at: int, projection_HD: Tensor) -> None:
    """From the sums at a step's gates to its cell and output."""
    gates, cell = tape.gates_TBG[at], tape.cells_TBH[at]
    # The order of torch.nn.LSTM: input, forget, cell, output. Chunks are views, so that the gates
    # are replaced by their activations in place.
    into, forget, new, out = gates.chunk(4, dim=1)
    # i and f lie side by side, and one call does for both.
    gates[:, : 2 * new.shape[1]].sigmoid_()
    new.tanh_()
    out.sigmoid_()
    # c_t = f_t c_(t-1) + i_t g_t
    torch.mul(forget, tape.cells_TBH[at + 1], out=cell)
    cell.add_(into * new)
    # m_t = o_t tanh(c_t), and the output is the projection r_t = m_t W_r (Sak et al. 2014).
    torch.mul(out, torch.tanh(cell, out=tape.tanh_TBH[at]), out=tape.units_TBH[at])
    torch.mm(tape.units_TBH[at], projection_HD, out=tape.outputs_TBD[at])


def _go_back(
    tape: _Tape,
    at: int,
    projection_HD: Tensor,
    d_output_BD: Tensor,
    d_cell_BH: Tensor,
    d_gates_BG: Tensor,
) -> None:
    """Through a step: fills the gates' gradient, and turns the cell's into the one before's."""
    into, forget, new, out = tape.gates_TBG[at].chunk(4, dim=1)
    d_into, d_forget, d_new, d_out = d_gates_BG.chunk(4, dim=1)
    # Of r_t = m_t W_r: dE/dm_t = dE/dr_t W_r'.
    d_units_BH, tanh_BH = torch.mm(d_output_BD, projection_HD.T), tape.tanh_TBH[at]
    # Of m_t = o_t tanh(c_t): dE/dc_t gains dE/dm_t o_t (1 - tanh(c_t)^2), beside what step t + 1
    # asks.
    d_cell_BH.add_(_ATEN.tanh_backward(d_units_BH * out, tanh_BH))
    # Each gate's factor in its product, through its sigmoid, s' = s (1 - s): of o_t it is
    # tanh(c_t), of i_t it is g_t, of f_t it is c_(t-1), and of g_t, through a tanh, it is i_t.
    _ATEN.sigmoid_backward.grad_input(d_units_BH * tanh_BH, out, grad_input=d_out)
    _ATEN.sigmoid_backward.grad_input(d_cell_BH * new, into, grad_input=d_into)
    before_BH = tape.cells_TBH[at + 1]
    _ATEN.sigmoid_backward.grad_input(d_cell_BH * before_BH, forget, grad_input=d_forget)
    _ATEN.tanh_backward.grad_input(d_cell_BH * into, new, grad_input=d_new)
    # dE/dc_(t-1) = f_t dE/dc_t
    d_cell_BH.mul_(forget)
