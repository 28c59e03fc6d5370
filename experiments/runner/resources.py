"""What a run takes of the machine, estimated from its settings before it starts.

A study says what its memory and its time are made of; here that is set against what is there, and
what does not fit is refused with the arithmetic and with values that do fit.
"""

import logging
import math
import os
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import prod
from pathlib import Path
from typing import Any

from experiments.runner.errors import UserError

_LOGGER = logging.getLogger(__name__)
_GIB = 2**30
_HOUR, _DAY = 3600.0, 86400.0
# A run of more than a month is taken for a slip, one of more than an hour is told.
_TOLD, _REFUSED = _HOUR, 31 * _DAY
# Of a run that takes next to nothing: tables, buffers, libraries that are imported late.
_LEAST_BYTES = 50e6
_NUM_SHOWN = 3
# So many threads any machine has.
_FEW_THREADS = 16


@dataclass(frozen=True)
class Part:
    """Something that takes memory or time, as a product whose factors people can check.

    Attributes:
        what: takes it.
        each: bytes, or seconds, of one.
        factors: how many there are; a factor that is a setting goes by its name.
    """

    what: str
    each: float
    factors: Mapping[str, float]

    @property
    def total(self) -> float:
        """Bytes or seconds."""
        return self.each * prod(self.factors.values())


@dataclass(frozen=True)
class Regime:
    """What one of several experts sees of the text, by which it can learn more than a wide layer.

    Attributes:
        words: per step, as factors that people can check; settings go by their names.
        k: experts for each word.
        num_experts: that share the words.
        num_steps: of the training.
        num_weights: of an expert.
    """

    words: Mapping[str, float]
    k: int
    num_experts: int
    num_steps: int
    num_weights: int

    @property
    def per_step(self) -> float:
        """Words that an expert sees in a step."""
        return prod(self.words.values()) * self.k / self.num_experts

    @property
    def per_weight(self) -> float:
        """Words that it sees in the training, per weight of its own."""
        return self.per_step * self.num_steps / self.num_weights

    def __str__(self) -> str:
        factors = " x ".join(f"study.{name}={number:g}" for name, number in self.words.items())
        return (
            f"An expert sees {self.per_step:.4g} words a step ({factors} x study.k={self.k} / "
            f"study.num_experts={self.num_experts}), and {self.per_weight:.2g} words per weight "
            f"(x study.max_steps={self.num_steps} / {self.num_weights:,} weights)"
        )


@dataclass(frozen=True)
class Estimate:
    """What a run takes.

    Attributes:
        memory: bytes that are held at once, beside those of a run that does next to nothing.
        time: seconds on one core; where a training may stop early, of the longest.
        levers: settings that make it smaller, the first to try first: a number is halved, a list
            loses its largest value, and a name with a plus is doubled.
        regime: where there is a choice among experts.
    """

    memory: Sequence[Part]
    time: Sequence[Part]
    levers: Sequence[str]
    regime: Regime | None = None

    @property
    def num_bytes(self) -> float:
        """In all."""
        return _LEAST_BYTES + sum(part.total for part in self.memory)

    @property
    def seconds(self) -> float:
        """In all."""
        return sum(part.total for part in self.time)


Estimator = Callable[[Any], Estimate]


def refuse_what_cannot_run(
    study: Any,
    estimate: Estimator,
    check: Callable[[Any], None],
    any_size: bool = False,
) -> None:
    """Tell of a long run, and refuse one that this machine cannot do.

    Args:
        study: a checked study config.
        estimate: of its study.
        check: of its study; what is advised passes it.
        any_size: tell what would be refused.

    Raises:
        UserError: there is no GPU, too little memory, more than a month to compute, more threads
            than cores, or on a GPU too few words for an expert to learn from.
    """
    _refuse_threads(getattr(study, "num_threads", 0))
    is_on_gpu = _is_on_gpu(study)
    if is_on_gpu and not _has_gpu():
        raise UserError(
            "study.device=cuda, but torch finds no GPU.",
            "Leave it out to train on the CPU, or install a torch build with CUDA.",
        )
    found = estimate(study)
    if found.regime is not None:
        _refuse_idle_experts(found.regime, is_on_gpu and not any_size)
    present = _present_on_gpu() if is_on_gpu else present_memory()

    def fits(other: Any) -> bool:
        taken = estimate(other)
        return taken.num_bytes <= present and taken.seconds <= _REFUSED

    told = []
    if found.num_bytes > present:
        told.append(
            f"This run needs about {_size(found.num_bytes)} of memory, and this machine has "
            f"{_size(present)} free: {_shown(found.memory, study, _size)}."
        )
    if found.seconds > _TOLD:
        told.append(
            f"This run may take about {_duration(found.seconds)}: "
            f"{_shown(found.time, study, _duration)}."
        )
    if fits(study) or any_size:
        for sentence in told:
            _LOGGER.warning("%s", sentence)
        return
    advice = [_advised(study, values) for values in _changes(study, found.levers, fits, check)]
    way_out = f"Take {', or '.join(advice)}" if advice else "Take a larger machine"
    raise UserError(
        " ".join(told), f"{way_out}; any_size=true starts it as it is, at your own risk."
    )


# Published gains from many experts have 150 words or more per expert and step, and 0.6 or more per
# weight; below the first the gate stays nearly random.
_FEWEST_WORDS = 128


def _refuse_idle_experts(regime: Regime, is_refused: bool) -> None:
    """Tell what experts see; a run at a GPU's size is made to show what they gain, and must."""
    if regime.per_step >= _FEWEST_WORDS or not is_refused:
        _LOGGER.info("%s.", regime)
        return
    most = int(prod(regime.words.values()) * regime.k / _FEWEST_WORDS)
    name, number = next(iter(regime.words.items()))
    wanted = math.ceil(number * _FEWEST_WORDS / regime.per_step)
    raise UserError(
        f"{regime}; with fewer than {_FEWEST_WORDS} a step experts hardly learn.",
        f"Take study.num_experts={max(1, most)}, or study.{name}={wanted}; any_size=true starts it "
        "as it is.",
    )


def _refuse_threads(wanted: int) -> None:
    num_cores = os.cpu_count() or 1
    if wanted > max(_FEW_THREADS, 2 * num_cores):
        raise UserError(
            f"study.num_threads={wanted} is far more than this machine's {num_cores} cores, and "
            "where so many threads cannot be made the process ends without a word.",
            f"Take at most study.num_threads={num_cores}, or study.num_threads=0, one per core.",
        )


def num_at_once(wanted: int, estimates: Sequence[Estimate]) -> int:
    """How many of these runs, at most `wanted`, fit into memory side by side; at least 1."""
    largest = max((found.num_bytes for found in estimates), default=1.0)
    return max(1, min(wanted, int(present_memory() / largest)))


def _is_on_gpu(study: Any) -> bool:
    device = getattr(study, "device", None)
    return device is not None and device.value == "cuda"


# Imported late: estimates are made, and refused, before anything is computed.


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _present_on_gpu() -> float:
    import torch

    return float(torch.cuda.mem_get_info()[0])


def present_memory() -> float:
    """Bytes that this process can still take: of the machine, its control group and its limit."""
    return min([_of_machine(), *_of_control_groups(), *_of_limit()])


def _of_machine() -> float:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return 1024.0 * int(line.split()[1])
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _of_control_groups() -> Iterator[float]:
    """What is left in the groups of this process and in those above them, by either version."""
    for line in _lines("/proc/self/cgroup"):
        _, controllers, own = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = Path("/sys/fs/cgroup") / ("memory" if controllers else "")
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
        limit, usage = names if controllers else ("memory.max", "memory.current")
        # In a container the group may be mounted as the root, under whatever name it has outside.
        below = root / own.strip("/")
        for group in {root, below, *(each for each in below.parents if root in each.parents)}:
            most, now = (_number(group / name) for name in (limit, usage))
            if most is not None and now is not None:
                # Cached files make room when memory is asked for.
                cached = [
                    int(each.split()[1])
                    for each in _lines(str(group / "memory.stat"))
                    if each.startswith(("total_inactive_file ", "inactive_file "))
                ]
                yield most - now + max(cached, default=0)


def _of_limit() -> Iterator[float]:
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        pages = next(iter(_lines("/proc/self/statm")), "0").split()[0]
        yield most - float(int(pages) * os.sysconf("SC_PAGE_SIZE"))


def _number(path: Path) -> float | None:
    word = next(iter(_lines(str(path))), "")
    return float(word) if word.isdigit() else None


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _changes(
    study: Any,
    levers: Sequence[str],
    fits: Callable[[Any], bool],
    check: Callable[[Any], None],
) -> list[dict[str, Any]]:
    """Changes of settings by which a study fits: of one of them, else of several together."""
    single = [change for lever in levers if (change := _change(study, [lever], fits, check))]
    return single[:_NUM_SHOWN] or [
        change for change in [_change(study, levers, fits, check)] if change
    ]


def _change(
    study: Any,
    levers: Sequence[str],
    fits: Callable[[Any], bool],
    check: Callable[[Any], None],
) -> dict[str, Any]:
    allowed = {item.name: item.metadata.get("allowed") for item in fields(study)}
    changed: dict[str, Any] = {}
    going = list(levers)
    while going:
        for lever in list(going):
            name = lever.lstrip("+")
            now = getattr(study, name)
            value = _less(now, lever.startswith("+"))
            if value in (None, now) or not _is_allowed(value, allowed[name]):
                going.remove(lever)
                continue
            study, changed[name] = replace(study, **{name: value}), value
            if fits(study) and _passes(study, check):
                return changed
    return {}


def _less(value: Any, doubled: bool) -> Any:
    if isinstance(value, list):
        return [each for each in value if each < max(value)] if len(value) > 1 else None
    if value is None:
        return None
    return value * 2 if doubled else value // 2 if isinstance(value, int) else value / 2


def _is_allowed(value: Any, allowed: Any) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return allowed is None or all(allowed.allows(number) for number in numbers)


def _passes(study: Any, check: Callable[[Any], None]) -> bool:
    try:
        check(study)
    except UserError:
        return False
    return True


def _advised(study: Any, values: Mapping[str, Any]) -> str:
    return " with ".join(f"study.{name}={_plain(value)}" for name, value in values.items())


def _plain(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else f"{value}"


def _shown(parts: Sequence[Part], study: Any, unit: Callable[[float], str]) -> str:
    """The largest parts with their arithmetic."""
    known = {item.name for item in fields(study)}
    largest = sorted(parts, key=lambda part: -part.total)[:_NUM_SHOWN]
    return ", ".join(
        f"{part.what} {unit(part.total)} ("
        + " x ".join([*(_factor(*each, known) for each in part.factors.items()), unit(part.each)])
        + ")"
        for part in largest
        if part.total > 0
    )


def _factor(name: str, number: float, known: set[str]) -> str:
    return f"study.{name}={number:.10g}" if name in known else f"{number:,.10g} {name}"


def _size(num_bytes: float) -> str:
    if num_bytes < 1024:
        return f"{num_bytes:.0f} bytes"
    for unit, name in ((2**40, "TiB"), (_GIB, "GiB"), (2**20, "MiB")):
        if num_bytes >= unit:
            return f"{num_bytes / unit:,.1f} {name}"
    return f"{num_bytes / 1024:.1f} KiB"


def _duration(seconds: float) -> str:
    for unit, name in ((365 * _DAY, "years"), (_DAY, "days"), (_HOUR, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds:,.0f} seconds" if seconds >= 10 else f"{seconds:.2g} seconds"
