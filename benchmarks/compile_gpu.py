"""Compile the kernels for GPUs that are not there, and tell what each takes of one.

Needs the package triton and no GPU: its compiler comes with it. The layer and its optimiser run on
the CPU as they would on a GPU, and every launch of a kernel only compiles what it would launch.

    python -m benchmarks.compile_gpu
"""

import argparse
import importlib.util
import itertools
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table

from moe.grouped import triton as products
from moe.optimisers import WEIGHT_DTYPES, Rule, zero_averages
from moe.plan import plan
from moe.routing import Routing, even_starts

ARCHITECTURES = (80, 90, 100)

# What a program may take of a multiprocessor, in bytes, by architecture: CUDA's programming guide,
# "technical specifications per compute capability".
MOST_SHARED = {80: 163 * 1024, 90: 227 * 1024, 100: 227 * 1024}

DTYPES = (torch.bfloat16, torch.float16, torch.float32)

# Features in and hidden units: those of the papers and the suites, and sizes that tiles do not
# divide.
FEATURES = (
    (512, 2048),
    (512, 1024),
    (256, 256),
    (128, 256),
    (32, 64),
    (100, 201),
    (72, 40),
    (33, 7),
)
ROWS_PER_EXPERT = (4, 20, 48, 200)
FEW = tuple(itertools.product((torch.bfloat16,), ((128, 256), (33, 7)), (48,)))


class Compiled(NamedTuple):
    """One kernel as compiled for one architecture.

    Attributes:
        name: of the kernel.
        settings: of its tile and of what it does besides, for people.
        architecture: such as 90.
        registers: per thread.
        spilled: bytes per thread that found no register.
        shared: bytes of shared memory per program.
    """

    name: str
    settings: str
    architecture: int
    registers: int
    spilled: int
    shared: int

    @property
    def fits(self) -> bool:
        """Whether the architecture has so much shared memory."""
        return self.shared <= MOST_SHARED[self.architecture]


class _Driver:
    """Stands for a GPU of an architecture, as far as compiling asks for one."""

    def __init__(self, architecture: int) -> None:
        self._architecture = architecture

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", self._architecture, 32)

    def get_current_device(self) -> int:
        # Triton keeps what it compiled by the device's number.
        return self._architecture

    def get_current_stream(self, device: int) -> int:
        return 0


@contextmanager
def compiling_only(architecture: int, note: Callable[[Any, Any], object]) -> Iterator[None]:
    """Launches compile, and run nothing.

    Args:
        architecture: to compile for.
        note: is given each kernel that would have been launched, and what it was compiled to.
    """
    from triton.runtime import JITFunction, driver

    launch = JITFunction.run

    def compile_only(kernel: Any, *arguments: Any, **options: Any) -> None:
        note(kernel, launch(kernel, *arguments, **{**options, "warmup": True}))

    before = driver._active
    driver.set_active(_Driver(architecture))
    try:
        with mock.patch.object(JITFunction, "run", compile_only):
            yield
    finally:
        driver._active = before


def compiled(architecture: int, cells: Sequence[tuple[Any, ...]]) -> list[Compiled]:
    """Every kernel that these sizes launch, once."""
    found: dict[str, tuple[Any, Any]] = {}
    with compiling_only(
        architecture, lambda kernel, binary: found.setdefault(binary.hash, (kernel, binary))
    ):
        for dtype, features, rows_per_expert in cells:
            _work(dtype, features, rows_per_expert)
    return [_measured(kernel, binary, architecture) for kernel, binary in found.values()]


def _work(dtype: torch.dtype, features: tuple[int, int], rows_per_expert: int) -> None:
    """A step of two experts: the layer in one node and by parts, there and back, and the update."""
    from moe.grouped.triton_feed_forward import mixture_of_feed_forward
    from moe.triton_factored import factored_update

    num_features, num_hidden = features
    num_tokens = 2 * rows_per_expert
    expert_A = torch.arange(num_tokens) % 2
    zeros_E, starts_T1 = torch.zeros(2), even_starts(num_tokens, 1, expert_A.device)
    weight_A = torch.ones(num_tokens)
    where = plan(Routing(expert_A, weight_A, starts_T1, 2, zeros_E, zeros_E))
    tokens, first, second = (
        torch.zeros(shape, dtype=dtype, requires_grad=True)
        for shape in (
            (num_tokens, num_features),
            (2, num_features, num_hidden),
            (2, num_hidden, num_features),
        )
    )
    out_TO = mixture_of_feed_forward(tokens, weight_A, where, first, second)
    torch.autograd.backward(out_TO.sum())
    rows, start_E1 = tokens.detach(), where.start_E1
    hidden = products.forward(rows, first.detach(), start_E1)
    products.backward_rows(hidden, first.detach(), start_E1)
    products.backward_weight(rows, hidden, start_E1, slice(None))
    if dtype in WEIGHT_DTYPES:
        averages = zero_averages(first)
        for seed in (None, 0) if dtype is torch.bfloat16 else (None,):
            rule = Rule(0.1, 0.98, 1e-10, 1.0)
            rows, columns = averages["row"], averages["column"]
            factored_update(first.detach(), first.detach(), rows, columns, rule, seed)


def _measured(kernel: Any, binary: Any, architecture: int) -> Compiled:
    registers, spilled = _resources(binary.asm["cubin"])
    settings, shared = _settings(kernel, binary), binary.metadata.shared
    return Compiled(kernel.fn.__name__, settings, architecture, registers, spilled, shared)


def _settings(kernel: Any, binary: Any) -> str:
    """The dtype, the tile, the sizes that are compiled in, and the operands there may be."""
    constants = {
        kernel.arg_names[place[0]]: value
        for place, value in binary.src.constants.items()
        if value is not None
    }
    pointers = {
        name: kind[1:] for name, kind in binary.src.signature.items() if str(kind).startswith("*")
    }
    sides = [constants[f"BLOCK_{side}"] for side in "MNK" if f"BLOCK_{side}" in constants]
    words = [next(iter(pointers.values())), "x".join(map(str, sides))]
    words += [f"{binary.metadata.num_warps} warps", f"{binary.metadata.num_stages} stages"]
    words += [
        f"{name}={value}"
        for name, value in constants.items()
        if not name.startswith(("BLOCK_M", "BLOCK_N", "BLOCK_K", "stride"))
    ]
    words += [name for name in ("index_R", "scale_R", "hidden_RN") if name in pointers]
    return " ".join(words)


def _resources(cubin: bytes) -> tuple[int, int]:
    """Registers, and bytes that found none, per thread."""
    import triton

    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [str(tool), "-res-usage", file.name]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", told)
    assert found is not None, told
    return int(found[1]), int(found[2])


def table(rows: Sequence[Compiled]) -> Table:
    """All of them, the largest spills first."""
    result = Table("kernel", "settings", "sm", "registers", "spilled", "shared")
    for row in sorted(rows, key=lambda row: (-row.spilled, -row.shared)):
        numbers = (row.architecture, row.registers, row.spilled, row.shared)
        result.add_row(row.name, row.settings, *(f"{number:,}" for number in numbers))
    return result


def summary(rows: Sequence[Compiled]) -> str:
    """One line per architecture."""
    lines = []
    for architecture in sorted({row.architecture for row in rows}):
        own = [row for row in rows if row.architecture == architecture]
        spilled = [row.spilled for row in own if row.spilled]
        lines.append(
            f"sm_{architecture}: {len(own)} configurations, at most "
            f"{max(row.registers for row in own)} registers and "
            f"{max(row.shared for row in own):,} of {MOST_SHARED[architecture]:,} bytes of shared "
            f"memory; {len(spilled)} spill, at most {max(spilled, default=0):,} bytes per thread"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table and its summary; end with an error where a kernel does not fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architectures", type=int, nargs="+", default=ARCHITECTURES)
    parser.add_argument("--few", action="store_true", help="two sizes of one dtype, in seconds")
    options = parser.parse_args(arguments)
    console = Console(width=150)
    if importlib.util.find_spec("triton") is None:
        console.print("skipped: the package triton is not installed (python -m pip install triton)")
        return
    if os.environ.get("TRITON_INTERPRET") == "1":
        parser.error("TRITON_INTERPRET=1 leaves nothing to compile: unset it")
    cells = FEW if options.few else tuple(itertools.product(DTYPES, FEATURES, ROWS_PER_EXPERT))
    rows = [row for sm in options.architectures for row in compiled(sm, cells)]
    console.print(table(rows))
    console.print(summary(rows))
    if not all(row.fits for row in rows):
        parser.error("some need more shared memory than there is")


if __name__ == "__main__":
    main()
