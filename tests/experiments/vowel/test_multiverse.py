"""The multiverse: which settings there are, what each stop rule means, and interruption."""

from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.run_folder import RunFolder, claimed
from experiments.runner.schema import faults
from experiments.vowel import multiverse
from experiments.vowel.settings import (
    Coding,
    Cost,
    MultiverseConfig,
    StopMeasure,
    StopRule,
    System,
    Unit,
)

TINY = MultiverseConfig(
    codings=[Coding.bit_1010],
    units=[Unit.logistic],
    costs=[Cost.mixture_likelihood, Cost.expected_error],
    init_ranges=[0.5],
    variances=[1.0, 0.5],
    gate_steps=[1.0],
    num_experts=[2],
    num_hidden=[2],
    stop_rules=[StopRule.blend, StopRule.half, StopRule.per_output],
    num_seeds=2,
    step_grid=[8.0, 16.0],
    num_exploration_seeds=1,
    exploration_epochs=300,
    max_epochs=300,
)


def some(kind: type[Coding] | type[Unit] | type[Cost]) -> st.SearchStrategy[list[object]]:
    return st.lists(st.sampled_from(list(kind)), min_size=1, unique=True)


@given(some(Coding), some(Unit), some(Cost), st.integers(1, 3), st.integers(1, 2))
@settings(max_examples=40)
def test_every_combination_that_makes_sense_is_there_once(
    codings: list[Coding], units: list[Unit], costs: list[Cost], num_variances: int, num_sizes: int
) -> None:
    config = replace(
        TINY,
        codings=codings,
        units=units,
        costs=costs,
        variances=[1.0, 0.5, 0.25][:num_variances],
        num_experts=[2, 4][:num_sizes],
        num_hidden=[6, 12][:num_sizes],
        gate_steps=[1.0, 0.1],
    )
    # Softmax needs more than a bit; only equation 1.3 has a variance.
    pairs = sum(
        unit is not Unit.softmax or coding is Coding.one_hot for unit in units for coding in codings
    )
    worlds = sum(num_variances if cost is Cost.mixture_likelihood else 1 for cost in costs)
    found = multiverse.settings(config)
    nets = [item for item in found if item.system is System.backprop]
    assert len(found) - len(nets) == prod([pairs, worlds, num_sizes, len(config.gate_steps)])
    assert len(nets) == pairs * num_sizes
    names = [tuple(multiverse.columns_of(item).values()) for item in found]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("rule", "num_outputs", "measure", "threshold"),
    [
        (StopRule.blend, 1, StopMeasure.blend, 0.08),
        (StopRule.blend, 4, StopMeasure.blend, 0.08),
        (StopRule.expected, 2, StopMeasure.expected, 0.08),
        (StopRule.half, 2, StopMeasure.blend, 0.16),
        (StopRule.per_output, 1, StopMeasure.blend, 0.08),
        (StopRule.per_output, 4, StopMeasure.blend, 0.32),
        (StopRule.later, 2, StopMeasure.blend, 0.07),
        (StopRule.at_06, 2, StopMeasure.blend, 0.06),
        (StopRule.at_09, 1, StopMeasure.blend, 0.09),
        (StopRule.at_12, 4, StopMeasure.blend, 0.12),
    ],
)
def test_a_stop_rule_is_a_threshold_on_the_summed_squared_error(
    rule: StopRule, num_outputs: int, measure: StopMeasure, threshold: float
) -> None:
    criterion = multiverse.criterion(rule, num_outputs, 0.08)
    assert criterion.measure is measure
    assert criterion.threshold == pytest.approx(threshold)


def test_every_stop_rule_has_a_reading() -> None:
    readings = {rule: multiverse.criterion(rule, 4, 0.08) for rule in StopRule}
    assert len({(item.measure, item.threshold) for item in readings.values()}) == len(StopRule)


@pytest.mark.parametrize("axis", ["codings", "variances", "stop_rules", "step_grid"])
def test_an_empty_axis_is_refused_by_name(axis: str) -> None:
    changed: dict[str, Any] = {axis: []}
    faulty = dict(faults(replace(TINY, **changed), "study."))
    assert faulty.keys() == {axis}
    assert faulty[axis].problem.startswith(f"study.{axis}=[] ")


class Interrupted(Exception):
    """Stands for the end of a process after some parts."""


def compute(path: Path, stop_after: int | None = None) -> list[tuple[str, float]]:
    """Run the tiny multiverse in a folder; return what was reported, part by part."""
    reports: list[tuple[str, float]] = []

    def report(stage: str, share: float) -> None:
        reports.append((stage, share))
        if len(reports) == stop_after:
            raise Interrupted

    with claimed(path, {}) as folder:
        multiverse.run(TINY, folder, report)
    return reports


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "vowel_multiverse" / "unbroken"
    compute(path)
    return path


def test_tables_have_a_row_per_setting_step_stop_rule_and_seed(unbroken: Path) -> None:
    names = {file.name for file in unbroken.iterdir()}
    assert names == {"identity.json", "exploration.csv", "metrics.csv"}
    run = RunFolder(unbroken)
    assert not run.is_finished()
    found = multiverse.settings(TINY)
    assert len(found) == 4
    rows = (unbroken / "exploration.csv").read_text().splitlines()
    assert len(rows) == 1 + len(found) * len(TINY.step_grid) * TINY.num_exploration_seeds
    header, *lines = (unbroken / "metrics.csv").read_text().splitlines()
    assert {"status", "epochs", "seed", "stop_rule", "step_size", "system"} < set(header.split(","))
    per_training = len(TINY.stop_rules) * TINY.num_seeds
    assert len(lines) % per_training == 0
    assert len(lines) >= len(found) * per_training
    assert len(set(lines)) == len(lines)


@pytest.mark.parametrize("stop_after", [2, 6])
def test_an_interrupted_multiverse_continues_with_the_missing_parts(
    stop_after: int, unbroken: Path, tmp_path: Path
) -> None:
    path = tmp_path / "vowel_multiverse" / "interrupted"
    with pytest.raises(Interrupted):
        compute(path, stop_after)
    kept = sorted(file.name for file in path.glob("part_*.csv"))
    assert len(kept) == stop_after
    continued = compute(path)
    total = len(multiverse.settings(TINY))
    explored = min(stop_after, total)
    stages = [share for stage, share in continued if stage == "exploring steps"]
    assert stages == [part / total for part in range(explored + 1, total + 1)]
    for name in ("exploration.csv", "metrics.csv"):
        assert (path / name).read_bytes() == (unbroken / name).read_bytes()
