"""The whole way from toy runs to the printed table, the page and RESULTS.md's section."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments.execute import execute
from experiments.runner.errors import UserError
from experiments.suite import suite_runs
from reproductions.page import render_page
from reproductions.report import main, page_of, print_report, write_report
from reproductions.results_md import study_section
from reproductions.runs import SuiteRuns, find_runs, in_folder, named_run
from reproductions.vowel.report import STUDY
from reproductions.vowel.suite import LINES

TOY = [
    "study.num_seeds=3",
    "study.max_epochs=60",
    "study.exploration_epochs=40",
    "study.step_grid=[8,22.6]",
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[SuiteRuns, str]:
    runs_dir = str(tmp_path_factory.mktemp("runs"))
    _, studies = suite_runs(["suite=vowel_smoke", f"runs_dir={runs_dir}", *TOY])
    for study in studies.values():
        execute(study, runs_dir)
    return find_runs(studies, runs_dir, "vowel_smoke"), runs_dir


def test_every_run_of_the_suite_is_found(found: tuple[SuiteRuns, str]) -> None:
    assert found[0].missing == ()
    assert len(found[0].runs) == 20


def test_the_report_of_toy_runs_is_complete_and_claims_nothing(
    found: tuple[SuiteRuns, str],
) -> None:
    report, pictures = STUDY.build(
        found[0], in_folder(found[1]), command="python -m reproductions.report"
    )
    words = {verdict.word for _, _, verdict in report.judged if verdict}
    # Sixty epochs are no test of the paper: every claim must say so.
    assert words == {"not comparable"}
    assert all(verdict is not None for _, _, verdict in report.judged)
    assert {figure.id for figure, _ in pictures} >= {"figure2", "figure3", "steps", "seeds"}
    page = render_page(report)
    assert "not comparable" in page
    assert all(figure.alt in study_section(report) for figure in report.figures)


def test_the_printed_table_has_every_row(
    found: tuple[SuiteRuns, str], capsys: pytest.CaptureFixture[str]
) -> None:
    report, _ = STUDY.build(found[0], in_folder(found[1]), command="python -m reproductions.report")
    print_report(report)
    printed = capsys.readouterr().out
    for published in ("1,124", "1,083", "2,209", "2,435"):
        assert published in printed


def test_a_report_writes_its_own_folder_and_nothing_that_is_published(
    found: tuple[SuiteRuns, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).resolve().parents[3]
    kept = [root / "RESULTS.md", root / "README.md", *(root / "reproductions").rglob("*.*")]
    before = {file: file.stat().st_mtime_ns for file in kept if file.suffix != ".pyc"}
    monkeypatch.chdir(tmp_path)
    words = ["suite=vowel_smoke", f"runs_dir={found[1]}", *TOY]
    page = write_report(words)
    assert page == page_of("vowel_smoke", words) != page_of("vowel_smoke", [])
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["index.html"]
    assert "study.num_seeds=3" in page.read_text("utf-8")
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_a_terminal_that_lacks_characters_shows_others(
    found: tuple[SuiteRuns, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(printed, encoding="ascii"))
    monkeypatch.setattr("sys.argv", ["report", "suite=vowel_smoke", f"runs_dir={found[1]}", *TOY])
    # Not `file`: its getter gives the stdout of this test, to which all later ones would print.
    monkeypatch.setattr("experiments.command_line.console._file", sys.stdout)
    monkeypatch.chdir(tmp_path)
    main()
    sys.stdout.flush()
    assert b"? not comparable" in printed.getvalue()
    assert list(tmp_path.rglob("index.html"))


def test_eight_experts_in_the_place_of_four_are_called_eight(found: tuple[SuiteRuns, str]) -> None:
    runs = dict(found[0].runs)
    twins = {name: f"{name[:-1]}8" for name in runs if name.endswith("_4")}
    for name, twin in {**twins, **dict.fromkeys(LINES, "experts_8")}.items():
        runs[name] = named_run(name, runs[twin].study, runs[twin].finished, "vowel_smoke")
        assert not runs[name].is_as_named
    report, _ = STUDY.build(SuiteRuns(runs, ()), in_folder(found[1]), command="x")
    said = [
        *(text for caption, frame in report.tables for text in (caption, frame.to_string())),
        *(text for each in report.figures for text in (each.title, each.caption, each.alt)),
        *(each.base_svg or "" for each in report.figures if each.id != "overview"),
    ]
    assert not [text for text in said if "4 experts" in text]
    assert "figure3" not in {figure.id for figure in report.figures}
    verdicts = {claim.id: verdict for claim, _, verdict in report.judged}
    four = verdicts["epochs-4-experts"]
    assert four is not None
    assert (four.estimate, four.interval) == (None, None)
    assert "num_experts is 8 instead of 4" in four.explanation


def test_a_report_without_runs_names_the_command_that_trains(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make reproduce-vowel"):
        write_report(["suite=vowel", f"runs_dir={tmp_path}"])


def test_a_missing_run_leaves_its_claims_unjudged(found: tuple[SuiteRuns, str]) -> None:
    runs: dict[str, Any] = {**found[0].runs}
    runs.pop("backprop_6")
    report, _ = STUDY.build(SuiteRuns(runs, ("backprop_6",)), in_folder(found[1]), command="x")
    verdicts = {claim.id: verdict for claim, _, verdict in report.judged}
    assert verdicts["epochs-backprop-6"] is None
    assert verdicts["epochs-4-experts"] is not None


def test_a_command_begins_when_all_of_its_module_is_defined() -> None:
    # Imported, as in the other tests, a module is whole in any case; run by `python -m` it is not.
    for file in (Path(__file__).resolve().parents[3] / "reproductions").rglob("*.py"):
        _, *after = file.read_text("utf-8").split('if __name__ == "__main__":\n')
        below = [line for line in "".join(after).splitlines() if line and not line.startswith(" ")]
        assert not below, (file, below)
