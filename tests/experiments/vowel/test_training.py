"""Training: each seed goes its own way, to its own stop, the same however it is cut up."""

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from experiments.runner.schema import Device
from experiments.runner.storage import read_checkpoint, write_checkpoint
from experiments.vowel import data, evaluation, systems
from experiments.vowel.settings import (
    Coding,
    Cost,
    Execution,
    Precision,
    StopMeasure,
    System,
    Unit,
    VowelConfig,
)
from experiments.vowel.study import batch_of, explore, prepare
from experiments.vowel.systems import Params
from experiments.vowel.training import NEVER, Criterion, Progress, Schedule, train

# A coding and a threshold that a net reaches in some hundred epochs, with steps so small that
# rounding errors do not grow: at the study's own steps, nets at the edge of stability magnify one
# rounding error to the size of a weight within a hundred epochs.
MIXTURE = VowelConfig(
    coding=Coding.bit_1010, precision=Precision.float64, step_size=4.0, stop_error=0.2
)
BACKPROP = replace(MIXTURE, system=System.backprop, step_size=8.0, stop_error=0.24)
BY_LAYER = replace(MIXTURE, execution=Execution.layer)
SYSTEMS = pytest.mark.parametrize("config", [MIXTURE, BACKPROP], ids=["mixture", "backprop"])
SEEDS = [0, 1, 2, 3, 4]


def trained(
    config: VowelConfig,
    seeds: list[int],
    max_epochs: int = 1500,
    step_sizes: list[float] | None = None,
    criteria: list[Criterion] | None = None,
    segment: int = 10,
    checkpoint_seconds: float = math.inf,
    **hooks: Any,
) -> Progress:
    vowels, net = prepare(config)
    steps = step_sizes or [config.step_size or 0.0] * len(seeds)
    batch = batch_of(config, net, seeds, steps)
    criteria = criteria or [Criterion(config.stop_measure, config.stop_error)]
    schedule = Schedule(criteria, max_epochs, segment, True, checkpoint_seconds)
    train_cases = vowels.train
    return train(net, train_cases.inputs_DN, train_cases.targets_ON, batch, schedule, **hooks)


def identical(one: Any, other: Any) -> bool:
    """Equal in every bit, with NaN equal to NaN."""
    if isinstance(one, Tensor):
        same: bool = one.numpy().tobytes() == other.numpy().tobytes()
        return same and one.dtype == other.dtype
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(identical(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(identical, one, other))
    return bool(one == other)


@SYSTEMS
@pytest.mark.parametrize(
    ("precision", "tolerance", "epochs_apart"),
    [(Precision.float64, 1e-11, 0), (Precision.float32, 1e-3, 2)],
)
def test_a_seed_does_not_depend_on_its_company(
    config: VowelConfig, precision: Precision, tolerance: float, epochs_apart: int
) -> None:
    config = replace(config, precision=precision)
    together = trained(config, SEEDS)
    for seed in (0, 3):
        alone = trained(config, [seed])
        assert abs(int(alone.epochs[0, 0] - together.epochs[0, seed])) <= epochs_apart
        for name, value in alone.stopped.items():
            torch.testing.assert_close(
                together.stopped[name][0, seed], value[0, 0], rtol=tolerance, atol=tolerance
            )


@pytest.mark.parametrize("num_runs", [2, 150])
def test_a_batch_that_needs_several_tiles_is_each_seed_alone(num_runs: int) -> None:
    seeds = list(range(num_runs))
    batch = trained(MIXTURE, seeds, max_epochs=60)
    last = trained(MIXTURE, seeds[-1:], max_epochs=60)
    for name, value in last.params.items():
        torch.testing.assert_close(batch.params[name][-1], value[0], rtol=1e-10, atol=1e-10)


def literal_error_and_cost(
    config: VowelConfig, weights: Params, inputs_DN: Tensor, targets_ON: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean squared error and cost of one net, as section 1 and section 3 write them."""
    if config.system is System.backprop:
        hidden_HN = torch.sigmoid(weights["hidden"] @ inputs_DN)
        ones_1N = torch.ones_like(hidden_HN[:1])
        output_ON = torch.sigmoid(weights["output"] @ torch.cat([hidden_HN, ones_1N]))
        error = (targets_ON - output_ON).pow(2).sum(dim=0).mean()
        return error, error / 2
    p_EN = torch.softmax(weights["gate"] @ inputs_DN, dim=0)
    o_EON = torch.sigmoid(torch.einsum("eod,dn->eon", weights["experts"], inputs_DN))
    distances_EN = (targets_ON - o_EON).pow(2).sum(dim=1)
    blended_ON = torch.einsum("en,eon->on", p_EN, o_EON)
    error = (targets_ON - blended_ON).pow(2).sum(dim=0).mean()
    if config.cost is Cost.blend_error:
        return error, error
    if config.cost is Cost.expected_error:
        return error, (p_EN * distances_EN).sum(dim=0).mean()
    return error, -(p_EN * torch.exp(-distances_EN / 2)).sum(dim=0).log().mean()


def reference_loop(config: VowelConfig, seed: int, max_epochs: int) -> tuple[int, Params]:
    """Gradient descent by automatic differentiation on one seed: epochs to the stop, weights."""
    cases = data.load(config).train
    weights = systems.build(config, cases.targets_ON.shape[0]).init(seed)
    for epoch in range(max_epochs):
        weights = {name: value.detach().requires_grad_() for name, value in weights.items()}
        error, cost = literal_error_and_cost(config, weights, cases.inputs_DN, cases.targets_ON)
        if error <= config.stop_error:
            return epoch, weights
        slopes = torch.autograd.grad(cost, list(weights.values()))
        steps = {
            name: (config.step_size or 0) * (config.gate_step if name == "gate" else 1)
            for name in weights
        }
        weights = {
            name: value - steps[name] * slope
            for (name, value), slope in zip(weights.items(), slopes, strict=True)
        }
    return NEVER, weights


@pytest.mark.parametrize(
    "config",
    [
        MIXTURE,
        replace(MIXTURE, cost=Cost.expected_error),
        replace(MIXTURE, cost=Cost.blend_error),
        replace(MIXTURE, gate_step=0.3, num_experts=3, gate_init_range=0.2),
        BACKPROP,
    ],
    ids=["likelihood", "expected error", "blend error", "gate step", "backprop"],
)
def test_training_is_plain_gradient_descent_to_the_first_epoch_below_the_threshold(
    config: VowelConfig,
) -> None:
    batch = trained(config, SEEDS)
    epochs, weights = reference_loop(config, seed=2, max_epochs=1500)
    assert epochs != NEVER
    assert int(batch.epochs[0, 2]) == epochs
    for name, value in weights.items():
        torch.testing.assert_close(
            batch.stopped[name][0, 2], value.detach(), rtol=1e-11, atol=1e-12
        )


@pytest.mark.parametrize("cost", list(Cost))
def test_the_layer_trains_as_the_batch_does(cost: Cost) -> None:
    config = replace(MIXTURE, cost=cost, gate_init_range=0.2, gate_temperature=1.5)
    batched = trained(config, SEEDS[:2], 120)
    layer = trained(replace(config, execution=Execution.layer), SEEDS[:2], 120)
    assert torch.equal(layer.epochs, batched.epochs)
    for name, value in batched.params.items():
        assert layer.params[name].abs().sum() > 0
        torch.testing.assert_close(layer.params[name], value, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("config", [MIXTURE, BY_LAYER, BACKPROP], ids=["batched", "layer", "net"])
def test_every_tensor_is_made_where_the_weights_are(config: VowelConfig) -> None:
    vowels, net = prepare(config)
    batch = batch_of(config, net, SEEDS[:2], config.step_size or 0.0)
    schedule = Schedule([Criterion(StopMeasure.expected, 0.2)], 20, 10, keep_snapshots=True)
    # What is made without saying where has no values, and meets none that has.
    with torch.device("meta"):
        cases = vowels.train
        progress = train(net, cases.inputs_DN, cases.targets_ON, batch, schedule)
        metrics = evaluation.metrics(net, vowels, config.vowels, progress, 20)
        curves = evaluation.curves(net, vowels, config.vowels, progress, SEEDS[:2])
    assert metrics["train_error"].notna().all()
    assert sorted(curves["epoch"].unique()) == [0, 10, 20]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("config", [MIXTURE, BY_LAYER, BACKPROP], ids=["batched", "layer", "net"])
def test_a_gpu_trains_as_the_cpu_does(config: VowelConfig) -> None:
    there = trained(replace(config, device=Device.cuda), SEEDS, 120)
    assert there.params[min(there.params)].is_cuda
    here = trained(config, SEEDS, 120)
    for name, value in here.params.items():
        torch.testing.assert_close(there.params[name].cpu(), value, rtol=1e-8, atol=1e-9)


@SYSTEMS
def test_the_stop_is_the_first_epoch_at_or_below_the_threshold(config: VowelConfig) -> None:
    progress = trained(config, [0, 1], segment=1)
    vowels = data.load(config)
    net = systems.build(config, 1)

    def errors(params: Params) -> Tensor:
        prediction = net.predict(params, vowels.train.inputs_DN)
        return systems.mean_squared_error(prediction, vowels.train.targets_ON, StopMeasure.blend)

    assert progress.snapshot_epochs == list(range(len(progress.snapshots)))
    history_TR = torch.stack([errors(snapshot) for snapshot in progress.snapshots])
    at_stop = errors({name: value[0] for name, value in progress.stopped.items()})
    for run, stop in enumerate(progress.epochs[0].tolist()):
        assert stop > 0
        assert (history_TR[:stop, run] > config.stop_error).all()
        assert float(at_stop[run]) <= config.stop_error


def test_several_criteria_are_read_off_one_trajectory() -> None:
    measures = [StopMeasure.blend, StopMeasure.expected]
    criteria = [Criterion(measure, error) for measure in measures for error in (0.23, 0.2)]
    together = trained(MIXTURE, SEEDS, criteria=criteria)
    for index, criterion in enumerate(criteria):
        alone = trained(MIXTURE, SEEDS, criteria=[criterion])
        assert torch.equal(together.epochs[index], alone.epochs[0])
        torch.testing.assert_close(
            together.stopped["gate"][index], alone.stopped["gate"][0], rtol=1e-9, atol=1e-10
        )
    assert (together.epochs[0] < together.epochs[1]).all()
    assert (together.epochs[2] >= together.epochs[0]).all()


def test_a_threshold_met_at_the_start_takes_no_update() -> None:
    progress = trained(replace(MIXTURE, stop_error=100.0), [0, 1])
    assert progress.epochs.tolist() == [[0, 0]]
    assert identical(progress.stopped["gate"][0], progress.snapshots[0]["gate"])


class Killed(Exception):
    """Stands for the end of a process between two segments."""


def killed_after(num_segments: int) -> Callable[[Progress], None]:
    segments = iter(range(num_segments))

    def on_segment(progress: Progress) -> None:
        # A segment is reported before its checkpoint is due: its work is lost with the process.
        if next(segments, None) is None:
            raise Killed

    return on_segment


@SYSTEMS
@pytest.mark.parametrize("num_segments", [1, 7, 20])
def test_an_interrupted_training_ends_in_the_same_bits(
    config: VowelConfig, num_segments: int, tmp_path: Path
) -> None:
    config = replace(config, precision=Precision.float32)
    file = tmp_path / "checkpoint.pt"
    unbroken = trained(config, SEEDS)
    progress = None
    for _ in range(2):
        with pytest.raises(Killed):
            trained(
                config,
                SEEDS,
                progress=progress,
                checkpoint_seconds=0,
                on_checkpoint=lambda progress: write_checkpoint(file, "a run", vars(progress)),
                on_segment=killed_after(num_segments),
            )
        state = read_checkpoint(file, "a run")
        assert state is not None
        progress = Progress(**state)
    assert progress is not None
    progress_epoch = progress.epoch
    assert progress_epoch == 2 * num_segments * 10
    continued = trained(config, SEEDS, progress=progress)
    assert continued.epoch > progress_epoch
    assert identical(vars(continued), vars(unbroken))


@pytest.mark.parametrize(("seconds", "num_saved"), [(1.5, 2), (2.5, 1), (4.5, 0)])
def test_a_checkpoint_is_due_when_its_time_has_passed(seconds: float, num_saved: int) -> None:
    saved: list[int] = []
    # A clock that is a second later at every look; a segment of the training looks once.
    with mock.patch("time.monotonic", side_effect=itertools.count(5000)):
        trained(
            MIXTURE,
            [0],
            max_epochs=40,
            checkpoint_seconds=seconds,
            on_checkpoint=lambda progress: saved.append(progress.epoch),
        )
    assert len(saved) == num_saved


def test_a_run_that_is_wider_than_a_tile_has_a_tile_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = trained(MIXTURE, [0, 1], 20)
    monkeypatch.setattr("experiments.vowel.training.TILE_ELEMENTS", 1)
    assert identical(vars(trained(MIXTURE, [0, 1], 20)), vars(whole))


def test_training_the_same_batch_twice_gives_the_same_bits() -> None:
    assert identical(vars(trained(MIXTURE, SEEDS, 200)), vars(trained(MIXTURE, SEEDS, 200)))


def test_a_diverging_run_is_recorded_and_leaves_the_others_alone() -> None:
    config = replace(MIXTURE, unit=Unit.linear, stop_error=0.2)
    mixed = trained(config, [0, 1, 2], step_sizes=[0.1, 1e6, 0.1], max_epochs=300)
    sound = trained(config, [0, 2], step_sizes=[0.1, 0.1], max_epochs=300)
    assert mixed.diverged[1] != NEVER
    assert mixed.diverged[[0, 2]].tolist() == [NEVER, NEVER]
    assert mixed.epochs[0, 1] == NEVER
    assert torch.equal(mixed.epochs[:, [0, 2]], sound.epochs)
    for name, value in sound.params.items():
        assert value.isfinite().all()
        torch.testing.assert_close(mixed.params[name][[0, 2]], value, rtol=1e-9, atol=1e-10)
    status, epochs = evaluation.outcome(mixed, 300)
    assert status[1] == "diverged"
    assert int(epochs[1]) == 300


def test_a_diverged_run_has_no_accuracy_and_the_others_keep_theirs() -> None:
    config = replace(MIXTURE, unit=Unit.linear)
    progress = trained(config, [0, 1], step_sizes=[0.1, 1e6], max_epochs=200)
    vowels = data.load(config)
    frame = evaluation.metrics(systems.build(config, 1), vowels, config.vowels, progress, 200)
    assert list(frame["status"]) == ["exhausted", "diverged"]
    measured = frame.drop(columns=["status", "epochs"])
    assert measured.loc[0].notna().all()
    assert measured.loc[1].isna().all()


def test_snapshots_are_taken_every_segment_and_are_empty_after_a_runs_end() -> None:
    progress = trained(MIXTURE, SEEDS)
    assert progress.snapshot_epochs == list(range(0, progress.epoch + 1, 10))
    assert len(set(progress.epochs[0].tolist())) > 1
    for epoch, snapshot in zip(progress.snapshot_epochs, progress.snapshots, strict=True):
        for run, stop in enumerate(progress.epochs[0].tolist()):
            # The run leaves after the segment in which it met the criterion.
            going = epoch <= stop
            for value in snapshot.values():
                assert bool(value[run].isfinite().all()) is going
                assert bool(value[run].isnan().all()) is not going


def test_snapshots_do_not_change_as_training_goes_on() -> None:
    early = trained(MIXTURE, SEEDS, max_epochs=100)
    kept = copy.deepcopy(early.snapshots)
    late = trained(MIXTURE, SEEDS, max_epochs=200, progress=early)
    assert identical(late.snapshots[: len(kept)], kept)


@pytest.mark.parametrize("temperature", [0.5, 3.2])
def test_a_gates_temperature_is_a_gate_step_over_its_square(temperature: float) -> None:
    warm = replace(MIXTURE, gate_temperature=temperature, stop_error=0.0)
    stepped = replace(MIXTURE, gate_step=1 / temperature**2, stop_error=0.0)
    one, other = (trained(config, SEEDS, max_epochs=300) for config in (warm, stepped))
    assert one.params["gate"].abs().max() > 0.1
    torch.testing.assert_close(one.params["experts"], other.params["experts"], rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(
        one.params["gate"] / temperature, other.params["gate"], rtol=1e-7, atol=1e-8
    )


def test_training_ends_when_it_is_told_that_it_has_enough() -> None:
    progress = trained(MIXTURE, SEEDS, enough=lambda progress: progress.epoch >= 30)
    assert progress.epoch == 30
    assert (progress.epochs == NEVER).all()


def test_patience_gives_up_on_slow_steps_and_leaves_the_others_as_they_are() -> None:
    config = replace(
        MIXTURE, step_size=None, step_grid=[2.0, 16.0], num_exploration_seeds=2, stop_error=0.2
    )
    config = replace(config, exploration_epochs=1500)
    vowels = data.load(config)
    net = systems.build(config, 1)
    patient = explore(config, net, vowels)
    hasty = explore(replace(config, exploration_patience=1.5), net, vowels)
    assert (patient["status"] == "converged").all()
    fast, slow = (hasty["step_size"] == step for step in (16.0, 2.0))
    assert hasty[fast].equals(patient[fast])
    assert (hasty[slow]["status"] == "exhausted").all()
    assert (hasty[slow]["epochs"] == 1500).all()


def test_no_step_is_given_up_before_one_has_all_its_seeds_home() -> None:
    config = replace(
        MIXTURE, step_grid=[2.0, 4.0], num_exploration_seeds=2, exploration_patience=1.0
    )
    config = replace(config, stop_error=0.0, exploration_epochs=120)
    vowels = data.load(config)
    stages: list[tuple[str, float]] = []
    explore(config, systems.build(config, 1), vowels, lambda *stage: stages.append(stage))
    assert stages[-1] == ("step sizes", 1.0)


@SYSTEMS
def test_initial_weights_follow_their_seed_and_range_in_either_precision(
    config: VowelConfig,
) -> None:
    config = replace(config, init_range=0.3)
    double = systems.build(config, 1).init(7)
    single = systems.build(replace(config, precision=Precision.float32), 1).init(7)
    other = systems.build(config, 1).init(8)
    for name, value in double.items():
        assert single[name].dtype == torch.float32
        assert torch.equal(single[name], value.float())
        assert float(value.abs().max()) <= 0.3
        # A gate that starts with equal proportions has no weights to draw.
        assert torch.equal(other[name], value) is (name == "gate")
    if config.system is System.mixture:
        assert not double["gate"].any()
