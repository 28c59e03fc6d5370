"""Synthetic runs for the laws of what claims read off runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reproductions.verdicts.evidence import RateEvidence


@dataclass(frozen=True)
class Synthetic:
    """Tables, arrays and settings in the place of a finished run."""

    name: str = "run"
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def study(self) -> SimpleNamespace:
        """The settings."""
        return SimpleNamespace(**self.settings)

    @property
    def finished(self) -> SimpleNamespace:
        """The arrays, whatever file they are asked of."""
        return SimpleNamespace(arrays=lambda _: self.arrays)

    def table(self, name: str) -> pd.DataFrame:
        """One of the tables."""
        return pd.DataFrame(self.tables[name])


def by_seed(steps: list[int], column: str, values_by_seed: list[list[float]]) -> dict[str, Any]:
    """A curve's table: a row per seed and step."""
    num = len(values_by_seed)
    return {
        "seed": np.repeat(range(num), len(steps)),
        "step": steps * num,
        column: np.ravel(values_by_seed),
    }


def counted(evidence: object) -> tuple[int, int]:
    """How many seeds showed it, of how many."""
    assert isinstance(evidence, RateEvidence)
    return evidence.successes, evidence.n
