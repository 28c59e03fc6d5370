"""Typed settings: how a study declares them, and the settings that every study shares."""

from collections.abc import Iterator
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import dataclass, field, fields
from enum import Enum
from math import isfinite
from typing import Any

from omegaconf import MISSING

from experiments.runner.errors import UserError


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
        return " and ".join(f"{word} {bound:.10g}" for word, bound in words if bound is not None)


# What scikit-learn takes; torch and numpy take larger ones.
SEED = Range(at_least=0, at_most=2**32 - 1)
SECONDS = Range(at_least=0, at_most=1e9)


class Device(Enum):
    """Where a model is trained."""

    cpu = "cpu"
    cuda = "cuda"


class Precision(Enum):
    """Numbers of the experts and of the other layers' products; gates always have float32."""

    float32 = "float32"
    bfloat16 = "bfloat16"


def setting(
    default: Any, about: str, allowed: Range | None = None, is_interval: bool = False
) -> Any:
    """Declare a setting of a study.

    Args:
        default: its default; a list is copied for each config.
        about: one line for people, with the place in the paper or "not stated".
        allowed: bounds, for a number or each number of a list.
        is_interval: whether a list is the lower and the upper end of an interval. Any other list
            names different values; it may be empty if its default is.
    """
    metadata = {"about": about, "allowed": allowed, "is_interval": is_interval}
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
        0, "processes for a suite's runs; 0 takes one per core", Range(at_least=0, at_most=1024)
    )
    any_size: bool = setting(
        False, "start also a run that is estimated to take more memory or time than there is"
    )


@dataclass
class Suite:
    """A named set of runs of one study, usually what a published table or figure needs.

    `runs` maps a run's name to the settings in which it departs from the study's config.
    `overrides` are settings as on the command line, for every run whose study has them. They win
    over what `runs` says, and the user's own win over them.
    """

    title: str = MISSING
    place: str = setting("", "place in the paper")
    minutes: float = setting(1.0, "expected minutes on two cores", Range(above=0, at_most=100_000))
    study: str = MISSING
    num_workers: int = setting(
        0,
        "runs at once if the root's num_workers is 0; 0 takes one per core",
        Range(at_least=0, at_most=1024),
    )
    overrides: list[str] = field(default_factory=list)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)


def faults(config: Any, prefix: str = "") -> Iterator[tuple[str, UserError]]:
    """Settings of a config dataclass that are not as declared, each with the error for people."""
    for item in fields(config):
        value = getattr(config, item.name)
        error = _fault(f"{prefix}{item.name}", value, item)
        if error is not None:
            yield item.name, error


def _fault(key: str, value: Any, item: Any) -> UserError | None:
    items = value if isinstance(value, list) else [value]
    if isinstance(value, list) and any(isinstance(each, list | dict) for each in items):
        return UserError(f"{key}={value} holds more than single values.", f"Write {key}=[a,b].")
    allowed = item.metadata.get("allowed")
    numbers = items if allowed is not None and value is not None else []
    if not all(allowed.allows(number) for number in numbers):
        return UserError(
            f"{key}={value} is out of range.", f"It must be a finite number {allowed}."
        )
    if not isinstance(value, list):
        return None
    shown = _shown(value)
    if item.metadata.get("is_interval"):
        if len(value) == 2 and value[0] <= value[1]:
            return None
        return UserError(
            f"{key}={shown} is not the lower and the upper end of an interval.",
            f"Write {key}={_shown(sorted([*value, *value, 0.0, 1.0][:2]))}, for example.",
        )
    usual = [] if item.default_factory is NO_DEFAULT else item.default_factory()
    if usual and not value:
        return UserError(
            f"{key}=[] names nothing.", f"Write {key}={_shown(usual)}, or leave it out."
        )
    if len(set(value)) < len(value):
        return UserError(
            f"{key}={shown} names a value twice.",
            f"Name each once: {key}={_shown(list(dict.fromkeys(value)))}.",
        )
    return None


def without_effect(*rules: tuple[bool, str, tuple[str, ...]]) -> dict[str, str]:
    """Why settings have no effect, by their names.

    Args:
        rules: whether one holds, what it says, and the settings that it says it of.
    """
    return {name: why for holds, why, names in rules if holds for name in names}


def _shown(values: list[Any]) -> str:
    """A list as it is written on the command line."""
    return f"[{','.join(str(_plain_value(value)) for value in values)}]"


def plain(config: Any) -> dict[str, Any]:
    """A config dataclass as JSON-ready values, enums by name."""
    return {item.name: _plain_value(getattr(config, item.name)) for item in fields(config)}


def _plain_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain_value(item) for item in value]
    return value.name if isinstance(value, Enum) else value
