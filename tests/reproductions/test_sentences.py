"""Every claim's recipe says what its sentence says, and its verdict goes the same way."""

import re
from typing import Any

import pytest

from reproductions.report import STUDIES
from reproductions.verdicts.claims import Claim
from reproductions.verdicts.evidence import COMMON_FORMS, measure
from reproductions.verdicts.judge import judge
from tests.reproductions.sentences import ELSEWHERE, Worlds, worlds_of

CLAIMS = {claim.id: (study, claim) for study in STUDIES.values() for claim in study.claims}
KNOWN = [name for name in CLAIMS if worlds_of(name)]


def word_of(name: str, runs: Worlds, claim: Claim) -> str:
    study, _ = CLAIMS[name]
    assert claim.evidence is not None
    # What the recipe may read is what the sentence speaks of, and nothing beside it.
    known: Any = runs
    item = measure(claim.evidence, known, {**COMMON_FORMS, **study.forms})
    return judge(claim, item).word if item is not None else "nothing"


def test_every_claim_has_runs_in_which_its_sentence_holds_and_fails() -> None:
    missing = set(CLAIMS) - set(KNOWN) - ELSEWHERE
    assert not missing, "write runs for these sentences in tests/reproductions/sentences.py"


@pytest.mark.parametrize("name", KNOWN)
def test_a_verdict_goes_with_the_sentence(name: str) -> None:
    _, claim = CLAIMS[name]
    found = worlds_of(name)
    assert found is not None
    world, match = found
    assert word_of(name, world(match, True), claim) == "matches"
    assert word_of(name, world(match, False), claim) == "differs"


# Numbers that their sentences say in words: equally accurate, one cluster in four.
IN_WORDS = {0.0, 0.25, 25.0}


@pytest.mark.parametrize("name", [name for name in CLAIMS if CLAIMS[name][1].kind == "value"])
def test_the_published_number_stands_in_the_sentence(name: str) -> None:
    _, claim = CLAIMS[name]
    assert claim.published is not None
    said = re.findall(r"\d[\d,]*(?:\.\d+)?", f"{claim.sentence} {claim.place}")
    numbers = {float(text.replace(",", "").rstrip(",")) for text in said} | IN_WORDS
    assert claim.published.value in numbers
