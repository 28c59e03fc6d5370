"""The page of every setting says what the schemas declare."""

from dataclasses import fields

import pytest

from experiments.runner.errors import UserError
from experiments.studies import STUDIES
from reproductions.settings_page import COLUMNS, page, settings, studies


@pytest.mark.parametrize("study", list(studies()))
def test_every_setting_has_a_default_a_range_and_a_meaning(study: str) -> None:
    frame = settings(study)
    names = [item.name for item in fields(STUDIES[study].schema) if item.name != "name"]
    assert frame["key"].tolist() == [f"study.{name}" for name in names]
    assert list(frame.columns) == list(COLUMNS)
    assert (frame[["default", "allowed", "about"]] != "").all(axis=None)


def test_type_and_range_are_both_told() -> None:
    frame = settings("vowel").set_index("key")
    assert (
        frame.loc["study.num_experts", "allowed"] == "a whole number, at least 1 and at most 1024"
    )
    assert frame.loc["study.step_size", "allowed"].endswith(" or null")
    assert "blend_error or expected_error" in frame.loc["study.cost", "allowed"]


def test_the_page_has_every_study_and_nothing_private() -> None:
    text = page()
    assert set(studies()) == set(STUDIES)
    assert all(f'id="{study}"' in text for study in STUDIES)
    assert "study.num_experts" in text
    assert "base_" not in text
    assert "runs_dir" in text


def test_a_study_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match="does not exist"):
        settings("vowl")
