"""Trainings whose loss explodes are found, and those that only shake are not."""

from math import inf, nan
from pathlib import Path

import pandas as pd
import pytest

from experiments.runner.blow_ups import FACTOR, blow_ups, facts, has_blown_up, of_tables

START = 0.7


def curves(**losses_by_seed: list[float]) -> pd.DataFrame:
    """A row per step and seed, given as s3=[...]; the accuracy says which row it is."""
    return pd.DataFrame(
        [
            {"seed": int(seed[1:]), "step": 100 * place, "loss": loss, "train_accuracy": place / 10}
            for seed, losses in losses_by_seed.items()
            for place, loss in enumerate(losses)
        ]
    )


@pytest.mark.parametrize("loss", [nan, inf, -inf, FACTOR * START * 1.001, 103.0])
def test_what_is_worse_than_knowing_nothing_has_blown_up(loss: float) -> None:
    assert has_blown_up(loss, START)


@pytest.mark.parametrize("loss", [0.0, START, FACTOR * START])
def test_what_shakes_has_not_blown_up(loss: float) -> None:
    assert not has_blown_up(loss, START)


def test_a_blow_up_is_told_with_its_step_and_the_best_state_before() -> None:
    # The second seed never does, and the third comes back: it had blown up all the same.
    found = blow_ups(
        curves(s0=[START, 0.1, 0.3, 29.0, 103.0], s1=[START, 0.1, 0.6], s2=[START, 9.0, 0.1])
    )
    assert found is not None
    assert found["seed"].tolist() == [0, 2]
    assert found["blew_up_at"].tolist() == [300, 100]
    assert found["step"].tolist() == [100, 0]
    assert found["train_accuracy"].tolist() == [0.1, 0.0]


def test_a_training_that_began_without_a_number_blew_up_at_its_first_step() -> None:
    found = blow_ups(curves(s0=[nan, nan]))
    assert found is not None
    assert found["blew_up_at"].tolist() == [0]


@pytest.mark.parametrize("renamed", [{"loss": "train_error", "step": "epoch"}, {}])
def test_every_study_calls_its_loss_and_its_steps_by_one_of_these_names(
    renamed: dict[str, str],
) -> None:
    found = of_tables([curves(s4=[START, 5.0]).rename(columns=renamed)])["blow_ups"]
    assert isinstance(found, dict)
    assert (found["num_trainings"], found["num_blown_up"], found["seeds"]) == (1, 1, {"4": 100})


def test_one_training_without_a_seed_is_seed_0() -> None:
    found = of_tables([curves(s0=[START, 5.0]).drop(columns="seed")])["blow_ups"]
    assert isinstance(found, dict)
    assert found["seeds"] == {"0": 100}


def test_a_folder_without_curves_says_nothing(tmp_path: Path) -> None:
    pd.DataFrame({"seed": [0], "seconds": [1.0]}).to_csv(tmp_path / "curves.csv", index=False)
    assert facts(tmp_path) == {}
    assert facts(tmp_path / "missing") == {}


def test_a_run_without_blow_ups_says_so(tmp_path: Path) -> None:
    curves(s0=[START, 0.1], s1=[START, 0.2]).to_csv(tmp_path / "start.csv", index=False)
    found = facts(tmp_path)["blow_ups"]
    assert isinstance(found, dict)
    assert (found["num_trainings"], found["num_blown_up"], found["before"]) == (2, 0, {})
