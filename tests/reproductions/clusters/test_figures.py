"""Laws of what the clusters figures say of their numbers."""

from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from reproductions.clusters.figures import _spread_note, share_as_narrow


@pytest.mark.parametrize("size", [5, 10, 20])
def test_one_seed_far_away_makes_the_spread_of_every_sample_that_has_it(size: int) -> None:
    values_R = np.array([0.0, 0.1] * 12 + [9.0])
    # A sample of `size` among 25 leaves the one seed out with probability 1 - size / 25.
    assert share_as_narrow(values_R, size, 0.2) == pytest.approx(1 - size / 25, abs=0.02)


def test_a_spread_above_all_samples_holds_for_all_and_one_below_for_none() -> None:
    values_R = np.linspace(0, 1, 25)
    assert share_as_narrow(values_R, 10, 1.0) == 1.0
    assert share_as_narrow(values_R, 10, 0.01) == 0.0


@pytest.mark.parametrize(
    ("steps", "num_seeds", "is_told"),
    [((0, 500), 25, True), ((0, 8), 25, False), ((0, 500), 3, False)],
)
def test_the_spread_is_told_of_whole_runs_of_enough_seeds(
    steps: tuple[int, int], num_seeds: int, is_told: bool
) -> None:
    curve = pd.DataFrame(np.random.default_rng(0).random((2, num_seeds)), index=list(steps))
    runs: Any = {f"curves_{setting}_cubic": SimpleNamespace(is_as_named=True) for setting in (1, 2)}
    with mock.patch("reproductions.clusters.figures.entropy_curves", return_value=curve):
        assert bool(_spread_note(runs)) == is_told
