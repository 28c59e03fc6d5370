"""Counts of verdicts keep apart what the paper prints."""

from reproductions.report import STUDIES
from reproductions.verdicts.sources import (
    SOURCES,
    Counted,
    by_source,
    headline,
    source_of,
    sources_of,
)

VERDICTS: list[Counted] = [
    ("ours", "matches"),
    ("printed", "differs"),
    ("printed", "matches"),
    ("printed", "matches"),
    ("notebook", "not run"),
]


def test_printed_claims_are_counted_first_and_the_others_apart() -> None:
    assert headline(VERDICTS) == (
        "Of 3 printed claims, 2 match and 1 differs; of 1 notebook claim, 1 is not run; "
        "of 1 own claim, 1 matches."
    )


def test_goals_of_ours_are_never_called_published() -> None:
    text = headline([("ours", "matches"), ("ours", "inconclusive")])
    assert text == (
        "None of these claims is printed in the paper. Of 2 own claims, 1 matches and 1 stays open."
    )
    assert headline([]) == "There are no claims."


def test_every_verdict_is_counted_once() -> None:
    verdicts: list[Counted] = [(source, "matches") for source in SOURCES for _ in range(3)]
    counts = by_source(verdicts)
    assert list(counts) == list(SOURCES)
    assert sum(found.total() for found in counts.values()) == 15


def test_what_is_no_longer_claimed_counts_as_ours() -> None:
    assert source_of("vowel", "epochs-4-experts") == "printed"
    assert source_of("vowel", "gone") == "ours"


def test_scaling_and_the_questions_claim_nothing_that_a_paper_prints() -> None:
    for study in ("scaling", "questions"):
        assert set(sources_of(study).values()) <= {"ours"}
    assert {*STUDIES} == {
        "vowel",
        "clusters",
        "scaling",
        "language_model",
        "translation",
        "questions",
    }
