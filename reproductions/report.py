"""Write a study's report from finished runs: `python -m reproductions.report suite=vowel`.

Prints the paper's table beside ours, writes reports/<suite>/index.html, and, for the published
configuration, RESULTS.md and its pictures. Trains nothing.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.table import Table

from experiments.command_line import checked_arguments, console, errors_for_people
from experiments.suite import suite_runs
from reproductions.drawing import to_png
from reproductions.page import write_page
from reproductions.pictures import Picture
from reproductions.report_types import StudyReport
from reproductions.results_md import study_section, write_results
from reproductions.runs import Found, find_runs, require_some
from reproductions.vowel.report import build as build_vowel

Builder = Callable[[Found, str, str], tuple[StudyReport, list[Picture]]]
# A study's report by the first word of its suites' names; a new study adds one line.
BUILDERS: dict[str, Builder] = {"vowel": build_vowel}
ROOT = Path(__file__).resolve().parents[1]


def write_report(overrides: Sequence[str]) -> Path:
    """Write all that a report consists of.

    Args:
        overrides: as on the command line, with `suite=NAME`.

    Returns:
        The page.

    Raises:
        UserError: no run is finished, or one is damaged.
    """
    config, studies = suite_runs(overrides)
    suite = next(item.removeprefix("suite=") for item in overrides if item.startswith("suite="))
    study = suite.partition("_")[0]
    found = find_runs(studies, config.runs_dir)
    require_some(found, overrides, f"reproduce-{study}")
    for name in found.missing:
        console.print(f"not finished, so left out: {name}")
    command = " ".join(["python -m reproductions.report", *overrides])
    report, pictures = BUILDERS[study](found, config.runs_dir, command)
    print_report(report)
    page = Path("reports", suite, "index.html")
    write_page(report, page)
    if suite == study and not any(item.startswith("study") for item in overrides):
        _publish(report, pictures)
    return page


def _publish(report: StudyReport, pictures: Sequence[Picture]) -> None:
    folder = ROOT / "reproductions" / "figures" / report.study
    folder.mkdir(parents=True, exist_ok=True)
    for figure, drawing in pictures:
        to_png(drawing, folder / f"{figure.id}.png")
    write_results([study_section(report)], ROOT / "RESULTS.md")


def print_report(report: StudyReport) -> None:
    """Print the report's first table row by row, and the claims with their verdicts."""
    caption, frame = report.tables[0]
    console.print(f"\n{caption}", style="bold")
    for row in frame.to_dict("records"):
        system = f"{row.pop('system')}: step {row.pop('step')}, arrived {row.pop('arrived')}"
        console.print(f"\n{system}", style="bold")
        lines = Table("", "published", "ours", "verdict", box=None, pad_edge=True)
        for name in dict.fromkeys(str(key).partition(",")[0] for key in row):
            lines.add_row(
                name, *(row[f"{name}, {part}"] for part in ("published", "ours", "verdict"))
            )
        console.print(lines)
    words = Counter(verdict.word if verdict else "not run" for _, _, verdict in report.judged)
    console.print("\n" + ", ".join(f"{count} {word}" for word, count in words.most_common()))


def main() -> None:
    """Write the report that the command line names."""
    with errors_for_people():
        page = write_report(checked_arguments())
        console.print(f"\nreport: {page}")
        console.print("next:   make multiverse-vowel   which claims hold in which reading")
        console.print('        make reproduce-vowel ARGS="study.num_experts=16"')


if __name__ == "__main__":
    main()
