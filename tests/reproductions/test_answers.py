"""The front page's answers rest on claims that are decided."""

import json
from pathlib import Path

import pytest

from reproductions.front import answers
from reproductions.report import STUDIES

PUBLISHED = Path(__file__).resolve().parents[2] / "reproductions" / "published"
CLAIMS = {claim.id for study in STUDIES.values() for claim in study.claims}
WORDS = {
    row["id"]: row["word"]
    for path in sorted(PUBLISHED.glob("*.json"))
    for row in json.loads(path.read_text("utf-8"))["rows"]
}
RESTED_ON = [(answer.question, name) for answer in answers() for name in answer.rests_on]


def test_every_answer_rests_on_something() -> None:
    assert {question for question, _ in RESTED_ON} == {answer.question for answer in answers()}


@pytest.mark.parametrize(("question", "name"), RESTED_ON)
def test_an_answer_rests_on_claims_that_are_there_and_decided(question: int, name: str) -> None:
    assert name in CLAIMS
    # One that was not published yet is not known to be undecided.
    assert WORDS.get(name, "matches") in {"matches", "differs"}
