"""How a run was made, as a page tells it: its manifest with labels and units."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_LABELS = {
    "git_commit": "Git commit",
    "command": "Command",
    "digest": "Config digest",
    "seeds": "Seeds",
    "seed": "Seed",
    "versions": "Versions",
    "platform": "Platform",
    "cpu": "Processor",
    "gpu": "GPU",
    "num_cores": "Cores",
    "num_threads": "Threads",
    "memory_bytes": "Memory",
    "started_utc": "Started (UTC)",
    "wall_seconds": "Wall time",
    "peak_memory_bytes": "Peak memory",
    "data_checksum": "Data checksum",
}


@dataclass(frozen=True)
class ProvenanceView:
    """One run: its name, labelled facts, and long facts as indented JSON."""

    name: str
    rows: tuple[tuple[str, str], ...]
    folded: tuple[tuple[str, str], ...]


def provenance_view(record: Mapping[str, object]) -> ProvenanceView:
    """The facts of one manifest: the well-known ones first, then all others by name."""
    # A resolved config is dozens of lines: it folds away, and the few versions do not.
    long = {key for key, fact in record.items() if isinstance(fact, Mapping) and key != "versions"}
    # In the order of _LABELS: what a reader asks first stands first.
    known = [key for key in _LABELS if key in record and key not in long]
    others = sorted(set(record) - set(known) - long - {"git_dirty"})
    rows = tuple((_fact_label(key), _fact(key, record)) for key in [*known, *others])
    folded = tuple((_fact_label(key), _indented(record[key])) for key in sorted(long))
    return ProvenanceView(f"Run {record['digest']}" if "digest" in record else "Run", rows, folded)


def _fact_label(key: str) -> str:
    return _LABELS.get(key, key.replace("_", " ").capitalize())


def _fact(key: str, record: Mapping[str, object]) -> str:
    fact = record[key]
    # A commit alone would not tell that the code was changed since.
    if key == "git_commit" and fact is not None:
        state = "with uncommitted changes" if record.get("git_dirty") else "clean"
        return f"{fact} ({state})"
    if key == "gpu" and fact is None:
        return "none"
    if fact is None:
        return "not known"
    if isinstance(fact, Mapping):
        return ", ".join(f"{name} {part}" for name, part in fact.items())
    if isinstance(fact, int | float) and not isinstance(fact, bool):
        return _measured(key, fact)
    if isinstance(fact, Sequence) and not isinstance(fact, str):
        return _listed_facts(fact)
    return str(fact)


def _measured(key: str, amount: float) -> str:
    if key.endswith("_bytes"):
        return f"{amount / 2**20:,.0f} MiB" if amount < 2**30 else f"{amount / 2**30:,.1f} GiB"
    if key.endswith("_seconds"):
        return duration(amount)
    return str(amount)


def duration(seconds: float) -> str:
    """A time span with the two largest of its units."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _listed_facts(facts: Sequence[object]) -> str:
    numbers = [fact for fact in facts if isinstance(fact, int)]
    # 25 seeds read better as "0 to 24".
    if len(numbers) == len(facts) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(str(fact) for fact in facts)


def _indented(fact: object) -> str:
    return json.dumps(fact, indent=2, ensure_ascii=False, default=str)
