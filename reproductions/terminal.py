"""A report in the terminal: its first tables and the count of verdicts."""

from collections.abc import Mapping, Sequence

import pandas as pd
from rich.table import Table

from experiments.command_line import console
from experiments.errors import shown
from reproductions.report_types import StudyReport
from reproductions.wording import NOT_RUN, count_verdicts

# Columns of a report's first table that are printed; `system` heads their blocks.
_PRINTED = ("measure", "published", "ours", "95 % interval", "verdict")
# Columns that only the page has room for.
_ON_PAGE = ("system", "median")
_MANY_COLUMNS = 4


def print_report(report: StudyReport) -> None:
    """Print the report's first tables, a block for each system, and the count of verdicts."""
    if report.overrides:
        console.print(f"with other settings than the published runs: {' '.join(report.overrides)}")
    for caption, frame in report.tables[: report.num_printed]:
        console.print(f"\n{caption}", style="bold")
        if "system" in frame:
            _print_systems(frame)
        else:
            _print_table(*_narrow(frame))
    counts = count_verdicts(verdict for _, _, verdict in report.judged)
    console.print(f"\n{len(report.judged)} claims: {_listed(counts)}")


def _narrow(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The table and its columns, on its side where it has far more columns than rows."""
    if len(frame.columns) > len(frame) + _MANY_COLUMNS:
        name = str(frame.columns[0])
        frame = frame.set_index(name).T.rename_axis(name).reset_index()
    return frame, [str(column) for column in frame.columns]


def _print_systems(frame: pd.DataFrame) -> None:
    was_run = ~frame["verdict"].str.endswith(NOT_RUN).groupby(frame["system"]).transform("all")
    for system, block in frame[was_run].groupby("system", sort=False):
        console.print(f"\n{system}{_details(block.iloc[0])}")
        _print_table(block, _PRINTED)
    if not was_run.all():
        console.print(f"\nnot run yet: {', '.join(frame[~was_run]['system'].unique())}")


def _print_table(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    lines = Table(*columns, box=None, show_header=True, header_style="dim", padding=(0, 2, 0, 0))
    for row in frame[list(columns)].itertuples(index=False):
        lines.add_row(*(shown(str(cell)) for cell in row))
    console.print(lines)


def _details(row: "pd.Series[str]") -> str:
    """What else the table says of a system, such as its step size."""
    others = [f"{name} {row[name]}" for name in row.index if name not in (*_ON_PAGE, *_PRINTED)]
    return f": {', '.join(others)}" if others else ""


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)
