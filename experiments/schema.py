"""Typed settings: how a study declares them, and the settings that every study shares."""

from dataclasses import dataclass, field, fields
from enum import Enum
from math import isfinite
from typing import Any

from omegaconf import MISSING


@dataclass(frozen=True)
class Range:
    """Bounds of a number; `above` and `below` exclude the bound itself."""

    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None

    def allows(self, value: float) -> bool:
        """Whether the value is finite and lies inside all bounds."""
        return (
            isfinite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        words = [("at least", self.at_least), ("at most", self.at_most)]
        words += [("above", self.above), ("below", self.below)]
        return " and ".join(f"{word} {bound:g}" for word, bound in words if bound is not None)


def setting(default: Any, about: str, allowed: Range | None = None) -> Any:
    """Declare a setting of a study.

    Args:
        default: its default; a list is copied for each config.
        about: one line for people, with the place in the paper or "not stated".
        allowed: bounds, for a number or each number of a list.
    """
    metadata = {"about": about, "allowed": allowed}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class Config:
    """The root config: one study, or a suite of runs, and where and how to run."""

    study: Any = MISSING
    suite: Any = None
    runs_dir: str = setting("runs", "folder that holds the run folders")
    force: bool = setting(False, "compute a finished run again (the old one is kept aside)")
    num_workers: int = setting(
        0, "processes for a suite's runs; 0 takes one per core", Range(at_least=0)
    )


@dataclass
class Suite:
    """A named set of runs of one study, usually what a published table or figure needs.

    `runs` maps a run's name to the settings in which it departs from the study's config.
    """

    title: str = MISSING
    place: str = setting("", "place in the paper")
    minutes: float = setting(1.0, "expected minutes on two cores", Range(above=0))
    study: str = MISSING
    num_workers: int = setting(
        0, "runs at once if the root's num_workers is 0; 0 takes one per core", Range(at_least=0)
    )
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)


def out_of_range(config: Any) -> list[tuple[str, Any, Range]]:
    """Settings of a config dataclass that lie outside their declared range."""
    found = []
    for item in fields(config):
        allowed, value = item.metadata.get("allowed"), getattr(config, item.name)
        if allowed is None or value is None:
            continue
        numbers = value if isinstance(value, list) else [value]
        if not all(allowed.allows(number) for number in numbers):
            found.append((item.name, value, allowed))
    return found


def plain(config: Any) -> dict[str, Any]:
    """A config dataclass as JSON-ready values, enums by name."""
    return {item.name: _plain_value(getattr(config, item.name)) for item in fields(config)}


def _plain_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain_value(item) for item in value]
    return value.name if isinstance(value, Enum) else value
