"""What RESULTS.md promises: plain markdown in which a text cannot break a table or a line."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reproductions.results_md import escape, study_section, write_sections
from reproductions.study_report import Figure, Silence, StudyReport
from reproductions.verdicts.claims import Claim, Published
from reproductions.verdicts.evidence import ValueEvidence
from reproductions.verdicts.judge import judge

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
        "## Vowels",
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
    link = "![A \\[falling\\] curve](reproductions/figures/vowel/curve.png)"
    assert link in study_section(make_report())


@given(st.text(alphabet='|\\`*<>_[]\n\r\t$ "ab'))
def test_no_text_breaks_a_table(sentence: str) -> None:
    rows = table_rows(study_section(make_report(sentence)))
    assert [num_cells(row) for row in rows] == [2, 2, 2, 2, 8, 8, 8, 8]


@pytest.mark.parametrize("text", ["<script>", "![x](http://example.org)", "**bold**", "$x$"])
def test_markup_in_a_text_stays_text(text: str) -> None:
    assert text not in escape(text)


def test_the_citation_is_a_link_only_if_it_has_an_address() -> None:
    report = make_report()
    assert "](https://" not in study_section(report)


def test_the_file_keeps_the_other_studies_sections_in_order(tmp_path: Path) -> None:
    section = study_section(make_report())
    clusters = section.replace("## Vowels", "## Clusters")
    path = tmp_path / "RESULTS.md"
    order = ["vowel", "clusters"]
    write_sections({"clusters": clusters}, order, path)
    write_sections({"vowel": section}, order, path)
    text = path.read_bytes()
    assert text.index(b"# Results") < text.index(b"## Vowels") < text.index(b"## Clusters")
    write_sections({"clusters": clusters}, order, path)
    assert path.read_bytes() == text
    write_sections({"clusters": section.replace("## Vowels", "## Anew")}, order, path)
    again = path.read_text()
    assert again.count("## Vowels") == 1
    assert "## Anew" in again
    assert "## Clusters" not in again
