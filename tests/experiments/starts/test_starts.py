"""Other starts of the three studies: each start is what it says, on real data at toy size."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from experiments.clusters import data
from experiments.clusters.model import Network
from experiments.execute import execute
from experiments.run_folder import read_finished
from experiments.runner.errors import UserError
from experiments.starts import clusters, vowel
from experiments.starts.measures import agreements, references, row
from experiments.starts.settings import (
    ClustersStartConfig,
    ExpertStart,
    GateStart,
    TranslationStartConfig,
    VowelStartConfig,
    check_clusters_start,
    check_translation_start,
    check_vowel_start,
)
from experiments.suite import suite_runs
from experiments.translation.settings import GateName
from experiments.translation.training import Training
from experiments.vowel import systems
from experiments.vowel.settings import Precision, System, Unit
from experiments.vowel.study import batch_of
from reproductions.questions.report import STUDY
from reproductions.runs import SuiteRuns, in_folder, named_run
from reproductions.verdicts.evidence import OrderEvidence, RateEvidence

VOWEL = VowelStartConfig(num_seeds=3, max_epochs=60, snapshot_every=20, step_size=16.0)
CLUSTERS = ClustersStartConfig(
    num_seeds=2, num_train=200, num_test=200, num_filters=4, num_experts=4, max_steps=4
)
TEXT = TranslationStartConfig(
    num_seeds=1,
    num_subwords=300,
    width=12,
    num_units=16,
    expert_units=6,
    attention_units=6,
    num_experts=8,
    k=2,
    max_train_pairs=300,
    valid_share=0.003,
    test_share=0.003,
    max_steps=6,
    collapse_at=3,
    measure_every=3,
    tokens_per_batch=1000,
    init_range=0.04,
    learning_rate=0.002,
    expert_learning_rate=1.0,
    warm_up_steps=100,
    num_threads=1,
)
SUITE = suite_runs(["suite=questions"])[1]
CLAIMS = STUDY.claims


class _KilledError(Exception):
    pass


def starts(study: Any, path: Path) -> pd.DataFrame:
    return read_finished(execute(study, str(path)).path).table("start")


def begun(**changes: object) -> dict[str, torch.Tensor]:
    config = replace(VOWEL, **changes)
    net = systems.build(config, 1)
    batch = batch_of(config, net, [0, 1, 2], 16.0)
    started = vowel.begun(batch, config)
    return {**started.params, **{f"rate_{name}": rate for name, rate in started.rates.items()}}


def test_a_collapsed_vowel_gate_sends_every_case_to_the_first_expert() -> None:
    gate_RED = begun(gate_start=GateStart.collapsed)["gate"]
    assert (gate_RED[:, 0, -1] == VOWEL.collapse).all()
    assert (gate_RED[:, 1:] == 0).all()


def test_identical_vowel_experts_are_the_first_ones_own_and_noise_parts_them() -> None:
    own, same = begun()["experts"], begun(expert_start=ExpertStart.identical)["experts"]
    assert (same == own[:, :1]).all()
    parted = begun(expert_start=ExpertStart.identical, expert_noise=0.01)["experts"]
    assert 0 < float((parted - same).std()) < 0.1 * float(own.std())


def test_diverged_vowel_seeds_have_no_accuracy(tmp_path: Path) -> None:
    # float64 would hold these numbers.
    config = replace(VOWEL, step_size=1e6, unit=Unit.linear, precision=Precision.float32)
    run = read_finished(execute(config, str(tmp_path)).path)
    assert run.table("metrics")["test_accuracy"].isna().all()
    assert np.isfinite(run.table("start")["loss"]).all()


def test_a_frozen_vowel_gate_does_not_move() -> None:
    assert (begun(gate_start=GateStart.frozen)["rate_gate"] == 0).all()


def test_a_stopped_vowel_run_goes_on_to_the_same_result(tmp_path: Path) -> None:
    config = replace(VOWEL, checkpoint_seconds=0.0)
    whole = read_finished(execute(config, str(tmp_path / "whole")).path)
    shares: list[float] = []

    def kill(stage: str, share: float) -> None:
        shares.append(share)
        if len(shares) == 2:
            raise _KilledError

    with pytest.raises(_KilledError):
        execute(config, str(tmp_path / "killed"), report=kill)
    found = read_finished(execute(config, str(tmp_path / "killed"), report=kill).path)
    # What follows the last checkpoint is trained again.
    assert shares == pytest.approx([1 / 3, 2 / 3, 2 / 3, 1.0])
    for name in ("start", "metrics"):
        pd.testing.assert_frame_equal(found.table(name), whole.table(name))


def test_symmetry_keeps_identical_vowel_experts_identical(tmp_path: Path) -> None:
    table = starts(replace(VOWEL, expert_start=ExpertStart.identical), tmp_path)
    assert table["similarity"].to_numpy() == pytest.approx(1.0)
    assert table["loss"].iloc[-1] < table["loss"].iloc[0]


def test_a_collapsed_clusters_gate_gives_the_first_expert_everything(tmp_path: Path) -> None:
    table = starts(replace(CLUSTERS, gate_start=GateStart.collapsed), tmp_path)
    first = table[table["step"] == 0]
    assert (first["largest_share"] == 1).all()
    assert first["agreement_cluster"].to_numpy() == pytest.approx(0.0)


def test_a_frozen_clusters_gate_stays_at_zero(tmp_path: Path) -> None:
    sample = data.load(CLUSTERS)
    network = Network(CLUSTERS, sample.signals, 0)
    clusters.begin(network, sample.signals, CLUSTERS, 0)
    assert network.gate is not None
    assert (network.gate.weight_DE == 0).all()
    table = starts(replace(CLUSTERS, gate_start=GateStart.frozen), tmp_path)
    # Uniform noise alone shares out the examples.
    assert table["effective_experts"].min() > 3.5


def test_a_text_gate_collapses_when_it_should_and_experts_may_begin_alike(tmp_path: Path) -> None:
    config = replace(
        TEXT,
        gate_start=GateStart.collapsed,
        collapse=50.0,
        expert_start=ExpertStart.identical,
        references=True,
    )
    path = execute(config, str(tmp_path)).path
    found = read_finished(path)
    table = found.table("start").set_index("step")
    assert table.loc[0, "similarity"] == pytest.approx(1.0, abs=1e-3)
    # After three steps words have little in common yet: an even share would be an eighth.
    assert table.loc[config.collapse_at, "largest_share"] > 0.5
    assert table["gate_gradient"].notna().all()
    assert set(found.table("references")["of"]) == {"kind of book", "word class"}
    choices = found.arrays("choices")
    assert choices["expert"].shape[1] == len(choices["word class"])


def test_a_killed_text_run_goes_on_after_its_last_whole_seed_to_the_same_result(
    tmp_path: Path,
) -> None:
    config = replace(TEXT, num_seeds=3, references=True)
    whole = read_finished(execute(config, str(tmp_path / "whole")).path)

    def kill(stage: str, share: float) -> None:
        if stage == "training" and share > 0.4:
            raise _KilledError

    with pytest.raises(_KilledError):
        execute(config, str(tmp_path / "killed"), report=kill)
    shares: list[float] = []

    def note(stage: str, share: float) -> None:
        if stage == "training":
            shares.append(share)

    found = read_finished(execute(config, str(tmp_path / "killed"), report=note).path)
    assert min(shares) > 1 / 3
    for name in ("start", "metrics", "sentences", "references"):
        pd.testing.assert_frame_equal(found.table(name), whole.table(name))
    assert (found.arrays("choices")["expert"] == whole.arrays("choices")["expert"]).all()


def test_a_stopped_text_run_goes_on_within_its_seed_to_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(TEXT, num_seeds=2, gate_start=GateStart.collapsed, checkpoint_seconds=0.0)
    whole = read_finished(execute(config, str(tmp_path / "whole")).path)

    def kill(stage: str, share: float) -> None:
        if stage == "training" and share > 0.5:
            raise _KilledError

    with pytest.raises(_KilledError):
        execute(config, str(tmp_path / "killed"), report=kill)
    steps, step = [], Training._step

    def counted(training: Training, batches: list[Any]) -> Any:
        steps.append(training.progress.step)
        return step(training, batches)

    monkeypatch.setattr(Training, "_step", counted)
    found = read_finished(execute(config, str(tmp_path / "killed")).path)
    # The second seed goes on after its third step, where the call ended.
    assert steps == [3, 4, 5]
    for name in ("start", "metrics", "sentences"):
        pd.testing.assert_frame_equal(found.table(name), whole.table(name))


def test_a_frozen_text_gate_gives_no_gradient(tmp_path: Path) -> None:
    table = starts(replace(TEXT, gate_start=GateStart.frozen), tmp_path)
    assert (table["gate_gradient"] == 0).all()
    assert table["effective_experts"].min() > 2


def test_groups_agree_with_themselves_and_not_with_chance() -> None:
    random = np.random.default_rng(0)
    group_n = random.integers(4, size=2000)
    same, other = (
        agreements(expert_n, {"of": group_n})["agreement_of"]
        for expert_n in ((group_n + 1) % 4, random.integers(4, size=2000))
    )
    assert same == pytest.approx(1.0)
    assert abs(other) < 0.01


def test_standard_clusterings_find_groups_that_lie_apart() -> None:
    group_n = np.arange(300) % 3
    inputs_nD = np.random.default_rng(0).normal(size=(300, 2)) + 20 * np.eye(3)[group_n][:, :2]
    table = references(inputs_nD, {"of": group_n})
    assert table["agreement"].min() == pytest.approx(1.0)
    assert set(table["method"]) == {"k-means", "Gaussian mixture"}


def test_shares_say_how_many_experts_there_are() -> None:
    measured = row(0, 0, 1.0, torch.tensor([2.0, 2.0, 0.0]), 0.0, 0.0)
    assert measured["effective_experts"] == pytest.approx(2.0)
    assert measured["largest_share"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("check", "config"),
    [
        (check_vowel_start, replace(VOWEL, system=System.backprop)),
        (check_clusters_start, replace(CLUSTERS, num_experts=1)),
        (check_translation_start, replace(TEXT, num_experts=1, k=1)),
        (check_translation_start, replace(TEXT, gate=GateName.balanced)),
    ],
)
def test_settings_without_a_gate_to_start_are_refused(check: Any, config: Any) -> None:
    with pytest.raises(UserError):
        check(config)


def test_every_claim_has_a_recipe_a_group_and_runs_of_the_suite() -> None:
    assert set(STUDY.evidence({})) == {claim.id for claim in CLAIMS}
    assert all(item is None for item in STUDY.evidence({}).values())
    for claim in CLAIMS:
        assert sum(claim.id.startswith(group.prefix) for group in STUDY.groups) >= 1
        assert claim.question in range(1, 6)


def test_a_toy_run_is_reported_and_marked_as_not_comparable(tmp_path: Path) -> None:
    runs = {}
    for name in ("vowel_published", "vowel_collapsed", "vowel_identical"):
        study = replace(SUITE[name], num_seeds=3, max_epochs=40, step_size=16.0)
        outcome = execute(study, str(tmp_path))
        runs[name] = named_run(name, study, read_finished(outcome.path), "questions")
    report, pictures = STUDY.build(SuiteRuns(runs, ()), in_folder(str(tmp_path)), "command")
    verdicts = {claim.id: verdict for claim, _, verdict in report.judged}
    assert verdicts["leaves-vowel"] is not None
    assert verdicts["leaves-vowel"].word == "not comparable"
    assert verdicts["leaves-text"] is None
    assert {figure.id for figure, _ in pictures} >= {"collapse", "identity"}


def test_gains_are_compared_over_the_seeds_that_both_have(tmp_path: Path) -> None:
    runs = {}
    names = ("centre_0", "centre_100", "num_clusters_2", "num_clusters_8")
    for place, name in enumerate(names):
        for each in (name, f"{name}_single"):
            toy = {"num_train": 200, "num_test": 200, "num_filters": 4, "max_steps": 2}
            study = replace(SUITE[each], num_seeds=2 + place, **toy)
            done = read_finished(execute(study, str(tmp_path)).path)
            runs[each] = named_run(each, study, done, "questions")
    found = STUDY.evidence(runs)
    signal, number = found["help-clusters-signal"], found["help-more-clusters"]
    assert isinstance(signal, RateEvidence)
    assert isinstance(number, OrderEvidence)
    assert (signal.n, len(number.first)) == (2, 4)
