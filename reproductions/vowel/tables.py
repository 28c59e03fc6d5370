"""The report's tables: Table 1 beside ours, tuned steps, the three costs, reference classifiers."""

from collections.abc import Sequence

import pandas as pd

from reproductions.runs import NamedRun, Runs
from reproductions.verdicts.claims import Claim
from reproductions.verdicts.intervals import Interval, mean_estimate
from reproductions.verdicts.judge import Judged
from reproductions.verdicts.verdict_text import SYMBOLS, verdict_word
from reproductions.vowel.suite import TABLE_1, Row, cost_of, cost_runs, table_1_rows

# Title, column of metrics.csv, beginning of the claim's id, factor, decimals.
_MEASURES = (
    ("training %", "train_accuracy", "train-accuracy", 100.0, 1),
    ("test %", "test_accuracy", "test-accuracy", 100.0, 1),
    ("epochs", "epochs", "epochs", 1.0, 0),
)
_DASH = "–"
_PLACES = {row.run: place for place, row in enumerate(TABLE_1)}


def table_1(runs: Runs, judged: Sequence[Judged]) -> pd.DataFrame:
    """Table 1 number by number: published, ours, and the verdict; a row for each of twelve.

    A system that was given another size, say, stands for itself and beside no published number.
    """
    by_id = {claim.id: (claim, verdict) for claim, _, verdict in judged}
    shown: list[tuple[Row, NamedRun | None]] = [
        *table_1_rows(runs),
        *((row, None) for row in TABLE_1 if row.run not in runs),
    ]
    rows = []
    for row, run in sorted(shown, key=lambda item: _PLACES[item[0].run]):
        for title, column, prefix, factor, decimals in _MEASURES:
            claim, verdict = by_id[f"{prefix}-{row.suffix}"]
            word = verdict_word(verdict)
            rows.append(
                {
                    "system": row.label,
                    "measure": title,
                    "published": _published(claim) if run is None or run.is_as_named else _DASH,
                    "ours": mean_text(run, column, factor, decimals),
                    "95 % interval": interval_text(run, column, factor, decimals),
                    "verdict": f"{SYMBOLS[word]} {word}",
                    **_size(run),
                }
            )
    return pd.DataFrame(rows)


def tuned_table(runs: Runs) -> pd.DataFrame:
    """The same systems with steps tuned towards the published epochs, where they are those."""
    tuned = [(row.label, runs[row.tuned_run]) for row in TABLE_1 if row.tuned_run in runs]
    return pd.DataFrame(
        [
            {"system": label, **_measures(run), **_size(run)}
            for label, run in tuned
            if run.is_as_named
        ]
    )


def cost_table(runs: Runs) -> pd.DataFrame:
    """The costs, and how many experts stay in use."""
    rows = [
        {
            "cost": cost_of(run),
            "experts": run.study.num_experts,
            **_measures(run),
            "live experts": mean_text(run, "live_experts", 1.0, 1),
            **_size(run),
        }
        for run in cost_runs(runs)
    ]
    return pd.DataFrame(rows)


def reference_table(run: NamedRun) -> pd.DataFrame:
    """Standard classifiers on the same split, in %."""
    metrics = run.table("metrics")
    shares = {"training %": metrics["train_accuracy"], "test %": metrics["test_accuracy"]}
    texts = {title: [f"{100 * share:.1f}" for share in column] for title, column in shares.items()}
    return pd.DataFrame({"classifier": metrics["classifier"], **texts})


def mean_text(run: NamedRun | None, column: str, factor: float, decimals: int) -> str:
    """Mean and standard deviation over seeds of a column of a run's metrics."""
    values = _values(run, column, factor)
    if not len(values):
        return _DASH
    mark = "≥ " if column == "epochs" and _num_lost(run) else ""
    spread = f" (SD {values.std():,.{decimals}f})" if len(values) > 1 else ""
    return f"{mark}{values.mean():,.{decimals}f}{spread}"


def interval_text(run: NamedRun | None, column: str, factor: float, decimals: int) -> str:
    """The 95 % Student-t interval of that mean; a dash where epochs are mere lower bounds."""
    values = _values(run, column, factor)
    if len(values) < 2 or (column == "epochs" and _num_lost(run)):
        return _DASH
    low, high = _interval(values)
    return f"{low:,.{decimals}f} to {high:,.{decimals}f}"


def _interval(values: pd.Series) -> Interval:
    return mean_estimate(values.tolist()).interval(0.95)


def _values(run: NamedRun | None, column: str, factor: float) -> pd.Series:
    metrics = pd.DataFrame() if run is None else run.table("metrics")
    if column not in metrics:
        return pd.Series(dtype=float)
    return factor * metrics[column].dropna().astype(float)


def _num_lost(run: NamedRun | None) -> int:
    """Seeds that never reached the stop and enter with the epoch limit."""
    if run is None:
        return 0
    return int((run.table("metrics")["status"] != "converged").sum())


def _measures(run: NamedRun) -> dict[str, str]:
    return {
        title: mean_text(run, column, factor, decimals)
        for title, column, _, factor, decimals in _MEASURES
    }


def _size(run: NamedRun | None) -> dict[str, str]:
    """The step size, and how many of the seeds reached the stop."""
    if run is None:
        return {"step": _DASH, "arrived": _DASH}
    manifest = run.finished.manifest
    arrived = f"{manifest['num_converged']} of {len(manifest['seeds'])}"
    return {"step": f"{manifest['step_size']:g}", "arrived": arrived}


def _published(claim: Claim) -> str:
    published = claim.published
    assert published is not None
    spread = "" if published.spread is None else f" (SD {published.spread:g})"
    return f"{published.value:,g}{spread}"
