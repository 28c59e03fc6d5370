"""The two-level noisy top-k gate: groups of experts, then experts inside the chosen groups.

Shapes: T tokens, D features, a groups of b experts, E = a b; A copies of tokens, one per chosen
group (see `moe.routing`), and R rows, the same copies sorted by group (see `moe.plan`). No tensor
has T times E elements.
"""

import torch
from torch import Tensor, nn

from moe.balance import load_loss
from moe.dispatch import by_assignment, dispatch, sum_rows
from moe.gates.base import Gate, check_at_least, check_divides, check_k, even_routing, gate_weight
from moe.gates.noisy_top_k import Choice, NoisyTopKGate, noisy_top_k, top_k
from moe.grouped import Backend, grouped_linear
from moe.plan import Plan, plan
from moe.routing import NO_EXPERT, Routing


class HierarchicalGate(Gate):
    """A noisy top-k gate over groups, and one inside each group that sees the group's tokens only.

    An expert's id is group * b + its number inside the group; its weight is the product of both
    gates' values. With one group the gate is `NoisyTopKGate`.

    Source: Shazeer et al. (2017), appendix B. For noise outside training and the noise's epsilon
    see `moe.gates.noisy_top_k.NoisyTopKGate`.

    Attributes:
        primary: the gate over the groups.
        weight_aD2b: the groups' W_g at `[:, :, 0]`, their W_noise at `[:, :, 1]`.
        num_groups: a.
        k_experts: experts per token and chosen group.
        backend: what multiplies tokens with their groups' weights.
    """

    def __init__(
        self,
        num_features: int,
        num_experts: int,
        num_groups: int,
        k_groups: int = 2,
        k_experts: int = 2,
        noise_epsilon: float = 0.0,
        noise_in_evaluation: bool = False,
        backend: Backend = Backend.auto,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Make the gate.

        Args:
            num_features: D.
            num_experts: E, all groups together.
            num_groups: a; must divide E.
            k_groups: groups per token.
            k_experts: experts per token and chosen group.
            noise_epsilon: added to the noise's standard deviation.
            noise_in_evaluation: whether there is noise outside training too.
            backend: see `moe.grouped.backends`.
            device: of the weights.
            dtype: of the weights; tokens are routed in float32 at least, whatever it is.

        Raises:
            ValueError: an argument out of range; the message names it and what is allowed.
        """
        super().__init__(num_features, num_experts)
        check_at_least(1, num_groups=num_groups)
        check_divides(num_groups, num_experts)
        check_k("k_groups", k_groups, num_groups, "num_groups")
        group_size = num_experts // num_groups
        check_k("k_experts", k_experts, group_size, "num_experts / num_groups")
        self.num_groups = num_groups
        self.group_size = group_size
        self.k_experts = k_experts
        self.backend = backend
        self.primary = NoisyTopKGate(
            num_features, num_groups, k_groups, noise_epsilon, noise_in_evaluation, device, dtype
        )
        weight_Da2b = gate_weight(
            num_features, num_groups, 2, group_size, device=device, dtype=dtype
        )
        # Group after group in memory, as grouped products read them.
        self.weight_aD2b = nn.Parameter(weight_Da2b.detach().transpose(0, 1).contiguous())

    def route(self, tokens_TD: Tensor, mask_T: Tensor | None) -> Routing:
        """Route a flat batch; see `moe.gates.base.Gate`."""
        primary = self.primary.route(tokens_TD, mask_T)
        by_group = plan(primary)
        # A token stands once in every group that was chosen for it, and in each group a gate of the
        # group's own chooses again: as many small products as groups, in one grouped product.
        choice = self._choice_inside(dispatch(tokens_TD, by_group), by_group)
        expert_AK = self._expert_ids(primary.expert_A, choice, by_group)
        inner_AK = by_assignment(torch.softmax(choice.logit_RK, dim=-1), by_group)
        # Shazeer et al. (2017), eq. 12: y = sum_i sum_j G_primary(x)_i G_i(x)_j E_ij(x).
        weight_AK = primary.weight_A.unsqueeze(-1) * inner_AK
        load_E = self._load(primary, choice, by_group)
        k = self.primary.k * self.k_experts
        return even_routing(
            expert_AK.view(-1, k),
            weight_AK.view(-1, k),
            mask_T,
            load_E,
            losses={"load": load_loss(load_E)},
        )

    def _choice_inside(self, rows_RD: Tensor, by_group: Plan) -> Choice:
        weight_aD2b = self.weight_aD2b.to(rows_RD.dtype)
        if not self.primary.has_noise:
            logits_Rb = self._product(rows_RD, weight_aD2b[:, :, 0].contiguous(), by_group)
            return top_k(logits_Rb, self.k_experts)
        product_R2b = self._product(rows_RD, weight_aD2b.flatten(2), by_group)
        noise_Rb = torch.randn_like(product_R2b[:, : self.group_size])
        return noisy_top_k(product_R2b, noise_Rb, self.k_experts, self.primary.noise_epsilon)

    def _product(self, rows_RD: Tensor, weight_aDH: Tensor, by_group: Plan) -> Tensor:
        return grouped_linear(rows_RD, weight_aDH, by_group, self.backend)

    def _expert_ids(self, group_A: Tensor, choice: Choice, by_group: Plan) -> Tensor:
        inner_AK = choice.expert_RK.index_select(0, by_group.row_A)
        group_A1 = group_A.unsqueeze(-1)
        # Flat ids: experts and plans need not know that there are groups.
        expert_AK = group_A1 * self.group_size + inner_AK
        return torch.where(group_A1 == NO_EXPERT, NO_EXPERT, expert_AK)

    def _load(self, primary: Routing, choice: Choice, by_group: Plan) -> Tensor:
        """Load_H(i, j) = Load_primary(X)_i Load_i(X_i)_j / |X_i|, `[E]`: see appendix B."""
        probability_Rb = choice.probability_RE
        if probability_Rb is None:
            # Without noise the choice is certain: Load counts the tokens.
            probability_Rb = torch.zeros_like(choice.logit_RK[:, :1]).expand(-1, self.group_size)
            probability_Rb = probability_Rb.scatter(1, choice.expert_RK, 1.0)
        inside_ab = _sum_per_expert(probability_Rb, by_group)
        # |X_i| is the number of tokens that group i was given.
        share_a = primary.load_E / by_group.counts_E.clamp(min=1)
        # Load_H(X)_ij = Load_primary(X)_i Load_i(X_i)_j / |X_i|; the product gives the primary gate
        # a gradient (appendix B).
        return (share_a.unsqueeze(-1) * inside_ab).flatten()


def _sum_per_expert(value_RB: Tensor, plan: Plan) -> Tensor:
    """Sum the rows of each expert, `[E, B]`; differentiable. Rows of no expert are left out."""
    # One sum more than experts: the last one takes all rows that are left.
    start_E2 = torch.cat([plan.start_E1, plan.start_E1.new_full((1,), plan.num_rows)])
    return sum_rows(value_RB, plan.expert_of_rows(plan.num_rows), start_E2)[:-1]
