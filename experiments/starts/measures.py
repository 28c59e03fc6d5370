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
    two experts' weights), gate_gradient (norm, of the task's loss alone; in the clusters study of
    all that is minimised, which with a balance loss is more).

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
        # exp(-sum_i p_i log p_i): E for an even load, 1 where one expert has all.
        "effective_experts": float(effective_number(share_E)),
        "largest_share": float(share_E.max() / share_E.sum()),
        "similarity": similarity,
        "gate_gradient": gradient,
    }


def agreements(expert_n: NDArray[np.int64], groups: Groups) -> Row:
    """Adjusted mutual information of experts and each grouping, as `agreement_<name>`."""
    return {
        # AMI = (I - E[I]) / (mean(H1, H2) - E[I]) (Vinh et al. 2010): 1 for the same division, 0 by
        # chance. Adjusted, because many experts alone would share much with any grouping.
        f"agreement_{name}": float(adjusted_mutual_info_score(group_n, expert_n))
        for name, group_n in groups.items()
    }


def references(inputs_nD: NDArray[np.float64], groups: Groups) -> pd.DataFrame:
    """How well k-means and a Gaussian mixture find each grouping from the gate's own inputs.

    Both are told the number of groups. Columns: method, of, seed, agreement (adjusted mutual
    information). Inputs are standardised; covariances are diagonal above ten features; of more
    than 4,000 cases a random sample is taken.
    """
    # Always the same sample: methods and seeds are compared on the same cases.
    chosen = np.random.default_rng(0).permutation(len(inputs_nD))[:_MOST_REFERENCE_CASES]
    inputs_nD, groups = inputs_nD[chosen], {of: group_n[chosen] for of, group_n in groups.items()}
    spread_D = inputs_nD.std(axis=0)
    # k-means measures distances, in which a feature of large scale would count for all the others.
    # A constant feature stays zero.
    inputs_nD = (inputs_nD - inputs_nD.mean(axis=0)) / np.where(spread_D > 0, spread_D, 1.0)
    # A full covariance has D (D + 1) / 2 numbers per group, more than such a sample can tell.
    kind = "full" if inputs_nD.shape[1] <= 10 else "diag"
    rows = []
    for of, group_n in groups.items():
        num_groups = len(np.unique(group_n))
        for seed in range(_NUM_REFERENCE_SEEDS):
            found = {
                # Told the number of groups, which the gate is not: if they still fail, groups are
                # hidden from them.
                "k-means": KMeans(num_groups, n_init=3, random_state=seed),
                "Gaussian mixture": GaussianMixture(
                    num_groups, covariance_type=kind, random_state=seed, reg_covar=1e-3
                ),
            }
            for method, model in found.items():
                agreement = float(adjusted_mutual_info_score(group_n, model.fit_predict(inputs_nD)))
                rows.append({"method": method, "of": of, "seed": seed, "agreement": agreement})
    return pd.DataFrame(rows)
