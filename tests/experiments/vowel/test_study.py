"""The vowel study from settings to run folder, on the real recordings with few epochs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from experiments.execute import execute
from experiments.run_folder import FinishedRun, read_finished
from experiments.runner.errors import UserError
from experiments.runner.resources import refuse_what_cannot_run
from experiments.runner.schema import Device
from experiments.studies import STUDIES
from experiments.vowel.settings import Coding, Execution, Precision, System, Unit, VowelConfig

SHORT = VowelConfig(step_size=16.0, num_seeds=3, max_epochs=55, coding=Coding.bit_1010)
USAGE = ["live_experts", "effective_experts", "experts_on_iy_ih", "experts_on_aa_ah"]
RESULTS = ["status", "epochs", "train_error", "train_accuracy", "test_accuracy"]


def finished(config: VowelConfig, runs_dir: Path) -> FinishedRun:
    return read_finished(execute(config, str(runs_dir)).path)


def files(run: FinishedRun) -> set[str]:
    return {file.name for file in run.path.iterdir()}


OUTPUTS = {"config.json", "identity.json", "metrics.csv", "curves.csv", "snapshots.npz"}


def test_a_mixtures_folder_holds_one_row_per_seed_and_all_files(tmp_path: Path) -> None:
    run = finished(replace(SHORT, first_seed=7), tmp_path)
    assert files(run) == {*OUTPUTS, "manifest.json"}
    metrics = run.table("metrics")
    assert list(metrics.columns) == ["seed", *RESULTS, *USAGE]
    assert list(metrics["seed"]) == [7, 8, 9]
    assert (metrics["status"] == "exhausted").all()
    assert (metrics["epochs"] == 55).all()
    assert metrics["test_accuracy"].between(0, 1).all()
    assert metrics["live_experts"].between(1, 4).all()
    assert metrics["effective_experts"].between(1, 4).all()


def test_curves_and_snapshots_follow_training_from_the_first_weights(tmp_path: Path) -> None:
    run = finished(SHORT, tmp_path)
    epochs = [0, 10, 20, 30, 40, 50, 55]
    curves, snapshots = run.table("curves"), run.arrays("snapshots")
    assert list(curves.columns) == ["epoch", "seed", "train_error", *USAGE]
    assert sorted(curves["epoch"].unique()) == epochs
    assert len(curves) == len(epochs) * 3
    assert snapshots["epochs"].tolist() == epochs
    assert snapshots["gate"].shape == (7, 3, 4, 3)
    assert snapshots["experts"].shape == (7, 3, 4, 1, 3)
    assert not snapshots["gate"][0].any()
    assert np.isnan(snapshots["stopped_gate"]).all()
    start, end = (curves[curves["epoch"] == epoch]["train_error"].mean() for epoch in (0, 55))
    assert end < start
    # Equal mixing proportions at the start: all four experts in equal use.
    assert curves[curves["epoch"] == 0]["effective_experts"].round(5).eq(4).all()


def test_seeds_that_reach_the_threshold_say_when_and_with_which_weights(tmp_path: Path) -> None:
    run = finished(replace(SHORT, max_epochs=400, stop_error=0.2), tmp_path)
    metrics, snapshots = run.table("metrics"), run.arrays("snapshots")
    assert (metrics["status"] == "converged").all()
    assert (metrics["epochs"] < 400).all()
    assert (metrics["train_error"] <= 0.2).all()
    assert run.manifest["num_converged"] == 3
    assert np.isfinite(snapshots["stopped_experts"]).all()
    curves = run.table("curves")
    for seed, stop in zip(metrics["seed"], metrics["epochs"], strict=True):
        assert curves[curves["seed"] == seed]["epoch"].max() == stop // 10 * 10


def test_the_layer_ends_with_the_metrics_of_the_batch(tmp_path: Path) -> None:
    config = replace(SHORT, max_epochs=150, stop_error=0.246, step_size=4.0)
    batched = finished(config, tmp_path)
    layer = finished(replace(config, execution=Execution.layer, checkpoint_seconds=0.0), tmp_path)
    assert set(batched.table("metrics")["status"]) == {"converged", "exhausted"}
    for name in ("metrics", "curves"):
        pd.testing.assert_frame_equal(layer.table(name), batched.table(name), rtol=1e-3, atol=1e-5)
    for name, values in batched.arrays("snapshots").items():
        np.testing.assert_allclose(layer.arrays("snapshots")[name], values, rtol=1e-3, atol=1e-4)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    study = STUDIES["vowel"]
    with pytest.raises(UserError, match="torch finds no GPU"):
        refuse_what_cannot_run(replace(SHORT, device=Device.cuda), study.estimate, study.check)


def test_diverged_seeds_stay_as_rows_without_measures(tmp_path: Path) -> None:
    run = finished(
        # float64 would hold these numbers.
        replace(SHORT, unit=Unit.linear, step_size=1e6, precision=Precision.float32),
        tmp_path,
    )
    metrics = run.table("metrics")
    assert list(metrics["seed"]) == [0, 1, 2]
    assert (metrics["status"] == "diverged").all()
    assert metrics[[*RESULTS[2:], *USAGE]].isna().all(axis=None)
    assert run.manifest["num_diverged"] == 3
    assert run.manifest["num_converged"] == 0


def test_a_net_without_gate_has_no_columns_about_experts(tmp_path: Path) -> None:
    run = finished(replace(SHORT, system=System.backprop, num_hidden=5), tmp_path)
    assert list(run.table("metrics").columns) == ["seed", *RESULTS]
    snapshots = run.arrays("snapshots")
    assert snapshots["hidden"].shape == (7, 3, 5, 3)
    assert snapshots["output"].shape == (7, 3, 1, 6)


def test_a_step_that_is_not_given_is_explored_on_seeds_that_are_never_reported(
    tmp_path: Path,
) -> None:
    config = replace(
        SHORT, step_size=None, step_grid=[4.0, 16.0], num_exploration_seeds=2, stop_error=0.2
    )
    run = finished(replace(config, exploration_epochs=200), tmp_path)
    exploration = run.table("exploration")
    assert sorted(exploration["step_size"].unique()) == [4, 16]
    assert len(exploration) == 4
    assert not set(exploration["seed"]) & set(run.table("metrics")["seed"])
    # Only the larger step arrives within 200 epochs; half of it is taken.
    assert run.manifest["step_size"] == 8
    assert "exploration.csv" in run.manifest["files"]


def test_results_do_not_depend_on_when_checkpoints_are_written(tmp_path: Path) -> None:
    often = finished(replace(SHORT, checkpoint_seconds=0.0), tmp_path)
    never = finished(SHORT, tmp_path)
    assert often.path != never.path
    for name in ("metrics.csv", "curves.csv", "snapshots.npz"):
        assert often.manifest["files"][name] == never.manifest["files"][name]


@pytest.mark.parametrize("coding", [Coding.two_bits, Coding.one_hot])
def test_codings_with_several_outputs_are_measured_alike(coding: Coding, tmp_path: Path) -> None:
    metrics = finished(replace(SHORT, coding=coding, unit=Unit.logistic), tmp_path).table("metrics")
    assert list(metrics.columns) == ["seed", *RESULTS, *USAGE]
    assert metrics.notna().all(axis=None)


def test_the_manifest_names_the_seeds_the_step_and_the_data(tmp_path: Path) -> None:
    manifest = finished(SHORT, tmp_path).manifest
    assert manifest["seeds"] == [0, 1, 2]
    assert manifest["step_size"] == 16
    assert len(manifest["data_sha256"]) == 64
