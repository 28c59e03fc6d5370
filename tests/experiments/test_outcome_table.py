"""The tables with which runs and sweeps end: their numbers, their labels, and their commands."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from experiments.compose import expanded
from experiments.measures import Measure, interval, mean_of
from experiments.outcome_table import differing, mean_text, remarks, table_of
from experiments.run_folder import FinishedRun
from experiments.studies import STUDIES
from reproductions.verdicts.intervals import mean_estimate

METRICS = pd.DataFrame(
    {
        "seed": [0, 1, 2, 3],
        "status": ["converged", "exhausted", "converged", "diverged"],
        "epochs": [10, 30, 20, 30],
        "test_accuracy": [0.9, 0.8, 0.85, math.nan],
    }
)


def run_of(tmp_path: Path, metrics: pd.DataFrame = METRICS, **settings: Any) -> Any:
    return SimpleNamespace(
        path=tmp_path,
        config={"name": "vowel", **settings},
        manifest={"files": {"metrics.csv": ""}},
        table=lambda name: metrics,
    )


@pytest.mark.parametrize("bounds", [None, (0.0, 100.0)])
@pytest.mark.parametrize("values", [[90.0, 92.0, 99.5], [100.0, 100.0], [0.0, 0.1, 99.0]])
def test_intervals_are_those_of_the_verdicts(
    values: list[float], bounds: tuple[float, float] | None
) -> None:
    estimate = mean_estimate(values, bounds=bounds)
    center, low, high = interval(values, bounds)
    assert center == pytest.approx(estimate.point)
    assert (low, high) == pytest.approx(estimate.interval(0.95))


def test_no_interval_leaves_its_bounds() -> None:
    assert interval([99.0, 100.0, 100.0], (0, 100))[2] <= 100
    assert interval([0.0, 1.0, 3.0], (0, math.inf))[1] == 0
    assert math.isnan(interval([1.0])[1])
    assert math.isnan(interval([])[0])


def test_a_mean_tells_of_seeds_without_a_number_and_of_bounds() -> None:
    accuracy = mean_of(Measure("test_accuracy", "test accuracy", "%", 100.0), METRICS)
    assert accuracy is not None
    assert (accuracy.num_seeds, accuracy.num_without) == (3, 1)
    assert accuracy.mean == pytest.approx(85)
    epochs = mean_of(Measure("epochs", "epochs", at_limit=("status", "exhausted")), METRICS)
    assert epochs is not None
    assert mean_text(epochs).startswith("≥ 22.5 (")
    assert mean_of(Measure("perplexity", "perplexity"), METRICS) is None


def test_only_the_rows_that_count_are_counted() -> None:
    table = pd.DataFrame({"split": ["valid", "test"], "perplexity": [9.0, 7.0]})
    mean = mean_of(Measure("perplexity", "perplexity", rows=(("split", "test"),)), table)
    assert mean is not None
    assert mean.mean == 7


def test_settings_that_differ_are_found_also_where_one_config_lacks_them() -> None:
    configs = [{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 1, "b": 2, "c": None, "d": 4}]
    assert differing(configs) == ["b", "d"]
    assert differing(configs[:1]) == []


def cells(table: Any) -> list[list[str]]:
    return [[str(column.header), *map(str, column.cells)] for column in table.columns]


def test_a_sweep_has_a_row_for_each_setting_or_a_block_where_the_terminal_is_narrow(
    tmp_path: Path,
) -> None:
    runs: list[FinishedRun] = [run_of(tmp_path, num_experts=number) for number in (2, 4)]
    wide = cells(table_of(runs, 200))
    assert wide[0] == ["number of experts", "2", "4"]
    assert [column[0] for column in wide[1:]] == [
        "epochs to the stop",
        "test accuracy (%)",
        "seeds",
    ]
    narrow = cells(table_of(runs, 40))
    assert narrow[0] == ["settings", "number of experts 2", "", "number of experts 4", ""]
    assert narrow[1] == ["measure", *2 * ["epochs to the stop", "test accuracy (%)"]]
    assert len(remarks(runs)) == 2


def test_a_sweep_is_taken_apart_as_hydra_does() -> None:
    assert expanded(["study=vowel", "study.num_experts=2,4", "study.num_seeds=range(1,3)"]) == [
        ["study=vowel", "study.num_experts=2", "study.num_seeds=1"],
        ["study=vowel", "study.num_experts=2", "study.num_seeds=2"],
        ["study=vowel", "study.num_experts=4", "study.num_seeds=1"],
        ["study=vowel", "study.num_experts=4", "study.num_seeds=2"],
    ]
    assert expanded(["study.vowels=[iy,ih],[aa,ah]"]) == [
        ["study.vowels=[iy,ih]"],
        ["study.vowels=[aa,ah]"],
    ]


@pytest.mark.parametrize("name", ["vowel", "clusters", "language_model", "translation"])
def test_every_study_with_seeds_names_measures_and_curves(name: str) -> None:
    study = STUDIES[name]
    assert study.measures
    assert all(curve.measure.table != "metrics" for curve in study.curves)
