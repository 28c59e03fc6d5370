"""The layer on one NVIDIA GPU against what the device can do, and against other libraries' code.

The bound of a contender is the larger of its arithmetic at the rate of a measured dense product and
of its weights, gradients and rows at the bandwidth of a measured copy.

    python -m benchmarks.gpu
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial

import torch
from rich.console import Console
from rich.table import Table

from experiments.scaling.timing import Cell, Problem, ratios, spread

# Shazeer et al. (2017), section 5.2 and appendix D: experts of 512-1024-512 up to 512-2048-512.
CELLS = [
    Cell(65_536, 2_048, num_features=512, num_hidden=2_048),
    Cell(16_384, 2_048, num_features=512, num_hidden=2_048),
    Cell(65_536, 64, num_features=512, num_hidden=2_048),
    Cell(65_536, 512, skew=1.0, num_features=512, num_hidden=1_024),
]


def seconds_on_device(work: Callable[[], object]) -> float:
    """Time of a piece of work by the device's own clock."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    work()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3


def interleaved_on_device(
    contenders: dict[str, Callable[[], object]], num_rounds: int
) -> dict[str, list[float]]:
    """Seconds per round of each contender; two more rounds, the first, are left out."""
    # By events on the device: the host's clock would measure how fast kernels are asked for.
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(num_rounds + 2):
        for name, work in contenders.items():
            seconds[name].append(seconds_on_device(work))
    return {name: times[2:] for name, times in seconds.items()}


def bound(cell: Cell, dtype: torch.dtype, num_rounds: int) -> float:
    """Seconds below which no forward and backward of this cell can come."""
    side = 8_192
    left, right = (torch.randn(side, side, device="cuda", dtype=dtype) for _ in range(2))
    lots = torch.randn(1 << 28, device="cuda", dtype=dtype)
    target = torch.empty_like(lots)
    probes: dict[str, Callable[[], object]] = {
        "product": partial(torch.mm, left, right),
        "copy": partial(target.copy_, lots),
    }
    best = {name: min(times) for name, times in interleaved_on_device(probes, num_rounds).items()}
    flops_per_second = 2 * side**3 / best["product"]
    bytes_per_second = 2 * lots.nbytes / best["copy"]
    per_row = cell.num_features * cell.num_hidden
    num_rows = cell.num_tokens * cell.k
    # Two products forward, four backward; weights read twice, gradients written; rows in and out
    # and hidden units once in each direction.
    num_flops = 3 * 2 * 2 * num_rows * per_row
    num_values = 3 * 2 * cell.num_experts * per_row
    num_values += num_rows * (4 * cell.num_features + 2 * cell.num_hidden)
    return max(num_flops / flops_per_second, num_values * dtype.itemsize / bytes_per_second)


def table(cell: Cell, dtype: torch.dtype, num_rounds: int) -> Table:
    """Times, share of the bound that is reached, and ratios to our fastest."""
    limit = bound(cell, dtype, num_rounds)
    contenders = Problem(cell, "cuda", dtype).contenders()
    del contenders["dense"], contenders["traffic"]
    seconds = interleaved_on_device(dict(contenders), num_rounds)
    ours = min(
        (times for name, times in seconds.items() if name.startswith("ours")),
        key=lambda times: sorted(times)[len(times) // 2],
    )
    title = f"{cell.name}, {cell.num_features}-{cell.num_hidden}, {str(dtype).split('.')[1]}"
    result = Table("contender", "ms", "% of the bound", "over our fastest", title=title)
    for name, times in seconds.items():
        result.add_row(
            name,
            spread([1e3 * time for time in times]),
            spread([100 * limit / time for time in times], 0),
            spread(ratios(times, ours)),
        )
    result.add_row("bound", f"{1e3 * limit:.2f}", "100", "")
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one table per size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        parser.error("there is no CUDA device; make benchmark-core measures the CPU")
    console = Console(width=110)
    console.print(f"{torch.cuda.get_device_name(0)}, torch {torch.__version__}")
    for cell in CELLS:
        console.print(table(cell, getattr(torch, options.dtype), options.rounds))
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
