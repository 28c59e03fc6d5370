"""Table 6: what the balance losses do to importance and load, beside what chance does."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from reproductions.runs import NamedRun, distinct
from reproductions.translation.perplexity import perplexity_text

Runs = Mapping[str, NamedRun]
_NUM_DRAWS = 1000
_BALANCED = "importance_01_load_01"
# Source: Shazeer et al. (2017), Table 6: CV(importance), CV(load), largest load over the mean.
_PUBLISHED = {
    "importance_0_load_0": (3.04, 3.01, 17.80),
    "importance_02_load_0": (0.06, 0.17, 1.47),
    "importance_0_load_02": (0.22, 0.04, 1.15),
    "importance_01_load_01": (0.06, 0.05, 1.14),
    "importance_001_load_001": (0.48, 0.11, 1.37),
    "importance_1_load_1": (0.03, 0.02, 1.07),
}
_COLUMNS = {
    "cv_importance": "CV(importance)",
    "cv_load": "CV(load)",
    "max_over_mean_load": "max/mean load",
}


def balance_table(runs: Runs) -> pd.DataFrame:
    """Table 6 of the paper beside ours, medians and ranges; last what equal chances would give."""
    found = distinct(runs.get(name) for name in _PUBLISHED)
    rows = [_row(run) for run in found]
    if found:
        rows.append(_chance_row(found[0].study))
    return pd.DataFrame(rows).fillna("")


def _row(run: NamedRun) -> dict[str, str]:
    curves = run.finished.table("curves")
    half = curves[curves["step"] > curves["step"].max() / 2]
    row = {"model": _model(run), "test perplexity": perplexity_text(run)}
    for (column, words), published in zip(_COLUMNS.items(), _PUBLISHED[run.name], strict=True):
        found = half[f"encoder_{column}"]
        row[f"{words}, published"] = f"{published:.2f}" if run.is_as_named else ""
        row[f"{words}, ours"] = _text(found.median(), found.min(), found.max())
    return row


def _model(run: NamedRun) -> str:
    study = run.study
    return (
        f"{study.num_experts:,} experts, w_importance {study.importance_weight:g}, "
        f"w_load {study.load_weight:g}"
    )


def _text(median: float, low: float, high: float) -> str:
    return f"{median:.2f} ({low:.2f} to {high:.2f})"


def chance(study: Any) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """CV of load, and largest over mean load, if all experts have equal chances at every word.

    Median, lowest and highest of many batches without padding, which have the least spread.
    """
    random = np.random.default_rng(0)
    num_assignments = study.tokens_per_batch * study.k
    shares = np.full(study.num_experts, 1 / study.num_experts)
    load_RE = random.multinomial(num_assignments, shares, size=_NUM_DRAWS)
    mean = num_assignments / study.num_experts
    variation, largest = load_RE.std(axis=1) / mean, load_RE.max(axis=1) / mean
    return _spread(variation), _spread(largest)


def _spread(values: "np.typing.NDArray[np.float64]") -> tuple[float, float, float]:
    return float(np.median(values)), float(values.min()), float(values.max())


def _chance_row(study: Any) -> dict[str, str]:
    variation, largest = chance(study)
    return {
        "model": "equal chances for all experts",
        "CV(load), ours": _text(*variation),
        "max/mean load, ours": _text(*largest),
    }


def why_uneven(runs: Runs) -> str:
    """What of the unevenness chance makes; empty where no balanced run is finished."""
    if _BALANCED not in runs:
        return ""
    study = runs[_BALANCED].study
    _, (median, _, high) = chance(study)
    words = study.tokens_per_batch * study.k / study.num_experts
    return (
        f"an expert gets {words:.0f} of a step's assignments here, so that equal chances give "
        f"a largest load of {median:.2f} times the mean, and up to {high:.2f}"
    )
