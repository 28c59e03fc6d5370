"""The vowel table: what it holds, how it is split and coded, and what happens to a wrong one."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.execute import execute
from experiments.run_folder import read_finished
from experiments.runner.errors import UserError
from experiments.vowel import data
from experiments.vowel.data import Cases, load, load_table, read_praat_table
from experiments.vowel.settings import (
    ALL_VOWELS,
    CODES,
    PAPER_VOWELS,
    Coding,
    InputScale,
    Precision,
    ReferenceConfig,
    Split,
    VowelDataConfig,
    check_data,
)


def speakers(cases: Cases) -> set[int]:
    return set(cases.speakers_N.tolist())


def test_the_table_is_that_of_1952() -> None:
    table = load_table()
    assert len(table) == 1520
    assert table["Speaker"].nunique() == 76
    assert sorted(table["Vowel"].unique()) == sorted(ALL_VOWELS)
    assert (table.groupby(["Speaker", "Vowel"]).size() == 2).all()


def test_the_published_split_has_fifty_speakers_to_train_and_the_next_25_to_test() -> None:
    vowels = load(VowelDataConfig())
    assert vowels.train.inputs_DN.shape == (3, 400)
    assert vowels.test.inputs_DN.shape == (3, 200)
    assert speakers(vowels.train) == set(range(1, 51))
    assert speakers(vowels.test) == set(range(51, 76))
    for cases, count in ((vowels.train, 100), (vowels.test, 50)):
        assert torch.bincount(cases.vowels_N).tolist() == [count] * 4


def test_inputs_are_the_tables_formants_in_kilohertz_and_a_constant() -> None:
    cases = load(VowelDataConfig(precision=Precision.float64)).train
    first_speaker = load_table().query("Speaker == 1")
    for index, vowel in enumerate(PAPER_VOWELS):
        chosen = (cases.speakers_N == 1) & (cases.vowels_N == index)
        hertz = first_speaker[first_speaker["Vowel"] == vowel][["F1", "F2"]].to_numpy()
        np.testing.assert_allclose(cases.inputs_DN[:2, chosen].T.numpy() * 1000, hertz)
    assert (cases.inputs_DN[2] == 1).all()
    assert float(cases.inputs_DN[:2].min()) > 0.15
    assert float(cases.inputs_DN[:2].max()) < 4


def test_standardising_takes_mean_and_spread_from_the_training_speakers_alone() -> None:
    vowels = load(VowelDataConfig(input_scale=InputScale.standardised, precision=Precision.float64))
    features_DN = vowels.train.inputs_DN[:2]
    assert features_DN.mean(dim=1).abs().max() < 1e-12
    assert (features_DN.std(dim=1, correction=0) - 1).abs().max() < 1e-12
    assert vowels.test.inputs_DN[:2].mean(dim=1).abs().max() > 1e-3


@given(st.integers(0, 1000), st.integers(1, 74), st.sampled_from([None, 1, 40, 76]))
@settings(max_examples=40)
def test_no_speaker_is_in_both_parts_of_a_random_split(
    split_seed: int, num_train: int, dropped: int | None
) -> None:
    config = VowelDataConfig(
        split=Split.random_by_speaker,
        split_seed=split_seed,
        num_train_speakers=num_train,
        dropped_speaker=dropped,
    )
    train, test = (speakers(cases) for cases in (load(config).train, load(config).test))
    assert len(train) == num_train
    assert not train & test
    assert train | test == set(range(1, 77)) - {dropped}


def test_a_random_split_depends_on_its_seed_and_on_nothing_else() -> None:
    def train_speakers(split_seed: int) -> set[int]:
        config = VowelDataConfig(split=Split.random_by_speaker, split_seed=split_seed)
        return speakers(load(config).train)

    assert train_speakers(1) == train_speakers(1)
    assert train_speakers(1) != train_speakers(2)


@pytest.mark.parametrize("dropped", [1, 25, 76])
def test_the_dropped_speaker_is_in_neither_part(dropped: int) -> None:
    vowels = load(VowelDataConfig(dropped_speaker=dropped))
    assert dropped not in speakers(vowels.train) | speakers(vowels.test)
    assert len(speakers(vowels.test)) == 25


def test_with_no_speaker_dropped_all_76_take_part() -> None:
    vowels = load(VowelDataConfig(dropped_speaker=None))
    assert len(speakers(vowels.train) | speakers(vowels.test)) == 76


def test_a_split_without_test_speakers_is_refused() -> None:
    with pytest.raises(UserError, match=r"num_train_speakers=75.*num_train_speakers=74"):
        check_data(VowelDataConfig(num_train_speakers=75))


@pytest.mark.parametrize("coding", list(CODES))
def test_each_token_has_the_code_of_its_vowel(coding: Coding) -> None:
    cases = load(VowelDataConfig(coding=coding)).train
    for index, vowel in enumerate(PAPER_VOWELS):
        code_O1 = torch.tensor(CODES[coding][vowel]).unsqueeze(1)
        assert (cases.targets_ON[:, cases.vowels_N == index] == code_O1).all()


def test_all_ten_vowels_can_be_learnt_with_one_output_each() -> None:
    vowels = load(VowelDataConfig(vowels=list(ALL_VOWELS), coding=Coding.one_hot))
    assert vowels.train.inputs_DN.shape == (3, 1000)
    assert vowels.test.inputs_DN.shape == (3, 500)
    assert torch.equal(vowels.codes_VO, torch.eye(10))
    assert torch.equal(vowels.train.targets_ON.argmax(dim=0), vowels.train.vowels_N)


@pytest.fixture
def uncached() -> Iterator[None]:
    load_table.cache_clear()
    yield
    load_table.cache_clear()


def with_a_changed_digit(text: str) -> str:
    head, last = text.rstrip("\n").rsplit("\t", 1)
    return f"{head}\t{int(last) + 1}\n"


def without_the_last_row(text: str) -> str:
    return "\n".join(text.rstrip("\n").split("\n")[:-1]) + "\n"


def without_the_last_column(text: str) -> str:
    return "\n".join(line.rsplit("\t", 1)[0] for line in text.split("\n"))


def with_one_speaker_renamed(text: str) -> str:
    rows = [line.split("\t") for line in text.rstrip("\n").split("\n")]
    rows[-1][rows[0].index("Speaker")] = "1"
    return "\n".join("\t".join(row) for row in rows) + "\n"


def with_an_unknown_vowel(text: str) -> str:
    return text.replace("\tiy\t", "\tyi\t")


@pytest.mark.usefixtures("uncached")
@pytest.mark.parametrize(
    ("alter", "problem"),
    [
        (with_a_changed_digit, "SHA-256"),
        (without_the_last_row, "1519 rows instead of 1520"),
        (without_the_last_column, "columns"),
        (with_one_speaker_renamed, "two tokens of each vowel"),
        (with_an_unknown_vowel, "vowels"),
    ],
)
def test_an_altered_table_is_refused_with_the_problem_and_the_fix(
    alter: object, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(alter)
    altered = alter(read_praat_table())
    monkeypatch.setattr(data, "read_praat_table", lambda: altered)
    with pytest.raises(UserError) as caught:
        load(VowelDataConfig())
    assert problem in caught.value.problem
    assert "make setup" in caught.value.fix


@pytest.mark.usefixtures("uncached")
def test_a_missing_package_is_named_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "parselmouth", None)
    monkeypatch.setitem(sys.modules, "parselmouth.praat", None)
    with pytest.raises(UserError) as caught:
        load(VowelDataConfig())
    assert "parselmouth" in caught.value.problem
    assert "make setup" in caught.value.fix


def test_reference_classifiers_score_as_recorded(tmp_path: Path) -> None:
    finished = read_finished(execute(ReferenceConfig(), str(tmp_path)).path)
    metrics = finished.table("metrics").set_index("classifier")
    assert list(metrics.loc["quadratic discriminant"]) == [0.9275, 0.93]
    assert "5 nearest neighbours" in metrics.index
    assert ((metrics > 0.8) & (metrics <= 1)).all(axis=None)
