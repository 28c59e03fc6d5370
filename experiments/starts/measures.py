"""What is measured of a training whatever its start, alike for all studies.

Shapes: E experts, n cases, D features.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.mixture import GaussianMixture
from torch import Tensor

from moe.measures import effective_number

Row = dict[str, float]
Groups = Mapping[str, NDArray[np.int64]]
_NUM_REFERENCE_SEEDS = 3
_MOST_REFERENCE_CASES = 4000


def row(
    step: int, seed: int, loss: float, share_E: Tensor, similarity: float, gradient: float
) -> Row:
    """A row of start.csv but for its agreements.

    Columns: step (updates before it), seed, loss (of the task alone), effective_experts
    (exponential of the entropy of the experts' shares), largest_share, similarity (mean cosine of
    two experts' weights), gate_gradient (norm, of the task's loss alone).

    Args:
        step: updates so far.
        seed: of the training.
        loss: of the task.
        share_E: the experts' shares of the cases.
        similarity: see `moe.measures.expert_similarity`.
        gradient: see above.
    """
    return {
        "step": step,
        "seed": seed,
        "loss": loss,
        "effective_experts": float(effective_number(share_E)),
        "largest_share": float(share_E.max() / share_E.sum()),
        "similarity": similarity,
        "gate_gradient": gradient,
    }


def agreements(expert_n: NDArray[np.int64], groups: Groups) -> Row:
    """Adjusted mutual information of experts and each grouping, as `agreement_<name>`."""
    return {
        f"agreement_{name}": float(adjusted_mutual_info_score(group_n, expert_n))
        for name, group_n in groups.items()
    }


def references(inputs_nD: NDArray[np.float64], groups: Groups) -> pd.DataFrame:
    """How well k-means and a Gaussian mixture find each grouping from the gate's own inputs.

    Both are told the number of groups. Columns: method, of, seed, agreement (adjusted mutual
    information). Inputs are standardised; covariances are diagonal above ten features; of more
    than 4,000 cases a random sample is taken.
    """
    chosen = np.random.default_rng(0).permutation(len(inputs_nD))[:_MOST_REFERENCE_CASES]
    inputs_nD, groups = inputs_nD[chosen], {of: group_n[chosen] for of, group_n in groups.items()}
    spread_D = inputs_nD.std(axis=0)
    inputs_nD = (inputs_nD - inputs_nD.mean(axis=0)) / np.where(spread_D > 0, spread_D, 1.0)
    kind = "full" if inputs_nD.shape[1] <= 10 else "diag"
    rows = []
    for of, group_n in groups.items():
        num_groups = len(np.unique(group_n))
        for seed in range(_NUM_REFERENCE_SEEDS):
            found = {
                "k-means": KMeans(num_groups, n_init=3, random_state=seed),
                "Gaussian mixture": GaussianMixture(
                    num_groups, covariance_type=kind, random_state=seed, reg_covar=1e-3
                ),
            }
            for method, model in found.items():
                agreement = float(adjusted_mutual_info_score(group_n, model.fit_predict(inputs_nD)))
                rows.append({"method": method, "of": of, "seed": seed, "agreement": agreement})
    return pd.DataFrame(rows)
