"""Inner products of what is learnt with the signals of the data.

Shapes: E experts, D features of a patch, J filters, K clusters.
"""

import torch
from torch import Tensor

from experiments.clusters.data import Signals
from experiments.clusters.model import Network


@torch.no_grad()
def alignment(network: Network, signals: Signals) -> dict[str, Tensor]:
    """How much each expert and each gate vector has of each signal, `[E, K]`.

    Source: Chen et al. (2022), appendix, figures of inner products.

    Returns:
        expert_feature and expert_centre: max over filters of |<w, v_k>| and |<w, c_k>|;
        gate_feature and gate_centre: <theta, v_k> and <theta, c_k>, where there is a gate.
    """
    filters_EDJ = network.experts.filters.weight[:, : signals.feature_KD.shape[1]]
    found = {
        "expert_feature": (signals.feature_KD @ filters_EDJ).abs().amax(dim=2),
        "expert_centre": (signals.centre_KD @ filters_EDJ).abs().amax(dim=2),
    }
    if network.gate is not None:
        weight_ED = network.gate.weight_DE.T
        found["gate_feature"] = weight_ED @ signals.feature_KD.T
        found["gate_centre"] = weight_ED @ signals.centre_KD.T
    return found


@torch.no_grad()
def init_cluster(network: Network, signals: Signals) -> Tensor:
    """The cluster whose feature an expert's filters see best, `[E]`; asked of a fresh network.

    Source: Chen et al. (2022), section 5: M_k holds the experts whose argmax over k' and j of
    <v_k', w_mj(0)> is k. With a second head, whose filters count negatively, of - <v_k', w_mj(0)>.
    """
    experts = network.experts
    filters_EDJ = experts.filters.weight[:, : signals.feature_KD.shape[1]]
    banks = (signals.feature_KD @ filters_EDJ).chunk(experts.num_heads, dim=2)
    best_EK = torch.stack([bank.amax(2) for bank in (banks[0], *(-bank for bank in banks[1:]))])
    return best_EK.amax(dim=0).argmax(dim=1)
