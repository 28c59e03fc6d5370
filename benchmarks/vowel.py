"""Time per seed of the vowel study: many seeds as one tensor program against one seed at a time.

Every round times all contenders in turn on one thread, so that each ratio is taken within one run
on an equally busy machine; printed are medians over the rounds with the lowest and highest. The
floor is what the transcendental functions alone would take, at the speed at which torch evaluates
them on a tensor that stays in the cache.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table

from experiments.vowel import data, systems
from experiments.vowel.settings import StopMeasure, System, VowelConfig
from experiments.vowel.study import batch_of
from experiments.vowel.training import Criterion, Schedule, train

SYSTEMS = {
    "4 experts": VowelConfig(num_experts=4),
    "8 experts": VowelConfig(num_experts=8),
    "back-propagation, 6": VowelConfig(system=System.backprop, num_hidden=6),
    "back-propagation, 12": VowelConfig(system=System.backprop, num_hidden=12),
}
NEVER_REACHED = Criterion(StopMeasure.blend, 0.0)
STEP_SIZE = 8.0


def seconds_per_seed_epoch(config: VowelConfig, num_seeds: int, num_epochs: int) -> float:
    """CPU time of training, per seed and epoch: waiting for a core does not count."""
    vowels = data.load(config)
    net = systems.build(config, vowels.codes_VO.shape[1])
    batch = batch_of(config, net, list(range(num_seeds)), STEP_SIZE)
    schedule = Schedule([NEVER_REACHED], num_epochs, num_epochs)
    started = time.process_time()
    train(net, vowels.train.inputs_DN, vowels.train.targets_ON, batch, schedule)
    return (time.process_time() - started) / (num_seeds * num_epochs)


def floor_seconds(config: VowelConfig, num_cases: int = 400) -> float:
    """What the exponentials and logistic functions of one seed and epoch take by themselves."""
    # In the precision of the training: float64 takes about twice as long as float32.
    dtype = getattr(torch, config.precision.name)
    logistic, exponential = (
        _seconds_per_element(each, dtype) for each in (torch.sigmoid, torch.exp)
    )
    if config.system is System.backprop:
        return (config.num_hidden + 1) * num_cases * logistic
    # Per expert and case: its logistic output, the gate's exponential, the responsibility's.
    return config.num_experts * num_cases * (logistic + 2 * exponential)


def _seconds_per_element(
    function: Callable[[torch.Tensor], torch.Tensor], dtype: torch.dtype
) -> float:
    values = torch.rand(16_000, dtype=dtype)
    times = []
    for _ in range(200):
        started = time.process_time()
        function(values)
        times.append((time.process_time() - started) / values.numel())
    return statistics.median(times)


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def batched_against_looped(num_seeds: int, rounds: int, num_epochs: int) -> Table:
    """Per system: time per seed looped one at a time, over the time per seed batched."""
    # Looped means a batch of one seed: the same code, so that only batching differs.
    table = Table(
        "system",
        "looped, µs",
        "batched, µs",
        "looped over batched",
        "batched over floor",
        title=f"time per seed and epoch, {num_seeds} seeds, one thread, {rounds} rounds",
    )
    for name, config in SYSTEMS.items():
        looped, batched, floors = [], [], []
        for _ in range(rounds):
            looped.append(1e6 * seconds_per_seed_epoch(config, 1, num_epochs))
            batched.append(1e6 * seconds_per_seed_epoch(config, num_seeds, num_epochs))
            floors.append(1e6 * floor_seconds(config))
        # Ratios within a round, since times of other rounds may be those of a busier machine.
        gain = [one / many for one, many in zip(looped, batched, strict=True)]
        above = [many / floor for many, floor in zip(batched, floors, strict=True)]
        table.add_row(name, *(_spread(values) for values in (looped, batched, gain, above)))
    return table


def by_number_of_seeds(counts: list[int], rounds: int, num_epochs: int) -> Table:
    """Time per seed of all four systems together, as a share of the time of one seed alone."""
    table = Table(
        "seeds at once", "time per seed over one seed's", title="all four systems together"
    )
    shares: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(rounds):
        totals = {
            count: sum(
                seconds_per_seed_epoch(config, count, num_epochs) for config in SYSTEMS.values()
            )
            for count in (1, *counts)
        }
        for count in counts:
            shares[count].append(totals[count] / totals[1])
    for count, values in shares.items():
        table.add_row(f"{count:,}", _spread(values))
    return table


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.vowel")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=100)
    parsed = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    console.print(batched_against_looped(parsed.seeds, parsed.rounds, parsed.epochs))
    console.print(batched_against_looped(25, parsed.rounds, parsed.epochs))
    counts = [1, 5, 25, 50, 200, 1000]
    console.print(by_number_of_seeds(counts, max(parsed.rounds // 2, 1), parsed.epochs))


if __name__ == "__main__":
    main()
