"""Arrays of one's own: files that can be used, and errors for those that cannot."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.clusters import data, own_array
from experiments.clusters.estimate import estimate
from experiments.clusters.model import Form, form_of
from experiments.clusters.settings import ClustersConfig, DataConfig, check, idle
from experiments.execute import execute, identity_of
from experiments.run_folder import read_finished
from experiments.runner.errors import UserError
from experiments.starts.settings import ClustersStartConfig, check_clusters_start

DRAWN = DataConfig(num_train=2000, num_test=4, num_clusters=3, input_scale=1.0)
TINY = ClustersConfig(num_seeds=2, max_steps=4, num_filters=4, num_experts=2, snapshot_every=2)

Arrays = dict[str, object]


def arrays(num: int = 48) -> Arrays:
    """Two patches of three numbers, two classes and two clusters."""
    random = np.random.default_rng(0)
    places = np.arange(num)
    return {
        "inputs": random.standard_normal((num, 2, 3)),
        "labels": places % 2,
        "clusters": 5 + places // 2 % 2,
    }


def file_of(tmp_path: Path, found: Arrays) -> ClustersConfig:
    path = tmp_path / "my.npz"
    np.savez(path, **{name: np.asarray(each) for name, each in found.items()})
    return replace(TINY, array=str(path))


def test_halves_share_the_file_and_no_example(tmp_path: Path) -> None:
    config, found = file_of(tmp_path, arrays()), arrays()
    halves = data.load(config)
    rows = [part.patches_nPD.numpy() for part in (halves.train, halves.test)]
    assert [len(part) for part in rows] == [24, 24]
    # Scaled as the paper's are, and each there once.
    together = np.sort(np.concatenate(rows), axis=0)
    wanted = np.sort(10 * np.asarray(found["inputs"]), axis=0).astype(np.float32)
    np.testing.assert_allclose(together, wanted, rtol=1e-6)
    assert set(halves.train.label_n.tolist()) == {-1.0, 1.0}
    assert set(halves.train.cluster_n.tolist()) == {0, 1}


def test_labels_and_clusters_stay_with_their_examples(tmp_path: Path) -> None:
    found = arrays()
    # Every example carries its label and its cluster in its first patch.
    marked = np.asarray(found["inputs"])
    marked[:, 0, 0], marked[:, 0, 1] = found["labels"], found["clusters"]
    train = data.load(file_of(tmp_path, {**found, "inputs": marked})).train
    assert np.array_equal(train.patches_nPD[:, 0, 0] / 10, (train.label_n + 1) / 2)
    assert np.array_equal(train.patches_nPD[:, 0, 1] / 10, 5 + train.cluster_n)


def test_another_data_seed_is_another_half_and_the_same_one_the_same(tmp_path: Path) -> None:
    config = file_of(tmp_path, arrays())
    first, again = data.load(config).train, data.load(config).train
    other = data.load(replace(config, data_seed=1)).train
    assert np.array_equal(first.patches_nPD, again.patches_nPD)
    assert not np.array_equal(first.patches_nPD, other.patches_nPD)
    fresh = replace(config, fresh_data=True)
    assert not np.array_equal(data.load(fresh, 0).train.label_n, data.load(fresh, 1).train.label_n)


def test_of_definition_3_1_the_directions_are_its_signals() -> None:
    drawn = data.load(DRAWN)
    train = drawn.train
    found = own_array.directions(train.patches_nPD, train.label_n, train.cluster_n, 3)
    for own, true in zip(found, (drawn.signals.feature_KD, drawn.signals.centre_KD), strict=True):
        # Some 670 examples a cluster leave an angle of a few degrees.
        assert (own * true).sum(dim=1).min() > 0.97


def test_a_run_takes_the_files_sizes_and_knows_its_content(tmp_path: Path) -> None:
    config = file_of(tmp_path, arrays())
    outcome = execute(config, str(tmp_path / "runs"))
    finished = read_finished(outcome.path)
    assert finished.manifest["data_sha256"] == own_array.checksum(str(config.array))
    counts = finished.arrays("snapshots")["counts"]
    # Steps, seeds, two clusters, two experts; 24 examples train.
    assert counts.shape[1:] == (2, 2, 2)
    assert (counts.sum(axis=(2, 3)) == 24).all()
    before = identity_of(config)
    file_of(tmp_path, arrays(52))
    assert identity_of(config) != before


def test_without_clusters_all_is_one(tmp_path: Path) -> None:
    found = arrays()
    del found["clusters"]
    config = own_array.sized(file_of(tmp_path, found))
    assert (config.num_clusters, config.num_patches, config.dim) == (1, 2, 3)
    outcome = execute(file_of(tmp_path, found), str(tmp_path / "runs"))
    assert (read_finished(outcome.path).table("metrics")["entropy"] == 0).all()


def test_cubic_experts_see_every_patch_of_it(tmp_path: Path) -> None:
    assert form_of(replace(TINY, num_patches=5)) is Form.powers
    config = replace(file_of(tmp_path, arrays()), num_patches=5)
    assert form_of(config) is Form.patches
    assert {"alpha", "dim", "num_train", "decompose"} <= set(idle(config))


def test_the_estimate_is_of_the_file(tmp_path: Path) -> None:
    small, large = (
        estimate(file_of(tmp_path, arrays(num))).memory[0].factors["examples"] for num in (48, 480)
    )
    assert (small, large) == (48, 480)
    assert "num_train" not in estimate(file_of(tmp_path, arrays())).levers


def with_one(name: str, place: tuple[int, ...], value: float) -> Arrays:
    found = arrays()
    changed = np.asarray(found[name], dtype=float)
    changed[place] = value
    return {**found, name: changed}


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"inputs": arrays()["inputs"]}, "no array labels, but inputs"),
        ({**arrays(), "inputs": np.zeros((48, 6))}, r"inputs has the shape \[48, 6\]"),
        ({**arrays(), "inputs": np.full((48, 2, 3), "a")}, "values of type"),
        (with_one("inputs", (7, 0, 0), np.nan), "example 7 of inputs is not finite"),
        ({**arrays(), "labels": np.arange(48) % 3}, "3 different values"),
        ({**arrays(), "labels": np.arange(47) % 2}, "and inputs has 48 examples"),
        ({**arrays(), "clusters": np.arange(48)}, "cluster 0 has 1 examples"),
        ({**arrays(), "clusters": np.zeros((48, 1))}, r"clusters has the shape \[48, 1\]"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, found: Arrays, message: str) -> None:
    with pytest.raises(UserError, match=message):
        own_array.sized(file_of(tmp_path, found))


def test_a_half_without_a_class_is_refused(tmp_path: Path) -> None:
    labels = np.zeros(48)
    labels[0] = 1
    with pytest.raises(UserError, match="none of some class"):
        data.load(file_of(tmp_path, {**arrays(), "labels": labels}))


@pytest.mark.parametrize("content", [b"", b"Speaker,Vowel\n", b"PK\x03\x04broken"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "my.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"no \.npz file"):
        own_array.read(str(path))
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(UserError, match=r"no \.npz file"):
        own_array.read(str(tmp_path / "one.npy"))
    with pytest.raises(UserError, match="is no file"):
        own_array.checksum(str(tmp_path / "none.npz"))


def test_settings_that_the_file_contradicts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"study\.batch_size=30"):
        own_array.sized(replace(file_of(tmp_path, arrays()), batch_size=30))
    with pytest.raises(UserError, match="starts are made of signals"):
        check_clusters_start(ClustersStartConfig(array="my.npz"))
    # As many signals as there are dimensions bind only data that is drawn.
    check(replace(TINY, array="my.npz", num_clusters=40))
