"""The search for every arm's learning rates, as a table: from its runs, or from what was kept.

`search.csv` beside this file holds what is left of two searches that were made before the runs of
the report: every point of the first (three rates up to 0.032, six arms), and of the second (rates
up to 0.064) the points of 4 experts, read from its log. The other arms of the second search gave
the rates in `configs/suite/language_model.yaml`; their perplexities were not kept.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from experiments.suite import suite_runs
from reproductions.language_model.tables import CONTROLS, MODELS
from reproductions.runs import Source
from reproductions.verdicts.number_text import number

_SUITE = "language_model_search"
_KEPT = Path(__file__).with_name("search.csv")
_POINT = ["learning_rate", "gate_learning_rate", "expert_learning_rate"]


def search_table(source: Source) -> pd.DataFrame:
    """A row per arm: its grid, its best point, and the perplexity of validation text there.

    Args:
        source: of finished runs; where it has none of the search, the kept points are shown.
    """
    studies = suite_runs([f"suite={_SUITE}"])[1]
    runs = source(studies, _SUITE).runs
    tables = {("this search", name): run.table("metrics") for name, run in runs.items()}
    return pd.DataFrame([_row(*key, table) for key, table in (tables or _kept()).items()])


def _kept() -> Mapping[tuple[str, str], pd.DataFrame]:
    table = pd.read_csv(_KEPT)
    groups = table.groupby(["search", "arm"], sort=False)
    return {(str(search), str(arm)): own for (search, arm), own in groups}


def _row(search: str, arm: str, table: pd.DataFrame) -> dict[str, str]:
    # The mean over seeds, as the search itself chooses.
    mean = table.groupby(_POINT)["perplexity"].mean().reset_index().sort_values("perplexity")
    best = mean.iloc[0]
    has_gate = len(mean) > mean["learning_rate"].nunique()
    rates = sorted(mean["learning_rate"].unique())
    return {
        "model": _words(arm),
        "search": search,
        "points": str(len(mean)),
        "rates tried": ", ".join(f"{rate:g}" for rate in rates),
        "best rate": f"{best['learning_rate']:g}{_at_end(float(best['learning_rate']), rates)}",
        "gate's share": f"{best['gate_learning_rate']:g}" if has_gate else "–",
        "experts' share": f"{best['expert_learning_rate']:g}" if has_gate else "–",
        "perplexity there": number(float(best["perplexity"])),
        "second best": number(float(mean.iloc[1]["perplexity"])) if len(mean) > 1 else "–",
    }


def _at_end(rate: float, rates: list[float]) -> str:
    # At an end of the grid a better one may lie beyond it.
    return " (the grid's end)" if rate in (rates[0], rates[-1]) else ""


def _words(arm: str) -> str:
    bare = arm.removesuffix("_h")
    if arm == "experts_256":
        return MODELS["flat_256"][0]
    return CONTROLS[bare] if bare in CONTROLS and bare not in MODELS else MODELS[bare][0]
