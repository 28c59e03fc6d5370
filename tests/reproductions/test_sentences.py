"""Every claim's recipe says what its sentence says, and its verdict goes the same way."""

import re
from dataclasses import replace
from typing import Any

import pytest

from reproductions.report import STUDIES
from reproductions.verdicts.claims import ONE_TRAINING, Claim
from reproductions.verdicts.evidence import (
    COMMON_FORMS,
    Evidence,
    OrderEvidence,
    RateEvidence,
    measure,
)
from reproductions.verdicts.judge import judge
from tests.reproductions.sentences import ELSEWHERE, NUM, Worlds, worlds_of

CLAIMS = {claim.id: (study, claim) for study in STUDIES.values() for claim in study.claims}
KNOWN = [name for name in CLAIMS if worlds_of(name)]


def word_of(name: str, runs: Worlds, claim: Claim) -> str:
    study, _ = CLAIMS[name]
    assert claim.evidence is not None
    # What the recipe may read is what the sentence speaks of, and nothing beside it.
    known: Any = runs
    item = measure(claim.evidence, known, {**COMMON_FORMS, **study.forms})
    if item is None:
        return "nothing"
    # What one training shows decides nothing about others, and must yet be read the right way.
    return judge(replace(claim, sample="seeds"), in_every_training(item)).word


def in_every_training(item: Evidence) -> Evidence:
    """Evidence of one training, or of none that can decide, as if many had shown the same."""
    if isinstance(item, RateEvidence) and item.n < 3:
        return replace(item, successes=item.successes * NUM, n=item.n * NUM)
    if isinstance(item, OrderEvidence) and len(item.first) < 3:
        return replace(item, first=item.first * NUM, second=item.second * NUM)
    return item


ON_ONE = [name for name in KNOWN if CLAIMS[name][1].sample in ONE_TRAINING]


@pytest.mark.parametrize("name", ON_ONE)
def test_one_training_says_nothing_of_the_method(name: str) -> None:
    study, claim = CLAIMS[name]
    found = worlds_of(name)
    assert found is not None
    assert claim.evidence is not None
    runs: Any = found[0](found[1], True)
    item = measure(claim.evidence, runs, {**COMMON_FORMS, **study.forms})
    assert item is not None
    assert judge(claim, item).word == "not comparable"


def test_every_claim_has_runs_in_which_its_sentence_holds_and_fails() -> None:
    not_run = {name for name, (_, claim) in CLAIMS.items() if claim.not_run_here}
    missing = set(CLAIMS) - set(KNOWN) - ELSEWHERE - not_run
    assert not missing, "write runs for these sentences in tests/reproductions/sentences.py"


@pytest.mark.parametrize("name", KNOWN)
def test_a_verdict_goes_with_the_sentence(name: str) -> None:
    _, claim = CLAIMS[name]
    found = worlds_of(name)
    assert found is not None
    world, match = found
    assert word_of(name, world(match, True), claim) == "matches"
    assert word_of(name, world(match, False), claim) == "differs"


# Numbers that their sentences say in words: equally accurate, one cluster in four, half the epochs.
IN_WORDS = {0.0, 0.25, 25.0, 2.0}


@pytest.mark.parametrize("name", [name for name in CLAIMS if CLAIMS[name][1].kind == "value"])
def test_the_published_number_stands_in_the_sentence(name: str) -> None:
    _, claim = CLAIMS[name]
    assert claim.published is not None
    said = re.findall(r"\d[\d,]*(?:\.\d+)?", f"{claim.sentence} {claim.place}")
    numbers = {float(text.replace(",", "").rstrip(",")) for text in said} | IN_WORDS
    assert claim.published.value in numbers
