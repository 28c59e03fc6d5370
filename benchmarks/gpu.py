"""The layer on one NVIDIA GPU against what the device can do, and against other libraries' code.

The bound of a contender is the larger of its arithmetic at the rate of a measured dense product and
of its weights, gradients and rows at the bandwidth of a measured copy. A second table has the
optimiser's update of the same weights.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --rehearse      # the same code at toy size on the CPU
"""

import argparse
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table

from experiments.scaling.timing import Cell, Problem, ratios, spread
from moe import optimisers
from moe.optimisers import FactoredAdam

Work = Callable[[], object]

# Shazeer et al. (2017), section 5.2 and appendix D: experts of 512-1024-512 up to 512-2048-512.
CELLS = [
    Cell(65_536, 2_048, num_features=512, num_hidden=2_048),
    Cell(16_384, 2_048, num_features=512, num_hidden=2_048),
    Cell(65_536, 64, num_features=512, num_hidden=2_048),
    Cell(65_536, 512, skew=1.0, num_features=512, num_hidden=1_024),
]


@dataclass(frozen=True)
class Place:
    """Where the benchmark runs.

    Attributes:
        device: `cuda`, or `cpu` for a rehearsal.
        cells: the sizes.
        side: of the dense product that is measured.
        num_copied: elements of the copy that is measured.
    """

    device: str
    cells: Sequence[Cell]
    side: int
    num_copied: int

    @property
    def name(self) -> str:
        """Of the device."""
        return torch.cuda.get_device_name(0) if self.device == "cuda" else "rehearsal on the CPU"

    @property
    def free_bytes(self) -> float:
        """Of memory on the device."""
        if self.device != "cuda":
            return float("inf")
        torch.cuda.empty_cache()
        return float(torch.cuda.mem_get_info()[0])


GPU = Place("cuda", CELLS, 8_192, 1 << 28)
REHEARSAL = Place("cpu", [Cell(64, 8, num_features=16, num_hidden=24)], 64, 1 << 10)


def seconds_of(work: Work, device: str) -> float:
    """Time of a piece of work by the device's own clock."""
    if device != "cuda":
        started = time.perf_counter()
        work()
        return time.perf_counter() - started
    # The host's clock would measure how fast kernels are asked for.
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    work()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3


def interleaved_on_device(
    contenders: dict[str, Work], num_rounds: int, device: str
) -> dict[str, list[float]]:
    """Seconds per round of each contender; two more rounds, the first, are left out."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(num_rounds + 2):
        for name, work in contenders.items():
            seconds[name].append(seconds_of(work, device))
    return {name: times[2:] for name, times in seconds.items()}


def that_run(contenders: dict[str, Work], console: Console) -> dict[str, Work]:
    """Those contenders that do; of the others it is told why they do not."""
    able = {}
    for name, work in contenders.items():
        try:
            work()
        except Exception as error:
            reason = (str(error).strip().splitlines() or [""])[0][:300]
            console.print(f"{name} is left out: {type(error).__name__}: {reason}")
        else:
            able[name] = work
    return able


def bound(cell: Cell, dtype: torch.dtype, num_rounds: int, place: Place) -> tuple[float, float]:
    """What the device can do with this cell.

    Returns:
        Seconds below which no forward and backward can come, and bytes per second of a copy.
    """
    options = {"device": place.device, "dtype": dtype}
    left, right = (torch.randn(place.side, place.side, **options) for _ in range(2))  # type: ignore[call-overload]
    lots = torch.zeros(place.num_copied, **options)  # type: ignore[call-overload]
    target = torch.empty_like(lots)
    probes: dict[str, Work] = {
        "product": partial(torch.mm, left, right),
        "copy": partial(target.copy_, lots),
    }
    seconds = interleaved_on_device(probes, num_rounds, place.device)
    best = {name: min(times) for name, times in seconds.items()}
    flops_per_second = 2 * place.side**3 / best["product"]
    bytes_per_second = 2 * lots.nbytes / best["copy"]
    num_flops, num_values = _operations_and_values(cell)
    arithmetic, traffic = num_flops / flops_per_second, num_values * dtype.itemsize
    return max(arithmetic, traffic / bytes_per_second), bytes_per_second


def _operations_and_values(cell: Cell) -> tuple[int, int]:
    per_row = cell.num_features * cell.num_hidden
    num_rows = cell.num_tokens * cell.k
    # Two products forward, four backward; weights read twice, gradients written; rows in and out
    # and hidden units once in each direction.
    num_flops = 3 * 2 * 2 * num_rows * per_row
    num_values = 3 * 2 * cell.num_experts * per_row
    num_values += num_rows * (4 * cell.num_features + 2 * cell.num_hidden)
    return num_flops, num_values


def needed_bytes(cell: Cell, dtype: torch.dtype) -> int:
    """Weights, gradients and a copy; rows and hidden units, their gradients and copies."""
    weights = 2 * cell.num_experts * cell.num_features * cell.num_hidden
    rows = cell.num_tokens * cell.k * (cell.num_features + cell.num_hidden)
    choices = 3 * 4 * cell.num_tokens * cell.num_experts
    return (3 * weights + 8 * rows) * dtype.itemsize + choices


def table(cell: Cell, dtype: torch.dtype, num_rounds: int, place: Place, console: Console) -> Table:
    """Times, share of the bound that is reached, and ratios to our fastest."""
    limit, _ = bound(cell, dtype, num_rounds, place)
    problem = Problem(cell, place.device, dtype)
    contenders = that_run(dict(problem.contenders(with_limits=False)), console)
    seconds = interleaved_on_device(contenders, num_rounds, place.device)
    ours = min(
        (times for name, times in seconds.items() if name.startswith("ours")),
        key=lambda times: sorted(times)[len(times) // 2],
    )
    result = Table(
        "contender", "ms", "% of the bound", "over our fastest", title=_title(cell, dtype)
    )
    for name, times in seconds.items():
        result.add_row(
            name,
            spread([1e3 * time for time in times]),
            spread([100 * limit / time for time in times], 0),
            spread(ratios(times, ours)),
        )
    result.add_row("bound", f"{1e3 * limit:.2f}", "100", "")
    return result


def update_table(
    cell: Cell, dtype: torch.dtype, num_rounds: int, place: Place, console: Console
) -> Table:
    """The optimiser's update of a cell's weights, by its kernel and by torch's operators."""
    _, bytes_per_second = bound(cell, dtype, num_rounds, place)
    shape = (cell.num_experts, cell.num_features, cell.num_hidden)
    weight = torch.nn.Parameter(torch.zeros(shape, device=place.device, dtype=dtype))
    weight.grad = torch.ones_like(weight)
    optimiser = FactoredAdam([weight], stochastic_rounding=True)

    def by_operators() -> None:
        with mock.patch.object(optimisers, "_has_kernel", return_value=False):
            optimiser.step()

    contenders: dict[str, Work] = {"factored, by operators": by_operators}
    if optimisers._has_kernel(weight):
        contenders["factored, by its kernel"] = optimiser.step
    seconds = interleaved_on_device(that_run(contenders, console), num_rounds, place.device)
    # The gradient read, the weight read and written.
    limit = 3 * weight.nbytes / bytes_per_second
    title = f"update of one of two matrices: {_title(cell, dtype)}"
    result = Table("update", "ms", "% of the bound", title=title)
    for name, times in seconds.items():
        shares = spread([100 * limit / time for time in times], 0)
        result.add_row(name, spread([1e3 * time for time in times]), shares)
    result.add_row("bound", f"{1e3 * limit:.2f}", "100")
    return result


def _title(cell: Cell, dtype: torch.dtype) -> str:
    return f"{cell.name}, {cell.num_features}-{cell.num_hidden}, {str(dtype).split('.')[1]}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print two tables per size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--rehearse", action="store_true", help="toy size, on the CPU")
    options = parser.parse_args(arguments)
    place = REHEARSAL if options.rehearse else GPU
    if place.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device; make benchmark-core measures the CPU")
    logging.basicConfig(format="%(message)s")
    console, dtype = Console(width=110), getattr(torch, options.dtype)
    console.print(f"{place.name}, torch {torch.__version__}")
    for cell in place.cells:
        needed, free = needed_bytes(cell, dtype), place.free_bytes
        if needed > free:
            size = f"{needed / 2**30:.0f} GiB of GPU memory, and {free / 2**30:.0f} are free"
            console.print(f"{_title(cell, dtype)}: skipped, it needs about {size}")
            continue
        for each in (table, update_table):
            console.print(each(cell, dtype, options.rounds, place, console))


if __name__ == "__main__":
    main()
