"""Any runs as a table and figures: which runs words name, and what figures say of them."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from experiments.command_line import console
from experiments.execute import execute, folder_of
from experiments.run_folder import FinishedRun
from experiments.runner.errors import UserError
from experiments.vowel.settings import VowelConfig
from reproductions.plot import draw, runs_of
from reproductions.run_figures import by_time, figures_of, heading, label_of

TINY = VowelConfig(step_size=16.0, num_seeds=2, max_epochs=30, snapshot_every=10)
SETTINGS = ["study.step_size=16", "study.num_seeds=2", "study.max_epochs=30"]
SIZES = (2, 4)


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for number in SIZES:
        execute(replace(TINY, num_experts=number), str(folder))
    return folder


@pytest.fixture
def folders(runs_dir: Path) -> list[Path]:
    return [folder_of(replace(TINY, num_experts=number), str(runs_dir)) for number in SIZES]


def sizes(runs: list[FinishedRun]) -> list[int]:
    return [run.config["num_experts"] for run in runs]


def test_runs_are_named_by_folder_digest_or_settings(runs_dir: Path, folders: list[Path]) -> None:
    where = f"runs_dir={runs_dir}"
    assert sizes(runs_of([str(folders[1])])) == [4]
    assert sizes(runs_of([folders[0].name[:8], where])) == [2]
    assert sorted(sizes(runs_of([str(runs_dir)]))) == [2, 4]
    assert sorted(sizes(runs_of([str(runs_dir / "vowel")]))) == [2, 4]
    assert sizes(runs_of(["study=vowel", *SETTINGS, "study.num_experts=4,2", where])) == [4, 2]
    # Named twice, it is there once.
    assert len(runs_of([str(folders[1]), folders[1].name, where])) == 1


def test_a_sweeps_folder_names_the_runs_of_its_record(runs_dir: Path, tmp_path: Path) -> None:
    task = ["study=vowel", *SETTINGS, "study.num_experts=2,4", f"runs_dir={runs_dir}"]
    (tmp_path / "multirun.yaml").write_text(
        yaml.safe_dump({"hydra": {"overrides": {"task": task}}})
    )
    assert sizes(runs_of([str(tmp_path)])) == [2, 4]
    (tmp_path / "multirun.yaml").write_text("hydra: 3\n")
    with pytest.raises(UserError, match="no record of a sweep"):
        runs_of([str(tmp_path)])


def test_what_names_no_run_is_refused_with_the_way_out(runs_dir: Path, tmp_path: Path) -> None:
    where = f"runs_dir={runs_dir}"
    with pytest.raises(UserError, match="No run was named"):
        runs_of([where])
    with pytest.raises(UserError, match="No finished run has"):
        runs_of(["0123456789", where])
    with pytest.raises(UserError, match="no finished run in"):
        runs_of([str(tmp_path)])
    with pytest.raises(UserError, match=r"study\.num_experts=0"):
        runs_of(["study=vowel", "study.num_experts=0"])
    with pytest.raises(UserError) as caught:
        runs_of(["study=vowel", "study.num_experts=2,7", where])
    assert "python -m experiments.run --multirun study=vowel" in caught.value.fix


def test_runs_that_are_not_finished_are_told(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[str] = []
    monkeypatch.setattr(console, "print", lambda text="", **_: printed.append(str(text)))
    words = ["study=vowel", *SETTINGS, "study.num_experts=2,7", f"runs_dir={runs_dir}"]
    assert sizes(runs_of(words)) == [2]
    assert "1 of 2 runs are not finished" in printed[0]


def test_figures_are_labelled_by_what_differs_and_titled_by_what_does_not(
    folders: list[Path],
) -> None:
    runs = runs_of(list(map(str, folders)))
    assert [label_of(run, ["num_experts"]) for run in runs] == [
        "number of experts 2",
        "number of experts 4",
    ]
    title = heading(runs, "main measures")
    assert title.startswith("vowel study: main measures\n")
    assert "step size 16" in title
    assert "number of experts" not in title
    figures = figures_of(runs)
    assert list(figures) == ["settings", "curves"]
    for figure in figures.values():
        assert all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes)
    assert {axes.get_xlabel() for axes in figures["settings"].axes} == {"number of experts"}
    legend = [text.get_text() for text in figures["curves"].legends[0].get_texts()]
    assert legend[:2] == ["number of experts 2", "number of experts 4"]
    # One run has nothing to be held against.
    assert list(figures_of(runs[:1])) == ["curves"]


def test_a_curve_has_a_column_for_each_seed(folders: list[Path]) -> None:
    (run,) = runs_of([str(folders[0])])
    from experiments.studies import STUDIES

    wide = by_time(run, STUDIES["vowel"].curves[0])
    assert wide.shape[1] == 2
    assert wide.index.is_monotonic_increasing
    table = run.table("curves")
    assert wide.iloc[0].tolist() == table[table["epoch"] == 0]["train_error"].tolist()


def test_the_same_runs_give_the_same_files(folders: list[Path], tmp_path: Path) -> None:
    runs = runs_of(list(map(str, folders)))
    first, second = (draw(runs, tmp_path / name) for name in ("first", "second"))
    assert [file.name for file in first] == [file.name for file in second]
    assert {file.suffix for file in first} == {".png", ".svg"}
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
