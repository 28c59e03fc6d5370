"""The clusters study from settings to run folder and report, with few examples and steps."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from math import log
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from experiments.clusters.settings import Activation, ClustersConfig, Model, Value, check
from experiments.execute import execute
from experiments.run_folder import FinishedRun, read_finished
from experiments.runner.errors import UserError
from experiments.suite import run_suite, suite_runs
from reproductions.clusters.report import STUDY
from reproductions.page import write_page
from reproductions.runs import find_runs, in_folder

SHORT = ClustersConfig(
    num_train=400, num_test=200, num_experts=4, max_steps=12, num_seeds=3, snapshot_every=6
)
CLAIMS = STUDY.claims


def finished(config: ClustersConfig, runs_dir: Path) -> FinishedRun:
    return read_finished(execute(config, str(runs_dir)).path)


def test_a_mixtures_folder_holds_rows_curves_and_snapshots(tmp_path: Path) -> None:
    run = finished(replace(SHORT, first_seed=5), tmp_path)
    metrics, curves, snapshots = (
        run.table("metrics"),
        run.table("curves"),
        run.arrays("snapshots"),
    )
    assert list(metrics["seed"]) == [5, 6, 7]
    assert (metrics["steps"] == 12).all()
    assert metrics["test_accuracy"].between(0, 1).all()
    assert metrics["entropy"].between(0, log(4)).all()
    assert sorted(curves["step"].unique()) == [0, 5, 10, 12]
    assert snapshots["steps"].tolist() == [0, 6, 12]
    assert snapshots["counts"].shape == (3, 3, 4, 4)
    assert (snapshots["counts"].sum(axis=(2, 3)) == 400).all()
    assert not snapshots["gate_centre"][0].any()
    # An untrained gate and its noise know nothing of clusters.
    assert (curves[curves["step"] == 0]["entropy"] > 0.97 * log(4)).all()


def test_a_seed_gives_the_same_run_alone_and_among_others(tmp_path: Path) -> None:
    among = finished(SHORT, tmp_path).table("metrics")
    alone = finished(replace(SHORT, first_seed=2, num_seeds=1), tmp_path).table("metrics")
    assert among.iloc[[2]].reset_index(drop=True).equals(alone)


def test_single_networks_have_accuracy_and_no_gate(tmp_path: Path) -> None:
    run = finished(replace(SHORT, model=Model.single, num_experts=1), tmp_path)
    assert "entropy" not in run.table("metrics")
    assert "gate_centre" not in run.arrays("snapshots")
    assert run.table("curves")["entropy"].isna().all()


def test_the_rule_of_the_code_stops_a_seed_and_it_keeps_its_last_state(tmp_path: Path) -> None:
    config = replace(SHORT, early_stop=True, stop_rise=1e-6, step_size=10.0, max_steps=60)
    run = finished(config, tmp_path)
    metrics = run.table("metrics")
    assert (metrics["stop"] == "loss_rose").all()
    assert (metrics["steps"] < 60).all()
    counts, steps = run.arrays("snapshots")["counts"], run.arrays("snapshots")["steps"]
    first = int(metrics["steps"].idxmin())
    after = steps >= metrics["steps"].min()
    assert (counts[after, first] == counts[-1, first]).all()


def test_noise_that_is_drawn_once_routes_alike_at_every_step(tmp_path: Path) -> None:
    still = replace(SHORT, fresh_noise=False, gate_step=0.0)
    counts = finished(still, tmp_path).arrays("snapshots")["counts"]
    assert_array_equal(counts[0], counts[1])
    fresh = finished(replace(still, fresh_noise=True), tmp_path).arrays("snapshots")["counts"]
    assert (fresh[0] != fresh[1]).any()


def test_a_cluster_that_the_test_sample_lacks_has_no_accuracy(tmp_path: Path) -> None:
    few = replace(SHORT, num_test=4, num_train=40, num_clusters=12, max_steps=2, num_seeds=1)
    run = finished(few, tmp_path)
    accuracy_EK = run.arrays("snapshots")["expert_accuracy"][0]
    is_there_K = np.isfinite(accuracy_EK).all(axis=0)
    assert accuracy_EK.shape == (4, 12)
    assert 1 <= is_there_K.sum() <= 4
    assert np.isnan(accuracy_EK[:, ~is_there_K]).all()
    measured = run.table("metrics")[["own_accuracy", "swapped_accuracy", "test_accuracy"]]
    assert ((measured >= 0) & (measured <= 1) | measured.isna()).all(axis=None)


def test_one_start_for_all_seeds_leaves_only_the_noise_to_differ(tmp_path: Path) -> None:
    snapshots = finished(replace(SHORT, init_seed=3), tmp_path).arrays("snapshots")
    features = snapshots["expert_feature"][0]
    assert_array_equal(features[0], features[1])
    assert (snapshots["counts"][0, 0] != snapshots["counts"][0, 1]).any()


def test_no_step_of_the_gate_leaves_it_at_zero(tmp_path: Path) -> None:
    snapshots = finished(replace(SHORT, gate_step=0.0), tmp_path).arrays("snapshots")
    assert not snapshots["gate_centre"].any()
    assert not snapshots["gate_feature"].any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_clusters": 30}, "do not fit"),
        ({"num_filters": 5, "num_heads": 2}, "must divide"),
        ({"batch_size": 500}, "more than"),
        ({"model": Model.single}, "one network"),
    ],
)
def test_contradicting_settings_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check(replace(SHORT, **change))  # type: ignore[arg-type]


SMALL = [
    "study.num_train=300",
    "study.num_test=100",
    "study.max_steps=40",
    "study.num_filters=8",
    "study.curve_every=5",
]


def test_a_killed_run_goes_on_and_ends_as_if_unbroken(tmp_path: Path) -> None:
    words = [*SMALL, "study=clusters", "study.num_seeds=30", "study.num_train=2000"]
    command = [sys.executable, "-m", "experiments.run", *words]
    killed = [*command, f"runs_dir={tmp_path / 'killed'}"]
    process = subprocess.Popen(killed, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "killed").glob("clusters/*/*checkpoint*")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not list((tmp_path / "killed").glob("clusters/*/metrics.csv"))
    subprocess.run(killed, check=True)
    subprocess.run([*command, f"runs_dir={tmp_path / 'whole'}"], check=True)
    tables = [
        next((tmp_path / name).glob("clusters/*/metrics.csv")).read_text()
        for name in ("killed", "whole")
    ]
    assert tables[0] == tables[1]


def test_every_claim_has_a_recipe_and_one_group_of_the_summary() -> None:
    assert set(STUDY.evidence({})) == {claim.id for claim in CLAIMS}
    for claim in CLAIMS:
        assert any(claim.id.startswith(group.prefix) for group in STUDY.groups), claim.id


def test_the_whole_path_ends_in_a_page_that_calls_a_toy_not_comparable(tmp_path: Path) -> None:
    words = ["suite=clusters", *SMALL, "study.num_seeds=3", f"runs_dir={tmp_path / 'runs'}"]
    config, studies = suite_runs(words)
    assert len(list(run_suite(config, studies))) == len(studies) == 12
    report, pictures = STUDY.build(
        find_runs(studies, config.runs_dir, "clusters"), in_folder(config.runs_dir), "command"
    )
    by_id = {claim.id: verdict for claim, _, verdict in report.judged}
    accuracy = by_id["accuracy-1-cubic"]
    assert accuracy is not None
    assert accuracy.word == "not comparable"
    assert "num_train is 300 instead of 16000" in accuracy.explanation
    assert by_id["accuracy-3-cubic"] is None
    assert {figure.id for figure, _ in pictures} >= {"figure1", "published", "alignment"}
    write_page(report, tmp_path / "index.html")
    assert "Figure 1 again" in (tmp_path / "index.html").read_text()


def test_published_gate_values_are_those_of_text_and_code() -> None:
    _, studies = suite_runs(["suite=clusters_all"])
    assert studies["written_1_cubic"].gate_value is Value.probability
    assert studies["coded_1_cubic"].gate_value is Value.noisy_logit
    ends = [("ladder_0_linear", "coded_1_linear"), ("ladder_6_linear", "written_1_linear")]
    for first, second in ends:
        assert studies[first] == studies[second]
    assert studies["coded_4_linear"].activation is Activation.linear
    assert np.allclose(studies["coded_4_linear"].gamma, [0.5, 2.0])
