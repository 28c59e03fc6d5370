"""What a user can get wrong on the command line, and what every config file must be."""

from dataclasses import fields

import pytest

from experiments.compose import composed, options, typed
from experiments.errors import UserError
from experiments.schema import plain
from experiments.studies import STUDIES
from experiments.suite import suite_runs
from experiments.vowel.settings import VowelConfig

NUMBERS = [
    (name, item.name)
    for name, study in STUDIES.items()
    for item in fields(study.schema)
    if item.metadata.get("allowed") is not None
]


@pytest.mark.parametrize("study", options("study"))
def test_every_study_file_composes(study: str) -> None:
    assert typed(composed([f"study={study}"])).study.name in STUDIES


@pytest.mark.parametrize("suite", options("suite"))
def test_every_run_of_every_suite_composes(suite: str) -> None:
    _, runs = suite_runs([f"suite={suite}"])
    assert runs


def test_the_yaml_of_the_study_says_what_the_schema_says() -> None:
    assert plain(typed(composed(["study=vowel"])).study) == plain(VowelConfig())


def test_every_setting_says_what_it_is() -> None:
    silent = [
        item.name
        for study in STUDIES.values()
        for item in fields(study.schema)
        if item.name != "name" and not item.metadata.get("about")
    ]
    assert silent == []


@pytest.mark.parametrize(("study", "key"), NUMBERS)
def test_a_wrong_type_and_a_value_out_of_range_name_the_key(study: str, key: str) -> None:
    for value in ("nonsense", "-7"):
        with pytest.raises(UserError) as caught:
            typed(composed([f"study={study}", f"study.{key}={value}"]))
        assert f"study.{key}" in caught.value.problem


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("study.num_expert=3", "study.num_experts"),
        ("+study.num_expert=3", "study.num_experts"),
        ("study=vowl", "vowel"),
        ("suite=vowel_tabel1", "vowel_table1"),
        ("study.cost=expected_eror", "expected_error"),
        ("runs_dirr=x", "runs_dir"),
    ],
)
def test_a_misspelling_names_the_nearest_match(override: str, nearest: str) -> None:
    with pytest.raises(UserError, match=f"Did you mean {nearest}"):
        composed([override])


@pytest.mark.parametrize(
    "overrides",
    [
        ["~study.cost"],
        ["study.num_experts=2,4"],
        ["study.vowels=[iy,xx]"],
        ["study.vowels=[iy,ae]"],
        ["study.unit=softmax"],
        ["study.step_grid=[]"],
        ["study.first_seed=999999"],
    ],
)
def test_contradictions_are_refused(overrides: list[str]) -> None:
    with pytest.raises(UserError):
        typed(composed(overrides))


def test_an_override_of_a_suite_wins_and_is_ignored_where_it_means_nothing() -> None:
    _, runs = suite_runs(["suite=vowel", "study.num_experts=8", "study.num_seeds=2"])
    assert runs["experts_4"] == runs["experts_8"]
    assert runs["backprop_6"].num_seeds == 2
    assert runs["references"].name == "vowel_reference"


def test_a_suite_knows_the_settings_of_its_own_study() -> None:
    _, runs = suite_runs(["suite=vowel_multiverse", "study.num_exploration_seeds=1"])
    assert all(study.num_exploration_seeds == 1 for study in runs.values())
