"""One run of the vowel study: choose a step size, train all seeds, measure, write the folder."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from experiments.run_folder import RunFolder
from experiments.vowel import data, evaluation, steps, systems
from experiments.vowel.data import VowelData
from experiments.vowel.settings import EXPLORATION_FIRST_SEED, VowelConfig
from experiments.vowel.systems import Net, Params
from experiments.vowel.training import NEVER, Batch, Criterion, Plan, Progress, train

Report = Callable[[str, float], None]
_LOGGER = logging.getLogger(__name__)
EXPLORATION_SEGMENT = 50


def identity(config: VowelConfig) -> dict[str, object]:
    """What beside the config and the code decides a run's results: the data's checksum."""
    data.load_table()
    return {"data_sha256": data.SHA256}


def run(config: VowelConfig, folder: RunFolder, report: Report) -> dict[str, Any]:
    """Train and measure all seeds of one system, continuing what an interrupted call left.

    Writes exploration.csv (when the step size is chosen by rule), metrics.csv, curves.csv and
    snapshots.npz.

    Args:
        config: the settings.
        folder: a claimed run folder.
        report: called with a stage's name and the share of it that is done.

    Returns:
        Facts for the manifest: step size, seeds and how many of them converged.
    """
    vowels = data.load(config)
    net = systems.build(config, vowels.codes_VO.shape[1])
    step_size = config.step_size or _explored_step(config, net, vowels, folder, report)
    seeds = list(range(config.first_seed, config.first_seed + config.num_seeds))
    progress = _train_seeds(config, net, vowels, seeds, step_size, folder, report)
    metrics = evaluation.metrics(net, vowels, config.vowels, progress, config.max_epochs)
    metrics.insert(0, "seed", seeds)
    folder.write_table("metrics", metrics)
    curves = evaluation.curves(net, vowels, config.vowels, progress, seeds)
    folder.write_table("curves", curves)
    folder.write_arrays("snapshots", _arrays(progress))
    return {
        "step_size": step_size,
        "seeds": seeds,
        "num_converged": int((metrics["status"] == "converged").sum()),
        "num_diverged": int((metrics["status"] == "diverged").sum()),
        "data_sha256": vowels.sha256,
    }


def batch_of(config: VowelConfig, net: Net, seeds: list[int], step_sizes: Tensor) -> Batch:
    """Runs of one config that differ in seed and step size, `[R]` each."""
    starts = [net.init(seed) for seed in seeds]
    params = {name: torch.stack([start[name] for start in starts]) for name in starts[0]}
    step_sizes = step_sizes.to(next(iter(params.values())).dtype)
    rates = {
        name: step_sizes * config.gate_step if name == "gate" else step_sizes for name in params
    }
    return Batch(params, rates)


def explore(
    config: VowelConfig, net: Net, vowels: VowelData, report: Report = lambda stage, share: None
) -> pd.DataFrame:
    """Try every step of the grid on seeds kept apart: step_size, seed, status, epochs."""
    seeds = [EXPLORATION_FIRST_SEED + index for index in range(config.num_exploration_seeds)]
    grid = [(step, seed) for step in config.step_grid for seed in seeds]
    step_sizes = torch.tensor([step for step, _ in grid], dtype=torch.float64)
    batch = batch_of(config, net, [seed for _, seed in grid], step_sizes)
    plan = Plan([_criterion(config)], config.exploration_epochs, EXPLORATION_SEGMENT)
    progress = train(
        net,
        vowels.train.inputs_DN,
        vowels.train.targets_ON,
        batch,
        plan,
        on_segment=lambda state: report("step sizes", state.epoch / plan.max_epochs),
        enough=partial(_no_step_can_win, config=config),
    )
    status, epochs = evaluation.outcome(progress, plan.max_epochs)
    frame = pd.DataFrame(grid, columns=["step_size", "seed"])
    return frame.assign(status=status, epochs=epochs.numpy())


def _no_step_can_win(progress: Progress, config: VowelConfig) -> bool:
    """Whether some step has had all its seeds home for so long that the others are given up."""
    if config.exploration_patience is None:
        return False
    epochs = progress.epochs[0].view(len(config.step_grid), -1)
    home = epochs[(epochs != NEVER).all(dim=1)].double()
    return bool(
        home.numel()
        and progress.epoch >= config.exploration_patience * float(home.mean(dim=1).min())
    )


def _criterion(config: VowelConfig) -> Criterion:
    return Criterion(config.stop_measure, config.stop_error)


def _explored_step(
    config: VowelConfig, net: Net, vowels: VowelData, folder: RunFolder, report: Report
) -> float:
    path = folder.path / "exploration.csv"
    if not path.exists():
        folder.write_table("exploration", explore(config, net, vowels, report))
    return steps.choose(pd.read_csv(path))


def _train_seeds(
    config: VowelConfig,
    net: Net,
    vowels: VowelData,
    seeds: list[int],
    step_size: float,
    folder: RunFolder,
    report: Report,
) -> Progress:
    step_sizes = torch.full((len(seeds),), step_size, dtype=torch.float64)
    batch = batch_of(config, net, seeds, step_sizes)
    plan = Plan(
        [_criterion(config)],
        config.max_epochs,
        config.snapshot_every,
        keep_snapshots=True,
        checkpoint_seconds=config.checkpoint_seconds,
    )
    kept = folder.load_checkpoint()
    if kept is not None:
        _LOGGER.info("continuing %s from epoch %d", folder.path, kept["epoch"])
    return train(
        net,
        vowels.train.inputs_DN,
        vowels.train.targets_ON,
        batch,
        plan,
        progress=None if kept is None else _from_state(kept),
        on_segment=partial(_report_training, report=report, max_epochs=config.max_epochs),
        on_checkpoint=lambda progress: folder.save_checkpoint(_state(progress)),
    )


def _report_training(progress: Progress, report: Report, max_epochs: int) -> None:
    ended = ((progress.epochs[0] >= 0) | (progress.diverged >= 0)).double().mean()
    report("training", max(float(ended), progress.epoch / max_epochs))


def _state(progress: Progress) -> dict[str, object]:
    return dict(vars(progress))


def _from_state(state: dict[str, Any]) -> Progress:
    return replace(Progress(**state))


def _arrays(progress: Progress) -> dict[str, np.ndarray]:
    arrays = {"epochs": np.array(progress.snapshot_epochs)}
    for name in progress.params:
        arrays[name] = torch.stack([snapshot[name] for snapshot in progress.snapshots]).numpy()
        arrays[f"stopped_{name}"] = progress.stopped[name][0].numpy()
    return arrays


__all__ = ["Params", "batch_of", "explore", "identity", "run"]
