"""The rule that chooses a step size, on tables made by hand."""

import pandas as pd
import pytest

from experiments.vowel.study import choose_step

Row = tuple[float, int, str, int]


def table(rows: list[Row]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["step_size", "seed", "status", "epochs"])


def step(size: float, *epochs: int | None) -> list[Row]:
    """One row per seed; None for a seed that ran out of its 1,000 epochs."""
    return [
        (size, seed, "exhausted", 1000) if count is None else (size, seed, "converged", count)
        for seed, count in enumerate(epochs)
    ]


def test_the_step_at_which_most_seeds_arrive_wins_though_another_is_faster() -> None:
    assert choose_step(table([*step(2, 900, 950), *step(8, 10, None)])) == 2


def test_among_equals_in_arrivals_the_fewest_mean_epochs_win() -> None:
    rows = [*step(2, 300, 300), *step(4, 100, 220), *step(8, 200, 180)]
    assert choose_step(table(rows)) == 4


def test_a_tie_goes_to_the_smaller_step() -> None:
    assert choose_step(table([*step(8, 100, 200), *step(4, 200, 100), *step(16, 150, 150)])) == 4


def test_where_no_seed_arrives_the_epochs_decide_and_then_the_smaller_step() -> None:
    assert choose_step(table([*step(8, None, None), *step(4, None, None)])) == 4


def test_a_diverged_seed_has_not_arrived() -> None:
    diverged: list[Row] = [(8, 0, "diverged", 1000), (8, 1, "converged", 20)]
    assert choose_step(table([*diverged, *step(2, 700, 800)])) == 2


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_rows_does_not_matter(seed: int) -> None:
    rows = table([*step(2, 300, None), *step(4, 100, 220), *step(8, 200, 180), *step(16, 5, None)])
    assert choose_step(rows.sample(frac=1, random_state=seed)) == 4


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_a_share_is_taken_of_the_fastest_step_and_not_of_the_largest(share: float) -> None:
    rows = table([*step(8, 300, 300), *step(16, 200, 200), *step(32, 250, 250), *step(64, 9, None)])
    assert choose_step(rows, share) == share * 16
