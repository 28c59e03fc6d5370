"""A routing beside known classes: does the gate find them?

Shapes: T tokens, C classes, E experts.
"""

import torch
from torch import Tensor

from moe.measures.routed import first_choices
from moe.plan import token_of_assignments
from moe.routing import NO_EXPERT, Routing, assignments_per_expert


def counts_by_class(routing: Routing, class_T: Tensor, num_classes: int) -> Tensor:
    """How many assignments of each class's tokens each expert has, `[C, E]`, int64.

    Args:
        routing: a gate's decision.
        class_T: the class of every token, 0 to C - 1, padded positions included.
        num_classes: C.
    """
    expert_A, num_experts = routing.expert_A, routing.num_experts
    class_A = class_T.flatten()[token_of_assignments(routing)]
    cell_A = torch.where(expert_A == NO_EXPERT, NO_EXPERT, class_A * num_experts + expert_A)
    return assignments_per_expert(cell_A, num_classes * num_experts).view(num_classes, num_experts)


def dispatch_entropy(count_CE: Tensor) -> Tensor:
    """Entropy of a token's class when its expert is known, in nats, `[...]`.

    H = -sum_e sum_c (n_ce / n) log(n_ce / n_e): 0 if every expert sees one class, at most log C.
    Experts without tokens do not count. Source: Chen et al. (2022), equation 6.1.

    Args:
        count_CE: tokens of class c at expert e, `[..., C, E]`.
    """
    total = count_CE.sum(dim=(-2, -1), keepdim=True).clamp(min=1)
    share_CE = count_CE.double() / total
    joint = torch.special.entr(share_CE).sum(dim=(-2, -1))
    of_experts = torch.special.entr(share_CE.sum(dim=-2)).sum(dim=-1)
    # Rounding can leave a difference of equals just below zero.
    entropy: Tensor = (joint - of_experts).clamp(min=0)
    return entropy


def routing_agreement(routing: Routing, class_T: Tensor) -> float:
    """Adjusted mutual information of tokens' first choices and classes: 1 alike, 0 by chance.

    Tokens that no expert answers for are left out. Waits for the device.

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
