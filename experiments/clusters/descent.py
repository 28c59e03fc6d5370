"""How the filters and the gate move.

Shapes: E experts, D features of a patch, J filters.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from experiments.clusters.model import Network
from experiments.clusters.settings import ClustersConfig, Normalisation, Optimiser

Step = Callable[[], None]


def optimiser(network: Network, config: ClustersConfig) -> Step:
    """A function that moves the network along the gradients in its parameters' `grad`.

    `normalised` is algorithm 1 of the paper: gradient descent in which each expert's gradient is
    divided by its norm, and plain gradient descent for the gate. `adam` moves the filters by Adam.
    """
    filters = network.experts.filters.weight
    if config.optimiser is Optimiser.adam:
        adam = torch.optim.Adam([filters], config.step_size, weight_decay=config.weight_decay)
        move_filters: Step = adam.step
    else:

        def move_filters() -> None:
            _normalised_step(filters, config)

    def step() -> None:
        move_filters()
        if network.gate is not None:
            _plain_step(network.gate.weight_DE, config.gate_step)

    return step


@torch.no_grad()
def _plain_step(weight: Tensor, step_size: float) -> None:
    assert weight.grad is not None
    weight -= step_size * weight.grad


@torch.no_grad()
def _normalised_step(filters_EDJ: Tensor, config: ClustersConfig) -> None:
    gradient_EDJ = filters_EDJ.grad
    assert gradient_EDJ is not None
    if config.weight_decay:
        gradient_EDJ = gradient_EDJ + config.weight_decay * filters_EDJ
    filters_EDJ -= config.step_size * normalised(
        gradient_EDJ, config.normalisation, num_constant=int(config.bias)
    )


def normalised(gradient_EDJ: Tensor, normalisation: Normalisation, num_constant: int = 0) -> Tensor:
    """Divide each expert's gradient by its norm; an expert without a gradient does not move.

    Args:
        gradient_EDJ: of the experts' filters.
        normalisation: `frobenius`, the norm of all of an expert's weights (algorithm 1);
            `sum_of_norms`, that of the filters plus that of the biases (the authors' code);
            `separate`, filters and biases each by their own (their code of the entropy curves).
        num_constant: how many of the last features are constant: 1 with a bias.
    """
    if normalisation is Normalisation.none:
        return gradient_EDJ
    num_features = gradient_EDJ.shape[1] - num_constant
    parts = (gradient_EDJ[:, :num_features], gradient_EDJ[:, num_features:])
    norms = [part.flatten(1).norm(dim=1).view(-1, 1, 1) for part in parts]
    if normalisation is Normalisation.separate:
        return torch.cat([_over(*pair) for pair in zip(parts, norms, strict=True)], dim=1)
    if normalisation is Normalisation.sum_of_norms:
        return _over(gradient_EDJ, norms[0] + norms[1])
    return _over(gradient_EDJ, torch.hypot(norms[0], norms[1]))


def _over(part: Tensor, norm: Tensor) -> Tensor:
    return torch.where(norm > 0, part / norm, torch.zeros_like(part))
