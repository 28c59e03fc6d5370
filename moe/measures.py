"""How a gate uses its experts, from mixing proportions, loads or routings, and how alike they are.

Shapes: E experts, N cases, T tokens, C classes; `...` stands for independent runs. Mixing
proportions are `[..., E, N]`, loads, importances and counts `[..., E]`; for a routing see
`moe.routing`.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from moe.balance import cv_squared
from moe.plan import token_of_assignments
from moe.routing import NO_EXPERT, Routing, assignments_per_expert


def importance(proportions_EN: Tensor) -> Tensor:
    """Average each expert's mixing proportion over the cases: `[..., E]`, summing to one.

    Source: Shazeer et al. (2017), equation 6, divided by the number of cases.
    """
    # Importance(X)_i = sum over x in X of G(x)_i (eq. 6), here over the number of cases.
    return proportions_EN.mean(dim=-1)


def effective_number_of_experts(proportions_EN: Tensor) -> Tensor:
    """Compute `effective_number` of the importance, `[...]`: 1 for one expert, E for all alike."""
    return _exponential_of_entropy(importance(proportions_EN))


def live_experts(proportions_EN: Tensor, threshold: float) -> Tensor:
    """Tell whether each expert's proportion passes the threshold for any case, `[..., E]`.

    Source: Jacobs et al. (1991), section 3: unused experts have mixing proportions that are
    effectively 0 for all cases.
    """
    return proportions_EN.amax(dim=-1) > threshold


def num_dominant_experts(proportions_EN: Tensor, min_share: float) -> Tensor:
    """Count the experts that hold the largest proportion for a share of the cases, `[...]`.

    Args:
        proportions_EN: mixing proportions of the cases in question.
        min_share: the share of the cases (0 to 1) that an expert must win to count.
    """
    winners_N = proportions_EN.argmax(dim=-2, keepdim=True)
    won_EN = torch.zeros_like(proportions_EN).scatter_(-2, winners_N, 1.0)
    return (won_EN.mean(dim=-1) >= min_share).sum(dim=-1)


def coefficient_of_variation(load_E: Tensor) -> Tensor:
    """Divide the population standard deviation by the mean, `[...]`; 0 for an even load.

    Source: Shazeer et al. (2017), table 6, which prints it (not its square, which is the loss).
    """
    return cv_squared(_floating(load_E)).sqrt()


def max_over_mean(load_E: Tensor) -> Tensor:
    """Divide the largest load by the mean load, `[...]`: how much longer the slowest one takes.

    It lies from 1 to E, and is 0 where there is no load. Source: Shazeer et al. (2017), table 6.
    """
    load_E = _floating(load_E)
    # max_i load_i / mean_i load_i, the last column of Table 6.
    mean = load_E.mean(dim=-1)
    return torch.where(mean > 0, load_E.amax(dim=-1) / mean, 0.0)


def utilisation(count_E: Tensor) -> Tensor:
    """Compute the share of the experts that have at least one token, `[...]`."""
    return (count_E > 0).float().mean(dim=-1)


def effective_number(load_E: Tensor) -> Tensor:
    """Compute the exponential of the entropy of a load's shares, `[...]`.

    It is 1 where one expert has everything, E for an even load, and 0 without any load.
    """
    load_E = _floating(load_E)
    total = load_E.sum(dim=-1, keepdim=True)
    shares_E = load_E / torch.where(total > 0, total, 1.0)
    return torch.where(total.squeeze(-1) > 0, _exponential_of_entropy(shares_E), 0.0)


def _exponential_of_entropy(shares_E: Tensor) -> Tensor:
    # entr(p) = -p log p, 0 at p = 0: exp(-sum_i p_i log p_i), E where all p_i are 1 / E.
    entropy: Tensor = torch.special.entr(shares_E).sum(dim=-1)
    return entropy.exp()


def _floating(load_E: Tensor) -> Tensor:
    return load_E if load_E.is_floating_point() else load_E.double()


def num_unrouted_tokens(routing: Routing, mask: Tensor | None = None) -> Tensor:
    """Count the real tokens that no expert answers for: a scalar, int64.

    Args:
        routing: a gate's decision.
        mask: the mask that the gate was given, any shape, or None.
    """
    is_answered_A = (routing.expert_A != NO_EXPERT).long()
    zeros_T = torch.zeros(routing.num_tokens, dtype=torch.int64, device=is_answered_A.device)
    num_experts_T = zeros_T.index_add(0, token_of_assignments(routing), is_answered_A)
    is_unrouted_T = num_experts_T == 0
    return (is_unrouted_T if mask is None else is_unrouted_T & mask.flatten()).sum()


def first_choices(routing: Routing) -> Tensor:
    """Find each token's expert of the largest weight, `[T]`; `NO_EXPERT` where none answers.

    Of experts with the same weight, the one assigned first.
    """
    token_A = token_of_assignments(routing)
    num_tokens, num_assignments = routing.num_tokens, token_A.shape[0]
    weight_A = routing.weight_A.detach().masked_fill(routing.expert_A == NO_EXPERT, -torch.inf)
    # Two reductions: the largest weight per token, then the first position that holds it.
    best_T = weight_A.new_full((num_tokens,), -torch.inf).scatter_reduce(
        0, token_A, weight_A, "amax"
    )
    position_A = torch.arange(num_assignments, device=token_A.device)
    is_best_A = (weight_A == best_T[token_A]) & (routing.expert_A != NO_EXPERT)
    # A position past the end stands for no expert.
    first_T = token_A.new_full((num_tokens,), num_assignments).scatter_reduce(
        0, token_A, torch.where(is_best_A, position_A, num_assignments), "amin"
    )
    return torch.cat([routing.expert_A, routing.expert_A.new_tensor([NO_EXPERT])])[first_T]


def counts_by_class(routing: Routing, class_T: Tensor, num_classes: int) -> Tensor:
    """Count how many assignments of each class's tokens each expert has, `[C, E]`, int64.

    Args:
        routing: a gate's decision.
        class_T: the class of every token, 0 to C - 1, padded positions included.
        num_classes: C.
    """
    expert_A, num_experts = routing.expert_A, routing.num_experts
    class_A = class_T.flatten()[token_of_assignments(routing)]
    # One number per pair of class and expert, so that one count over numbers gives the whole table.
    cell_A = torch.where(expert_A == NO_EXPERT, NO_EXPERT, class_A * num_experts + expert_A)
    return assignments_per_expert(cell_A, num_classes * num_experts).view(num_classes, num_experts)


def dispatch_entropy(count_CE: Tensor) -> Tensor:
    """Compute the entropy of a token's class when its expert is known, in nats, `[...]`.

    H = -sum_e sum_c (n_ce / n) log(n_ce / n_e): 0 if every expert sees one class, at most log C.
    Experts without tokens do not count. Source: Chen et al. (2022), equation 6.1.

    Args:
        count_CE: tokens of class c at expert e, `[..., C, E]`.
    """
    total = count_CE.sum(dim=(-2, -1), keepdim=True).clamp(min=1)
    share_CE = count_CE.double() / total
    # H(class | expert) = H(class, expert) - H(expert).
    joint = torch.special.entr(share_CE).sum(dim=(-2, -1))
    of_experts = torch.special.entr(share_CE.sum(dim=-2)).sum(dim=-1)
    # Rounding can leave a difference of equals just below zero.
    entropy: Tensor = (joint - of_experts).clamp(min=0)
    return entropy


def routing_agreement(routing: Routing, class_T: Tensor) -> float:
    """Compute the adjusted mutual information of tokens' first choices and classes.

    It is 1 where both divide the tokens alike and 0 by chance. Tokens that no expert answers for
    are left out. Waits for the device.

    Args:
        routing: a gate's decision.
        class_T: the class of every token, `[T]` or any other shape of T elements.
    """
    # Imported late, so that a layer can be used without it.
    from sklearn.metrics import adjusted_mutual_info_score

    expert_T = first_choices(routing).cpu()
    is_routed_T = expert_T != NO_EXPERT
    classes = class_T.flatten().cpu()[is_routed_T].numpy()
    return float(adjusted_mutual_info_score(classes, expert_T[is_routed_T].numpy()))


# Weights that are normalised at a time, at most, unless one expert has more: a few experts at once,
# so that no temporary is as large as all weights.
BLOCK_ELEMENTS = 2**24


def expert_similarities(weight_E: Tensor) -> Tensor:
    """Compute the cosine of every pair of experts, `[E, E]`.

    Args:
        weight_E: stacked weights `[E, ...]`. An expert whose weights are all zero has cosine 0
            with every expert, itself included.
    """
    flat_EP = weight_E.detach().flatten(1)
    num_experts = flat_EP.shape[0]
    cosine_EE = torch.empty(
        num_experts, num_experts, dtype=_working(flat_EP), device=flat_EP.device
    )
    for rows, left in _unit_blocks(flat_EP):
        for columns, right in _unit_blocks(flat_EP):
            cosine_EE[rows, columns] = left @ right.T
    return cosine_EE


def expert_similarity(weight_E: Tensor) -> Tensor:
    """Average the cosine over all pairs of different experts: a scalar, 0 for a single expert.

    Needs one pass over the weights: the squared length of the sum of unit vectors holds the
    cosines of all pairs.

    Args:
        weight_E: stacked weights, `[E, ...]`.
    """
    flat_EP = weight_E.detach().flatten(1)
    num_experts, num_weights = flat_EP.shape
    total_P = torch.zeros(num_weights, dtype=_working(flat_EP), device=flat_EP.device)
    own = total_P.new_zeros(())
    # ||sum_e u_e||^2 = sum_e ||u_e||^2 + the cosines of all ordered pairs of different experts.
    for _, unit_BP in _unit_blocks(flat_EP):
        total_P += unit_BP.sum(dim=0)
        own += unit_BP.square().sum()
    return (total_P.square().sum() - own) / max(1, num_experts * (num_experts - 1))


def _working(weight: Tensor) -> torch.dtype:
    return torch.promote_types(weight.dtype, torch.float32)


def _unit_blocks(flat_EP: Tensor) -> Iterator[tuple[slice, Tensor]]:
    size = max(1, BLOCK_ELEMENTS // max(1, flat_EP.shape[1]))
    for first in range(0, flat_EP.shape[0], size):
        experts = slice(first, min(first + size, flat_EP.shape[0]))
        # u_e = w_e / ||w_e||, of which products are cosines.
        block_BP = flat_EP[experts].to(_working(flat_EP))
        yield experts, torch.nn.functional.normalize(block_BP, dim=-1)
