"""How a gate uses its experts.

`moe.measures.proportions` measures dense mixing proportions, `moe.measures.load` a vector of loads
or importances, `moe.measures.classes` a routing beside known classes, and
`moe.measures.similarity` the experts themselves.
"""

from moe.measures.classes import counts_by_class, dispatch_entropy, routing_agreement
from moe.measures.load import (
    coefficient_of_variation,
    effective_number,
    max_over_mean,
    utilisation,
)
from moe.measures.proportions import (
    effective_number_of_experts,
    importance,
    live_experts,
    num_dominant_experts,
)
from moe.measures.routed import first_choices, num_unrouted_tokens
from moe.measures.similarity import expert_similarities, expert_similarity

__all__ = [
    "coefficient_of_variation",
    "counts_by_class",
    "dispatch_entropy",
    "effective_number",
    "effective_number_of_experts",
    "expert_similarities",
    "expert_similarity",
    "first_choices",
    "importance",
    "live_experts",
    "max_over_mean",
    "num_dominant_experts",
    "num_unrouted_tokens",
    "routing_agreement",
    "utilisation",
]
