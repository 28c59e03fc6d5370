"""Tables as texts: their cells, the same for all pages, and means over seeds."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from experiments.runner.errors import shown
from reproductions.verdicts.intervals import mean_estimate
from reproductions.verdicts.judge import CONFIDENCE
from reproductions.verdicts.number_text import number

# The least and the greatest percentage.
PERCENT = (0.0, 100.0)
# What stands where there is no number.
DASH = "–"
# A sign or a bound may stand before the digits.
_LOOKS_NUMERIC = re.compile(r"[−+±≥≤≈<>]? ?\d")


@dataclass(frozen=True)
class TableView:
    """A table in texts: the first cell of each row names the row.

    ``numeric`` tells for each column whether all of its cells are numbers, to be set flush right.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]


def table_view(frame: pd.DataFrame) -> TableView:
    """The table's texts; an index that says something becomes the first column."""
    # A plain count of rows says nothing; any other index names them.
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    rows = tuple(
        tuple(_cell(entry) for entry in row) for row in frame.itertuples(index=False, name=None)
    )
    columns = tuple(_heading(column) for column in frame.columns)
    numeric = tuple(
        bool(rows) and all(is_numeric(row[place]) for row in rows) for place in range(len(columns))
    )
    return TableView(columns, rows, numeric)


def _heading(column: object) -> str:
    if isinstance(column, tuple):
        return ", ".join(str(part) for part in column if str(part))
    return str(column)


def _cell(entry: object) -> str:
    if isinstance(entry, bool):
        return "yes" if entry else "no"
    # NaN is the one number that does not equal itself.
    if entry is None or entry is pd.NA or entry != entry:
        return DASH
    # Texts may come from a corpus: control characters are shown, and not obeyed.
    return number(float(entry)) if isinstance(entry, Real) else shown(str(entry))


def is_numeric(text: str) -> bool:
    """Tell whether a cell is a number, or the dash that stands for none."""
    return text == DASH or _LOOKS_NUMERIC.match(text) is not None


def mean_text(values: pd.Series, decimals: int, mark: str = "") -> str:
    """The mean over seeds with its standard deviation; a dash for no seed."""
    if not len(values):
        return DASH
    spread = f" (SD {values.std():,.{decimals}f})" if len(values) > 1 else ""
    return f"{mark}{values.mean():,.{decimals}f}{spread}"


def interval_text(
    values: pd.Series, decimals: int, bounds: tuple[float, float] | None = None
) -> str:
    """The 95 % Student-t interval of the mean; a dash for fewer than two seeds.

    Args:
        values: one per seed.
        decimals: of both ends.
        bounds: the least and the greatest value of the measure, which the interval stays within.
    """
    if len(values) < 2:
        return DASH
    low, high = mean_estimate(values.tolist(), bounds=bounds).interval(0.95)
    return f"{low:,.{decimals}f} to {high:,.{decimals}f}"


def spread(values: "Sequence[float] | pd.Series[float]") -> str:
    """Mean, 95 % Student-t interval and n, over trainings; logs are averaged where all are > 0."""
    samples = [float(value) for value in values]
    if len(samples) < 2:
        return f"{number(samples[0])} (n = 1)" if samples else "–"
    # Perplexities, seconds and ratios are positive and multiply; rises of a loss may be negative.
    is_positive = min(samples) > 0
    found = mean_estimate(np.log(samples).tolist() if is_positive else samples, is_log=is_positive)
    low, high = found.interval(CONFIDENCE)
    return f"{number(found.point)} ({number(low)} to {number(high)}; n = {found.n})"


def blown_up_text(manifest: Mapping[str, Any], measure: str = "train_accuracy") -> str:
    """How many of a run's trainings blew up, and a share in % before they did.

    A dash stands for runs of which it is not known: those older than the rule.

    Args:
        manifest: of the run.
        measure: what is shown of the state before, where its curves have it.
    """
    found = manifest.get("blow_ups")
    if found is None:
        return DASH
    if not found["num_blown_up"]:
        return "none"
    text = f"{found['num_blown_up']} of {found['num_trainings']}"
    before = found["before"].get(measure)
    return text if before is None else f"{text}, at {100 * before:.1f} % in training before"
