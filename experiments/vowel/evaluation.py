"""What a trained system does: accuracy, error, and how the gate uses its experts.

Shapes: R runs, E experts, O outputs, N cases, V vowels.
"""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from experiments.vowel.data import Cases, VowelData
from experiments.vowel.settings import StopMeasure
from experiments.vowel.systems import Net, Params, Prediction, mean_squared_error
from experiments.vowel.training import NEVER, Progress
from moe import effective_number_of_experts, live_experts, num_dominant_experts

# "Effectively 0 for all cases" (section 3), as a number; not stated in the paper. Live experts
# reach almost 1 somewhere and dead ones stay near 0, so that the number decides little.
LIVE_THRESHOLD = 0.05
# An expert takes part in a pair of vowels when it wins at least this share of the pair's cases;
# fewer would count single outliers.
PAIR_SHARE = 0.05
PAIRS = {"experts_on_iy_ih": ("iy", "ih"), "experts_on_aa_ah": ("aa", "ah")}


def accuracy(output_ON: Tensor, cases: Cases, codes_VO: Tensor) -> Tensor:
    """Share of cases whose output lies nearest to a code word equal to the target's, `[...]`.

    With one bit this is the choice within a pair of vowels; with one-hot targets it is the class
    of the largest output. Source: section 3 (the class with the largest probability).
    """
    # The nearest code word v: argmin_v ||o - c_v||^2; with one bit, the output's side of 0.5.
    distances_VN = (output_ON.unsqueeze(-3) - codes_VO.unsqueeze(-1)).square().sum(dim=-2)
    answers_NO = codes_VO[distances_VN.argmin(dim=-2)]
    return (answers_NO == cases.targets_ON.mT).all(dim=-1).double().mean(dim=-1)


def final_params(progress: Progress, criterion: int = 0) -> Params:
    """Weights at a criterion, or the last weights of runs that never met it, `[R, ...]`."""
    met = progress.epochs[criterion] != NEVER
    return {
        name: torch.where(
            met.view(-1, *[1] * (value.dim() - 1)), progress.stopped[name][criterion], value
        )
        for name, value in progress.params.items()
    }


def metrics(
    net: Net,
    data: VowelData,
    vowels: list[str],
    progress: Progress,
    max_epochs: int,
    criterion: int = 0,
) -> pd.DataFrame:
    """One row per run of a batch, at the criterion.

    Columns: status (converged, exhausted, diverged), epochs (updates to the stop, or the limit:
    a lower bound), train_error, train_accuracy, test_accuracy, and for mixtures live_experts,
    effective_experts, experts_on_iy_ih, experts_on_aa_ah. Diverged runs have no accuracy.
    """
    params = final_params(progress, criterion)
    train, test = (net.predict(params, cases.inputs_DN) for cases in (data.train, data.test))
    status, epochs = outcome(progress, max_epochs, criterion)
    columns = {
        "status": status,
        "epochs": epochs,
        "train_error": mean_squared_error(train, data.train.targets_ON, StopMeasure.blend),
        "train_accuracy": accuracy(train.output_ON, data.train, data.codes_VO),
        "test_accuracy": accuracy(test.output_ON, data.test, data.codes_VO),
        **usage(train, data.train, vowels),
    }
    frame = pd.DataFrame(
        {
            name: value.cpu().numpy() if isinstance(value, Tensor) else value
            for name, value in columns.items()
        }
    )
    # Weights that are not finite have answers, which mean nothing.
    measured = list(columns)[2:]
    frame[measured] = frame[measured].mask(frame["status"] == "diverged")
    return frame


def outcome(progress: Progress, max_epochs: int, criterion: int = 0) -> tuple[list[str], Tensor]:
    """Per run: how it ended, and its epochs to the criterion (the limit where it never came)."""
    epochs = progress.epochs[criterion]
    status = [
        "converged" if run != NEVER else "diverged" if diverged != NEVER else "exhausted"
        for run, diverged in zip(epochs.tolist(), progress.diverged.tolist(), strict=True)
    ]
    return status, torch.where(epochs == NEVER, max_epochs, epochs)


def usage(prediction: Prediction, cases: Cases, vowels: list[str]) -> dict[str, Tensor]:
    """How many experts a mixture uses, in all and for each pair of vowels, `[R]` each."""
    if prediction.mixture is None:
        return {}
    proportions_EN = prediction.mixture.proportions_EN
    counts = {
        # max over cases of p_i above the threshold; exp(-sum_i P_i log P_i) with P_i the mean of
        # p_i.
        "live_experts": live_experts(proportions_EN, LIVE_THRESHOLD).sum(dim=-1),
        "effective_experts": effective_number_of_experts(proportions_EN),
    }
    for name, pair in PAIRS.items():
        chosen = cases.is_one_of(pair, vowels)
        if chosen.any():
            counts[name] = num_dominant_experts(proportions_EN[..., chosen], PAIR_SHARE)
    return counts


def curves(
    net: Net, data: VowelData, vowels: list[str], progress: Progress, seeds: list[int]
) -> pd.DataFrame:
    """Training error and use of experts at every snapshot, one row per epoch and seed."""
    epochs = np.array(progress.snapshot_epochs)
    whole: dict[str, Tensor] = {}
    for place, params in enumerate(progress.snapshots):
        prediction = net.predict(params, data.train.inputs_DN)
        error = mean_squared_error(prediction, data.train.targets_ON, StopMeasure.blend)
        for name, value in {
            "train_error": error,
            **usage(prediction, data.train, vowels),
        }.items():
            # Made once: small results that are kept one by one would lie scattered among the
            # predictions, whose memory could then not be used again.
            if name not in whole:
                whole[name] = value.new_empty(len(epochs), len(seeds))
            whole[name][place] = value
    columns = {
        "epoch": epochs.repeat(len(seeds)),
        "seed": np.tile(seeds, len(epochs)),
        **{name: value.flatten().cpu().numpy() for name, value in whole.items()},
    }
    frame = pd.DataFrame(columns)
    return frame[frame["train_error"].notna()].reset_index(drop=True)
