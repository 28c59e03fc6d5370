"""What a study counts as its main results, as data, and such a result as a number.

`experiments.studies` says which measures a study has. Commands that end with a table, and the
figures of `reproductions.plot`, read them from there.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Measure:
    """A column of one of a run's tables.

    Attributes:
        column: its name in the table.
        words: what readers call it.
        unit: of its numbers after scaling.
        scale: what the column's numbers are multiplied by.
        bounds: the least and the greatest value that it can have, after scaling.
        table: that holds it.
        rows: which rows count, by column and value.
        at_limit: column and value that mark a seed that was stopped before it arrived, so that its
            number is a lower bound.
    """

    column: str
    words: str
    unit: str = ""
    scale: float = 1.0
    bounds: tuple[float, float] | None = None
    table: str = "metrics"
    rows: tuple[tuple[str, str], ...] = ()
    at_limit: tuple[str, str] | None = None

    @property
    def heading(self) -> str:
        """Its words with the unit."""
        return f"{self.words} ({self.unit})" if self.unit else self.words


@dataclass(frozen=True)
class Curve:
    """A measure over training: ``clock`` is the column of the time and ``time`` what it is."""

    measure: Measure
    clock: str
    time: str


@dataclass(frozen=True)
class Mean:
    """The mean of a measure over seeds, with its interval; NaN where there is none.

    ``num_seeds`` counts those with a number, ``num_without`` the others, ``num_at_limit`` those
    whose number is a lower bound.
    """

    mean: float
    low: float
    high: float
    num_seeds: int
    num_without: int = 0
    num_at_limit: int = 0


def chosen_rows(measure: Measure, table: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of a table that count for a measure; none where the table lacks its column."""
    if measure.column not in table:
        return table.iloc[:0]
    for column, value in measure.rows:
        table = table[table[column].astype(str) == value]
    return table


def mean_of(measure: Measure, table: "pd.DataFrame") -> Mean | None:
    """A measure of one run over its seeds; None where the table does not have it."""
    rows = chosen_rows(measure, table)
    if rows.empty:
        return None
    values = measure.scale * rows[measure.column].dropna().astype(float)
    at_limit = 0
    if measure.at_limit is not None:
        column, value = measure.at_limit
        at_limit = int((rows[column].astype(str) == value).sum())
    center, low, high = interval(values.tolist(), measure.bounds)
    return Mean(center, low, high, len(values), len(rows) - len(values), at_limit)


def interval(
    values: list[float], bounds: tuple[float, float] | None = None
) -> tuple[float, float, float]:
    """Mean, and both ends of its 95 % Student-t interval: mean ± t s / sqrt(n).

    Within bounds it is symmetric on the logit's scale, as in `reproductions.verdicts.intervals`.
    What too few values do not give is NaN.
    """
    n = len(values)
    if n < 1:
        return math.nan, math.nan, math.nan
    center = math.fsum(values) / n
    if n < 2:
        return center, math.nan, math.nan
    # Late: it takes half a second, and not every command prints a table.
    from scipy import stats

    spread = math.sqrt(math.fsum((value - center) ** 2 for value in values) / (n - 1))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * spread / math.sqrt(n)
    if bounds is None or half == 0:
        return center, center - half, center + half
    return center, *_within(center, half, bounds)


def _within(center: float, half: float, bounds: tuple[float, float]) -> tuple[float, float]:
    least, greatest = bounds
    share = (center - least) / (greatest - least)
    if not 0 < share < 1:
        return max(least, center - half), min(greatest, center + half)
    # Delta method: the error of logit(p) is that of p over p (1 - p).
    reach = half / (greatest - least) / (share * (1 - share))
    logit = math.log(share / (1 - share))
    ends = (1 / (1 + math.exp(-(logit + side * reach))) for side in (-1, 1))
    low, high = (least + (greatest - least) * end for end in ends)
    return low, high
