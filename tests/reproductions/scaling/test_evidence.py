"""The timings' evidence: on rounds in which a claim holds, and in which it fails."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from reproductions.scaling.evidence import FORMS, ours
from reproductions.scaling.report import STUDY
from reproductions.verdicts.evidence import OrderEvidence
from reproductions.verdicts.judge import judge
from tests.reproductions.evidence_cases import Synthetic

OURS = "ours, native"
FEW, MANY = 16, 2048


def timed(name: str = "run", **by_size: dict[str, list[float]]) -> Synthetic:
    """A run with seconds by round of each contender at few and at many experts."""
    rows: list[dict[str, Any]] = [
        {
            "num_experts": {"few": FEW, "many": MANY}[size],
            "round": place,
            "contender": who,
            "seconds": each,
        }
        for size, contenders in by_size.items()
        for who, times in contenders.items()
        for place, each in enumerate(times)
    ]
    return Synthetic(name, {"metrics": pd.DataFrame(rows).to_dict("list")})


def test_growth_is_of_many_experts_against_few_in_rounds_that_are_no_pairs() -> None:
    run = timed(few={OURS: [1.0, 2.0, 9.0]}, many={OURS: [2.5, 3.0, 3.5]})
    found = FORMS["growth"](run, num_experts=MANY)
    assert found == OrderEvidence((2.5, 3.0, 3.5), (1.0, 2.0, 9.0), ("run",))
    assert FORMS["growth"](run, num_experts=256) is None
    assert FORMS["growth"](timed(many={OURS: [1.0]}), num_experts=MANY) is None


def test_the_limit_is_dense_and_traffic_together() -> None:
    times = {OURS: [2.0, 3.0, 3.1], "dense": [1.0, 1.0, 1.0], "traffic": [1.0, 2.0, 1.0]}
    found = FORMS["near_limit"](timed(many=times))
    assert found == OrderEvidence((2.0, 3.0, 3.1), (2.0, 3.0, 2.0), ("run",), paired=True)
    assert FORMS["near_limit"](timed(few=times)) is None


def test_skew_is_held_against_even_routing_in_units_of_dense() -> None:
    even = timed("even", many={OURS: [2.0, 4.0, 60.0], "dense": [1.0, 2.0, 2.0]})
    skewed = timed("skewed", many={OURS: [5.0, 8.0, 2.0], "dense": [2.0, 2.0, 0.5]})
    found = FORMS["skewed_over_even"](even, skewed)
    assert found == OrderEvidence((2.5, 4.0, 4.0), (2.0, 2.0, 30.0), ("even", "skewed"))
    assert FORMS["skewed_over_even"](even, timed(few={OURS: [1.0]})) is None


def test_the_gate_is_held_against_our_whole_time() -> None:
    times = {OURS: [2.0, 2.0, 4.0], "gate, two levels": [0.25, 0.5, 0.75]}
    found = FORMS["gate_share"](timed(many=times))
    assert found == OrderEvidence((0.25, 0.5, 0.75), (2.0, 2.0, 4.0), ("run",), paired=True)
    assert FORMS["gate_share"](timed(many={OURS: [1.0]})) is None
    assert FORMS["gate_share"](timed(few=times)) is None


@pytest.mark.parametrize(
    ("name", "slower", "word"),
    [
        ("flat-cost", 1.1, "matches"),
        ("flat-cost", 1.4, "differs"),
        ("near-limit-4096", 1.4, "matches"),
        ("near-limit-4096", 1.6, "differs"),
        ("two-level-gate", 0.2, "matches"),
        ("two-level-gate", 0.4, "differs"),
        ("two-level-cheaper", 0.9, "matches"),
        ("two-level-cheaper", 1.1, "differs"),
    ],
)
def test_a_ratio_of_times_is_judged_by_its_logs(name: str, slower: float, word: str) -> None:
    (claim,) = [each for each in STUDY.claims if each.id == name]
    rounds = np.array([1.0, 1.02, 0.99, 1.01, 0.98])
    paired = name != "flat-cost"
    # The rounds of a pair share what slows the machine.
    shared = np.array([1.0, 3.0, 1.0, 2.0, 1.0]) if paired else np.ones(5)
    first, second = (
        tuple(each.tolist()) for each in (slower * rounds * shared, rounds[::-1] * shared)
    )
    verdict = judge(claim, OrderEvidence(first, second, (), paired=paired))
    assert verdict.word == word
    assert "rounds" in verdict.explanation


def test_who_is_faster_is_read_in_milliseconds_ours_first_unless_another_is_named() -> None:
    run = timed(many={OURS: [1.0, 2.0], "a": [3.0, 4.0], "b": [5.0, 6.0]})
    found = FORMS["faster"](run, second="a")
    assert found == OrderEvidence((1000.0, 2000.0), (3000.0, 4000.0), ("run",), paired=True)
    named = FORMS["faster"](run, first="b", second="a")
    assert named == OrderEvidence((5000.0, 6000.0), (3000.0, 4000.0), ("run",), paired=True)
    assert FORMS["faster"](run, second="c") is None
    assert FORMS["faster"](run, first="c", second="a") is None
    assert FORMS["faster"](timed(few={OURS: [1.0], "a": [1.0]}), second="a") is None


def test_ours_is_what_a_user_gets_where_both_were_timed() -> None:
    assert ours(pd.DataFrame({"ours, padded": [1.0], OURS: [2.0]})) == OURS
    assert ours(pd.DataFrame({"ours, padded": [1.0]})) == "ours, padded"
