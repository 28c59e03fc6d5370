"""Write a study's report from finished runs: `python -m reproductions.report suite=vowel`.

Prints the paper's table beside ours, writes reports/<suite>/index.html, and, for the published
configuration, RESULTS.md, its pictures, and the README's table. Trains nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.command_line import console, errors_for_people, plain_arguments
from experiments.errors import UserError
from experiments.suite import suite_runs
from reproductions import published
from reproductions.clusters.report import build as build_clusters
from reproductions.drawing import to_png
from reproductions.page import write_page
from reproductions.pictures import Picture
from reproductions.questions.report import build as build_questions
from reproductions.report_types import StudyReport
from reproductions.results_md import study_section, write_section
from reproductions.runs import Found, NamedRun, find_runs, none_finished
from reproductions.scaling.report import build as build_scaling
from reproductions.terminal import print_report
from reproductions.translation.browser import write_expert_page
from reproductions.translation.report import build as build_translation
from reproductions.vowel.report import build as build_vowel

Builder = Callable[[Found, str, str], tuple[StudyReport, list[Picture]]]
# A study's report by the first word of its suites' names; a new study adds one line.
BUILDERS: dict[str, Builder] = {
    "vowel": build_vowel,
    "clusters": build_clusters,
    "scaling": build_scaling,
    "translation": build_translation,
    "questions": build_questions,
}
# Pages beside a study's report: the run that they show, the file, its writer.
BESIDE: dict[str, tuple[tuple[str, str, Callable[[NamedRun, Path], None]], ...]] = {
    "translation": (("experts_2048", "experts.html", write_expert_page),),
}
# The make target that trains a study, where it is not reproduce-<study>.
_TARGETS = {"scaling": "scaling", "questions": "questions"}
# The suite whose finished runs a report shows, where it is a larger one than it is named after.
_SHOWN = {
    "clusters": "clusters_all",
    "translation": "translation_all",
    "questions": "questions_domains",
}
_NEXT = {
    "vowel": (
        "make multiverse-vowel   which claims hold in which reading",
        'make reproduce-vowel ARGS="study.num_experts=16"',
    ),
    "clusters": (
        "make reproduce-clusters-all   settings 3 and 4, code against text, sensitivity",
        'make reproduce-clusters ARGS="study.num_experts=16"',
    ),
    "translation": (
        "python -m experiments.translation.translate show=words   type English, see French",
        "python -m experiments.suite suite=translation_all   0 to 2,048 experts, and Table 6",
    ),
    "questions": (
        "make front   the front page of all studies: reports/index.html",
        "make fetch-texts questions-domains   four kinds of text (Debian or Ubuntu)",
    ),
    "scaling": ("make benchmark-core   the same sizes and a whole training step, as plain tables",),
}
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Built:
    """A report, its pictures, and the runs that it was made from."""

    report: StudyReport
    pictures: list[Picture]
    found: Found


def built(overrides: Sequence[str]) -> Built | None:
    """Put a report together; None where no run of the suite is finished.

    Args:
        overrides: as on the command line, with `suite=NAME`.

    Raises:
        UserError: the suite has no report, or a run is damaged.
    """
    suite = suite_of(overrides)
    study = study_of(suite)
    shown = [f"suite={_SHOWN.get(suite, suite)}" if _names(item) else item for item in overrides]
    config, studies = suite_runs(shown)
    if study not in BUILDERS:
        raise UserError(
            f"There is no report for suite={suite}.",
            f"Choose a suite whose name begins with {' or '.join(BUILDERS)}.",
        )
    found = find_runs(studies, config.runs_dir)
    if not found.runs:
        return None
    command = " ".join(["python -m reproductions.report", *overrides])
    report, pictures = BUILDERS[study](found, config.runs_dir, command)
    return Built(report, pictures, found)


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
    study = study_of(suite)
    whole = built(overrides)
    if whole is None:
        raise none_finished(overrides, _TARGETS.get(study, f"reproduce-{study}"))
    if whole.found.missing:
        console.print(f"not finished, so left out: {', '.join(whole.found.missing)}")
    print_report(whole.report)
    page = Path("reports", suite, "index.html")
    write_page(whole.report, page)
    for run, name, write_beside in BESIDE.get(study, ()):
        if run in whole.found.runs:
            write_beside(whole.found.runs[run], page.with_name(name))
    if list(overrides) == [f"suite={study}"]:
        _publish(whole)
    return page


def _names(override: str) -> bool:
    return override.startswith("suite=")


def suite_of(overrides: Sequence[str]) -> str:
    """The suite's name on the command line; empty where it names none."""
    return next((item.removeprefix("suite=") for item in overrides if _names(item)), "")


def study_of(suite: str) -> str:
    """The study that a suite belongs to."""
    return suite.partition("_")[0]


def _publish(whole: Built) -> None:
    report, pictures = whole.report, whole.pictures
    record = published.record_of(report, whole.found.runs)
    if published.takes_away(record):
        # A report of fewer runs must not take away what others published.
        console.print("RESULTS.md stays as it is: some of the runs that it shows are not here")
        return
    folder = ROOT / "reproductions" / "figures" / report.study
    folder.mkdir(parents=True, exist_ok=True)
    for figure, drawing in pictures:
        to_png(drawing, folder / f"{figure.id}.png")
    write_section(report.study, study_section(report), list(BUILDERS), ROOT / "RESULTS.md")
    published.write(record)
    readme = ROOT / "README.md"
    table = published.readme_table(published.read(list(BUILDERS)))
    readme.write_text(published.with_table(readme.read_text("utf-8"), table), "utf-8")


def main() -> None:
    """Write the report that the command line names."""
    with errors_for_people():
        arguments = plain_arguments(str(__doc__), has_settings=True)
        page = write_report(arguments)
        console.print(f"\nreport: {page}")
        for place, line in enumerate(_NEXT[study_of(suite_of(arguments))]):
            console.print(f"{'' if place else 'next:':<8}{line}", markup=False)


if __name__ == "__main__":
    main()
