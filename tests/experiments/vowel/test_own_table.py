"""Recordings of one's own: files that can be used, and errors for those that cannot."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.execute import execute, identity_of
from experiments.run_folder import read_finished
from experiments.runner.errors import UserError
from experiments.vowel import data, own_table
from experiments.vowel.settings import PAPER_VOWELS, VowelConfig

TINY = VowelConfig(
    step_size=16.0, num_seeds=2, max_epochs=20, num_train_speakers=3, snapshot_every=10
)


def lines(num_speakers: int = 5) -> list[str]:
    """A header and one recording of each of the paper's vowels by each speaker."""
    rows = [
        f"person {speaker},{vowel},{300 + 100 * place + speaker},{2200 - 300 * place + speaker}"
        for speaker in range(num_speakers)
        for place, vowel in enumerate(PAPER_VOWELS)
    ]
    return ["Speaker,Vowel,F1,F2", *rows]


def file_of(tmp_path: Path, rows: list[str], name: str = "my.csv") -> VowelConfig:
    path = tmp_path / name
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return replace(TINY, table=str(path))


def test_the_first_speakers_of_the_file_train_in_kilohertz(tmp_path: Path) -> None:
    vowels = data.load(file_of(tmp_path, lines()))
    assert vowels.train.inputs_DN.shape == (3, 12)
    assert vowels.test.inputs_DN.shape == (3, 8)
    assert vowels.train.speakers_N.unique().tolist() == [1, 2, 3]
    assert vowels.train.inputs_DN[0, 0].item() == pytest.approx(0.3)
    assert vowels.test.vowels_N.tolist() == 2 * [0, 1, 2, 3]


def test_tabs_other_columns_and_other_vowels_are_taken_as_they_are(tmp_path: Path) -> None:
    rows = [f"{row.replace(',', chr(9))}\tx" for row in lines()]
    rows.append("person 9\ter\t500\t1300\tx")
    vowels = data.load(file_of(tmp_path, rows, "my.tsv"))
    plain = data.load(file_of(tmp_path, lines()))
    assert np.array_equal(vowels.train.inputs_DN, plain.train.inputs_DN)
    assert vowels.test.inputs_DN.shape == (3, 8)


def test_a_run_knows_its_file_by_its_content(tmp_path: Path) -> None:
    config = file_of(tmp_path, lines())
    before = identity_of(config)["data_sha256"]
    assert before == own_table.checksum(str(config.table)) != data.SHA256
    outcome = execute(config, str(tmp_path / "runs"))
    assert read_finished(outcome.path).manifest["data_sha256"] == before
    file_of(tmp_path, [*lines(), "person 0,iy,300,2000"])
    assert identity_of(config)["data_sha256"] != before


def changed(place: int, row: str) -> list[str]:
    return [row if number == place else line for number, line in enumerate(lines())]


@pytest.mark.parametrize(
    ("rows", "problem", "fix"),
    [
        (changed(0, "Speaker,Vowel,F1"), "no column F2", "must name the columns"),
        (changed(0, "Speaker;Vowel;F1;F2"), "no column Speaker", "must name the columns"),
        ([], "it is empty", "must name the columns"),
        (changed(3, "person 0,iu,500,900"), "line 4 has the vowel iu", "Did you mean uw"),
        (changed(3, "person 0,aa,,900"), "line 4 has no F1", "Fill it in"),
        (changed(3, ",aa,500,900"), "line 4 has no Speaker", "Fill it in"),
        (changed(3, ""), "line 4 has 0 cells", "every line"),
        (changed(3, "person 0,aa,0.5,0.9"), "line 4 has F1=0.5", "in Hz"),
        (changed(3, "person 0,aa,low,900"), "line 4 has F1=low", "in Hz"),
        (changed(3, "person 0,aa,inf,900"), "line 4 has F1=inf", "in Hz"),
        (lines(1), "1 speakers", "Two are the least"),
        (lines(3), "leaves no test speaker of the 3", "study.num_train_speakers=2"),
        ([line for line in lines() if ",ih," not in line], "No training speaker", "num_train"),
        ([*lines()[:-1], "person 4,ah,9e2,900"], "", ""),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_way_out(
    rows: list[str], problem: str, fix: str, tmp_path: Path
) -> None:
    config = file_of(tmp_path, rows)
    if not problem:
        data.load(config)
        return
    with pytest.raises(UserError) as caught:
        data.load(config)
    assert problem in caught.value.problem
    assert fix in caught.value.fix


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"study\.table=nowhere\.csv is no file"):
        identity_of(replace(TINY, table="nowhere.csv"))
