"""The multiverse from a toy run: worlds, their verdicts, figures and sentences."""

from pathlib import Path

import pandas as pd
import pytest

from experiments.compose import composed, typed
from experiments.execute import execute
from experiments.run_folder import read_finished
from reproductions.verdicts.claims import load_claims
from reproductions.vowel import multiverse_report as part
from reproductions.vowel import stop_sweep
from reproductions.vowel.multiverse import (
    CLAIM_IDS,
    decisiveness,
    judged_worlds,
    shows_figure_2,
    worlds,
)
from reproductions.vowel.multiverse_figures import WORDS

TOY = [
    "study=vowel_multiverse",
    "study.codings=[bit_1001,one_hot]",
    "study.costs=[mixture_likelihood]",
    "study.init_ranges=[0.5]",
    "study.variances=[1.0,0.5]",
    "study.gate_steps=[1.0]",
    "study.step_grid=[8,22.6]",
    "study.num_seeds=3",
    "study.num_exploration_seeds=1",
    "study.exploration_epochs=40",
    "study.max_epochs=60",
]
CLAIMS = Path(part.__file__).with_name("claims.yaml")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    runs_dir = str(tmp_path_factory.mktemp("runs"))
    study = typed(composed(TOY)).study
    run = read_finished(execute(study, runs_dir).path)
    return run.table("exploration"), run.table("metrics")


def test_a_world_is_four_systems_with_all_seeds(
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    found = list(worlds(*tables))
    # 2 codings x 2 variances x 2 step policies x 5 stop rules; a bit has 4 of them.
    assert len(found) == 2 * 2 * (5 + 4)
    for _, systems in found:
        assert [len(table) for table in systems.values()] == [3, 3, 3, 3]


def test_every_world_gets_a_word_for_every_claim(
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    claims = {claim.id: claim for claim in load_claims(CLAIMS)}
    judged = judged_worlds(*tables, claims)
    assert judged[list(CLAIM_IDS)].isin(WORDS).all(axis=None)
    pictures = part._pictures(judged, judged, {}, claims)
    assert all(drawing.axes for _, drawing in pictures)
    assert len(pictures) == 3
    assert part.sentences(judged, judged)
    assert len(part.best_pictures(judged)) > 0


def test_the_picture_of_figure_2_is_three_live_with_two_on_a() -> None:
    metrics = pd.DataFrame(
        {
            "live_experts": [3, 3, 2, 4],
            "experts_on_aa_ah": [2, 1, 2, 2],
            "experts_on_iy_ih": [1, 2, 1, 1],
        }
    )
    assert shows_figure_2(metrics).tolist() == [True, False, False, False]


def judged_by(*choices: tuple[str, float, str]) -> pd.DataFrame:
    """Worlds of a coding, an initial range and a word; all else is equal."""
    same = {"unit": "logistic", "cost": "c", "variance": 1.0, "gate_step": 1.0}
    same |= {"policy": "own best step", "stop_rule": "blend"}
    return pd.DataFrame(
        [
            {**same, "coding": coding, "init_range": init, "claim": word}
            for coding, init, word in choices
        ]
    )


def test_the_choice_that_changes_the_word_decides_and_the_other_does_not() -> None:
    worlds_of_coding = judged_by(
        ("a", 0.1, "matches"),
        ("a", 0.5, "matches"),
        ("b", 0.1, "differs"),
        ("b", 0.5, "inconclusive"),
    )
    # Axes without two values decide nothing and are left out.
    assert decisiveness(worlds_of_coding, "claim") == {"coding": 1.0, "init_range": 0.0}


def test_a_choice_that_decides_in_half_of_the_others_decides_by_half() -> None:
    mixed = judged_by(
        ("a", 0.1, "matches"), ("a", 0.5, "matches"), ("b", 0.1, "differs"), ("b", 0.5, "matches")
    )
    assert decisiveness(mixed, "claim") == {"coding": 0.5, "init_range": 0.5}


SWEEP = [
    "study=vowel_multiverse_stop",
    "study.init_ranges=[0.5]",
    "study.step_grid=[8,22.6]",
    "study.num_seeds=3",
    "study.num_exploration_seeds=1",
    "study.exploration_epochs=40",
    "study.max_epochs=60",
]


def test_the_sweep_has_every_stop_error_at_half_of_the_fastest_step(tmp_path: Path) -> None:
    claims = {claim.id: claim for claim in load_claims(CLAIMS)}
    study = typed(composed(SWEEP)).study
    run = read_finished(execute(study, str(tmp_path)).path)
    assert set(run.table("metrics")["step_size"]) <= {4.0, 11.3}
    judged = judged_worlds(run.table("exploration"), run.table("metrics"), claims, 0.5, False)
    assert set(judged["policy"]) == {"half of own fastest step"}
    table = stop_sweep.sweep_table(judged)
    errors = ["0.06", "0.07", "0.08", "0.09", "0.10", "0.11", "0.12"]
    assert table["stop error"].tolist() == 2 * errors
    assert "0.10 to 0.12" in stop_sweep.sweep_sentence(judged)
    assert len(stop_sweep.stop_curves(judged).axes) == 3


def test_every_verdict_of_a_world_has_a_row_with_its_share() -> None:
    claims = {claim.id: claim for claim in load_claims(CLAIMS)}
    name = "half-the-epochs-4-6"
    found = judged_by(("a", 0.1, "matches"), ("b", 0.1, "differs")).rename(columns={"claim": name})
    row = part.readings_table(found, [(claims[name], None, None)]).iloc[0]
    assert (row["matches in"], row["differs in"], row["decided by"]) == (
        "50%",
        "50%",
        "coding 100%",
    )
