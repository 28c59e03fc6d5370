"""The timings' evidence: on rounds in which a claim holds, and in which it fails."""

from typing import Any

import pandas as pd

from reproductions.scaling.evidence import FORMS, ours
from reproductions.verdicts.evidence import OrderEvidence
from tests.reproductions.evidence_cases import Synthetic, counted

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


def test_growth_is_of_many_experts_over_the_median_of_few() -> None:
    # The median of the few is 2, their mean 4: the limits are 2.5 and 5.
    run = timed(few={OURS: [1.0, 2.0, 9.0]}, many={OURS: [2.5, 3.0, 3.5]})
    assert counted(FORMS["growth"](run, num_experts=MANY, most=1.25)) == (1, 3)
    assert FORMS["growth"](run, num_experts=256, most=1.25) is None
    assert FORMS["growth"](timed(many={OURS: [1.0]}), num_experts=MANY, most=1.25) is None


def test_the_limit_is_dense_and_traffic_together() -> None:
    times = {OURS: [2.0, 3.0, 3.1], "dense": [1.0, 1.0, 1.0], "traffic": [1.0, 1.0, 1.0]}
    assert counted(FORMS["near_limit"](timed(many=times), most=1.5)) == (2, 3)
    assert FORMS["near_limit"](timed(few=times), most=1.5) is None


def test_skew_is_held_against_the_median_of_even_routing_in_units_of_dense() -> None:
    even = timed("even", many={OURS: [2.0, 4.0, 60.0], "dense": [1.0, 2.0, 2.0]})
    # In units of dense: 2.5, 4 and 4 against a median of 2.
    skewed = timed("skewed", many={OURS: [5.0, 8.0, 2.0], "dense": [2.0, 2.0, 0.5]})
    found = FORMS["skewed_over_even"](even, skewed, most=1.25)
    assert counted(found) == (1, 3)
    assert found is not None
    assert found.runs == ("even", "skewed")
    assert counted(FORMS["skewed_over_even"](skewed, even, most=1.0)) == (2, 3)
    assert FORMS["skewed_over_even"](even, timed(few={OURS: [1.0]}), most=1.1) is None


def test_the_gate_has_its_share_of_our_time() -> None:
    times = {OURS: [2.0, 2.0, 2.0], "gate, two levels": [0.25, 0.5, 0.75]}
    assert counted(FORMS["gate_share"](timed(many=times), most=0.25)) == (2, 3)
    assert FORMS["gate_share"](timed(many={OURS: [1.0]}), most=0.25) is None
    assert FORMS["gate_share"](timed(few=times), most=0.25) is None


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
