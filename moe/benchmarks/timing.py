"""Time contenders in turn, so that a busy machine slows all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def interleaved(
    contenders: Mapping[str, Callable[[], object]], num_rounds: int
) -> dict[str, list[float]]:
    """Seconds per round of each contender; one more round, the first, is left out."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(num_rounds + 1):
        for name, work in contenders.items():
            started = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - started)
    return {name: times[1:] for name, times in seconds.items()}


def ratios(times: Sequence[float], base: Sequence[float]) -> list[float]:
    """Round by round, `times` over `base`."""
    return [time / other for time, other in zip(times, base, strict=True)]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median, with the lowest and the highest value behind it."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
