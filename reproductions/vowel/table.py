"""The report's tables: Table 1 beside ours, with tuned steps, and the reference classifiers."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from reproductions.claims import Claim
from reproductions.report_types import Judged
from reproductions.runs import NamedRun
from reproductions.vowel.rows import TABLE_1, Row

_MEASURES = (
    ("training %", "train_accuracy", "train-accuracy", 100.0),
    ("test %", "test_accuracy", "test-accuracy", 100.0),
    ("epochs", "epochs", "epochs", 1.0),
)


def table_1(runs: Mapping[str, NamedRun], judged: tuple[Judged, ...]) -> pd.DataFrame:
    """Table 1 row by row: published, ours with a 95 % interval, and the verdict of each number."""
    by_id = {claim.id: (claim, verdict) for claim, _, verdict in judged}
    rows = []
    for row in TABLE_1:
        cells: dict[str, object] = {"system": row.label, **_size(runs.get(row.run))}
        for title, column, prefix, factor in _MEASURES:
            claim, verdict = by_id[f"{prefix}-{row.suffix}"]
            cells[f"{title}, published"] = _published(claim)
            cells[f"{title}, ours"] = ours(runs.get(row.run), column, factor)
            cells[f"{title}, verdict"] = verdict.word if verdict else "not run"
        rows.append(cells)
    return pd.DataFrame(rows)


def tuned_table(runs: Mapping[str, NamedRun]) -> pd.DataFrame:
    """The same systems with steps tuned towards the published epochs."""
    rows = [_tuned_row(row, runs[row.tuned_run]) for row in TABLE_1 if row.tuned_run in runs]
    return pd.DataFrame(rows)


def _tuned_row(row: Row, run: NamedRun) -> dict[str, object]:
    measures = {title: ours(run, column, factor) for title, column, _, factor in _MEASURES}
    return {"system": row.label, **_size(run), **measures}


def cost_table(runs: Mapping[str, NamedRun]) -> pd.DataFrame:
    """The three costs, each at its own best step."""
    rows = []
    for prefix, equation in (("experts", "1.3"), ("expected_error", "1.2"), ("blend_error", "1.1")):
        for size in (4, 8):
            run = runs.get(f"{prefix}_{size}")
            if run is not None:
                measures = {title: ours(run, key, factor) for title, key, _, factor in _MEASURES}
                live = ours(run, "live_experts", 1.0)
                rows.append(
                    {"equation": equation, "experts": size, **_size(run), **measures, "live": live}
                )
    return pd.DataFrame(rows)


def reference_table(run: NamedRun) -> pd.DataFrame:
    """Standard classifiers on the same split, in %."""
    metrics = run.finished.table("metrics")
    metrics[["train_accuracy", "test_accuracy"]] *= 100
    return metrics.round(1).rename(
        columns={"train_accuracy": "training %", "test_accuracy": "test %"}
    )


def ours(run: NamedRun | None, column: str, factor: float) -> str:
    """Mean, spread, 95 % Student-t interval and number of seeds of a column, as text."""
    if run is None:
        return "not run"
    metrics = run.finished.table("metrics")
    if column not in metrics:
        return ""
    values = factor * metrics[column].dropna().to_numpy(float)
    digits = 0 if column == "epochs" else 1
    spread = values.std(ddof=1) if len(values) > 1 else np.nan
    half = stats.t.ppf(0.975, len(values) - 1) * spread / np.sqrt(len(values)) if spread else 0.0
    mean = values.mean()
    interval = f"[{mean - half:,.{digits}f}, {mean + half:,.{digits}f}]"
    return f"{mean:,.{digits}f} (SD {spread:,.{digits}f}) {interval}, n = {len(values)}"


def _size(run: NamedRun | None) -> dict[str, object]:
    if run is None:
        return {"step": "", "arrived": ""}
    manifest = run.finished.manifest
    step = manifest["step_size"]
    return {"step": f"{step:g}", "arrived": f"{manifest['num_converged']}/{len(manifest['seeds'])}"}


def _published(claim: Claim) -> str:
    published = claim.published
    assert published is not None
    spread = "" if published.spread is None else f" (SD {published.spread:g})"
    return f"{published.value:,g}{spread}"
