"""All steps of a recurrent layer on a CPU as one operation of autograd.

A step of a small layer costs more in keeping its graph than in its products. Here a pass notes what
its gradients need, in arrays made once, and goes back over them; one product of all steps gives a
matrix its gradient.

Shapes: B rows, T steps, D the LSTM's projected outputs, H its units, G four times as many. Arrays
over steps hold the last step first, the order in which the gradients come.
"""

from typing import Any

import torch
from torch import Tensor

_ATEN = torch.ops.aten


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
        num_rows, num_steps, num_gates = gates_BTG.shape
        num_units = num_gates // 4
        new = gates_BTG.new_empty
        gates_TBG = new(num_steps, num_rows, num_gates)
        tanh_TBH, units_TBH = new(2, num_steps, num_rows, num_units)
        cells_TBH = new(num_steps + 1, num_rows, num_units)
        outputs_TBD = new(num_steps + 1, num_rows, projection_HD.shape[1])
        outputs_TBD[-1], cells_TBH[-1] = output_BD, cell_BH
        product_BG, part_BH = new(num_rows, num_gates), new(num_rows, num_units)
        for step in range(num_steps):
            at = num_steps - 1 - step
            torch.mm(outputs_TBD[at + 1], hidden_DG, out=product_BG)
            gates = torch.add(gates_BTG[:, step], product_BG, out=gates_TBG[at])
            into, forget, new_cell, out = gates.chunk(4, dim=1)
            gates[:, : 2 * num_units].sigmoid_()
            new_cell.tanh_()
            out.sigmoid_()
            cell = torch.mul(forget, cells_TBH[at + 1], out=cells_TBH[at])
            cell.add_(torch.mul(into, new_cell, out=part_BH))
            torch.mul(out, torch.tanh(cell, out=tanh_TBH[at]), out=units_TBH[at])
            torch.mm(units_TBH[at], projection_HD, out=outputs_TBD[at])
            if mask_BT is not None:
                is_token_B1 = mask_BT[:, step, None]
                outputs_TBD[at].mul_(is_token_B1)
                cell.mul_(is_token_B1)
        ctx.save_for_backward(hidden_DG, projection_HD)
        ctx.kept = gates_TBG, tanh_TBH, units_TBH, cells_TBH, outputs_TBD, mask_BT
        outputs_BTD = outputs_TBD[:-1].flip(0).transpose(0, 1).contiguous()
        return outputs_BTD, cells_TBH[0].clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the gates' share, of both matrices, and of the start."""
        hidden_DG, projection_HD = ctx.saved_tensors
        gates_TBG, tanh_TBH, units_TBH, cells_TBH, outputs_TBD, mask_BT = ctx.kept
        d_outputs_BTD, d_cell_BH = grads
        num_steps = len(gates_TBG)
        d_gates_TBG, d_outputs_TBD = torch.empty_like(gates_TBG), torch.empty_like(outputs_TBD[1:])
        d_output_BD = torch.zeros_like(outputs_TBD[0])
        d_units_BH, part_BH, of_tanh_BH = (torch.empty_like(d_cell_BH) for _ in range(3))
        d_cell_BH = d_cell_BH.clone()
        for at in range(num_steps):
            step = num_steps - 1 - at
            d_output = torch.add(d_outputs_BTD[:, step], d_output_BD, out=d_outputs_TBD[at])
            if mask_BT is not None:
                is_token_B1 = mask_BT[:, step, None]
                d_output.mul_(is_token_B1)
                d_cell_BH.mul_(is_token_B1)
            into, forget, new_cell, out = gates_TBG[at].chunk(4, dim=1)
            d_into, d_forget, d_new, d_out = d_gates_TBG[at].chunk(4, dim=1)
            torch.mm(d_output, projection_HD.T, out=d_units_BH)
            _sigmoid(torch.mul(d_units_BH, tanh_TBH[at], out=part_BH), out, d_out)
            torch.mul(d_units_BH, out, out=part_BH)
            d_cell_BH.add_(_tanh(part_BH, tanh_TBH[at], of_tanh_BH))
            _sigmoid(torch.mul(d_cell_BH, new_cell, out=part_BH), into, d_into)
            _sigmoid(torch.mul(d_cell_BH, cells_TBH[at + 1], out=part_BH), forget, d_forget)
            _tanh(torch.mul(d_cell_BH, into, out=part_BH), new_cell, d_new)
            d_cell_BH.mul_(forget)
            torch.mm(d_gates_TBG[at], hidden_DG.T, out=d_output_BD)
        ctx.kept = None
        return (
            d_gates_TBG.flip(0).transpose(0, 1).contiguous(),
            outputs_TBD[1:].flatten(0, 1).T @ d_gates_TBG.flatten(0, 1),
            units_TBH.flatten(0, 1).T @ d_outputs_TBD.flatten(0, 1),
            d_output_BD,
            d_cell_BH,
            None,
        )


def _sigmoid(grad: Tensor, answer: Tensor, into: Tensor) -> Tensor:
    found: Tensor = _ATEN.sigmoid_backward.grad_input(grad, answer, grad_input=into)
    return found


def _tanh(grad: Tensor, answer: Tensor, into: Tensor) -> Tensor:
    found: Tensor = _ATEN.tanh_backward.grad_input(grad, answer, grad_input=into)
    return found
