"""One run of the clusters study: train all seeds of one model, measure, write the folder."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from experiments.clusters import data, own_array
from experiments.clusters.data import Examples, unshuffled
from experiments.clusters.evaluation import CURVE
from experiments.clusters.settings import ClustersConfig
from experiments.clusters.training import Trained, train_seed
from experiments.run_folder import RunFolder

_LOGGER = logging.getLogger(__name__)
_PICTURE = ("choices", "predictions")

Seed = dict[str, Any]


def identity(config: ClustersConfig) -> dict[str, object]:
    """What beside the config and the code decides a run's results: the user's file, if any."""
    return {} if config.array is None else {"data_sha256": own_array.checksum(config.array)}


def run(
    config: ClustersConfig, folder: RunFolder, report: Callable[[str, float], None]
) -> dict[str, Any]:
    """Train and measure all seeds, continuing after the last one that an earlier call finished.

    Writes metrics.csv, curves.csv, snapshots.npz and, with `keep_picture`, picture.npz.

    Args:
        config: the settings.
        folder: a claimed run folder.
        report: called with a stage's name and the share of it that is done.

    Returns:
        Facts for the manifest: the seeds, and how many diverged.
    """
    config = own_array.sized(config)
    seeds = list(range(config.first_seed, config.first_seed + config.num_seeds))
    done = _trained(config, seeds, folder, report)
    folder.write_table("metrics", pd.DataFrame([seed["row"] for seed in done]))
    folder.write_table("curves", _curves(done))
    folder.write_arrays("snapshots", _snapshots(done))
    if config.keep_picture:
        folder.write_arrays("picture", _picture(config, done[0]))
    return {"seeds": seeds, "num_diverged": sum(seed["row"]["diverged"] for seed in done)}


def _trained(
    config: ClustersConfig,
    seeds: list[int],
    folder: RunFolder,
    report: Callable[[str, float], None],
) -> list[Seed]:
    kept = folder.load_checkpoint() or {"done": []}
    done: list[Seed] = kept["done"]
    if done:
        _LOGGER.info("continuing %s after %d seeds", folder.path, len(done))
    # All seeds share one data set, as in the authors' code, unless the settings say otherwise.
    sample = None
    for seed in seeds[len(done) :]:
        if sample is None or config.fresh_data:
            sample = data.load(config, seed)
        keep_picture = config.keep_picture and seed == config.first_seed
        done.append(_plain(train_seed(config, sample, seed, keep_picture)))
        # Seeds are independent, so a run that was broken off goes on with the next one.
        folder.save_checkpoint({"done": done})
        report("seeds", len(done) / len(seeds))
    return done


def _plain(trained: Trained) -> Seed:
    """A seed as values that a checkpoint can hold."""
    records = trained.records
    return {
        "row": trained.row,
        "curve": torch.tensor(records.curve, dtype=torch.float64),
        "steps": records.steps,
        "snapshots": {name: torch.stack(each) for name, each in records.snapshots.items()},
        "init_cluster": trained.init_cluster,
        "expert_accuracy": trained.expert_accuracy,
    }


def _curves(done: list[Seed]) -> pd.DataFrame:
    frames = []
    for seed in done:
        frame = pd.DataFrame(seed["curve"].numpy(), columns=list(CURVE))
        frame = frame.astype({"step": int})
        frame.insert(0, "seed", seed["row"]["seed"])
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _snapshots(done: list[Seed]) -> dict[str, np.ndarray[Any, Any]]:
    """Snapshots `[S, R, ...]` of all seeds; one that stopped repeats its last state."""
    steps = sorted({step for seed in done for step in seed["steps"]})
    arrays = {
        name: torch.stack([_at(seed, name, steps) for seed in done], dim=1)
        for name in done[0]["snapshots"]
        if name not in _PICTURE
    }
    arrays["init_cluster"] = torch.stack([seed["init_cluster"] for seed in done])
    arrays["expert_accuracy"] = torch.stack([seed["expert_accuracy"] for seed in done])
    arrays["final_map"] = arrays["counts"][-1].argmax(dim=-1)
    return {"steps": np.array(steps), **{name: each.numpy() for name, each in arrays.items()}}


def _at(seed: Seed, name: str, steps: list[int]) -> Tensor:
    """A seed's snapshots at the given steps: at each the latest one that it has."""
    own = torch.tensor(seed["steps"])
    # The last of its steps that is not later.
    latest = torch.searchsorted(own, torch.tensor(steps), right=True) - 1
    snapshots: Tensor = seed["snapshots"][name]
    return snapshots[latest]


def _picture(config: ClustersConfig, first: Seed) -> dict[str, np.ndarray[Any, Any]]:
    train = data.load(config, config.first_seed).train
    return {
        "steps": np.array(first["steps"]),
        "positions": positions(train),
        "labels": train.label_n.numpy().astype(np.int8),
        "clusters": train.cluster_n.numpy(),
        **{
            name: first["snapshots"][name].numpy()
            for name in _PICTURE
            if name in first["snapshots"]
        },
    }


def positions(
    examples: Examples, seed: int = 0
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Examples in the plane by t-SNE, their patches in the order of the definition, `[n, 2]`.

    Source: Chen et al. (2022), Figure 1. Perplexity and start: scikit-learn's; not stated.
    """
    # Imported late: it takes longer than most commands that never draw a plane.
    from sklearn.manifold import TSNE

    flat = unshuffled(examples).flatten(1).numpy()
    perplexity = min(30.0, (len(flat) - 1) / 3)
    plane = TSNE(perplexity=perplexity, random_state=seed, n_jobs=1).fit_transform(flat)
    return np.asarray(plane, dtype=np.float32)
