"""The report's tables: Table 1 beside ours, tuned steps, the three costs, reference classifiers."""

from collections.abc import Sequence

import pandas as pd

from reproductions.runs import NamedRun, Runs, metric
from reproductions.tables import DASH, PERCENT, blown_up_text, interval_text, mean_text
from reproductions.verdicts.claims import Claim
from reproductions.verdicts.judge import Judged
from reproductions.verdicts.verdict_text import SYMBOLS, verdict_word
from reproductions.vowel.suite import TABLE_1, Table1Row, cost_of, cost_runs, table_1_rows

# Title, column of metrics.csv, beginning of the claim's id, factor, decimals.
_MEASURES = (
    ("training %", "train_accuracy", "train-accuracy", 100.0, 1),
    ("test %", "test_accuracy", "test-accuracy", 100.0, 1),
    ("epochs", "epochs", "epochs", 1.0, 0),
)
_PLACES = {row.run: place for place, row in enumerate(TABLE_1)}


def table_1(runs: Runs, judged: Sequence[Judged]) -> pd.DataFrame:
    """Table 1 number by number: published, ours, and the verdict; a row for each of twelve.

    A system that was given another size, say, stands for itself and beside no published number.
    """
    by_id = {claim.id: (claim, verdict) for claim, _, verdict in judged}
    # A system that was not run keeps its row beside the published numbers.
    shown: list[tuple[Table1Row, NamedRun | None]] = [
        *table_1_rows(runs),
        *((row, None) for row in TABLE_1 if row.run not in runs),
    ]
    rows = []
    for row, run in sorted(shown, key=lambda item: _PLACES[item[0].run]):
        for title, column, prefix, factor, decimals in _MEASURES:
            claim, verdict = by_id[f"{prefix}-{row.suffix}"]
            mean, interval = _texts(run, column, factor, decimals)
            word = verdict_word(verdict)
            rows.append(
                {
                    "system": row.label,
                    "measure": title,
                    "published": _published(claim) if run is None or run.is_as_named else DASH,
                    "ours": mean,
                    "95 % interval": interval,
                    "verdict": f"{SYMBOLS[word]} {word}",
                    **_size(run),
                }
            )
    return pd.DataFrame(rows)


def tuned_table(runs: Runs) -> pd.DataFrame:
    """The same systems with steps tuned towards the published epochs, where they are those."""
    # A tuned step is one for the published settings, and means nothing under others.
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
            "live experts": mean_text(metric(run, "live_experts"), 1),
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


def _texts(run: NamedRun | None, column: str, scale: float, decimals: int) -> tuple[str, str]:
    """Mean and interval over seeds; epochs with the limit among them are lower bounds."""
    values = metric(run, column, scale)
    if column == "epochs" and _num_lost(run):
        return mean_text(values, decimals, "≥ "), DASH
    # A share of cases that is written in percent ends at 100; epochs have no end.
    bounds = PERCENT if scale == PERCENT[1] else None
    return mean_text(values, decimals), interval_text(values, decimals, bounds)


def _num_lost(run: NamedRun | None) -> int:
    """Seeds that never reached the stop and enter with the epoch limit."""
    if run is None:
        return 0
    return int((run.table("metrics")["status"] != "converged").sum())


def _measures(run: NamedRun) -> dict[str, str]:
    return {
        title: _texts(run, column, factor, decimals)[0]
        for title, column, _, factor, decimals in _MEASURES
    }


def _size(run: NamedRun | None) -> dict[str, str]:
    """The step size, and how many of the seeds reached the stop."""
    if run is None:
        return {"step": DASH, "arrived": DASH, "blew up": DASH}
    manifest = run.finished.manifest
    arrived = f"{manifest['num_converged']} of {len(manifest['seeds'])}"
    return {
        "step": f"{manifest['step_size']:g}",
        "arrived": arrived,
        "blew up": blown_up_text(manifest),
    }


def _published(claim: Claim) -> str:
    published = claim.published
    assert published is not None
    spread = "" if published.spread is None else f" (SD {published.spread:g})"
    return f"{published.value:,g}{spread}"
