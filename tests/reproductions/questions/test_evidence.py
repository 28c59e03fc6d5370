"""The questions' evidence: on runs in which a claim holds, and in which it fails."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score

from reproductions.questions.evidence import FORMS, steps_to_leave
from reproductions.verdicts.evidence import EstimateEvidence, OrderEvidence
from tests.reproductions.evidence_cases import Synthetic, by_seed, counted


def accurate(name: str, *shares: float) -> Synthetic:
    """A run with a test accuracy per seed."""
    return Synthetic(name, {"metrics": {"test_accuracy": shares}})


def perplexed(name: str, *nats: float) -> Synthetic:
    """A run with a log perplexity per seed."""
    return Synthetic(name, {"metrics": {"perplexity": np.exp(nats)}})


def near(found: object, first: list[float], second: list[float], *runs: str) -> bool:
    """Whether this is an order of these numbers, from these runs."""
    assert isinstance(found, OrderEvidence)
    sides = (found.first, found.second)
    return found.runs == runs and sides == (pytest.approx(first), pytest.approx(second))


def test_gains_on_parts_are_counted_below_half_of_the_whole() -> None:
    # Three seeds gain 50 points on the whole; on the parts, in the mean, 12.5, 25 and 37.5.
    runs = (
        accurate("whole", 0.75, 0.75, 0.75),
        accurate("whole_single", 0.25, 0.25, 0.25),
        accurate("a", 0.5, 0.75, 0.75),
        accurate("a_single", 0.5, 0.5, 0.25),
        accurate("b", 0.75, 0.75, 0.75),
        accurate("b_single", 0.5, 0.5, 0.5),
    )
    found = FORMS["gains_less_than_half"](*runs)
    assert counted(found) == (1, 3)
    assert found is not None
    assert found.runs == ("whole", "whole_single", "a", "a_single", "b", "b_single")


def test_a_gain_is_the_mixture_less_its_rival_and_the_first_comes_first() -> None:
    runs = (
        accurate("a", 0.75, 1.0, 1.0),
        accurate("a_single", 0.5, 0.25),
        accurate("b", 0.75, 0.5),
        accurate("b_single", 0.75, 0.75),
    )
    found = FORMS["gains_more"](*runs)
    assert near(found, [25, 75], [0, -25], "a", "a_single", "b", "b_single")


def test_log_perplexities_are_in_the_order_of_the_runs() -> None:
    found = FORMS["log_perplexities"](perplexed("a", 3.0, 4.0), perplexed("b", 5.0, 2.0))
    assert near(found, [3, 4], [5, 2], "a", "b")


def test_nats_gained_are_the_rivals_less_the_mixtures_against_the_mean_of_the_others() -> None:
    runs = (
        perplexed("all", 3.0, 3.0),
        perplexed("all_wide", 5.0, 2.0),
        perplexed("a", 3.0, 3.0),
        perplexed("a_wide", 4.0, 3.0),
        perplexed("b", 3.0, 3.0),
        perplexed("b_wide", 6.0, 4.0),
    )
    found = FORMS["nats_gained_more"](*runs)
    assert near(found, [2, -1], [2, 0.5], "all", "all_wide", "a", "a_wide", "b", "b_wide")


def test_half_in_use_counts_the_last_step_and_exactly_half_is_half() -> None:
    ends = [[8.0, 8.0], [1.0, 4.0], [8.0, 3.0]]
    run = Synthetic(
        tables={"start": by_seed([0, 10], "effective_experts", ends)}, settings={"num_experts": 8}
    )
    assert counted(FORMS["half_in_use"](run)) == (2, 3)
    assert counted(FORMS["half_in_use"](run, wanted=False)) == (1, 3)
    # Of an odd number a half is no whole one.
    odd = Synthetic(
        tables={"start": by_seed([10], "effective_experts", [[2.0], [2.5]])},
        settings={"num_experts": 5},
    )
    assert counted(FORMS["half_in_use"](odd)) == (1, 2)


def test_a_gate_has_left_at_the_first_step_with_enough_experts_after_its_collapse() -> None:
    values = [[8.0, 1.0, 1.5, 3.0], [8.0, 1.0, 1.2, 1.4]]
    run = Synthetic(tables={"start": by_seed([0, 10, 20, 30], "effective_experts", values)})
    found = steps_to_leave(run, 1.5, after=0)  # type: ignore[arg-type]
    assert found[0] == 20
    assert np.isnan(found[1])
    assert steps_to_leave(run, 1.5, after=20)[0] == 30  # type: ignore[arg-type]


def test_agreement_of_maps_is_in_the_order_of_the_runs() -> None:
    alike = Synthetic("alike", arrays={"final_map": np.array([[0, 1]] * 3)})
    apart = Synthetic("apart", arrays={"final_map": np.array([[0, 1], [1, 2], [2, 0]])})
    pair = Synthetic("pair", arrays={"final_map": np.array([[0, 1]] * 2)})
    order = FORMS["map_agreement_order"]
    for pair_of_runs, difference in (((alike, apart), 1), ((apart, alike), -1)):
        found = order(*pair_of_runs)
        assert isinstance(found, EstimateEvidence)
        assert found.runs == tuple(run.name for run in pair_of_runs)
        assert found.estimate.center == difference
    assert order(alike, pair) is None
    assert order(pair, alike) is None


def test_groups_are_alike_whatever_their_numbers_and_those_of_chance_are_not() -> None:
    first = np.repeat(range(4), 8)
    renamed, across = 3 - first, np.tile(range(4), 8)
    run = Synthetic(arrays={"expert": np.stack([first, renamed, first, across])})
    found = FORMS["grouped_alike"](run)
    assert isinstance(found, EstimateEvidence)
    # Three of the six pairs group alike; the other three have what chance gives, below zero here.
    chance = adjusted_mutual_info_score(first, across)
    assert found.estimate.center == pytest.approx((3 + 3 * chance) / 6)
    assert FORMS["grouped_alike"](Synthetic(arrays={"expert": np.stack([first, first])})) is None


def test_a_gate_is_over_clusterings_where_it_ends_above_the_best_of_its_own_groups() -> None:
    references = {"of": ["pair", "pair", "vowel"], "agreement": [0.25, 0.5, 0.9]}
    ends = [[0.9, 0.6], [0.9, 0.5], [0.9, 0.4], [0.0, 0.7], [0.9, 0.8]]
    run = Synthetic(
        tables={"start": by_seed([0, 10], "agreement_pair", ends), "references": references}
    )
    assert counted(FORMS["over_clusterings"](run, of="pair")) == (3, 5)
