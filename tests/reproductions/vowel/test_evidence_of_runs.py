"""The vowel study's evidence, departures, lines and summary, from synthetic runs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from experiments.run_folder import FinishedRun
from experiments.runner.schema import plain
from experiments.vowel.settings import Coding, Cost, InputScale, Split, System, VowelConfig
from reproductions.runs import NamedRun, suite_settings
from reproductions.verdicts.evidence import OrderEvidence, RateEvidence, ValueEvidence
from reproductions.verdicts.judge import Judged, Verdict, judge
from reproductions.verdicts.verdict_text import summary as summarise
from reproductions.vowel import decision_lines as lines
from reproductions.vowel.evidence import OF_RUN, measured, why_not_comparable
from reproductions.vowel.report import STUDY

CLAIMS = STUDY.claims
BY_ID = {claim.id: claim for claim in CLAIMS}
SYSTEMS = (
    "experts_4",
    "experts_8",
    "backprop_6",
    "backprop_12",
    "expected_error_4",
    "expected_error_8",
    "blend_error_4",
    "blend_error_8",
    "slow_gate_4",
    "slow_gate_8",
)
Array = NDArray[np.float64]


def metrics(num_seeds: int = 5, **columns: Any) -> pd.DataFrame:
    """A metrics table of converged seeds, with some columns replaced."""
    table = {
        "seed": range(num_seeds),
        "status": ["converged"] * num_seeds,
        "epochs": [1000 + seed for seed in range(num_seeds)],
        "train_accuracy": [0.88] * num_seeds,
        "test_accuracy": [0.9] * num_seeds,
        "live_experts": [2] * num_seeds,
        "experts_on_iy_ih": [1] * num_seeds,
        "experts_on_aa_ah": [1] * num_seeds,
    }
    return pd.DataFrame({**table, **columns})


def named(name: str, config: VowelConfig) -> NamedRun:
    """A finished run that has a config and nothing else."""
    return NamedRun(name, config, FinishedRun(Path("nowhere"), {}, plain(config)))


# Claims and their evidence


def test_every_claim_but_the_story_of_figure_3_can_be_measured_from_metrics() -> None:
    tables = {name: metrics() for name in SYSTEMS}
    for claim in CLAIMS:
        if claim.id.startswith("first-"):
            continue
        item = measured(claim, tables)
        assert item is not None
        judge(claim, item)


def test_without_runs_there_is_no_evidence_on_any_claim() -> None:
    assert STUDY.evidence({}) == {claim.id: None for claim in CLAIMS}


def test_seeds_that_never_arrived_enter_as_lower_bounds_and_diverged_ones_have_no_accuracy() -> (
    None
):
    table = metrics(
        3,
        status=["converged", "exhausted", "diverged"],
        epochs=[900, 10_000, 10_000],
        test_accuracy=[0.9, 0.8, np.nan],
    )
    epochs = measured(BY_ID["epochs-4-experts"], {"experts_4": table})
    accuracy = measured(BY_ID["test-accuracy-4-experts"], {"experts_4": table})
    assert isinstance(epochs, ValueEvidence)
    assert isinstance(accuracy, ValueEvidence)
    assert epochs.samples == (900, 10_000, 10_000)
    assert epochs.num_censored == 2
    assert accuracy.samples == pytest.approx((90, 80))


def test_the_ratio_is_back_propagation_over_experts() -> None:
    tables = {
        "experts_4": metrics(2, epochs=[100, 100]),
        "backprop_6": metrics(2, epochs=[200, 300], status=["converged", "exhausted"]),
    }
    item = measured(BY_ID["half-the-epochs-4-6"], tables)
    assert isinstance(item, ValueEvidence)
    assert (item.samples, item.baseline_samples) == ((100, 100), (200, 300))
    assert (item.num_censored, item.num_censored_baseline) == (0, 1)


def test_orders_and_equalities_take_all_seeds_of_both_runs() -> None:
    tables = {
        "experts_4": metrics(3, seed=[5, 6, 7], epochs=[50, 60, 70], test_accuracy=[0.9, 0.8, 0.7]),
        "backprop_6": metrics(
            3, seed=[7, 8, 5], epochs=[700, 800, 500], test_accuracy=[0.6, 0.1, 0.7]
        ),
    }
    order = measured(BY_ID["experts-faster-4-6"], tables)
    gap = measured(BY_ID["equal-test-accuracy-4-6"], tables)
    assert isinstance(order, OrderEvidence)
    assert isinstance(gap, OrderEvidence)
    # Nets of different kinds are no pairs.
    assert (order.first, order.second, order.paired) == ((50, 60, 70), (700, 800, 500), False)
    assert gap.first == pytest.approx((90, 80, 70))
    assert gap.second == pytest.approx((60, 10, 70))


def test_two_or_three_live_experts_count_and_other_numbers_do_not() -> None:
    table = metrics(6, live_experts=[1, 2, 3, 4, np.nan, 2])
    item = measured(BY_ID["two-or-three-live-8"], {"experts_8": table})
    assert item == RateEvidence(3, 6, ("experts_8",))


def test_two_experts_on_a_asks_for_exactly_two_there_and_one_on_i() -> None:
    table = metrics(4, experts_on_aa_ah=[2, 1, 2, 3], experts_on_iy_ih=[1, 1, 2, 1])
    item = measured(BY_ID["two-experts-on-a-4"], {"experts_4": table})
    assert item == RateEvidence(1, 4, ("experts_4",))


# Departures from what the paper states

CHANGES: dict[str, dict[str, Any]] = {
    "vowels": {"vowels": ["iy", "ih", "aa", "ah", "eh"], "coding": Coding.one_hot},
    "split": {"split": Split.random_by_speaker},
    "num_train_speakers": {"num_train_speakers": 40},
    "speakers": {"dropped_speaker": None},
    "input_scale": {"input_scale": InputScale.standardised},
    "stop_error": {"stop_error": 0.1},
    "variance": {"variance": 0.5},
    "cost": {"cost": Cost.expected_error},
    "num_experts": {"num_experts": 5},
    "system": {"system": System.backprop},
    "cut off": {"max_epochs": 300},
}


@pytest.mark.parametrize("word", CHANGES)
def test_a_departure_from_the_paper_is_named(word: str) -> None:
    reason = why_not_comparable(
        CLAIMS[0], [named("experts_4", replace(VowelConfig(), **CHANGES[word]))]
    )
    assert reason is not None
    assert word in reason


@pytest.mark.parametrize(
    "change",
    [{}, {"num_seeds": 3}, {"coding": Coding.bit_1010}, {"init_range": 0.1}, {"step_size": 4.0}],
)
def test_other_seeds_and_other_readings_of_a_silence_are_no_departure(change: Any) -> None:
    assert (
        why_not_comparable(CLAIMS[0], [named("experts_4", replace(VowelConfig(), **change))])
        is None
    )


def test_every_run_that_a_claim_knows_by_name_is_in_a_suite_as_the_paper_states_it() -> None:
    composed: dict[str, dict[str, Any]] = {}
    for suite in ("vowel", "vowel_third_expert"):
        composed |= {name: settings for name, (settings, _) in suite_settings(suite).items()}
    assert set(OF_RUN) <= set(composed)
    for name in OF_RUN:
        run = SimpleNamespace(name=name, finished=SimpleNamespace(config=composed[name]))
        assert why_not_comparable(CLAIMS[0], [run]) is None, name  # type: ignore[list-item]


def test_the_line_of_a_lone_expert_is_trained_on_purpose_without_a_stop() -> None:
    lone = replace(VowelConfig(), num_experts=1, stop_error=0.0)
    assert why_not_comparable(CLAIMS[0], [named("line_X", lone)]) is None
    assert (
        why_not_comparable(CLAIMS[0], [named("line_X", replace(lone, stop_error=0.08))]) is not None
    )


# Lines: first together, then apart

FORMANTS = np.random.default_rng(0).normal([0.5, 1.8], [0.2, 0.6], size=(200, 2))
X_LINE = np.array([1.0, 0.2, -0.86])
FRAME = lines.frame_of(X_LINE, FORMANTS)
NEAR = np.tile(X_LINE, (4, 1))
FAR = np.array([[1.0, -1.0, 0.0], [0.3, 1.0, -1.0], [1.0, 0.9, 2.0], [-1.0, 1.0, 0.4]])
ALL_LIVE = np.ones(4, dtype=bool)

numbers = st.floats(-5, 5, allow_nan=False)
scales = st.floats(0.1, 10) | st.floats(-10, -0.1)
line_strategy = st.tuples(numbers, numbers, numbers).map(np.array)


def told(*snapshots: Array, live: NDArray[np.bool_] = ALL_LIVE) -> bool:
    """Whether a run with these snapshots, the last at the stop, tells the story."""
    return lines.together_then_apart(np.stack(snapshots[:-1]), snapshots[-1], live, FRAME)


def turned(*degrees: float) -> Array:
    """Lines that are turned by so many degrees from X's."""
    angles = np.arctan2(X_LINE[1], X_LINE[0]) + np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles), np.full(len(degrees), 0.7)], axis=1)


def test_a_line_turns_towards_x_from_either_side_and_by_direction_alone() -> None:
    before, after = turned(40, -40, 40, -40, 20), turned(30, -30, 50, -50, -10)
    assert lines.turn_towards(before, after, FRAME).tolist() == [True, True, False, False, True]
    assert lines.turn_towards(after, before, FRAME).tolist() == [False, False, True, True, False]


def test_a_diverged_line_turns_towards_nothing() -> None:
    assert not lines.turn_towards(turned(40), np.full((1, 3), np.nan), FRAME).any()


@given(first=st.floats(-89, 89), second=st.floats(-89, 89), scale=scales)
def test_what_turns_towards_x_has_neither_length_nor_direction(
    first: float, second: float, scale: float
) -> None:
    assume(abs(abs(first) - abs(second)) > 1e-3)
    before, after = turned(first), scale * turned(second)
    assert lines.turn_towards(before, after, FRAME).item() == (abs(second) < abs(first))


def test_experts_that_meet_on_x_and_part_tell_the_story() -> None:
    assert told(FAR, NEAR, FAR)


@pytest.mark.parametrize(
    "snapshots",
    [(FAR, FAR, FAR), (FAR, NEAR, NEAR), (FAR, np.vstack([NEAR[:3], FAR[3:]]), FAR)],
    ids=["never together", "never apart", "one expert never near"],
)
def test_experts_that_do_not_meet_or_do_not_part_do_not_tell_it(
    snapshots: tuple[Array, ...],
) -> None:
    assert not told(*snapshots)


def test_only_live_experts_can_part_and_one_alone_is_not_enough() -> None:
    assert told(NEAR, FAR, live=np.array([True, True, False, False]))
    assert not told(NEAR, FAR, live=np.array([True, False, False, False]))


def test_a_diverged_run_does_not_tell_the_story() -> None:
    assert not told(FAR, NEAR, np.full((4, 3), np.nan))
    assert not told(np.full((4, 3), np.nan), FAR)


def test_meeting_at_the_stop_is_not_meeting_before_it() -> None:
    assert not told(FAR, NEAR)


@given(line=line_strategy, scale=scales)
def test_a_line_has_neither_length_nor_direction(line: Array, scale: float) -> None:
    # Far from the edge of -90 and 90 degrees, where rounding may choose either name.
    assume(np.hypot(*line[:2]) > 0.1 and abs(lines.angle(line, FRAME)) < 89)
    assert lines.angle(scale * line, FRAME) == pytest.approx(lines.angle(line, FRAME), abs=1e-6)
    assert lines.offset(scale * line, FRAME) == pytest.approx(lines.offset(line, FRAME), abs=1e-6)


@given(degrees=st.floats(-89, 89))
def test_the_angle_is_the_turn_from_x(degrees: float) -> None:
    turn = np.radians(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    turned = np.append(rotation @ X_LINE[:2], 0.3)
    assert lines.angle(turned, FRAME) == pytest.approx(degrees, abs=1e-6)


@given(shift=st.floats(-2, 2))
def test_a_shifted_line_is_off_by_its_shift(shift: float) -> None:
    length = np.hypot(*X_LINE[:2])
    shifted = X_LINE - [0, 0, shift * length]
    moved = lines.offset(shifted, FRAME) - lines.offset(X_LINE, FRAME)
    assert moved == pytest.approx(shift, abs=1e-9)


# The summary


def with_word(choose: Callable[[str], str]) -> list[Judged]:
    """All claims, judged with the word that ``choose`` gives to an id."""
    return [(c, None, Verdict(choose(c.id), 1.0, None, 0.95, 5, "")) for c in CLAIMS]  # type: ignore[arg-type]


def test_every_claim_belongs_to_one_group_of_the_summary() -> None:
    for claim in CLAIMS:
        assert sum(claim.id.startswith(group.prefix) for group in STUDY.groups) == 1, claim.id


def test_the_summary_counts_every_verdict_and_gives_each_difference_a_sentence() -> None:
    different = {"half-the-epochs-4-6", "half-the-epochs-8-12", "first-together-then-apart"}
    judged = with_word(lambda name: "differs" if name in different else "matches")
    first, second = summarise(judged, {}, STUDY.groups)
    assert "Of 28 printed claims, 26 match and 2 differ; of 15 sentence claims, 14 match" in first
    assert "half the epochs" not in first
    assert second.count("differs") == 2
    assert "(ours 1, published 2)" in second


def test_a_group_that_is_divided_says_how_many_of_its_claims_matched() -> None:
    judged = with_word(lambda name: "inconclusive" if name == "epochs-4-experts" else "matches")
    assert "the mean epochs of Table 1 (3 of 4 claims)" in summarise(judged, {}, STUDY.groups)[0]


def test_claims_that_were_not_run_are_counted_and_nothing_else_is_said() -> None:
    judged: list[Judged] = [(claim, None, None) for claim in CLAIMS]
    assert summarise(judged, {}, STUDY.groups) == [
        "Of 28 printed claims, 28 are not run; of 15 sentence claims, 15 are not run; "
        "of 2 own claims, 2 are not run."
    ]


def test_a_reason_for_a_group_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no group of claims begins with epoch-counts"):
        _ = replace(STUDY, reasons={"epoch-counts": lambda runs: ""}).groups
