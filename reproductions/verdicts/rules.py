"""The rules that the claims' margins and shares follow: rules.yaml, where each stands once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Rule:
    """How margins, or shares of seeds, are set: in words, and why so.

    ``bounds`` are those of a difference between two measures of the kind that the rule speaks of.
    """

    name: str
    says: str
    why: str
    bounds: tuple[float, float] | None = None


@cache
def rules() -> Mapping[str, Rule]:
    """The rules that margins and shares follow, by name: rules.yaml, where each stands once."""
    entries = yaml.safe_load(Path(__file__).with_name("rules.yaml").read_text(encoding="utf-8"))
    found = [Rule(**entry) for entry in entries]
    return {rule.name: replace(rule, bounds=_pair(rule.bounds)) for rule in found}


def _pair(ends: Sequence[float] | None) -> tuple[float, float] | None:
    return None if ends is None else (float(ends[0]), float(ends[1]))
