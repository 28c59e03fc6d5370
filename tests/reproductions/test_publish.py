"""Publishing: whole or not at all, never less than is there, and only by its own command."""

import errno
import json
import multiprocessing
import os
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing

import reproductions.report
from experiments.runner.errors import UserError
from experiments.runner.storage import sha256
from reproductions import records
from reproductions.publish import finished, losses, publish
from reproductions.records import StudyRecord, record_of
from reproductions.report import STUDIES, BuiltReport
from reproductions.results_md import _sections, index_sections, page_path, write_sections
from reproductions.runs import SuiteRuns
from reproductions.study_report import Figure, Silence, StudyReport
from reproductions.verdicts.claims import load_claims
from reproductions.verdicts.judge import Verdict

ROOT = Path(__file__).resolve().parents[2]
STUDIES = list(STUDIES)
RECORDS = {record.study: record for record in records.read(STUDIES)}
EMPTY = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout, as far as publishing is concerned."""
    (tmp_path / "docs").mkdir()
    for name in ("RESULTS.md", "README.md", "docs/verdicts.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "docs" / "results", tmp_path / "docs" / "results")
    shutil.copytree(ROOT / "reproductions" / "published", tmp_path / "reproductions" / "published")
    return tmp_path


def report_of(record: StudyRecord) -> BuiltReport:
    """A report that says what is published, with nothing behind it."""
    claims = {c.id: c for c in load_claims(ROOT / "reproductions" / record.study / "claims.yaml")}
    words: dict[str, Any] = {row.id: row.word for row in record.rows if row.word != "not run"}
    verdicts = {
        name: Verdict(word, 1.0, (0.0, 2.0), 0.95, 9, "Because.") for name, word in words.items()
    }
    figures = tuple(
        Figure(each.id, each.title, each.caption, each.alt, EMPTY, (), (), ())
        for each in record.figures
    )
    report = StudyReport(
        study=record.study,
        title=record.title,
        summary="\n\n".join(record.summary),
        citation="The authors",
        tables=tuple(
            (t.caption, pd.DataFrame([["1"] * len(t.columns)] * t.num_rows, columns=t.columns))
            for t in record.tables
        ),
        judged=tuple((claims[row.id], None, verdicts.get(row.id)) for row in record.rows),
        figures=figures,
        notes=tuple(Silence(note, "a", "b", "c") for note in record.notes),
        command="make",
    )
    return BuiltReport(
        report, [(figure, Drawing(figsize=(1, 1))) for figure in figures], SuiteRuns({}, ())
    )


def less(built: BuiltReport, **changes: Any) -> BuiltReport:
    return replace(built, report=replace(built.report, **changes))


def state(root: Path) -> dict[str, bytes]:
    files = [root / "RESULTS.md", root / "README.md", *(root / "docs").rglob("*.md")]
    files += (root / "reproductions" / "published").glob("*.json")
    return {file.name: file.read_bytes() for file in files if file.exists()}


VOWEL = report_of(RECORDS["vowel"])
LESS: dict[str, tuple[Callable[[StudyReport], dict[str, Any]], str]] = {
    "verdict": (
        lambda r: {"judged": ((r.judged[0][0], None, None), *r.judged[1:])},
        "the verdict on epochs-4-experts",
    ),
    "claim": (lambda r: {"judged": r.judged[1:]}, "the verdict on epochs-4-experts"),
    "table": (lambda r: {"tables": r.tables[:-1]}, "the table 'The worlds closest"),
    "column": (
        lambda r: {"tables": ((r.tables[0][0], r.tables[0][1].iloc[:, :-1]), *r.tables[1:])},
        "the column 'blew up' of the table 'Table 1",
    ),
    "row": (
        lambda r: {"tables": ((r.tables[0][0], r.tables[0][1].iloc[1:]), *r.tables[1:])},
        "1 of 12 rows of the table 'Table 1",
    ),
    "figure": (lambda r: {"figures": r.figures[:-1]}, "the figure multiverse-stop"),
    "paragraph": (
        lambda r: {"summary": "\n\n".join(r.summary.split("\n\n")[:-1])},
        "the sentence 'With a stop error of 0",
    ),
    "sentence": (
        lambda r: {"summary": r.summary.replace("The most claims, 10 of 14, match", "Some match")},
        "the sentence 'The most claims, 10 of 14, match",
    ),
    "reason": (
        lambda r: {
            "summary": r.summary.replace(
                "; in 400 of 400 runs one expert answers for each pair", ""
            )
        },
        "in 400 of 400 runs one expert answers for each pair of vowels",
    ),
    "note": (lambda r: {"notes": r.notes[1:]}, "the note 'How many outputs"),
}


def test_what_is_published_again_stays_and_so_does_all_else(root: Path) -> None:
    before = _sections((root / "RESULTS.md").read_text())
    publish([VOWEL], root)
    after = _sections((root / "RESULTS.md").read_text())
    assert set(after) == set(before) == set(STUDIES)
    assert {name for name in after if after[name] != before[name]} <= {"vowel"}
    found = records.read(STUDIES, root / "reproductions" / "published")
    assert losses(RECORDS["vowel"], found[0]) == losses(found[0], RECORDS["vowel"]) == []
    assert found[0].section == sha256((root / "docs/results/vowel.md").read_bytes())
    pages = {path.name: path.read_bytes() for path in (ROOT / "docs/results").glob("*.md")}
    assert {n for n, page in pages.items() if (root / "docs/results" / n).read_bytes() != page} == {
        "vowel.md"
    }
    readme = (root / "README.md").read_text()
    assert records.with_table(readme, records.readme_table(found)) == readme
    pictures = {file.stem for file in (root / "reproductions/figures/vowel").glob("*.png")}
    assert pictures == {figure.id for figure in VOWEL.report.figures}
    once = state(root)
    publish([VOWEL], root)
    assert state(root) == once


@pytest.mark.parametrize("kind", LESS)
def test_less_than_is_there_is_refused_by_name_and_published_on_purpose(
    root: Path, kind: str
) -> None:
    change, named = LESS[kind]
    smaller = less(VOWEL, **change(VOWEL.report))
    before = state(root)
    with pytest.raises(UserError) as refused:
        publish([smaller], root)
    assert named in refused.value.problem
    assert state(root) == before
    code = refused.value.fix.rpartition("accept=")[2]
    with pytest.raises(UserError):
        publish([less(smaller, notes=())], root, accept=code)
    assert state(root) == before
    old = root / "reproductions/figures/vowel/multiverse-stop.png"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"a picture")
    publish([smaller], root, accept=code)
    assert old.exists() == (kind != "figure")
    publish([smaller], root)


def test_other_verdicts_and_numbers_are_no_loss() -> None:
    old = RECORDS["vowel"]
    moved = old.summary[0].replace("12 hidden units are slower than 6; ", "")
    text = ("Of 27 published claims, 1 matches and 26 stay open.", moved.partition(". ")[2])
    opened = old.summary[2][:-1] + "; 12 hidden units are slower than 6."
    rows = tuple(replace(row, word="inconclusive", ours="7") for row in old.rows)
    summary = (" ".join(text), old.summary[1], opened, *old.summary[3:])
    new = replace(old, rows=rows, summary=summary)
    assert losses(old, new) == []


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda text: text[: len(text) // 2], "questions (it is missing)"),
        (lambda text: text.replace("7 printed", "8 printed"), "translation (it is not what was"),
        (lambda text: text + "\n<!-- study: scaling -->\n\nagain\n", "scaling (it is there twice)"),
        (lambda text: text + "\n<!-- study: other -->\n\nmore\n", "other (there is no such study)"),
        (lambda text: "", "clusters (it is missing)"),
    ],
)
def test_a_damaged_page_is_named_and_left_alone(
    root: Path, damage: Callable[[str], str], named: str
) -> None:
    page = root / "RESULTS.md"
    page.write_text(damage(page.read_text()))
    before = page.read_bytes()
    with pytest.raises(UserError) as refused:
        write_sections({"vowel": "## Vowels\n"}, STUDIES, page)
    assert named in refused.value.problem
    assert page.read_bytes() == before
    # A whole study is not published either, and nothing of it is written.
    before_all = state(root)
    with pytest.raises(UserError, match="is damaged, so nothing was written"):
        publish([VOWEL], root)
    assert state(root) == before_all


def test_a_page_torn_inside_a_letter_is_a_readable_error(root: Path) -> None:
    page = root / "RESULTS.md"
    page.write_bytes(page.read_bytes() + "±".encode()[:1])
    with pytest.raises(UserError, match=r"RESULTS\.md cannot be read"):
        write_sections({"vowel": "## Vowels\n"}, STUDIES, page)


@pytest.mark.parametrize("place", range(6))
def test_a_full_disk_at_any_write_leaves_whole_files_and_the_same_command_goes_on(
    root: Path, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = less(VOWEL, title="Vowels anew")
    small = replace(small, pictures=[])
    sections, count = _sections((root / "RESULTS.md").read_text()), 0
    sync = os.fsync

    def full(descriptor: int) -> None:
        nonlocal count
        count += 1
        # Each file is followed by its folder.
        if count == 2 * place + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    # The page, the record, the index, README and the rules.
    if place < 5:
        with pytest.raises(UserError, match="no space"):
            publish([small], root)
        after = _sections((root / "RESULTS.md").read_text())
        assert set(after) == set(STUDIES)
        assert {name for name in after if after[name] != sections[name]} <= {"vowel"}
        assert len(records.read(STUDIES, root / "reproductions" / "published")) == len(STUDIES)
        assert not list(root.rglob(".tmp-*"))
    monkeypatch.setattr(os, "fsync", sync)
    publish([small], root)
    assert "[Vowels anew]" in (root / "RESULTS.md").read_text()
    assert "# Vowels anew" in (root / "docs/results/vowel.md").read_text()


def write_often(root: Path, study: str) -> None:
    for number in range(20):
        write_sections({study: f"## {study} {number}\n"}, STUDIES, root / "RESULTS.md")


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=write_often, args=(tmp_path, name)) for name in STUDIES[:2]]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    found = _sections((tmp_path / "RESULTS.md").read_text())
    assert found == {name: f"## {name} 19\n" for name in STUDIES[:2]}


def test_a_readme_without_a_place_for_the_table_stops_before_anything_is_written(
    root: Path,
) -> None:
    (root / "README.md").write_text("# Title\n")
    before = state(root)
    with pytest.raises(UserError, match=r"README\.md has no place"):
        publish([VOWEL], root)
    assert state(root) == before


@pytest.mark.parametrize("argument", ["study.num_seeds=3", "suite=vowel", "study=vowl"])
def test_only_suites_as_they_are_are_published(argument: str) -> None:
    with pytest.raises(UserError, match=r"There is no (setting|study)"):
        finished([argument])


def test_nothing_is_published_without_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        "reproductions.publish.build_report", lambda words, source: asked.extend(words)
    )
    with pytest.raises(UserError, match="no finished runs to publish of vowel"):
        finished(["study=vowel", "runs_dir=elsewhere"])
    # The folder is no part of the command that the report names.
    assert asked == ["suite=vowel"]


# Records


def sealed(data: dict[str, Any], folder: Path) -> None:
    """Write a record as if publishing had written these contents."""
    content = {key: value for key, value in data.items() if key != "seal"}
    whole = {**content, "seal": records._seal(content)}
    (folder / "scaling.json").write_text(json.dumps(whole, ensure_ascii=False))


def contents() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((records.FOLDER / "scaling.json").read_text("utf-8"))
    return loaded


WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "missing": (lambda data: data.pop("title"), "the key title is missing"),
    "unknown": (lambda data: data.update(more=1), "the key more is unknown"),
    "type": (lambda data: data.update(num_runs="3"), "num_runs is '3'"),
    "truth": (lambda data: data.update(num_runs=True), "num_runs is True"),
    "none": (lambda data: data.update(title=None), "title is None"),
    "list": (lambda data: data.update(rows={}), "rows is no list"),
    "row key": (lambda data: data["rows"][1].pop("word"), r"rows\[1\]\.word is missing"),
    "row": (lambda data: data["rows"].append(3), r"rows\[8\] is no mapping"),
    "word": (lambda data: data["rows"][0].update(word="true"), r"rows\[0\]\.word is 'true'"),
    "id": (lambda data: data["rows"].append(data["rows"][0]), "rows have the id 'flat-cost' twice"),
    "infinite": (lambda data: data.update(seconds=float("inf")), "Infinity is no finite number"),
    "nan": (lambda data: data.update(seconds=float("nan")), "NaN is no finite number"),
    "negative": (lambda data: data.update(num_runs=-1), "num_runs is -1"),
    "study": (lambda data: data.update(study="vowel"), "study is 'vowel'"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_record_is_named_with_its_key(tmp_path: Path, kind: str) -> None:
    change, named = WRONG[kind]
    data = contents()
    change(data)
    sealed(data, tmp_path)
    with pytest.raises(UserError, match=named) as refused:
        records.read(["scaling"], tmp_path)
    assert "scaling.json" in refused.value.problem


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"3", b"\xff\xfe{}", b'{"study": "a", "study": "b"}', b"[" * 10**5]
)
def test_what_is_no_record_at_all_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "scaling.json").write_bytes(data)
    with pytest.raises(UserError, match=r"scaling\.json"):
        records.read(["scaling"], tmp_path)


def test_a_folder_in_a_records_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "scaling.json").mkdir()
    with pytest.raises(UserError, match=r"scaling\.json cannot be read"):
        records.read(["scaling"], tmp_path)


def test_no_change_of_a_record_goes_unseen(tmp_path: Path) -> None:
    whole, chance = (records.FOLDER / "scaling.json").read_bytes(), random.Random(0)
    path, num_found = tmp_path / "scaling.json", 0
    for _ in range(200):
        place, length = chance.randrange(len(whole)), chance.choice([0, 1, 40])
        filling = bytes(chance.choices(b'09 a"},\n\xc3', k=chance.choice([0, 1, 3])))
        path.write_bytes(whole[:place] + filling + whole[place + length :])
        try:
            assert records.read(["scaling"], tmp_path) == [RECORDS["scaling"]]
        except UserError:
            num_found += 1
    assert num_found > 100


# What is published here


@pytest.mark.parametrize("study", STUDIES)
def test_a_record_is_that_of_its_page(study: str) -> None:
    assert RECORDS[study].section == sha256(page_path(study, ROOT).read_bytes())
    index = _sections((ROOT / "RESULTS.md").read_text("utf-8"))
    assert index[study] == index_sections([RECORDS[study]])[study]


def test_every_picture_is_shown_and_every_shown_picture_is_there() -> None:
    pages = [ROOT / "README.md", *(page_path(study, ROOT) for study in STUDIES)]
    shown = {
        (path.parent / link).resolve()
        for path in pages
        for link in re.findall(r"!\[[^\n]*\]\(([^)]+)\)", path.read_text("utf-8"))
    }
    assert shown == set((ROOT / "reproductions" / "figures").rglob("*.*"))


def test_sections_are_written_together(root: Path) -> None:
    page = root / "RESULTS.md"
    new = {name: f"## {name}\n" for name in STUDIES}
    write_sections(new, STUDIES, page)
    assert _sections(page.read_text()) == new
    # A record that this did not come from: the next to be kept is not what was published.
    with pytest.raises(UserError, match="clusters"):
        write_sections({"vowel": "## vowel\n"}, STUDIES, page)


def test_a_record_of_a_report_says_what_its_section_shows() -> None:
    record = record_of(VOWEL.report, {})
    assert losses(RECORDS["vowel"], record) == []
    assert (record.tables, record.figures) == (RECORDS["vowel"].tables, RECORDS["vowel"].figures)


@pytest.mark.parametrize("study", STUDIES)
def test_every_claim_belongs_to_one_group_of_its_summary(study: str) -> None:
    whole = reproductions.report.STUDIES[study]
    for claim in whole.claims:
        own = [group for group in whole.groups if claim.id.startswith(group.prefix)]
        assert len(own) == 1, claim.id


@pytest.mark.parametrize("study", STUDIES)
def test_what_differs_has_its_reason_beside_it(study: str) -> None:
    record = RECORDS[study]
    groups = reproductions.report.STUDIES[study].groups
    # The text of a summary says "words: differs (numbers); the reason".
    told = " ".join(record.summary)
    for row in (row for row in record.rows if row.word == "differs"):
        group = next(group for group in groups if row.id.startswith(group.prefix))
        words = re.escape(group.words[0].upper() + group.words[1:])
        said = re.search(rf"{words}(?: \([^)]*\))?: differs(?: \([^)]*\))?(; \w)?", told)
        assert said, row.id
        assert said[1], f"{row.id} has no reason"
