"""What is published is judged again from stored runs: the same without the runs' folders."""

import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure as Drawing

from experiments.execute import execute
from experiments.runner.errors import UserError
from experiments.suite import suite_runs
from reproductions import rejudge, stored
from reproductions.drawing import to_png
from reproductions.filled import WRITTEN_IN
from reproductions.publish import publish, record_with_section
from reproductions.records import BEGIN
from reproductions.rejudge import changes, claim_changes, page_changes, rebuilt
from reproductions.report import STUDIES, BuiltReport, build_report
from reproductions.results_md import header_of, study_section
from reproductions.stored import (
    Watched,
    is_stored,
    or_stored,
    store,
    stored_runs,
    watching,
)
from reproductions.verdicts.judge import Verdict

ROOT = Path(__file__).resolve().parents[2]
WORDS = [
    "suite=vowel_costs",
    "study.num_seeds=2",
    "study.max_epochs=40",
    "study.exploration_epochs=20",
    "study.step_grid=[8,22.6]",
]
STORED = [study for study in STUDIES if is_stored(study)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[BuiltReport, Path]:
    """A report of toy runs whose folders are gone, and the folder where they are stored."""
    runs_dir = str(tmp_path_factory.mktemp("runs"))
    for study in suite_runs(WORDS)[1].values():
        execute(study, runs_dir)
    watched: Watched = {}
    whole = build_report(WORDS, watching(runs_dir, watched))
    assert whole is not None
    # As a figure would.
    whole.found.runs["blend_error_4"].finished.arrays("snapshots")
    whole = replace(whole, watched=watched)
    folder = tmp_path_factory.mktemp("published")
    store("vowel", watched, folder)
    shutil.rmtree(runs_dir)
    # The runs are gone: whoever publishes the report again has nothing to store.
    return replace(whole, watched={}), folder


@pytest.fixture(scope="module")
def built(kept: tuple[BuiltReport, Path]) -> BuiltReport:
    """The report as it was made from the runs themselves."""
    return kept[0]


@pytest.fixture
def folder(kept: tuple[BuiltReport, Path], tmp_path: Path) -> Path:
    """A folder of all that is published, with the toy runs in it."""
    return Path(shutil.copytree(kept[1], tmp_path / "reproductions" / "published"))


@pytest.fixture
def root(built: BuiltReport, folder: Path, tmp_path: Path) -> Path:
    """A checkout in which the toy runs' report is published."""
    (tmp_path / "docs").mkdir()
    for name in ("RESULTS.md", *WRITTEN_IN):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "RESULTS.md").write_text("")
    publish([built], tmp_path)
    return tmp_path


def test_a_page_that_was_changed_by_hand_is_stale(root: Path) -> None:
    page = root / "docs" / "results" / "vowel.md"
    page.write_text(page.read_text().replace("not run", "matches"))
    assert page_changes(root) == ["docs/results/vowel.md, which is not what was published"]
    (root / "RESULTS.md").write_text((root / "RESULTS.md").read_text().replace("claims", "clams"))
    assert "the studies of RESULTS.md" in page_changes(root)


def again(folder: Path) -> BuiltReport:
    with stored_runs("vowel", folder) as source:
        whole = build_report(WORDS, source)
    assert whole is not None
    return whole


def test_without_the_runs_all_is_the_same_bit_for_bit(
    built: BuiltReport, folder: Path, tmp_path: Path
) -> None:
    whole = again(folder)
    assert study_section(whole.report) == study_section(built.report)
    assert whole.report.figures == built.report.figures
    assert record_with_section(whole) == record_with_section(built)
    assert len(whole.pictures) == len(built.pictures) > 0
    for pair in zip(whole.pictures, built.pictures, strict=True):
        for side, (_, drawing) in enumerate(pair):
            to_png(drawing, tmp_path / f"{side}.png")
        assert (tmp_path / "0.png").read_bytes() == (tmp_path / "1.png").read_bytes()


def test_every_run_is_stored_with_its_metrics_and_what_was_read(folder: Path) -> None:
    index = json.loads((folder / "vowel" / "runs.json").read_text())
    assert set(index["vowel_costs"]) == set(suite_runs(WORDS)[1])
    with stored_runs("vowel", folder) as source:
        found = source(suite_runs(WORDS)[1], "vowel_costs").runs
        for run in found.values():
            assert len(run.table("metrics")) > 0
        assert "experts" in found["blend_error_4"].finished.arrays("snapshots")
        with pytest.raises(UserError, match=r"snapshots\.npz of the published run .* not stored"):
            found["blend_error_8"].finished.arrays("snapshots")
        with pytest.raises(UserError, match=r"curves\.csv of the published run"):
            found["blend_error_8"].table("curves")


def test_what_is_read_of_a_run_under_any_of_its_names_is_stored(tmp_path: Path) -> None:
    study = suite_runs(WORDS)[1]["blend_error_4"]
    runs_dir, watched = str(tmp_path / "runs"), Watched()
    execute(study, runs_dir)
    source = watching(runs_dir, watched)
    names = {"blend_error_4": study, "blend_error_8": study}
    source(names, "vowel_costs").runs["blend_error_4"].finished.arrays("snapshots")
    store("vowel", watched, tmp_path / "published")
    (packed,) = (tmp_path / "published" / "vowel").glob("*.zip")
    assert "snapshots.npz" in zipfile.ZipFile(packed).namelist()


def test_equal_runs_are_equal_files_and_old_ones_go(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in (folder / "vowel").iterdir()}
    with stored_runs("vowel", folder) as source:
        runs = source(suite_runs(WORDS)[1], "vowel_costs").runs
        (folder / "vowel" / "0123456789abcdef.zip").write_bytes(b"old")
        size = store("vowel", {"vowel_costs": {"blend_error_4": runs["blend_error_4"]}}, folder)
    kept = list((folder / "vowel").glob("*.zip"))
    assert [path.stat().st_size for path in kept] == [size]
    assert kept[0].name in before


def test_a_study_is_published_in_parts(folder: Path, tmp_path: Path) -> None:
    studies, name = suite_runs(WORDS)[1], "blend_error_8"
    before = {path.name: path.read_bytes() for path in (folder / "vowel").iterdir()}
    runs_dir, seen = str(tmp_path / "runs"), Watched()
    # Without a run in the folder there is nothing to publish, whatever is stored.
    with or_stored("vowel", watching(runs_dir, seen), seen, folder) as source:
        assert source(studies, "vowel_costs").runs == {}
    execute(studies[name], runs_dir)
    with or_stored("vowel", watching(runs_dir, seen), seen, folder) as source:
        found = source(studies, "vowel_costs")
    assert (list(found.runs), found.missing) == (list(studies), ())
    assert found.runs[name].finished.path.parent.parent == Path(runs_dir)
    # What was stored stays as it was, and the block's own copy of it is not needed for that.
    store("vowel", seen, folder)
    after = {path.name: path.read_bytes() for path in (folder / "vowel").iterdir()}
    new = f"{found.runs[name].finished.path.name}.zip"
    assert before.keys() == after.keys()
    assert {key for key in before if before[key] != after[key]} <= {new, "runs.json"}


@pytest.mark.parametrize("name", ["a run", "another run", "the index", "no index"])
def test_damage_is_named_with_what_restores_it(folder: Path, name: str) -> None:
    place = folder / "vowel"
    first, second, *_ = sorted(place.glob("*.zip"))
    index = json.loads((place / "runs.json").read_text())
    if name == "a run":
        data = bytearray(first.read_bytes())
        data[len(data) // 2] ^= 1
        first.write_bytes(data)
    elif name == "another run":
        first.write_bytes(second.read_bytes())
    elif name == "the index":
        (place / "runs.json").write_text(json.dumps({"vowel_costs": {"blend_error_4": "x"}}))
    else:
        (place / "runs.json").write_text(json.dumps(index)[:-9])
    with pytest.raises(UserError) as refused, stored_runs("vowel", folder):
        pass
    assert "git checkout" in refused.value.fix
    assert ("runs.json" if "index" in name else first.name) in refused.value.problem


def test_a_run_under_anothers_name_is_found_even_where_the_index_agrees(folder: Path) -> None:
    place = folder / "vowel"
    index = json.loads((place / "runs.json").read_text())
    entries = index["vowel_costs"]
    one, other = entries["blend_error_4"], entries["blend_error_8"]
    data = (place / f"{other['run']}.zip").read_bytes()
    (place / f"{one['run']}.zip").write_bytes(data)
    one["sha256"] = other["sha256"]
    (place / "runs.json").write_text(json.dumps(index))
    with (
        pytest.raises(UserError, match="holds another run's identity"),
        stored_runs("vowel", folder),
    ):
        pass


def test_a_suite_with_other_settings_is_refused_by_name(folder: Path) -> None:
    with stored_runs("vowel", folder) as source, pytest.raises(UserError) as refused:
        build_report([*WORDS, "study.num_seeds=3"], source)
    assert "blend_error_4: num_seeds is 2 there and 3 now" in refused.value.problem
    assert "make publish" in refused.value.fix


def test_settings_differ_only_in_what_the_run_had() -> None:
    known = {"steps": 3, "num_threads": 4}
    assert not list(stored._differences({"steps": 3, "num_threads": 0, "later": 1}, known))
    assert list(stored._differences({"steps": 3, "num_threads": 2}, known))
    assert list(stored._differences({"num_threads": 4}, known)) == ["there is no steps any more"]


def test_nothing_changes_where_nothing_changed(
    built: BuiltReport, folder: Path, root: Path
) -> None:
    assert changes("vowel", again(folder), root) == []
    assert page_changes(root) == []


def test_what_changes_is_named(built: BuiltReport, root: Path) -> None:
    (claim, evidence, _), *rest = built.report.judged
    other = Verdict("differs", 1.0, (0.0, 2.0), 0.95, 9, "Because.")
    report = replace(built.report, judged=((claim, evidence, other), *rest))
    whole = replace(built, report=report)
    assert changes("vowel", whole, root) == [f"{claim.id}: not run becomes differs"]
    again = replace(built, report=replace(built.report, title="Vowels anew"))
    assert changes("vowel", again, root) == ["the title"]
    with_command = replace(built, report=replace(built.report, command="another"))
    assert changes("vowel", with_command, root) == ["numbers or words of docs/results/vowel.md"]


def test_a_picture_is_held_against_the_published_one(built: BuiltReport, root: Path) -> None:
    place = root / "reproductions" / "figures" / "vowel"
    (figure, drawing), *_ = built.pictures
    to_png(Drawing(drawing.get_size_inches()), place / f"{figure.id}.png")
    assert changes("vowel", built, root) == [f"the picture {figure.id}"]
    (place / f"{figure.id}.png").unlink()
    assert changes("vowel", built, root) == [f"the picture {figure.id}"]


def test_claims_that_come_and_go_are_named(built: BuiltReport) -> None:
    rows = record_with_section(built).rows
    assert list(claim_changes(rows[1:], rows)) == [f"the claim {rows[0].id} is new"]
    assert list(claim_changes(rows, rows[1:])) == [f"the claim {rows[0].id} is gone"]
    other = replace(rows[0], ours="7")
    assert list(claim_changes(rows, (other, *rows[1:]))) == [f"{rows[0].id}: its words or numbers"]


@pytest.fixture
def of_toys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Judge the toy runs again where the study's own are asked for."""
    monkeypatch.setattr(rejudge, "build_report", lambda _, source: build_report(WORDS, source))
    return None


@pytest.mark.usefixtures("of_toys")
def test_what_is_stale_is_refused_until_it_is_judged_again(root: Path) -> None:
    rejudge.check(["vowel", "clusters"], root)
    readme = root / "README.md"
    text = readme.read_text()
    readme.write_text(text.replace(BEGIN, f"{BEGIN}\nby hand\n"))
    with pytest.raises(UserError, match=r"stale.*filled in in README\.md") as refused:
        rejudge.check(["vowel"], root)
    assert "make judge" in refused.value.fix
    place = root / "reproductions" / "figures" / "vowel"
    picture = next(iter(place.glob("*.png")))
    whole = picture.read_bytes()
    picture.unlink()
    assert rejudge.rejudge(["vowel"], root) == {"vowel": [f"the picture {picture.stem}"]}
    rejudge.check(["vowel"], root)
    assert (picture.read_bytes(), readme.read_text()) == (whole, text)


def test_the_head_of_results_says_what_can_be_judged_again(root: Path) -> None:
    head = header_of(list(STUDIES), root)
    assert "`make judge` makes the pages of vowel again" in head
    shutil.rmtree(root / "reproductions" / "published" / "vowel")
    assert "The runs of vowel are not stored" in header_of(list(STUDIES), root)
    assert page_changes(root) == ["the head of RESULTS.md"]


# What is published here


@pytest.mark.parametrize("study", STUDIES)
def test_what_is_published_here_is_not_stale(study: str) -> None:
    if study not in STORED:
        pytest.skip("its runs are not stored")
    assert changes(study, rebuilt(study)) == [], "run make judge, and look at what it changes"


def test_the_published_pages_follow_from_the_records() -> None:
    assert page_changes() == []
