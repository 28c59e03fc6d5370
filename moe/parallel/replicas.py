"""Ranks join, and share what each has a copy of: parameters outside the experts, and sums.

Shapes: E experts.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from moe.balance import importance_loss, load_loss
from moe.parallel.experts import ExpertParallel
from moe.routing import Routing


def sum_over_ranks(value: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """Add up a tensor over the ranks, for a loss that every rank computes in full.

    Its gradient is handed to the rank's own part unchanged: such a loss counts once in the sum of
    objectives, and each rank follows it through its own tokens. All ranks call this together.
    """
    total: Tensor = _SumOverRanks.apply(value, group)  # type: ignore[no-untyped-call]
    return total


def over_all_ranks(routing: Routing, group: dist.ProcessGroup | None = None) -> Routing:
    """Importance and load of the whole batch, and the losses that depend on them.

    Source: Shazeer et al. (2017), equations 6, 7, 10 and 11, over the batch of all ranks. Other
    losses stay this rank's own. A hierarchical gate's load (appendix B) is a product of sums, so
    the sum over ranks only approximates it; so does a batchwise mask (appendix F), which a gate
    computes from the tokens it sees.
    """
    # One exchange for both sums.
    parts = torch.stack([routing.importance_E, routing.load_E.to(routing.importance_E.dtype)])
    importance_E, load_E = sum_over_ranks(parts, group)
    anew = {"importance": importance_loss(importance_E), "load": load_loss(load_E)}
    losses = {name: anew.get(name, loss) for name, loss in routing.losses.items()}
    return replace(routing, importance_E=importance_E, load_E=load_E, losses=losses)


def sum_gradients(model: nn.Module, group: dist.ProcessGroup | None = None) -> None:
    """Add up the gradients of what every rank has a copy of; call it after the backward pass.

    Experts need none: their gradients arrive with the rows of all ranks. A parameter that a rank
    has not used counts as zeros there.
    """
    weights = [weight for weight in _replicated(model) if weight.requires_grad]
    for dtype in sorted({weight.dtype for weight in weights}, key=str):
        same = [weight for weight in weights if weight.dtype is dtype]
        gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in same]
        # One reduction per dtype: many small ones take as long each as a large one.
        total = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(total, group=group)
        pieces = torch.split(total, [weight.numel() for weight in same])
        for weight, piece in zip(same, pieces, strict=True):
            weight.grad = piece.view_as(weight)


def copy_from_first_rank(model: nn.Module, group: dist.ProcessGroup | None = None) -> None:
    """Give all ranks the first rank's parameters and buffers, except for the experts."""
    with torch.no_grad():
        for tensor in [*_replicated(model), *_replicated_buffers(model)]:
            dist.broadcast(tensor.detach(), group=group, group_src=0)


def _replicated(model: nn.Module) -> Iterator[nn.Parameter]:
    held = {id(weight) for part in _parts(model) for weight in part.parameters()}
    return (weight for weight in model.parameters() if id(weight) not in held)


def _replicated_buffers(model: nn.Module) -> Iterator[Tensor]:
    held = {id(buffer) for part in _parts(model) for buffer in part.buffers()}
    return (buffer for buffer in model.buffers() if id(buffer) not in held)


def _parts(model: nn.Module) -> list[ExpertParallel]:
    return [module for module in model.modules() if isinstance(module, ExpertParallel)]


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        total = value.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *d_total: Tensor) -> tuple[Tensor, None]:
        # Every rank's objective has the loss in full; its gradient by the own part is one of them.
        return d_total[0], None


# What torchrun tells each process through the environment.
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def start_process_group(device: str | None = None) -> torch.device:
    """Join the processes that torchrun started: over NCCL with GPUs, over gloo without.

    Args:
        device: `cpu` or `cuda`; GPUs where there are any by default.

    Returns:
        This process's device, one GPU per process.

    Raises:
        RuntimeError: not started by torchrun, or there are fewer GPUs than processes.
    """
    missing = [name for name in VARIABLES if name not in os.environ]
    if missing:
        raise RuntimeError(
            f"not started by torchrun ({', '.join(missing)} not set): start with "
            "torchrun --nproc-per-node=2 program.py"
        )
    if not (torch.cuda.is_available() if device is None else device == "cuda"):
        dist.init_process_group("gloo")
        return torch.device("cpu")
    local_rank, num_gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if local_rank >= num_gpus:
        raise RuntimeError(
            f"process {local_rank} of this machine has no GPU, there are {num_gpus}: start "
            "fewer processes, or use the device cpu"
        )
    gpu = torch.device("cuda", local_rank)
    torch.cuda.set_device(gpu)
    dist.init_process_group("nccl", device_id=gpu)
    return gpu


def stop_process_group() -> None:
    """Part from the other processes once all have come this far.

    A gloo process that leaves while others still send can abort them.
    """
    dist.barrier()
    dist.destroy_process_group()
