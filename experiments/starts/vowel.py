"""The vowel study from another start; all seeds at once.

Shapes: R seeds, E experts, O outputs, D features, N cases.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from experiments.run_folder import RunFolder
from experiments.starts.measures import Groups, Row, agreements, references, row
from experiments.starts.settings import ExpertStart, GateStart, VowelStartConfig
from experiments.vowel.data import Cases
from experiments.vowel.evaluation import PAIRS, accuracy
from experiments.vowel.settings import StopMeasure
from experiments.vowel.study import (
    batch_of,
    explored_step,
    prepare,
    seeds_of,
    train_seeds,
)
from experiments.vowel.systems import Net, Params, mean_squared_error
from experiments.vowel.training import Batch, Criterion
from moe.measures import expert_similarity

# No error is so small: every seed trains to the last epoch.
_NEVER = Criterion(StopMeasure.blend, -1.0)


def run(
    config: VowelStartConfig, folder: RunFolder, report: Callable[[str, float], None]
) -> dict[str, Any]:
    """Train all seeds from the start that the config asks for.

    Writes exploration.csv (when the step size is chosen by rule), start.csv (see
    `experiments.starts.measures.row`; loss is the mean squared error),
    metrics.csv (seed, test_accuracy), choices.npz (each training case's first expert at the end,
    `[R, N]`) and, if asked for, references.csv.

    Args:
        config: the settings.
        folder: a claimed run folder.
        report: called with a stage's name and the share of it that is done.

    Returns:
        Facts for the manifest: step size and seeds.
    """
    vowels, net = prepare(config)
    step_size = config.step_size or explored_step(config, net, vowels, folder, report)
    seeds = seeds_of(config)
    batch = begun(batch_of(config, net, seeds, step_size), config)
    progress = train_seeds(config, net, vowels, batch, _NEVER, folder, report)
    groups = _groups(vowels.train, config.vowels)
    measured = [
        each
        # Measured afterwards, from the snapshots that a training keeps anyway.
        for epoch, params in zip(progress.snapshot_epochs, progress.snapshots, strict=True)
        for each in _rows(epoch, net, params, vowels.train, groups, seeds)
    ]
    folder.write_table("start", pd.DataFrame(measured))
    test = net.predict(progress.params, vowels.test.inputs_DN)
    right = accuracy(test.output_ON, vowels.test, vowels.codes_VO)
    # Weights that are not finite have answers, and no accuracy.
    right[~test.output_ON.isfinite().flatten(start_dim=1).all(dim=1)] = torch.nan
    folder.write_table(
        "metrics", pd.DataFrame({"seed": seeds, "test_accuracy": right.cpu().numpy()})
    )
    choices_RN = _choices(net, progress.params, vowels.train)
    folder.write_arrays("choices", {"expert": choices_RN.numpy(), **groups})
    if config.references:
        inputs_ND = vowels.train.inputs_DN[:-1].T.double().cpu().numpy()
        folder.write_table("references", references(inputs_ND, groups))
    return {"step_size": step_size, "seeds": seeds, "data_sha256": vowels.sha256}


def begun(batch: Batch, config: VowelStartConfig) -> Batch:
    """The batch with the start that the config asks for."""
    params = {name: value.clone() for name, value in batch.params.items()}
    rates = dict(batch.rates)
    if config.gate_start is GateStart.collapsed:
        # The last feature is constant, so that the first expert leads by so much in every case.
        params["gate"][:, 0, -1] += config.collapse
    elif config.gate_start is GateStart.frozen:
        # Updates w := w - 0 * dE/dw leave the gate at equal proportions.
        rates["gate"] = torch.zeros_like(rates["gate"])
    experts_REOD = params["experts"]
    if config.expert_start is ExpertStart.identical:
        # A clone, since a view would be overwritten while it is read.
        experts_REOD[:] = experts_REOD[:, :1].clone()
    if config.expert_noise:
        generator = torch.Generator().manual_seed(config.first_seed)
        noise = torch.randn(experts_REOD.shape, generator=generator, dtype=torch.float64)
        # The experts' start is uniform within `init_range`: noise is a share of that.
        size = config.expert_noise * config.init_range
        experts_REOD += (size * noise).to(experts_REOD)
    return Batch(params, rates)


def _groups(cases: Cases, vowels: list[str]) -> Groups:
    pair_N = cases.is_one_of(PAIRS["experts_on_iy_ih"], vowels).long()
    return {"pair": pair_N.cpu().numpy(), "vowel": cases.vowels_N.cpu().numpy()}


def _choices(net: Net, params: Params, cases: Cases) -> Tensor:
    mixture = net.predict(params, cases.inputs_DN).mixture
    assert mixture is not None
    # The largest proportion; a softmax gate lets all experts answer.
    return mixture.proportions_EN.argmax(dim=-2).cpu()


def _rows(
    epoch: int, net: Net, params: Params, cases: Cases, groups: Groups, seeds: list[int]
) -> list[Row]:
    prediction = net.predict(params, cases.inputs_DN)
    assert prediction.mixture is not None
    error_R = mean_squared_error(prediction, cases.targets_ON, StopMeasure.blend)
    # Of the cost that is set: by closed forms, unless the study runs as the layer.
    gradient = net.gradients(params, prediction, cases.inputs_DN, cases.targets_ON)["gate"]
    # Importance (Shazeer et al. 2017, eq. 6) over the cases: a mixture of 1991 has no other load.
    share_RE = prediction.mixture.proportions_EN.mean(dim=-1)
    expert_RN = np.asarray(_choices(net, params, cases))
    rows = []
    for place, seed in enumerate(seeds):
        if not error_R[place].isfinite():
            continue
        similarity = float(expert_similarity(params["experts"][place]))
        # ||dE/dW_gate||, of the mean cost over all training cases.
        norm = float(gradient[place].norm())
        own = row(epoch, seed, float(error_R[place]), share_RE[place], similarity, norm)
        rows.append(own | agreements(expert_RN[place], groups))
    return rows
