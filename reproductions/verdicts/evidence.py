"""What our own runs say about a claim, and the common ways to read it off their tables.

A claim names its evidence in its study's ``claims.yaml``: a form, the runs that it reads, and the
form's options. This module has the common forms; a study adds functions of its own by name.

    evidence: {order: {runs: [experts_4, backprop_6], column: epochs}}
"""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.runner.errors import UserError
from reproductions.runs import NamedRun, Runs
from reproductions.verdicts.claims import Claim, Recipe, nearest


@dataclass(frozen=True)
class ValueEvidence:
    """One number per seed, for a claim about a number.

    With ``baseline_samples`` the claim is about the ratio of means, baseline over samples.
    ``num_censored`` samples (and ``num_censored_baseline`` baseline samples) are runs that never
    reached the criterion: they enter with the epoch limit, so they are lower bounds.
    ``runs`` names the runs the numbers came from. ``not_comparable`` says why they cannot be
    held against the paper, such as a reduced scale. Raises ValueError for NaN and infinity.
    """

    samples: tuple[float, ...]
    runs: tuple[str, ...]
    baseline_samples: tuple[float, ...] | None = None
    num_censored: int = 0
    num_censored_baseline: int = 0
    not_comparable: str | None = None

    def __post_init__(self) -> None:
        """Rejects numbers that no verdict could rest on."""
        baseline = self.baseline_samples or ()
        _check_finite((*self.samples, *baseline))
        if not 0 <= self.num_censored <= len(self.samples):
            raise ValueError("num_censored must lie between 0 and the number of samples")
        if not 0 <= self.num_censored_baseline <= len(baseline):
            raise ValueError("num_censored_baseline must lie between 0 and the number of samples")


@dataclass(frozen=True)
class OrderEvidence:
    """One number per seed of two variants.

    The claim says whether lower or higher is better; it claims that the first is better.
    ``paired``: entry i of both belongs together, since it has the same start and the same noise.
    Nets of different kinds are no pairs, even if they share a seed. Raises ValueError for pairs
    of unequal lengths, NaN and infinity.
    """

    first: tuple[float, ...]
    second: tuple[float, ...]
    runs: tuple[str, ...]
    not_comparable: str | None = None
    paired: bool = False

    def __post_init__(self) -> None:
        """Rejects numbers that no verdict could rest on."""
        _check_finite((*self.first, *self.second))
        if self.paired and len(self.first) != len(self.second):
            raise ValueError("paired samples must have the same length")


@dataclass(frozen=True)
class RateEvidence:
    """How many of ``n`` seeds showed what a rate or shape claim says.

    Raises ValueError unless 0 <= successes <= n.
    """

    successes: int
    n: int
    runs: tuple[str, ...]
    not_comparable: str | None = None

    def __post_init__(self) -> None:
        """Rejects counts that no verdict could rest on."""
        if not 0 <= self.successes <= self.n:
            raise ValueError("successes must lie between 0 and n")


Evidence = ValueEvidence | OrderEvidence | RateEvidence


def _check_finite(numbers: Iterable[float]) -> None:
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError("every sample must be a finite number")


Array = NDArray[np.float64]
# A way to read evidence off runs; None where they do not hold what it reads.
Form = Callable[..., Evidence | None]
# Evidence on a claim; the names of its runs where they are not what they say; or nothing.
Reading = Evidence | tuple[str, ...] | None
# Rows of two tables belong together by the first of these columns that they have.
# A pair is a sentence with its translation.
_ROW_KEYS = ("seed", "pair")


class HasTables(Protocol):
    """What the common forms read: a finished run, or tables that stand for one."""

    @property
    def name(self) -> str:
        """The run's name in its suite."""

    def table(self, name: str) -> pd.DataFrame:
        """Return one of the run's tables."""


def value(
    run: HasTables,
    *,
    column: str,
    table: str = "metrics",
    where: Mapping[str, object] | None = None,
    scale: float = 1.0,
) -> ValueEvidence:
    """One number per row of a table, ``scale`` times its column; rows without one are left out."""
    # As shares and factors stand in claims: 100 makes an accuracy a percentage.
    values = scale * read_rows(run, table, where, column)[column].dropna().astype(float)
    return ValueEvidence(tuple(values), (run.name,))


def order(
    *runs: HasTables,
    column: str | Sequence[str],
    table: str = "metrics",
    where: Mapping[str, object] | None = None,
    scale: float = 1.0,
    paired: bool = False,
) -> OrderEvidence:
    """One column of two runs, or two columns of one run.

    ``paired`` says that equal seeds have the same start and the same noise in both: rows of the
    same seed are then held against each other. Otherwise every row is held against every other.
    """
    columns = [column, column] if isinstance(column, str) else column
    frames = [
        read_rows(run, table, where, name)
        for run, name in zip((runs[0], runs[-1]), columns, strict=True)
    ]
    samples = [scale * values for values in _samples(frames, columns, paired)]
    first, second = (tuple(values.tolist()) for values in samples)
    return OrderEvidence(first, second, names_of(*runs), paired=paired)


def _samples(frames: Sequence[pd.DataFrame], columns: Sequence[str], paired: bool) -> list[Array]:
    if paired:
        return list(pairs_of(frames, columns))
    both = [frame[name].to_numpy(float) for frame, name in zip(frames, columns, strict=True)]
    # A diverged seed has no number.
    return [values[np.isfinite(values)] for values in both]


def rate(
    *runs: HasTables,
    column: str,
    table: str = "metrics",
    where: Mapping[str, object] | None = None,
    **test: Any,
) -> RateEvidence:
    """How many rows pass one test; those of several runs are counted together.

    The test is one of ``at_least``, ``above``, ``at_most``, ``below``, ``equals`` and ``one_of``.
    """
    ((name, bound),) = test.items()
    shown = [
        # A comparison with NaN is False: a diverged seed does not show it, and counts.
        TESTS[name](read_rows(run, table, where, column)[column].to_numpy(float), bound)
        for run in runs
    ]
    return rate_of(np.concatenate(shown), *runs)


TESTS: Mapping[str, Callable[[Array, Any], NDArray[np.bool_]]] = {
    "at_least": np.greater_equal,
    "above": np.greater,
    "at_most": np.less_equal,
    "below": np.less,
    "equals": np.equal,
    "one_of": np.isin,
}
COMMON_FORMS: Mapping[str, Form] = {"value": value, "order": order, "rate": rate}


def rate_of(shown: NDArray[np.bool_], *runs: HasTables) -> RateEvidence:
    """The count of what was shown in these runs."""
    return RateEvidence(int(shown.sum()), len(shown), names_of(*runs))


def names_of(*runs: HasTables) -> tuple[str, ...]:
    """The names of runs, as evidence keeps them."""
    return tuple(run.name for run in runs)


def read_rows(
    run: HasTables, table: str, where: Mapping[str, object] | None, *columns: str
) -> pd.DataFrame:
    """The rows of a run's table that have these values; "last" is a column's largest one.

    Raises:
        UserError: the table lacks one of the columns.
    """
    frame, where = run.table(table), where or {}
    for key in (*where, *columns):
        if key not in frame:
            raise UserError(
                f"The table {table} of the run {run.name} has no column '{key}'.",
                f"In the claim's evidence, choose from: {', '.join(map(str, frame.columns))}.",
            )
    for key, wanted in where.items():
        frame = frame[frame[key] == (frame[key].max() if wanted == "last" else wanted)]
    return frame


def pairs_of(frames: Sequence[pd.DataFrame], columns: Sequence[str]) -> Array:
    """Two tables' columns ``[2, n]`` for the seeds, or pairs of sentences, that both have."""
    first, second = (_row_keys(frame) for frame in frames)
    # Only seeds that both runs have: a pair shares its data and its draws, so that a difference
    # within it has less noise than one between strangers.
    places = np.intersect1d(first, second, return_indices=True)[1:]
    values = np.stack(
        [
            frame[column].to_numpy(float)[place]
            for frame, column, place in zip(frames, columns, places, strict=True)
        ]
    )
    # A diverged seed has no number, and so none in its pair.
    both: Array = values[:, np.isfinite(values).all(axis=0)]
    return both


def _row_keys(frame: pd.DataFrame) -> NDArray[Any]:
    key = next((name for name in _ROW_KEYS if name in frame), None)
    return np.arange(len(frame)) if key is None else frame[key].to_numpy()


def check_recipes(claims: Iterable[Claim], forms: Mapping[str, Form], file: str) -> None:
    """Check that every claim names its evidence by a known form, with the options that it takes.

    Raises:
        UserError: one does not; names the file, the claim and what is allowed.
    """
    for claim in claims:
        where = f"{file}, claim '{claim.id}'"
        if claim.evidence is None:
            raise UserError(f"{where} lacks the key 'evidence'.", "Add a line 'evidence: ...'.")
        recipe = claim.evidence
        if recipe.form not in forms:
            raise UserError(
                f"{where} has evidence of the unknown form '{recipe.form}'.",
                nearest(recipe.form, forms),
            )
        # The function's own signature says what a recipe may hold, so nothing has to be said twice.
        signature = inspect.signature(forms[recipe.form])
        try:
            signature.bind(*recipe.runs, **recipe.options)
            tests = set(recipe.options) - set(signature.parameters)
            if recipe.form == "rate" and (len(tests) != 1 or not tests <= set(TESTS)):
                raise TypeError(f"needs one test of {', '.join(TESTS)}")
        except TypeError as error:
            raise UserError(
                f"{where} has evidence that the form '{recipe.form}' cannot be given: {error}.",
                f"It takes {signature.replace(return_annotation=inspect.Signature.empty)}.",
            ) from error


def measure(
    recipe: Recipe, runs: Mapping[str, HasTables], forms: Mapping[str, Form]
) -> Evidence | None:
    """What the recipe's form reads off its runs, all of which are there."""
    return forms[recipe.form](*(runs[name] for name in recipe.runs), **recipe.options)


def read_evidence(
    claims: Iterable[Claim],
    runs: Runs,
    forms: Mapping[str, Form],
    why_not_comparable: Callable[[Claim, Sequence[NamedRun]], str | None],
) -> dict[str, Reading]:
    """What finished runs say of every claim, by its id; None where a run that it needs is missing.

    Args:
        claims: a study's claims.
        runs: that are finished.
        forms: ways to read evidence, by the names that the claims use.
        why_not_comparable: gives the reason why runs cannot be held against a claim, if any.
    """
    found: dict[str, Reading] = {}
    for claim in claims:
        recipe = claim.evidence
        if recipe is None or not set(recipe.runs) <= set(runs):
            found[claim.id] = None
            continue
        used = [runs[name] for name in recipe.runs]
        # Under another number of experts, say, a run is no evidence on a claim of its name,
        # whatever it measures: the verdict says so without numbers.
        if not all(run.is_as_named for run in used):
            found[claim.id] = recipe.runs
            continue
        item = measure(recipe, runs, forms)
        if item is not None:
            reason = item.not_comparable or why_not_comparable(claim, used)
            item = replace(item, not_comparable=reason)
        found[claim.id] = item
    return found
