"""Run folders: what is written reads back, and a finished run is complete and kept."""

import csv
import hashlib
import logging
import math
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from experiments.run_folder import RunFolder, claimed, read_finished, run_digest
from experiments.runner.errors import UserError

IDENTITY = {"study": "vowel", "config": {"seed": 3, "step": 0.1}}
METRICS = pd.DataFrame({"seed": [0, 1], "error": [0.1, 1 / 3], "system": ["mixture", "NA"]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "vowel" / run_digest(IDENTITY)


def finish_run(path: Path, *, force: bool = False, note: str = "first") -> None:
    with claimed(path, IDENTITY, force=force) as folder:
        folder.write_json("config", {"seed": 3})
        folder.write_table("metrics", METRICS)
        folder.write_arrays("snapshots", {"weights": np.arange(6.0).reshape(2, 3)})
        folder.save_checkpoint({"epoch": 4})
        folder.finish({"note": note})


def content_of(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
identities = st.dictionaries(st.text(), json_values, max_size=5)


@given(identities)
def test_digest_ignores_the_order_of_keys(identity: dict[str, object]) -> None:
    backwards = dict(reversed(identity.items()))
    assert run_digest(identity) == run_digest(backwards)


@given(identities, identities)
def test_digest_differs_where_the_identity_differs(
    one: dict[str, object], other: dict[str, object]
) -> None:
    # 1, 1.0 and True are equal to Python but are different settings.
    assert (run_digest(one) == run_digest(other)) == (
        str(sorted_deeply(one)) == str(sorted_deeply(other))
    )


def sorted_deeply(value: object) -> object:
    if isinstance(value, dict):
        return [(key, sorted_deeply(value[key])) for key in sorted(value)], "dict"
    return [sorted_deeply(item) for item in value] if isinstance(value, list) else value


def test_digest_is_16_hexadecimal_digits_of_the_canonical_json() -> None:
    canonical = b'{"config":{"seed":3,"step":0.1},"study":"vowel"}'
    assert run_digest(IDENTITY) == hashlib.sha256(canonical).hexdigest()[:16]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_identity_without_a_json_form_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        run_digest({"step": value})


@given(st.lists(st.floats(allow_infinity=True), min_size=1))
def test_table_keeps_every_float(values: list[float]) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "study" / run_digest(IDENTITY)
        with claimed(path, IDENTITY) as folder:
            folder.write_json("config", {})
            folder.write_table("metrics", pd.DataFrame({"row": range(len(values)), "x": values}))
            folder.finish({})
        read = read_finished(path).table("metrics")["x"].to_numpy(dtype=float)
    np.testing.assert_array_equal(read, values)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
@example(
    ["a\rb", "\r\n", '"', '"",\n"', "nul\0", "=1+1", "'=1", "-ing", "\t@", "", "\u2028", "\x1b["]
)
def test_table_keeps_every_text_and_none_is_a_formula(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "study" / run_digest(IDENTITY)
        with claimed(path, IDENTITY) as folder:
            folder.write_json("config", {})
            folder.write_table("texts", pd.DataFrame({"text": ["a word", *texts]}))
            folder.finish({})
        read = read_finished(path).table("texts")["text"].fillna("")
        with (path / "texts.csv").open(encoding="utf-8", newline="") as stream:
            cells = [row[0] for row in csv.reader(stream) if row]
    assert read.tolist() == ["a word", *texts]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in cells)


def test_a_table_that_nobody_could_read_again_is_not_written(path: Path) -> None:
    with claimed(path, IDENTITY) as folder:
        with pytest.raises(ValueError, match="curves has no columns"):
            folder.write_table("curves", pd.DataFrame())
        # Without rows it can be read.
        folder.write_table("blow_ups", pd.DataFrame({"seed": []}))
    assert [path.name for path in folder.path.glob("*.csv")] == ["blow_ups.csv"]


def test_finished_run_reads_back(path: Path) -> None:
    finish_run(path)
    run = read_finished(path)
    assert run.path == path
    assert run.config == {"seed": 3}
    assert run.manifest["note"] == "first"
    pd.testing.assert_frame_equal(run.table("metrics"), METRICS, check_dtype=False)
    pd.testing.assert_frame_equal(run.table("metrics.csv"), run.table("metrics"))
    np.testing.assert_array_equal(run.arrays("snapshots")["weights"], [[0, 1, 2], [3, 4, 5]])


def test_manifest_holds_the_checksum_of_each_output(path: Path) -> None:
    finish_run(path)
    content = content_of(path)
    assert set(content) - {"manifest.json"} == {
        "config.json",
        "identity.json",
        "metrics.csv",
        "snapshots.npz",
    }
    del content["manifest.json"]
    expected = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    assert read_finished(path).manifest["files"] == expected


def test_run_is_finished_only_once_its_manifest_is_written(path: Path) -> None:
    with claimed(path, IDENTITY) as folder:
        folder.write_json("config", {})
        assert not folder.is_finished()
        folder.finish({})
        assert folder.is_finished()


def test_run_without_config_cannot_finish(path: Path) -> None:
    with claimed(path, IDENTITY) as folder:
        with pytest.raises(ValueError, match=r"config\.json"):
            folder.finish({})
        assert not folder.is_finished()


def test_unfinished_run_cannot_be_read(path: Path) -> None:
    with claimed(path, IDENTITY) as folder:
        folder.write_table("metrics", METRICS)
    with pytest.raises(UserError, match="no finished run"):
        read_finished(path)


def test_claiming_a_finished_run_changes_nothing(path: Path) -> None:
    finish_run(path)
    before = content_of(path)
    with claimed(path, IDENTITY) as folder:
        assert folder.is_finished()
    assert content_of(path) == before


def test_forced_runs_keep_every_earlier_one(path: Path) -> None:
    notes = ["first", "second", "third"]
    for note in notes:
        finish_run(path, force=True, note=note)
    kept = sorted((path.parent / "superseded").glob(f"{path.name}-*"))
    assert [read_finished(run).manifest["note"] for run in [*kept, path]] == notes


def test_force_lets_an_unfinished_run_continue(path: Path) -> None:
    with claimed(path, IDENTITY) as folder:
        folder.save_checkpoint({"epoch": 7})
    with claimed(path, IDENTITY, force=True) as folder:
        assert folder.load_checkpoint() == {"epoch": 7}


def test_checkpoint_reads_back(path: Path) -> None:
    state = {"w": torch.eye(3), "epoch": 4, "names": ["a"], "nested": {"rng": torch.ones(2).byte()}}
    with claimed(path, IDENTITY) as folder:
        assert folder.load_checkpoint() is None
        folder.save_checkpoint({"epoch": 3})
        folder.save_checkpoint(state)
        read = folder.load_checkpoint()
    assert read is not None
    torch.testing.assert_close(read.pop("w"), state.pop("w"), rtol=0, atol=0)
    assert str(read) == str(state)


def test_checkpoint_of_values_that_cannot_be_read_back_is_refused(path: Path) -> None:
    with claimed(path, IDENTITY) as folder:
        folder.save_checkpoint({"epoch": 3})
        with pytest.raises(TypeError, match="numpy"):
            folder.save_checkpoint({"error": np.float64(0.5)})
        assert folder.load_checkpoint() == {"epoch": 3}


def test_arrays_of_objects_are_refused(path: Path) -> None:
    with claimed(path, IDENTITY) as folder, pytest.raises(ValueError, match="things"):
        folder.write_arrays("snapshots", {"things": np.array([{}], dtype=object)})
    assert not (path / "snapshots.npz").exists()


def test_user_error_survives_the_way_back_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(UserError("It is broken.", "Mend it.")))
    assert (error.problem, error.fix, str(error)) == (
        "It is broken.",
        "Mend it.",
        "It is broken. Mend it.",
    )


def test_error_inside_the_block_frees_the_folder(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with pytest.raises(ZeroDivisionError), claimed(path, IDENTITY):
        raise ZeroDivisionError
    with claimed(path, IDENTITY) as folder:
        assert isinstance(folder, RunFolder)
    assert not caplog.records
