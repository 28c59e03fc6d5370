"""Runs as a table for the terminal: the settings in which they differ against their measures."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from experiments.measures import Mean, Measure, mean_of
from experiments.run_folder import FinishedRun
from experiments.runner.errors import shown
from experiments.studies import STUDIES

_MANY_SETTINGS = 3


def study_of(run: FinishedRun) -> str:
    """The name of the study that a run is of."""
    return str(run.config["name"])


def differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Settings that are not the same in all of these configs, in the order of the schema."""
    keys = dict.fromkeys(key for config in configs for key in config)
    return [
        key for key in keys if any(config.get(key) != configs[0].get(key) for config in configs[1:])
    ]


def value_text(value: Any) -> str:
    """A setting's value as it is read, and as it is written on the command line."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(value_text, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def means(run: FinishedRun) -> dict[Measure, Mean]:
    """The main measures that a run has, in the order of its study."""
    found = {}
    for measure in STUDIES[study_of(run)].measures:
        if f"{measure.table}.csv" in run.manifest["files"]:
            mean = mean_of(measure, run.table(measure.table))
            if mean is not None:
                found[measure] = mean
    return found


def mean_text(mean: Mean | None) -> str:
    """A mean with its interval and what must be known of it, such as "92.1 (91.8 to 92.4)"."""
    if mean is None or math.isnan(mean.mean):
        return "–"
    text = f"{'≥ ' if mean.num_at_limit else ''}{_number(mean.mean)}"
    if not math.isnan(mean.low):
        text += f" ({_number(mean.low)} to {_number(mean.high)})"
    return text


def _number(value: float) -> str:
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return digits.replace("-", "−")


def table_of(runs: Sequence[FinishedRun], width: int = 80) -> Table:
    """Runs of one study: what differs between them against their main measures.

    A row for each run where that fits the width; else, and for one run alone, a row for each
    measure.
    """
    every = [means(run) for run in runs]
    keys = differing([run.config for run in runs])
    measures = list(dict.fromkeys(measure for found in every for measure in found))
    columns = [*map(spaced, keys), *(each.heading for each in measures), "seeds"]
    rows = [
        [
            *(value_text(run.config.get(key)) for key in keys),
            *(mean_text(found.get(measure)) for measure in measures),
            str(max((mean.num_seeds for mean in found.values()), default=0)),
        ]
        for run, found in zip(runs, every, strict=True)
    ]
    if len(runs) > 1 and _width_of([columns, *rows]) <= width:
        return _table(columns, rows)
    columns = ["measure", "mean (95 % interval)", "seeds"]
    return _table(
        [*(["settings"] if keys else []), *columns],
        [
            [*([_settings_text(run, keys) if place == 0 else ""] if keys else []), *cells]
            for run, found in zip(runs, every, strict=True)
            for place, cells in enumerate(map(_row, found.items()))
        ],
    )


def _row(found: tuple[Measure, Mean]) -> list[str]:
    measure, mean = found
    return [measure.heading, mean_text(mean), str(mean.num_seeds)]


def spaced(key: str) -> str:
    """A setting's key in words: num_experts is the number of experts."""
    return re.sub("^num_", "number of ", key).replace("_", " ")


def _settings_text(run: FinishedRun, keys: Sequence[str]) -> str:
    # Figures name a run by its digest where its settings are too many for a label.
    digest = [f"{run.path.name[:8]}:"] if len(keys) > _MANY_SETTINGS else []
    told = ", ".join(f"{spaced(key)} {value_text(run.config.get(key))}" for key in keys)
    return " ".join([*digest, told])


def _width_of(rows: Sequence[Sequence[str]]) -> int:
    """Of a table with these rows, its two blanks after each column included."""
    return sum(2 + max(map(len, column)) for column in zip(*rows, strict=True))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(*columns, box=None, header_style="dim", padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*map(shown, row))
    return table


def remarks(runs: Sequence[FinishedRun]) -> list[str]:
    """What a reader of the table must know: seeds without a number, and mere bounds."""
    found: dict[str, None] = {}
    for run in runs:
        for measure, mean in means(run).items():
            if mean.num_at_limit:
                found[
                    f"{measure.words}: ≥ marks means in which seeds were stopped at the limit, so "
                    "that they are lower bounds"
                ] = None
            if mean.num_without:
                found[
                    f"{measure.words}: some seeds have no number, since their training diverged"
                ] = None
    return list(found)
