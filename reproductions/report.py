"""Write a study's report from finished runs: `python -m reproductions.report suite=vowel`.

Prints the paper's table beside ours and writes reports/<suite>/index.html. With other settings, or
runs from another runs_dir, the folder is named after them too (reports/vowel-num_experts-8-...), so
that such a report takes no other's place. Trains nothing, and leaves what is published alone.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
from rich.table import Table

from experiments.command_line import console, errors_for_people, plain_arguments
from experiments.runner.errors import UserError
from experiments.runner.schema import Config
from experiments.runner.storage import sha256
from experiments.suite import suite_runs
from reproductions.clusters.report import STUDY as CLUSTERS
from reproductions.language_model.report import STUDY as LANGUAGE_MODEL
from reproductions.page import write_page
from reproductions.questions.report import STUDY as QUESTIONS
from reproductions.runs import NamedRun, Source, SuiteRuns, in_folder, none_finished
from reproductions.scaling.report import STUDY as SCALING
from reproductions.study_report import Picture, Study, StudyReport
from reproductions.tables import table_view
from reproductions.translation.report import STUDY as TRANSLATION
from reproductions.verdicts.verdict_text import NOT_RUN, headline_of
from reproductions.vowel.report import STUDY as VOWEL

# By the beginning of their suites' names, in the order of RESULTS.md and the front page.
STUDIES: dict[str, Study] = {
    study.name: study
    for study in (VOWEL, CLUSTERS, SCALING, LANGUAGE_MODEL, TRANSLATION, QUESTIONS)
}
REPORTS = Path("reports")
# Settings that no result and no report depends on.
_WITHOUT_EFFECT = ("suite", "force", "num_workers")
_LONGEST_NAME = 60
# Columns of a report's first table that are printed; `system` heads their blocks.
_PRINTED = ("measure", "published", "ours", "95 % interval", "verdict")
# Columns that only the page has room for.
_ON_PAGE = ("system", "median")
_MANY_COLUMNS = 4


@dataclass(frozen=True)
class BuiltReport:
    """A report, its pictures, and the runs that it was made from.

    ``watched`` has the runs whose reading was watched, by suite and name: what publishing stores.
    """

    report: StudyReport
    pictures: list[Picture]
    found: SuiteRuns
    watched: Mapping[str, Mapping[str, NamedRun]] = field(default_factory=dict)


def build_report(overrides: Sequence[str], source: Source | None = None) -> BuiltReport | None:
    """Put a report together; None where no run of the suite is finished.

    Args:
        overrides: as on the command line, with `suite=NAME`.
        source: of finished runs; by default the folder that the overrides name.

    Raises:
        UserError: the suite has no report, or a run is damaged.
    """
    suite = suite_of(overrides)
    study = STUDIES.get(study_of(suite))
    # A study's own name stands for all of its runs; every other suite for itself.
    shown = study.shown_suite if study and study.shown_suite and suite == study.name else suite
    config, studies = suite_runs([f"suite={shown}" if _names(item) else item for item in overrides])
    if study is None:
        raise UserError(
            f"There is no report for suite={suite}.",
            f"Choose a suite whose name begins with {' or '.join(STUDIES)}.",
        )
    source = source or in_folder(config.runs_dir)
    found = source(studies, shown)
    if not found.runs:
        return None
    command = " ".join(["python -m reproductions.report", *overrides])
    report, pictures = study.build(found, source, command)
    # A suite of toy size departs from the published runs without the user's doing.
    made = changes([*(config.suite.overrides if config.suite else ()), *overrides])
    settings = tuple(item for item in made if not item.startswith("runs_dir="))
    return BuiltReport(replace(report, overrides=settings), pictures, found)


def write_report(overrides: Sequence[str]) -> Path:
    """Write all that a report consists of.

    Args:
        overrides: as on the command line, with `suite=NAME`.

    Returns:
        The page.

    Raises:
        UserError: the suite has no report, no run is finished, or one is damaged.
    """
    suite = suite_of(overrides)
    whole = build_report(overrides)
    study = STUDIES[study_of(suite)]
    if whole is None:
        raise none_finished(overrides, study.target)
    if whole.found.missing:
        console.print(f"not finished, so left out: {', '.join(whole.found.missing)}")
    print_report(whole.report)
    page = page_of(suite, overrides)
    write_page(whole.report, page)
    # A page beside the report needs its run, and the report can do without.
    for run, name, write_beside in study.pages_beside:
        if run in whole.found.runs:
            write_beside(whole.found.runs[run], page.with_name(name))
    return page


def changes(overrides: Sequence[str]) -> list[str]:
    """The overrides that make a report another than the suite's own, each once, in order of name.

    The last one of a setting counts, as in the runs. A runs_dir is one where it is another folder.
    """
    # Hydra's + adds a key; the setting is the same with and without it.
    last = {item.lstrip("+").partition("=")[0]: item.lstrip("+") for item in overrides}
    if "runs_dir" in last:
        folder = Path(last["runs_dir"].partition("=")[2]).resolve()
        last["runs_dir"] = f"runs_dir={folder}"
        if folder == Path(Config.runs_dir).resolve():
            del last["runs_dir"]
    return [last[key] for key in sorted(last) if key not in _WITHOUT_EFFECT]


def page_of(suite: str, overrides: Sequence[str]) -> Path:
    """Return where a suite's report with these overrides lies, or the front page without a suite.

    The name tells the overrides as far as there is room, and ends with a digest of all of them.
    """
    made = changes(overrides)
    # Letters that every file system takes.
    words = re.sub(r"[^A-Za-z0-9._]+", "-", "-".join(item.removeprefix("study.") for item in made))
    # Two sets of overrides may look the same once they are cut to length.
    digest = sha256("\n".join(made).encode())[:8]
    name = [words[:_LONGEST_NAME].strip("-."), digest] if made else []
    return REPORTS / "-".join(filter(None, [suite, *name])) / "index.html"


def _names(override: str) -> bool:
    return override.startswith("suite=")


def suite_of(overrides: Sequence[str]) -> str:
    """The suite's name on the command line; empty where it names none."""
    return next((item.removeprefix("suite=") for item in overrides if _names(item)), "")


def study_of(suite: str) -> str:
    """The study that a suite belongs to: the one whose name it begins with."""
    words = suite.split("_")
    beginnings = ("_".join(words[:number]) for number in range(1, len(words) + 1))
    return next((name for name in beginnings if name in STUDIES), words[0])


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
    console.print(f"\n{headline_of(report.judged)}")


def _narrow(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The table and its columns, on its side where it has far more columns than rows."""
    # A terminal is 80 columns wide: few rows of many columns do not fit, and stand on their side.
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
    for row in table_view(frame[list(columns)].reset_index(drop=True)).rows:
        lines.add_row(*row)
    console.print(lines)


def _details(row: "pd.Series[str]") -> str:
    """What else the table says of a system, such as its step size."""
    others = [f"{name} {row[name]}" for name in row.index if name not in (*_ON_PAGE, *_PRINTED)]
    return f": {', '.join(others)}" if others else ""


def main() -> None:
    """Write the report that the command line names."""
    with errors_for_people():
        arguments = plain_arguments(str(__doc__), has_settings=True)
        page = write_report(arguments)
        console.print(f"\nreport: {page}")
        for place, line in enumerate(STUDIES[study_of(suite_of(arguments))].next_steps):
            console.print(f"{'' if place else 'next:':<8}{line}", markup=False)


if __name__ == "__main__":
    main()
