"""The front page, and that what is published agrees: claims, records, RESULTS.md and README."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.runner.errors import UserError
from reproductions.front import Answer, answers, render_front, standing
from reproductions.records import (
    BEGIN,
    END,
    filled_in,
    outdated_text,
    readme_table,
    record_of,
    with_table,
)
from reproductions.records import read as read_records
from reproductions.report import STUDIES, BuiltReport
from reproductions.results_md import escape, page_path
from reproductions.runs import SuiteRuns
from reproductions.study_report import StudyReport
from reproductions.verdicts.claims import load_claims
from reproductions.verdicts.judge import RULE
from reproductions.verdicts.sources import SOURCES
from reproductions.verdicts.verdict_text import SYMBOLS

ROOT = Path(__file__).resolve().parents[2]
RECORDS = read_records(list(STUDIES))


def built(study: str = "vowel") -> BuiltReport:
    claims = load_claims(ROOT / "reproductions" / study / "claims.yaml")
    report = StudyReport(
        study=study,
        title="<b>Title</b>",
        summary="",
        citation="",
        tables=(),
        judged=tuple((claim, None, None) for claim in claims),
        figures=(),
        notes=(),
        command="",
    )
    return BuiltReport(report, [], SuiteRuns({}, ()))


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["matches", "inconclusive"], "holds"),
        (["matches", "differs"], "holds in part"),
        (["matches", "differs", "differs"], "does not hold"),
        (["inconclusive", "not run"], "open"),
        ([], "open"),
    ],
)
def test_a_questions_standing_follows_from_its_verdicts(words: list[str], wanted: str) -> None:
    assert standing(words) == wanted


def test_there_are_five_questions_each_with_claims() -> None:
    asked = [answer.question for answer in answers()]
    assert asked == [1, 2, 3, 4, 5]
    of_claims = {
        claim.question
        for study in STUDIES
        for claim in load_claims(ROOT / "reproductions" / study / "claims.yaml")
    }
    assert set(asked) <= of_claims


def test_the_page_has_a_screen_per_question_and_every_claim_escaped() -> None:
    page = render_front([built("vowel"), built("questions")])
    assert page.count('class="screen"') == 5
    assert "<b>Title</b>" not in page
    claims = [claim for study in ("vowel", "questions") for claim in built(study).report.judged]
    assert page.count("<tr data-study=") == len(claims)
    # Filters need the script, so that they are hidden without it; the table is not.
    assert '<p class="filters" hidden>' in page
    assert "No finished run yet: clusters, scaling, language_model, translation" in page


def test_a_record_counts_every_claim() -> None:
    record = record_of(built().report, {})
    assert {row.word for row in record.rows} == {"not run"}
    table = readme_table([record])
    (printed,) = [line.split("|")[2] for line in table.splitlines() if "**all**" in line]
    others = [
        line.partition("), ")[2].partition(":")[0] for line in table.splitlines() if "- *" in line
    ]
    assert sum(map(int, [printed, *others])) == len(record.rows)


def test_what_the_paper_prints_is_counted_first_and_never_with_the_rest() -> None:
    lines = readme_table(RECORDS).splitlines()
    order = [line.split("*")[1] for line in lines if line.startswith("- *")]
    assert order == sorted(order, key=list(SOURCES).index)
    assert "printed" not in order
    for study in ("scaling", "questions"):
        assert not any(f"[{study}]" in line for line in lines)
    sources = {claim.id: claim.source for study in STUDIES.values() for claim in study.claims}
    words = Counter(
        row.word for record in RECORDS for row in record.rows if sources.get(row.id) == "printed"
    )
    counts = f"{words['matches']} match, {words['differs']} differ"
    assert f"Of {words.total()} printed claims, {counts}" in render_front([], RECORDS)


def test_verdicts_of_an_earlier_rule_are_marked() -> None:
    page = render_front([], RECORDS)
    old = [record.study for record in RECORDS if record.rule != RULE]
    assert ("Judged by the first rule:" in page) == bool(old)
    renewed = [replace(record, rule=RULE) for record in RECORDS]
    assert outdated_text(renewed) == ""
    assert "judged again: " + ", ".join(old) in outdated_text(RECORDS) or not old
    results = (ROOT / "RESULTS.md").read_text("utf-8")
    assert ("Judged by the first rule" in results) == bool(old)
    assert "Judged by the first rule:" not in render_front([], renewed)
    assert "Judged by the first rule:</strong> vowel." in render_front(
        [], [replace(record, rule=1) for record in renewed[:1]] + renewed[1:]
    )


def test_the_page_takes_what_was_not_run_from_what_is_published_and_says_so() -> None:
    (kept,) = (record for record in RECORDS if record.study == "vowel")
    record, taken = filled_in(record_of(built().report, {}), RECORDS)
    ids = {row.id for row in kept.rows}
    assert tuple(row for row in record.rows if row.id in ids) == kept.rows
    # Claims that are newer than what is published are not run.
    assert {row.word for row in record.rows if row.id not in ids} <= {"not run"}
    judged = {row.id for row in kept.rows if row.word != "not run"}
    assert taken == judged
    page = render_front([built("vowel")], [kept])
    table = page.partition('<table class="all">')[2]
    assert table.count('<span class="place">published run</span>') == len(judged)
    assert filled_in(kept, RECORDS) == (kept, frozenset())


def test_without_runs_the_page_shows_what_is_published_and_says_so() -> None:
    page = render_front([], RECORDS)
    rows = [row for record in RECORDS for row in record.rows]
    assert page.count("<tr data-study=") == len(rows)
    assert page.count("All as published: none was run here.") == 5
    assert page.count("<strong>Of the published runs.</strong>") == 5
    assert page.count('class="stack published"') == 6
    assert page.count("(published runs)") == len(RECORDS)
    # There is no report of these studies to lead to.
    assert "index.html" not in page


def test_no_answer_stands_beside_no_claims() -> None:
    page = render_front([built("vowel")])
    assert "of 0 claims" not in page
    assert 'class="answer"' not in page
    assert page.count("Nothing was run yet that answers this") == 5


def test_only_pages_that_exist_are_linked() -> None:
    page = render_front([built("vowel")], RECORDS, {"vowel": "vowel/index.html"})
    assert 'href="vowel/index.html#claim-' in page
    assert 'href="clusters/' not in page
    assert 'href="questions/' not in page


def test_a_readme_without_a_place_for_the_table_is_refused() -> None:
    for readme in ("# Title", f"{END}\n{BEGIN}", f"{BEGIN}\n{END}\n{BEGIN}\n{END}"):
        with pytest.raises(UserError, match="no place"):
            with_table(readme, "| table |")


def test_the_readmes_table_is_what_is_published() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert END in readme
    assert with_table(readme, readme_table(RECORDS)) == readme


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.study)
def test_a_record_has_the_claims_as_they_stand(record: object) -> None:
    (own,) = [each for each in RECORDS if each is record]
    claims = load_claims(ROOT / "reproductions" / own.study / "claims.yaml")
    if own.rule != RULE:
        pytest.skip("judged by an earlier rule, which had other claims; the pages say so")
    # Stale: publish the study again (python -m reproductions.publish study=...).
    assert [(row.id, row.sentence, row.question) for row in own.rows] == [
        (claim.id, claim.sentence, claim.question) for claim in claims
    ]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.study)
def test_results_say_the_same_of_every_claim(record: object) -> None:
    (own,) = [each for each in RECORDS if each is record]
    page = page_path(own.study, ROOT).read_text("utf-8")
    for row in own.rows:
        lines = [
            line for line in page.splitlines() if line.startswith(f"| {escape(row.sentence)}<br>")
        ]
        assert len(lines) == 1
        assert f"{escape(SYMBOLS[row.word])} **{row.word}**" in lines[0]
        assert escape(row.ours) in lines[0]
        assert escape(row.interval) in lines[0]


@pytest.mark.parametrize("answer", answers(), ids=lambda answer: f"question-{answer.question}")
def test_an_answer_rests_on_decided_claims_alone(answer: Answer) -> None:
    words = {row.id: row.word for record in RECORDS for row in record.rows}
    assert answer.rests_on
    assert {words.get(name) for name in answer.rests_on} <= {"matches", "differs"}
