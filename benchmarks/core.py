"""The layer on the CPU against its two limits, other libraries' code, and other ways to write it.

`dense` is the same arithmetic in one expert; `traffic` moves the weights and their gradients once.
No layer with its own weights per expert can be faster than the larger of both; the sum is what one
reaches that does one after the other. All run in one process, on the same tensors and in turn.

Every time is kept in a file, from which `python -m benchmarks.speed_table` writes docs/speed.md.
A dense product runs before and after each size as a control: where it takes longer than at its
best, the figures are said to be of a busy machine.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import step
from benchmarks.peers import peers
from experiments.runner.provenance import cpu_model
from experiments.scaling.timing import Cell, Problem, interleaved, ratios, spread
from moe.memory import keep_memory

CELLS = [
    Cell(512, 64),
    Cell(4_096, 64),
    Cell(16_384, 64),
    Cell(4_096, 512),
    Cell(512, 2_048),
    Cell(4_096, 2_048),
    Cell(4_096, 2_048, skew=1.0),
    Cell(16_384, 2_048),
]
# The size that is to be faster on several threads than on one is timed on one thread too.
ON_ONE_THREAD = CELLS[0]

SAVED = Path("runs/benchmarks/core.json")

CONTROL_ROUNDS = 11
# The control's median before or after a size may be so many times its fastest of the whole run.
MOST_DELAY = 1.3

Work = Callable[[], object]
Record = dict[str, Any]


def measured(contenders: Mapping[str, Work], num_rounds: int) -> Record:
    """Seconds of every contender round by round, and of the control before and after."""
    dense = {"control": control()}
    # Threads that have just been started may share a core for some tenths of a second.
    interleaved(dense, 3 * CONTROL_ROUNDS)
    before = interleaved(dense, CONTROL_ROUNDS)["control"]
    seconds = interleaved(contenders, num_rounds)
    after = interleaved(dense, CONTROL_ROUNDS)["control"]
    return {"seconds": seconds, "before": before, "after": after}


def control() -> Work:
    """A dense product that needs no new memory, and takes some milliseconds."""
    matrix = torch.randn(1_024, 1_024)
    answer = torch.empty_like(matrix)
    return lambda: torch.mm(matrix, matrix, out=answer)


def doubt(record: Record, records: Sequence[Record]) -> str:
    """Why a record's figures cannot be believed; nothing where they can.

    Args:
        record: the one to judge.
        records: of the same run, with the control at its fastest.
    """
    alike = [other for other in records if other["threads"] == record["threads"]]
    fastest = min(min(other["before"] + other["after"]) for other in alike)
    slowest = max(statistics.median(record["before"]), statistics.median(record["after"]))
    if slowest > MOST_DELAY * fastest:
        return f"the control took {slowest / fastest:.1f} times as long as at its fastest"
    return ""


def cell_record(cell: Cell, num_rounds: int) -> Record:
    """Times of all contenders of one size, with the number of threads that torch has."""
    problem = Problem(cell)
    contenders = problem.contenders() | peers(problem)
    record = measured(contenders, num_rounds)
    return {"name": cell.name, "threads": torch.get_num_threads(), **record}


def step_record(num_rounds: int) -> Record:
    """Times of whole training steps."""
    size = step.Size()
    record = measured(step.contenders(size), num_rounds)
    name = f"whole step, {size.num_tokens:,} tokens, {size.num_experts:,} experts"
    return {"name": name, "threads": torch.get_num_threads(), **record}


def limit(record: Record) -> list[float]:
    """What each round's ratios are over: dense and traffic, or the first contender of a step."""
    seconds = record["seconds"]
    if "traffic" not in seconds:
        return next(iter(seconds.values()))
    # Round by round: a busy machine slows all contenders of a round alike.
    return [sum(pair) for pair in zip(seconds["dense"], seconds["traffic"], strict=True)]


def table(record: Record, records: Sequence[Record]) -> Table:
    """Median time and ratio of every contender; lowest and highest of the rounds in brackets."""
    base = "dense + traffic" if "traffic" in record["seconds"] else "the first"
    title = f"{record['name']}, {record['threads']} threads"
    if reason := doubt(record, records):
        title += f"\nbusy machine, do not believe: {reason}"
    result = Table("contender", "ms", f"over {base}", title=title)
    for name, times in record["seconds"].items():
        milliseconds = [1e3 * time for time in times]
        result.add_row(name, spread(milliseconds, 1), spread(ratios(times, limit(record))))
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one table per size, and keep all times in a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, help="only sizes with so many tokens")
    parser.add_argument("--experts", type=int, help="only sizes with so many experts")
    parser.add_argument("--save", type=Path, default=SAVED, help="where the times are kept")
    options = parser.parse_args(arguments)
    console = Console(width=110)
    kept = "kept" if keep_memory() else "not kept (not glibc)"
    wanted = [
        cell
        for cell in CELLS
        if options.tokens in (None, cell.num_tokens) and options.experts in (None, cell.num_experts)
    ]
    run: dict[str, Any] = {
        "machine": f"{cpu_model()}, {platform.system()}",
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
        "freed memory": kept,
        "records": [],
    }

    def add(record: Record) -> None:
        run["records"].append(record)
        console.print(table(record, run["records"]))
        # After each size, so that a run that is stopped has kept what it measured.
        options.save.parent.mkdir(parents=True, exist_ok=True)
        options.save.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")

    for cell in wanted:
        for threads in sorted({1, options.threads} if cell == ON_ONE_THREAD else {options.threads}):
            torch.set_num_threads(threads)
            add(cell_record(cell, options.rounds))
    torch.set_num_threads(options.threads)
    if wanted == CELLS:
        add(step_record(options.rounds))
    console.print(f"times are in {options.save}; python -m benchmarks.speed_table publishes them")


if __name__ == "__main__":
    main()
