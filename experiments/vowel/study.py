"""One run of the vowel study: choose a step size, train all seeds, measure, write the folder."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from experiments.run_folder import RunFolder
from experiments.vowel import data, evaluation, own_table, systems
from experiments.vowel.data import VowelData
from experiments.vowel.settings import EXPLORATION_FIRST_SEED, ReferenceConfig, VowelConfig
from experiments.vowel.systems import Net
from experiments.vowel.training import NEVER, Batch, Criterion, Progress, Schedule, train

Report = Callable[[str, float], None]
_LOGGER = logging.getLogger(__name__)
EXPLORATION_SEGMENT = 50


def identity(config: VowelConfig) -> dict[str, object]:
    """What beside the config and the code decides a run's results: the data's checksum."""
    own = getattr(config, "table", None)
    if own is not None:
        return {"data_sha256": own_table.checksum(own)}
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
    vowels, net = prepare(config)
    step_size = config.step_size or explored_step(config, net, vowels, folder, report)
    seeds = seeds_of(config)
    batch = batch_of(config, net, seeds, step_size)
    progress = train_seeds(config, net, vowels, batch, _criterion(config), folder, report)
    metrics = evaluation.metrics(net, vowels, config.vowels, progress, config.max_epochs)
    metrics.insert(0, "seed", seeds)
    folder.write_table("metrics", metrics)
    curves = evaluation.curves(net, vowels, config.vowels, progress, seeds)
    folder.write_table("curves", curves)
    folder.write_arrays("snapshots", _arrays(progress, config.num_paths))
    return {
        "step_size": step_size,
        "seeds": seeds,
        "num_converged": int((metrics["status"] == "converged").sum()),
        "num_diverged": int((metrics["status"] == "diverged").sum()),
        "data_sha256": vowels.sha256,
    }


def prepare(config: VowelConfig) -> tuple[VowelData, Net]:
    """The recordings on the config's device, and the system that it describes."""
    vowels = data.load(config).to(config.device.value)
    return vowels, systems.build(config, vowels.codes_VO.shape[1])


def seeds_of(config: VowelConfig) -> list[int]:
    """The seeds that are trained and reported."""
    return list(range(config.first_seed, config.first_seed + config.num_seeds))


def batch_of(
    config: VowelConfig, net: Net, seeds: list[int], step_size: float | list[float]
) -> Batch:
    """Runs of one config on its device that differ in seed and, with a list, in step size."""
    starts = [net.init(seed) for seed in seeds]
    # Stacked along a first dimension of runs, which every function of `systems` allows.
    params = {
        name: torch.stack([start[name] for start in starts]).to(config.device.value)
        for name in starts[0]
    }
    step_sizes = step_size if isinstance(step_size, list) else [step_size] * len(seeds)
    rate_R = next(iter(params.values())).new_tensor(step_sizes)
    # The paper has one step size per system; `gate_step` is 1 unless it is varied.
    rates = {name: rate_R * config.gate_step if name == "gate" else rate_R for name in params}
    return Batch(params, rates)


def explore(
    config: VowelConfig, net: Net, vowels: VowelData, report: Report = lambda stage, share: None
) -> pd.DataFrame:
    """Try every step of the grid on seeds kept apart: step_size, seed, status, epochs."""
    seeds = [EXPLORATION_FIRST_SEED + index for index in range(config.num_exploration_seeds)]
    # All steps from the same initial conditions, as the paper says of its exploration.
    grid = [(step, seed) for step in config.step_grid for seed in seeds]
    batch = batch_of(config, net, [seed for _, seed in grid], [step for step, _ in grid])
    schedule = Schedule([_criterion(config)], config.exploration_epochs, EXPLORATION_SEGMENT)
    progress = train(
        net,
        vowels.train.inputs_DN,
        vowels.train.targets_ON,
        batch,
        schedule,
        on_segment=lambda state: report("step sizes", state.epoch / schedule.max_epochs),
        enough=partial(_no_step_can_win, config=config),
    )
    status, epochs = evaluation.outcome(progress, schedule.max_epochs)
    frame = pd.DataFrame(grid, columns=["step_size", "seed"])
    return frame.assign(status=status, epochs=epochs.cpu().numpy())


def _no_step_can_win(progress: Progress, config: VowelConfig) -> bool:
    """Whether some step has had all its seeds home for so long that the others are given up."""
    if config.exploration_patience is None:
        return False
    epochs = progress.epochs[0].view(len(config.step_grid), -1)
    # Only steps at which every seed arrived: a mean over the lucky ones would look fast.
    home = epochs[(epochs != NEVER).all(dim=1)].double()
    return bool(
        home.numel()
        and progress.epoch >= config.exploration_patience * float(home.mean(dim=1).min())
    )


def choose_step(exploration: pd.DataFrame, share: float = 1.0) -> float:
    """The step size that our rule takes, fixed before any result.

    The paper chose a step size per system after limited exploration from the same initial
    conditions (section 3); it gives neither the values nor the rule. Ours tries every step of
    `study.step_grid` from the same initial weights on a few seeds that are not reported.

    Args:
        exploration: one row per step and seed: step_size, seed, status, epochs.
        share: of the fastest step that is taken. The fastest one lies at the edge of stability,
            where a rounding changes epochs; see `experiments.vowel.settings.STEP_SHARE`.

    Returns:
        So much of the fastest step: among the steps at which the most seeds converged, the one
        with the fewest mean epochs; the smaller one of two that tie.
    """
    # First by how many seeds arrive, then by how fast, then the smaller step: a rule for every tie.
    arrived = (exploration["status"] == "converged").groupby(exploration["step_size"]).sum()
    epochs = exploration.groupby("step_size")["epochs"].mean()
    best = epochs[arrived == arrived.max()]
    candidates = zip(best.tolist(), best.index.tolist(), strict=True)
    return share * float(min(candidates)[1])


def _criterion(config: VowelConfig) -> Criterion:
    return Criterion(config.stop_measure, config.stop_error)


def explored_step(
    config: VowelConfig, net: Net, vowels: VowelData, folder: RunFolder, report: Report
) -> float:
    """The step that `choose_step` takes of exploration.csv, which is written if it is missing."""
    path = folder.path / "exploration.csv"
    if not path.exists():
        folder.write_table("exploration", explore(config, net, vowels, report))
    return choose_step(pd.read_csv(path), config.step_share)


def train_seeds(
    config: VowelConfig,
    net: Net,
    vowels: VowelData,
    batch: Batch,
    criterion: Criterion,
    folder: RunFolder,
    report: Report,
) -> Progress:
    """Train a batch with snapshots and checkpoints, from the folder's checkpoint if it has one."""
    schedule = Schedule(
        [criterion],
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
        schedule,
        progress=None if kept is None else Progress(**kept).to(config.device.value),
        on_segment=partial(_report_training, report=report, max_epochs=config.max_epochs),
        on_checkpoint=lambda progress: folder.save_checkpoint(vars(progress.to("cpu"))),
    )


def _report_training(progress: Progress, report: Report, max_epochs: int) -> None:
    ended = ((progress.epochs[0] >= 0) | (progress.diverged >= 0)).double().mean()
    report("training", max(float(ended), progress.epoch / max_epochs))


def _arrays(progress: Progress, num_paths: int) -> dict[str, np.ndarray]:
    """Weights of the first seeds at every snapshot and at the stop, for pictures of their paths."""
    progress = progress.to("cpu")
    arrays = {"epochs": np.array(progress.snapshot_epochs)}
    for name in progress.params:
        path = torch.stack([snapshot[name][:num_paths] for snapshot in progress.snapshots])
        # Single precision shows where a line lies, in half the space.
        arrays[name] = path.float().numpy()
        arrays[f"stopped_{name}"] = progress.stopped[name][0][:num_paths].float().numpy()
    return arrays


def run_reference(config: ReferenceConfig, folder: RunFolder, report: Report) -> dict[str, Any]:
    """Fit standard classifiers on the same split: what 90 % means on these recordings.

    Writes metrics.csv: classifier, train_accuracy, test_accuracy (shares of tokens, all vowels as
    classes).
    """
    vowels = data.load(config)
    train_cases, test_cases = (
        (cases.inputs_DN[:-1].T.numpy(), cases.vowels_N.numpy())
        for cases in (vowels.train, vowels.test)
    )
    rows = []
    for name, classifier in _classifiers(config).items():
        classifier.fit(*train_cases)
        rows.append((name, classifier.score(*train_cases), classifier.score(*test_cases)))
        report("reference classifiers", len(rows) / 4)
    columns = ["classifier", "train_accuracy", "test_accuracy"]
    folder.write_table("metrics", pd.DataFrame(rows, columns=columns))
    return {"data_sha256": vowels.sha256}


def _classifiers(config: ReferenceConfig) -> dict[str, Any]:
    # Imported here: it takes longer than most commands that never fit a classifier.
    from sklearn.discriminant_analysis import (
        LinearDiscriminantAnalysis,
        QuadraticDiscriminantAnalysis,
    )
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    return {
        "linear discriminant": LinearDiscriminantAnalysis(),
        "quadratic discriminant": QuadraticDiscriminantAnalysis(),
        # C: no shrinkage to speak of, the formants being in kHz.
        "logistic regression": LogisticRegression(C=1e6, max_iter=10_000),
        f"{config.num_neighbours} nearest neighbours": KNeighborsClassifier(config.num_neighbours),
    }
