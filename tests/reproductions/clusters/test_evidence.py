"""The clusters study's evidence: on runs in which a claim holds, and in which it fails."""

import numpy as np
import pytest

from reproductions.clusters.evidence import FORMS
from reproductions.verdicts.evidence import OrderEvidence, ValueEvidence
from tests.reproductions.evidence_cases import Synthetic, by_seed, counted

STEPS = [0, 100, 500]
FALL = {"flat_step": 100, "flat_entropy": 1.0, "fallen_step": 500, "fallen_entropy": 0.5}


def curves(*values_by_seed: list[float]) -> Synthetic:
    """A run with entropies at the three steps."""
    return Synthetic(tables={"curves": by_seed(STEPS, "entropy", list(values_by_seed))})


def test_entropy_is_that_of_its_own_step_by_seed() -> None:
    run = curves([1.4, 1.2, 0.1], [1.3, 1.1, 0.2])
    assert FORMS["entropy_at"](run, step=100) == ValueEvidence((1.2, 1.1), ("run",))
    assert FORMS["entropy_at"](run, step=50) is None


@pytest.mark.parametrize(
    ("seed", "shows"),
    [
        ([1.4, 1.0, 0.5], 1),
        ([0.0, 1.2, 0.1], 1),
        ([1.4, 0.9, 0.1], 0),
        ([1.4, 1.2, 0.6], 0),
        ([1.4, 0.4, 1.2], 0),
    ],
    ids=["at both thresholds", "beyond them", "fell early", "never fell", "rises"],
)
def test_flat_then_falls_needs_both_in_one_seed(seed: list[float], shows: int) -> None:
    assert counted(FORMS["flat_then_falls"](curves(seed), **FALL)) == (shows, 1)


def test_half_of_the_story_in_each_of_two_seeds_is_none() -> None:
    run = curves([1.4, 1.2, 0.9], [1.4, 0.3, 0.2])
    assert counted(FORMS["flat_then_falls"](run, **FALL)) == (0, 2)
    assert FORMS["flat_then_falls"](run, **{**FALL, "flat_step": 50}) is None
    assert FORMS["flat_then_falls"](run, **{**FALL, "fallen_step": 50}) is None


def test_climbing_back_is_from_the_lowest_entropy_to_the_last() -> None:
    shows = [[1.5, 0.25, 0.5], [1.5, 0.25, 0.75]]
    fails = [[0.2, 0.9, 0.3], [1.5, 0.75, 0.5], [1.5, 0.25, 0.25]]
    assert counted(FORMS["climbs_back"](curves(*shows, *fails), climb=0.25)) == (2, 5)


def test_a_start_decides_where_it_predicts_every_cluster() -> None:
    metrics = {"init_predicts": [4.0, 4.0, 3.0, 0.0, np.nan]}
    run = Synthetic(tables={"metrics": metrics}, settings={"num_clusters": 4})
    assert counted(FORMS["start_decides"](run)) == (2, 5)


def test_maps_agree_with_those_of_the_next_seed() -> None:
    maps = np.array([[0, 1, 2, 3], [0, 1, 2, 0], [0, 3, 1, 0]])
    found = FORMS["map_agreement"](Synthetic(arrays={"final_map": maps}), scale=100)
    assert found == ValueEvidence((75.0, 50.0, 25.0), ("run",))
    assert FORMS["map_agreement"](Synthetic(arrays={"final_map": maps[:2]})) is None


def test_the_larger_of_two_products_is_by_size_at_the_last_snapshot() -> None:
    # Snapshots, seeds, experts, clusters: sizes count, whatever their signs, and none from before.
    centre = np.array([[[[9.0, 9.0]]] * 2, [[[-3.0, 1.0]], [[0.5, 0.25]]]])
    feature = np.array([[[[0.0, 0.0]]] * 2, [[[2.0, -1.0]], [[0.0, -4.0]]]])
    run = Synthetic(arrays={"gate_centre": centre, "gate_feature": feature})
    found = FORMS["larger"](run, first="gate_centre", second="gate_feature")
    assert found == OrderEvidence((3.0, 0.5), (2.0, 4.0), ("run",), paired=True)
