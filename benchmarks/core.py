"""The layer on the CPU against its two limits and against other libraries' code.

`dense` is the same arithmetic in one expert; `traffic` moves the weights and their gradients once.
No layer with its own weights per expert can be faster than the larger of both; the sum is what one
reaches that does one after the other.
"""

import argparse
from collections.abc import Sequence

import torch
from rich.console import Console
from rich.table import Table

from experiments.scaling.timing import Cell, Problem, interleaved, ratios, spread
from moe.memory import keep_memory

CELLS = [
    Cell(16_384, 64),
    Cell(4_096, 64),
    Cell(4_096, 512),
    Cell(512, 2_048),
    Cell(4_096, 2_048),
    Cell(4_096, 2_048, skew=1.0),
    Cell(16_384, 2_048),
]


def table(cell: Cell, num_rounds: int) -> Table:
    """Median time and ratios of every contender; lowest and highest of the rounds in brackets."""
    seconds = interleaved(Problem(cell).contenders(), num_rounds)
    # Round by round: a busy machine slows all contenders of a round alike.
    limit = [sum(pair) for pair in zip(seconds["dense"], seconds["traffic"], strict=True)]
    result = Table("contender", "ms", "over dense + traffic", "over dense", title=cell.name)
    for name, times in seconds.items():
        milliseconds = [1e3 * time for time in times]
        result.add_row(
            name,
            spread(milliseconds, 0),
            spread(ratios(times, limit)),
            spread(ratios(times, seconds["dense"])),
        )
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one table per size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, help="only sizes with so many tokens")
    parser.add_argument("--experts", type=int, help="only sizes with so many experts")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    console = Console(width=110)
    kept = "kept" if keep_memory() else "not kept (not glibc)"
    console.print(f"{options.threads} threads, float32, freed memory {kept}")
    for cell in CELLS:
        if options.tokens in (None, cell.num_tokens) and options.experts in (
            None,
            cell.num_experts,
        ):
            console.print(table(cell, options.rounds))


if __name__ == "__main__":
    main()
