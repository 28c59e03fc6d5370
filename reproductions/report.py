"""Write a study's report from finished runs: `python -m reproductions.report suite=vowel`.

Prints the paper's table beside ours, writes reports/<suite>/index.html, and, for the published
configuration, RESULTS.md and its pictures. Trains nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.table import Table

from experiments.command_line import console, errors_for_people, plain_arguments
from experiments.compose import options
from experiments.errors import UserError
from experiments.suite import suite_runs
from reproductions.drawing import to_png
from reproductions.page import write_page
from reproductions.pictures import Picture
from reproductions.report_types import StudyReport
from reproductions.results_md import study_section, write_results
from reproductions.runs import Found, find_runs, require_some
from reproductions.vowel.report import build as build_vowel
from reproductions.wording import count_verdicts

Builder = Callable[[Found, str, str], tuple[StudyReport, list[Picture]]]
# A study's report by the first word of its suites' names; a new study adds one line.
BUILDERS: dict[str, Builder] = {"vowel": build_vowel}
# Columns of a report's first table; beside them it has system, step and arrived.
_PRINTED = ("measure", "published", "ours", "95 % interval", "verdict")
ROOT = Path(__file__).resolve().parents[1]


def write_report(overrides: Sequence[str]) -> Path:
    """Write all that a report consists of.

    Args:
        overrides: as on the command line, with `suite=NAME`.

    Returns:
        The page.

    Raises:
        UserError: the suite has no report, no run is finished, or one is damaged.
    """
    config, studies = suite_runs(overrides)
    suite = next(item.removeprefix("suite=") for item in overrides if item.startswith("suite="))
    study = suite.partition("_")[0]
    if study not in BUILDERS:
        raise UserError(
            f"There is no report for suite={suite}.",
            f"Choose a suite whose name begins with {' or '.join(BUILDERS)}.",
        )
    found = find_runs(studies, config.runs_dir)
    require_some(found, overrides, f"reproduce-{study}")
    for name in found.missing:
        console.print(f"not finished, so left out: {name}")
    command = " ".join(["python -m reproductions.report", *overrides])
    report, pictures = BUILDERS[study](found, config.runs_dir, command)
    print_report(report)
    page = Path("reports", suite, "index.html")
    write_page(report, page)
    if list(overrides) == [f"suite={study}"] and not found.missing:
        _publish(report, pictures)
    return page


def _publish(report: StudyReport, pictures: Sequence[Picture]) -> None:
    folder = ROOT / "reproductions" / "figures" / report.study
    known = {file.stem for file in folder.glob("*.png")}
    if not known <= {figure.id for figure, _ in pictures}:
        # A report of fewer runs must not take away what others published.
        console.print("RESULTS.md stays as it is: some of the runs that it shows are not here")
        return
    folder.mkdir(parents=True, exist_ok=True)
    for figure, drawing in pictures:
        to_png(drawing, folder / f"{figure.id}.png")
    write_results([study_section(report)], ROOT / "RESULTS.md")


def print_report(report: StudyReport) -> None:
    """Print the report's first table, a block for each system, and the count of verdicts."""
    caption, frame = report.tables[0]
    console.print(f"\n{caption}", style="bold")
    for system, block in frame.groupby("system", sort=False):
        first = block.iloc[0]
        console.print(f"\n{system}: step {first['step']}, {first['arrived']} seeds arrived")
        lines = Table(*_PRINTED, box=None, show_header=True, header_style="dim")
        for row in block[list(_PRINTED)].itertuples(index=False):
            lines.add_row(*map(str, row))
        console.print(lines)
    counts = count_verdicts(verdict for _, _, verdict in report.judged)
    console.print(f"\n{len(report.judged)} claims: {_listed(counts)}")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def main() -> None:
    """Write the report that the command line names."""
    with errors_for_people():
        usage = f"{__doc__}\nSuites: {', '.join(options('suite'))}."
        page = write_report(plain_arguments(usage))
        console.print(f"\nreport: {page}")
        console.print("next:   make multiverse-vowel   which claims hold in which reading")
        console.print('        make reproduce-vowel ARGS="study.num_experts=16"')


if __name__ == "__main__":
    main()
