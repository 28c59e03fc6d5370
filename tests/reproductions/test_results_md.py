"""What the pages of results promise: plain markdown in which a text breaks no table and no line."""

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reproductions.report import STUDIES
from reproductions.results_md import (
    _sections,
    escape,
    page_path,
    study_section,
    write_section,
    write_sections,
)
from reproductions.study_report import Figure, Silence, StudyReport
from reproductions.verdicts.claims import Claim, Published
from reproductions.verdicts.evidence import ValueEvidence
from reproductions.verdicts.judge import judge

ROOT = Path(__file__).resolve().parents[2]
END = r"-?\d+\.?\d*"
EMPTY = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>'


def make_report(sentence: str = "Four experts | need <100> epochs.") -> StudyReport:
    claim = Claim("epochs", sentence, "Table 1", "value", Published(100), 10, "Ten.")
    evidence = ValueEvidence((99, 100, 101), ())
    open_claim = Claim("shape", "Saturates.", "Figure 2", "shape", at_least=0.5)
    table = pd.DataFrame({"system": ["a | b", "c"], "epochs": [1124.0, float("nan")]})
    return StudyReport(
        study="vowel",
        title="Vowels",
        summary="A summary.",
        citation="The authors, 1991",
        tables=(("Epochs", table),),
        judged=((claim, evidence, judge(claim, evidence)), (open_claim, None, None)),
        figures=(Figure("curve", "Curve", "It falls.", "A [falling] curve", EMPTY, (), (), ()),),
        notes=(Silence("Not said.", "We chose.", "study.key", "Because."),),
        command="python -m reproductions.vowel",
    )


def table_rows(section: str) -> list[str]:
    return [line for line in section.splitlines() if line.startswith("|")]


def num_cells(row: str) -> int:
    return row.replace("\\\\", "").replace("\\|", "").count("|") - 1


def test_a_section_holds_every_part_of_the_report() -> None:
    section = study_section(make_report())
    for part in (
        "# Vowels",
        "The authors, 1991",
        "A summary.",
        "Of 2 own claims, 1 matches and 1 is not run.",
        "= **matches**",
        "○ **not run**",
        "| 1,124 |",
        "±10",
        "Not said. **We chose.** Because. (`study.key`)",
        "python -m reproductions.vowel",
    ):
        assert part in section


def test_pictures_are_relative_links_with_their_text_alternative() -> None:
    link = "![A \\[falling\\] curve](../../reproductions/figures/vowel/curve.png)"
    assert link in study_section(make_report())


@given(st.text(alphabet='|\\`*<>_[]\n\r\t$ "ab'))
def test_no_text_breaks_a_table(sentence: str) -> None:
    rows = table_rows(study_section(make_report(sentence)))
    assert [num_cells(row) for row in rows] == [2, 2, 2, 2, 4, 4, 4, 4]


@pytest.mark.parametrize("text", ["<script>", "![x](http://example.org)", "**bold**", "$x$"])
def test_markup_in_a_text_stays_text(text: str) -> None:
    assert text not in escape(text)


def test_the_citation_is_a_link_only_if_it_has_an_address() -> None:
    report = make_report()
    assert "](https://" not in study_section(report)
    linked = replace(report, citation_url="https://example.org")
    assert "[The authors, 1991](https://example.org)" in study_section(linked)


def test_the_file_keeps_the_other_studies_sections_in_order(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    order = ["vowel", "clusters"]
    write_sections({"clusters": "## Clusters\n"}, order, path)
    write_section("vowel", "## Vowels\n", order, path)
    text = path.read_bytes()
    assert text.index(b"# Results") < text.index(b"## Vowels") < text.index(b"## Clusters")
    write_sections({"clusters": "## Clusters\n"}, order, path)
    assert path.read_bytes() == text
    write_sections({"clusters": "## Anew\n"}, order, path)
    assert _sections(path.read_text()) == {"vowel": "## Vowels\n", "clusters": "## Anew\n"}


def test_pictures_come_first_and_claims_after_what_does_not_reproduce() -> None:
    report = make_report()
    many = tuple(replace(report.figures[0], id=f"f{place}") for place in range(4))
    summary = "All well. What matches: a.\n\nA: differs (1.2 and 3); why. B of 2: differs.\n\n"
    page = study_section(
        replace(report, figures=many, summary=f"{summary}What stays open: c.", about="They did.")
    )
    order = [
        "They did",
        "f1.png",
        "## What came out",
        "What matches",
        "## What was measured",
        "- A:",
    ]
    order += ["- B of 2: differs", "What stays open", "## Claims", "f2.png", "f3.png", "## Make"]
    places = [page.index(part) for part in order]
    assert places == sorted(places)


def test_only_what_a_paper_prints_stands_beside_it() -> None:
    report = make_report()
    printed = tuple((replace(each[0], source="printed"), *each[1:]) for each in report.judged)
    assert "## The paper beside ours" not in study_section(report)
    assert "## The paper beside ours" in study_section(replace(report, judged=printed))


def test_every_fold_is_closed_and_has_room_for_markdown() -> None:
    page = study_section(make_report())
    assert page.count("<details>") == page.count("</details>") == 1
    assert all(page[found.end() :].startswith("\n\n") for found in re.finditer("</summary>", page))


# What is published here


@pytest.mark.parametrize("study", STUDIES)
def test_links_of_a_page_lead_somewhere(study: str) -> None:
    path = page_path(study, ROOT)
    targets = re.findall(r"(?<!\\)\]\(([^)#]+)[^)]*\)", path.read_text("utf-8"))
    local = [target for target in targets if not target.startswith("http")]
    assert len(local) > 2
    assert [target for target in local if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("study", STUDIES)
def test_no_interval_of_a_share_leaves_its_bounds(study: str) -> None:
    text = page_path(study, ROOT).read_text("utf-8")
    heads, beyond = ("accuracy", "measure"), []
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        if any(word in table.partition("\n")[0] for word in heads):
            ends = [
                tuple(map(float, pair)) for pair in re.findall(rf"({END}) to ({END}) \|", table)
            ]
            # Epochs stand in the same column, and are far above.
            beyond += [pair for pair in ends if pair[0] < 0 or pair[0] <= 100 < pair[1] < 110]
    beyond += re.findall(r"interval [\d.]+ to 100\.\d*[1-9]\d*;", text)
    assert beyond == []


@pytest.mark.parametrize("study", STUDIES)
def test_a_table_of_claims_has_few_columns(study: str) -> None:
    claims = page_path(study, ROOT).read_text("utf-8").partition("## Claims")[2]
    rows = table_rows(claims.partition("<details>")[0])
    assert len(rows) > 2
    assert {num_cells(row) for row in rows} == {4}
