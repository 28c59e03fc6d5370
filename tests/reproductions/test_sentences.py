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


def runs_of(name: str, *, holds: bool) -> Worlds:
    found = worlds_of(name)
    assert found is not None
    world, match = found
    return world(match, holds)


ON_ONE = [name for name in KNOWN if CLAIMS[name][1].sample in ONE_TRAINING]


def rule_on(name: str, *, holds: bool) -> str:
    """The verdict on the runs as they are, with the claim's own sample."""
    study, claim = CLAIMS[name]
    assert claim.evidence is not None
    runs: Any = runs_of(name, holds=holds)
    item = measure(claim.evidence, runs, {**COMMON_FORMS, **study.forms})
    assert item is not None
    return judge(claim, item).word


@pytest.mark.parametrize("holds", [True, False])
@pytest.mark.parametrize("name", ON_ONE)
def test_one_training_says_nothing_of_the_method(name: str, *, holds: bool) -> None:
    assert rule_on(name, holds=holds) == "not comparable"


def test_every_claim_has_runs_in_which_its_sentence_holds_and_fails() -> None:
    not_run = {name for name, (_, claim) in CLAIMS.items() if claim.not_run_here}
    missing = set(CLAIMS) - set(KNOWN) - ELSEWHERE - not_run
    assert not missing, "write runs for these sentences in tests/reproductions/sentences.py"


@pytest.mark.parametrize("name", KNOWN)
def test_a_verdict_goes_with_the_sentence(name: str) -> None:
    assert follows(name, CLAIMS[name][1])


def follows(name: str, claim: Claim) -> bool:
    """Whether the claim's recipe and rule say of both kinds of runs what its sentence says."""
    words = [word_of(name, runs_of(name, holds=holds), claim) for holds in (True, False)]
    return words == ["matches", "differs"]


@pytest.mark.parametrize("name", KNOWN)
def test_a_recipe_reads_every_run_that_its_sentence_speaks_of(name: str) -> None:
    _, claim = CLAIMS[name]
    assert claim.evidence is not None
    assert set(claim.evidence.runs) == set(runs_of(name, holds=True))


def with_options(claim: Claim, **options: Any) -> Claim:
    assert claim.evidence is not None
    recipe = claim.evidence
    return replace(claim, evidence=replace(recipe, options={**recipe.options, **options}))


def with_runs_swapped(claim: Claim) -> Claim:
    """The second half of the runs before the first, since a gain takes two runs."""
    assert claim.evidence is not None
    runs = claim.evidence.runs
    half = len(runs) // 2
    return replace(claim, evidence=replace(claim.evidence, runs=runs[half:] + runs[:half]))


def with_better_turned(claim: Claim) -> Claim:
    return replace(claim, better="higher" if claim.better == "lower" else "lower")


# Two equal runs are equal either way round.
ORDERS = [name for name in KNOWN if CLAIMS[name][1].better and CLAIMS[name][1].asks != "equal"]
# Orders of two runs, or of twice as many; a recipe with one run has two columns to swap.
OF_RUNS = [name for name in ORDERS if len(getattr(CLAIMS[name][1].evidence, "runs", ())) > 1]


@pytest.mark.parametrize("name", OF_RUNS)
def test_a_recipe_with_its_runs_swapped_is_found(name: str) -> None:
    assert not follows(name, with_runs_swapped(CLAIMS[name][1]))


@pytest.mark.parametrize("name", ORDERS)
def test_a_wrong_better_is_found(name: str) -> None:
    assert not follows(name, with_better_turned(CLAIMS[name][1]))


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("test-accuracy-4-experts", "seed"),
        ("experts-fail-elsewhere", ["swapped_accuracy", "own_accuracy"]),
        ("gate-classes-over-kinds", ["agreement_kind of book", "agreement_word class"]),
    ],
)
def test_another_column_is_found(name: str, column: str | list[str]) -> None:
    assert not follows(name, with_options(CLAIMS[name][1], column=column))


@pytest.mark.parametrize("name", ["computation-deep", "hierarchy-256", "capacity-wide-2048"])
def test_another_text_is_found(name: str) -> None:
    where = {"split": "valid", "kind": "all"}
    assert not follows(name, with_options(CLAIMS[name][1], where=where))


# Numbers that a sentence may say in words, by these words.
IN_WORDS = {"one cluster in four": 25.0, "one in four": 25.0, "about half the": 2.0}


@pytest.mark.parametrize("name", [name for name in CLAIMS if CLAIMS[name][1].kind == "value"])
def test_the_published_number_stands_in_the_sentence(name: str) -> None:
    _, claim = CLAIMS[name]
    assert claim.published is not None
    said = re.findall(r"\d[\d,]*(?:\.\d+)?", f"{claim.sentence} {claim.place}")
    numbers = {float(text.replace(",", "").rstrip(",")) for text in said}
    numbers |= {value for words, value in IN_WORDS.items() if words in claim.sentence}
    assert claim.published.value in numbers
