"""The report's tables: rows of the search, and perplexity at equal time."""

from typing import Any

import pandas as pd

from experiments.language_model.settings import Block, LanguageModelConfig
from reproductions.language_model.search import search_table
from reproductions.language_model.tables import equal_time_table
from reproductions.runs import NamedRun, SuiteRuns
from tests.reproductions.language_model.test_evidence import timed
from tests.reproductions.language_model.test_regime import Finished, named


def test_a_search_without_runs_shows_what_was_kept_of_it() -> None:
    table = search_table(lambda studies, suite: SuiteRuns({}, tuple(studies)))
    rows = table.set_index(["search", "model"])
    assert rows.loc[("first", "one wide expert"), "best rate"] == "0.032 (the grid's end)"
    assert rows.loc[("second", "4 experts"), "best rate"] == "0.032"
    assert rows.loc[("first", "one wide expert"), "gate's share"] == "–"
    assert rows.loc[("first", "32 experts"), "gate's share"] == "4"


def test_a_searchs_best_point_is_that_of_the_mean_over_seeds() -> None:
    points = {"learning_rate": [0.01, 0.01, 0.02, 0.02, 0.04, 0.04], "seed": [0, 1] * 3}
    shares = {"gate_learning_rate": [1.0] * 6, "expert_learning_rate": [1.0] * 6}
    run = named("wide", 1, block=Block.wide)
    # The second rate has the better training, the first the better mean.
    table = pd.DataFrame({**points, **shares, "perplexity": [20, 20, 10, 40, 30, 30]})
    run.finished.tables.tables["metrics"] = table  # type: ignore[attr-defined]
    found = search_table(lambda *_: SuiteRuns({"wide": run}, ())).iloc[0]
    assert (found["search"], found["best rate"]) == ("this search", "0.01 (the grid's end)")
    assert (found["perplexity there"], found["points"]) == ("20", "3")


def _timed(name: str, seconds: float, **settings: Any) -> NamedRun:
    finished = Finished(name, (1.0, 1.0))
    finished.tables = timed(name, seconds)
    return NamedRun(name, LanguageModelConfig(**settings), finished)  # type: ignore[arg-type]


def test_equal_time_is_when_the_wide_layer_ends() -> None:
    runs = {
        "wide": _timed("wide", 10.0, block=Block.wide),
        "experts_32": _timed("experts_32", 20.0, num_experts=32),
        # It ends before, so that nothing is known of it at that time.
        "none": _timed("none", 5.0, block=Block.none),
    }
    table = equal_time_table(runs).set_index("model")
    assert list(table.index) == ["one wide expert", "32 experts"]
    column = "perplexity after 20 seconds of one core"
    assert table.loc["one wide expert", column].startswith("28.28")
    assert table.loc["32 experts", column].startswith("56.57")
    assert table.loc["32 experts", "steps done by then"].startswith("1 ")
    assert equal_time_table({}).empty
