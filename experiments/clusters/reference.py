"""Chen et al. (2022) as one would write it down: every expert convolves a masked copy of all data.

For tests and benchmarks. It shares no code with the networks that train. Shapes: n examples,
P patches, d dimensions, E experts, J filters.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.clusters.data import Examples
from experiments.clusters.settings import Activation, ClustersConfig, Loss, Value


def reference_loss(
    filters_EDJ: Tensor,
    gate_DE: Tensor,
    examples: Examples,
    noise_nE: Tensor,
    config: ClustersConfig,
) -> Tensor:
    """Mean loss of a sample by a mixture, a scalar.

    Source: section 3 of the paper; with the settings of `clusters_coded`, the authors' notebooks.

    Args:
        filters_EDJ: filters; with a bias, the last of the D features is constant.
        gate_DE: the gate's weights.
        examples: the sample.
        noise_nE: routing noise.
        config: linear or cubic experts, heads, gate value, loss.
    """
    signal_n1L = examples.patches_nPD.flatten(1)[:, None, :]
    # h(x) = sum_p theta^T x_p, the sum over patches after the product.
    logits_nE = (examples.patches_nPD @ gate_DE).sum(dim=1)
    noisy_nE = logits_nE + noise_nE
    chosen_nE = F.one_hot(noisy_nE.argmax(dim=1), noisy_nE.shape[1])
    is_probability = config.gate_value is Value.probability
    value_nE = logits_nE.softmax(dim=1) if is_probability else noisy_nE
    margin_n = torch.zeros(len(signal_n1L))
    # As the authors' notebooks: each expert computes on all data, masked with zeros.
    for expert, filters_DJ in enumerate(filters_EDJ):
        mask_n = chosen_nE[:, expert]
        outputs_nN = _convolve(signal_n1L * mask_n[:, None, None], filters_DJ, config)
        answer_n = outputs_nN[:, 0] - (outputs_nN[:, 1] if config.num_heads == 2 else 0)
        margin_n = margin_n + mask_n * value_nE[:, expert] * answer_n
    if config.loss is Loss.bounded:
        # softmax(F/2, -F/2) = (1 + tanh(F/2), 1 - tanh(F/2)) / 2, and once more in the loss.
        outputs_n2 = torch.stack([margin_n / 2, -margin_n / 2], dim=1).softmax(dim=1)
        return F.cross_entropy(outputs_n2, (examples.label_n < 0).long())
    return torch.log1p(torch.exp(-examples.label_n * margin_n)).mean()


def _convolve(signal_n1L: Tensor, filters_DJ: Tensor, config: ClustersConfig) -> Tensor:
    """Sums over each head's filters and all patches, `[n, N]`."""
    # One channel whose stride is a patch: every filter sees each patch once.
    weight_J1d = filters_DJ[: config.dim].T[:, None, :]
    bias_J = filters_DJ[-1] if config.bias else None
    response_nJP = F.conv1d(signal_n1L, weight_J1d, bias_J, stride=config.dim)
    if config.activation is Activation.cubic:
        response_nJP = response_nJP**3
    per_filter_nJ = response_nJP.sum(dim=2)
    return torch.stack([head.sum(dim=1) for head in per_filter_nJ.chunk(config.num_heads, 1)], 1)
