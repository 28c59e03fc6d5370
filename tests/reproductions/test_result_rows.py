"""One table of all claims: it says what RESULTS.md says, as numbers."""

import math
from pathlib import Path

import pytest

from experiments.runner.errors import UserError
from reproductions import result_rows, results
from reproductions.records import ClaimRecord, read
from reproductions.report import STUDIES
from reproductions.verdicts.claims import Claim, Published
from reproductions.verdicts.verdict import Verdict

CLAIM = Claim("one", "A sentence.", "Table 1", "value", Published(1124.0, unit="epochs"), 23.0)


def test_every_published_claim_has_a_row_with_the_numbers_of_its_record() -> None:
    frame = results()
    records = read(list(STUDIES))
    assert list(frame.columns) == list(result_rows.COLUMNS)
    assert len(frame) == sum(len(record.rows) for record in records)
    assert not frame[["study", "claim"]].duplicated().any()
    judged = frame[frame["verdict"] != "not run"]
    assert judged["ours"].notna().all()
    # What is counted and not measured has neither runs nor an interval.
    is_counted = judged["claim"].str.startswith("count-")
    assert (judged["n"].notna() | is_counted).all()
    assert judged.loc[is_counted, "low"].isna().all()
    whole = judged.dropna(subset=["low"])
    # Rounded apart, an interval may end a last digit inside the number itself.
    slack = 1e-3 * whole["ours"].abs()
    assert (whole["low"] <= whole["ours"] + slack).all()
    assert (whole["high"] >= whole["ours"] - slack).all()


def test_a_row_reads_as_the_report_does() -> None:
    frame = results().set_index(["study", "claim"])
    row = frame.loc[("vowel", "epochs-8-experts")]
    (record,) = read(["vowel"])
    text = next(each for each in record.rows if each.id == "epochs-8-experts")
    assert row["published"] == 1083
    assert row["unit"] == "epochs"
    assert text.ours == f"{row['ours']:,g} epochs"
    assert f"n = {row['n']}" in text.interval


@pytest.mark.parametrize(
    ("ours", "interval", "expected"),
    [
        ("≥ 2,209 epochs", "95 % interval at least 1,312; n = 25", (2209, "lower", 1312, math.inf)),
        ("≤ −0.5", "95 % interval at most −1e−05; n = 3", (-0.5, "upper", -math.inf, -1e-5)),
        ("≈ 3 nats", "95 % interval −∞ to ∞; n = 3", (3, "unknown", -math.inf, math.inf)),
        ("80 % of seeds", "95 % interval 59.3 % to 93.2 %; n = 25", (80, "exact", 59.3, 93.2)),
    ],
)
def test_words_of_a_record_become_numbers(
    ours: str, interval: str, expected: tuple[float, str, float, float]
) -> None:
    row = result_rows._row(
        "vowel", ClaimRecord("x", "s", "p", None, "in words", ours, interval, "=")
    )
    assert (row["ours"], row["bound"], row["low"], row["high"]) == expected
    assert math.isnan(row["published"])


@pytest.mark.parametrize(("ours", "interval"), [("many", ""), ("3 nats", "95 % interval wide")])
def test_words_that_are_no_number_are_not_taken_for_one(ours: str, interval: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        result_rows._row("vowel", ClaimRecord("x", "s", "p", None, "in words", ours, interval, "="))


def test_numbers_of_runs_keep_all_their_digits_and_shares_are_percentages() -> None:
    verdict = Verdict("matches", 1234.5678, (1200.1234, 1300.0), 0.95, 25, "")
    assert result_rows._exact(CLAIM, verdict) == {"ours": 1234.5678, "low": 1200.1234, "high": 1300}
    rate = Claim("two", "A sentence.", "Table 1", "rate", at_least=0.5)
    assert result_rows._exact(rate, Verdict("matches", 0.75, None, 0.95, 4, ""))["ours"] == 75
    assert result_rows._exact(CLAIM, None) == {}


def test_a_folder_without_runs_is_an_error_that_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run") as caught:
        results(tmp_path)
    assert f"runs_dir={tmp_path}" in caught.value.fix
