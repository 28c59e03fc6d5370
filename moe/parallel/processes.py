"""Processes that torchrun started join each other, and part."""

import os

import torch
import torch.distributed as dist

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells each process through the environment."""


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
