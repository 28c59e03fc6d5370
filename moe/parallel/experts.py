"""Experts of which every rank holds a block.

Shapes: W ranks, E experts of all ranks, L experts of this rank; R rows of this rank's tokens, S
rows that this rank's experts receive; D features in, O features out.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from moe.dispatch import reorder
from moe.plan import Plan, plan
from moe.routing import Routing, even_starts
from moe.stacked import ModuleExperts, StackedLinear


def local_experts(num_experts: int, group: dist.ProcessGroup | None = None) -> range:
    """The experts that this rank holds.

    Raises:
        ValueError: a rank would have no expert.
    """
    return shares_of_ranks(num_experts, dist.get_world_size(group))[dist.get_rank(group)]


def shares_of_ranks(num_experts: int, num_ranks: int) -> list[range]:
    """The experts of each rank: blocks of one size, the last may be smaller (as `torch.chunk`).

    Raises:
        ValueError: a rank would have no expert.
    """
    # Rounded up, in integers.
    size = max(1, -(-num_experts // num_ranks))
    bounds = [min(rank * size, num_experts) for rank in range(num_ranks + 1)]
    shares = [range(first, stop) for first, stop in pairwise(bounds)]
    if not shares[-1]:
        raise ValueError(
            f"{num_experts} experts over {num_ranks} ranks, in blocks of {size}, leave "
            f"{sum(not share for share in shares)} ranks without an expert"
        )
    return shares


class ExpertParallel(nn.Module):
    """The experts of all ranks, in place of one process's experts.

    Rows sorted by expert are sorted by rank, so they are sent as they are; the receiving rank
    sorts what came from all ranks by expert. Rows of no expert stay at home. The numbers of rows
    are read from the device once per pass.

    Attributes:
        local: this rank's experts.
        group: of processes; None for all.
        num_experts: E.
    """

    def __init__(self, experts_local: nn.Module, group: dist.ProcessGroup | None = None) -> None:
        """Join this rank's experts with the other ranks'; all ranks call this together.

        Args:
            experts_local: experts with stacked weights (`moe.stacked`), as many as
                `local_experts` says, in that order.
            group: of processes; all by default.

        Raises:
            RuntimeError: there is no process group.
            ValueError: the experts' weights are not stacked, or the ranks hold other numbers of
                experts than `local_experts` says.
        """
        super().__init__()
        if not dist.is_initialized():
            raise RuntimeError("no process group: call moe.parallel.start_process_group() first")
        num_local = cast(int, experts_local.num_experts)
        _check_stacked(experts_local, num_local)
        self.local, self.group = experts_local, group
        shares = _agreed_shares(num_local, group)
        self.num_experts = shares[-1].stop
        first_expert_W1 = torch.tensor([share.start for share in shares] + [self.num_experts])
        device = next(experts_local.parameters()).device
        # Not part of a checkpoint, which any number of ranks can load.
        self.register_buffer("_first_expert_W1", first_expert_W1.to(device), persistent=False)
        self._first_expert_W1: Tensor

    @property
    def stacks(self) -> tuple[StackedLinear, ...]:
        """The stacks of this rank's experts."""
        stacks: tuple[StackedLinear, ...] = getattr(self.local, "stacks", ())
        return stacks

    def forward(self, rows_RD: Tensor, plan: Plan) -> Tensor:
        """Answer each row with its expert, wherever that is: `[R, O]`, zeros for no expert.

        All ranks call this together, and run its backward pass together.

        Raises:
            ValueError: rows routed to another number of experts.
        """
        if plan.num_experts != self.num_experts:
            raise ValueError(
                f"{self.num_experts} experts got rows routed to {plan.num_experts} experts"
            )
        # Shazeer et al. (2017), section 3.1: each expert sees the rows of all ranks together, so
        # that its batch does not shrink with their number.
        counts_WL = self._exchange_counts(plan.counts_E)
        sent_W, received_W = self._splits(plan, counts_WL)
        num_rows = sum(sent_W)
        received_SD = exchange(rows_RD[:num_rows], sent_W, received_W, self.group)
        mine = _plan_of_received(counts_WL, sum(received_W))
        # They come rank by rank, each sorted by expert; experts want all of theirs in a row.
        sorted_SD = reorder(received_SD, mine.assignment_R, mine.row_A)
        answers_SO: Tensor = self.local(sorted_SD, mine)
        answers_SO = reorder(answers_SO, mine.row_A, mine.assignment_R)
        answers_RO = exchange(answers_SO, received_W, sent_W, self.group)
        num_idle = plan.num_rows - num_rows
        return F.pad(answers_RO, (0, 0, 0, num_idle)) if num_idle else answers_RO

    def _exchange_counts(self, counts_E: Tensor) -> Tensor:
        """How many rows come from each rank for each of this rank's experts, `[W, L]`."""
        shares = shares_of_ranks(self.num_experts, self._first_expert_W1.shape[0] - 1)
        num_local = cast(int, self.local.num_experts)
        counts_WL = counts_E.new_empty(len(shares), num_local)
        # Each rank tells each other rank how many rows it will send to each of its experts.
        dist.all_to_all_single(
            counts_WL.view(-1),
            counts_E,
            [num_local] * len(shares),
            [len(share) for share in shares],
            group=self.group,
        )
        return counts_WL

    def _splits(self, plan: Plan, counts_WL: Tensor) -> tuple[list[int], list[int]]:
        sent_W = plan.start_E1[self._first_expert_W1].diff()
        # Both at once: one wait for the device.
        sent, received = torch.stack([sent_W, counts_WL.sum(dim=1)]).tolist()
        return sent, received


def _plan_of_received(counts_WL: Tensor, num_rows: int) -> Plan:
    num_ranks, num_local = counts_WL.shape
    expert_WL = torch.arange(num_local, device=counts_WL.device).repeat(num_ranks)
    expert_S = torch.repeat_interleave(expert_WL, counts_WL.view(-1), output_size=num_rows)
    # A received row is a token with one expert and weight one.
    counts_L = counts_WL.sum(dim=0)
    return plan(
        Routing(
            expert_A=expert_S,
            weight_A=torch.ones_like(expert_S),
            start_T1=even_starts(num_rows, 1, expert_S.device),
            num_experts=num_local,
            importance_E=counts_L,
            load_E=counts_L,
        )
    )


def _check_stacked(experts_local: nn.Module, num_local: int) -> None:
    shared = [
        name
        for name, weight in experts_local.named_parameters()
        if weight.shape[:1] != (num_local,)
    ]
    if shared or isinstance(experts_local, ModuleExperts):
        raise ValueError(
            "experts on several ranks need weights stacked along the first dimension, one entry "
            f"per expert: {type(experts_local).__name__} has {', '.join(shared) or 'modules'}"
        )


def _agreed_shares(num_local: int, group: dist.ProcessGroup | None) -> list[range]:
    num_ranks = dist.get_world_size(group)
    held_W = [0] * num_ranks
    dist.all_gather_object(held_W, num_local, group)
    shares = shares_of_ranks(sum(held_W), num_ranks)
    wanted_W = [len(share) for share in shares]
    if held_W != wanted_W:
        raise ValueError(
            f"the ranks hold {held_W} experts, but {sum(held_W)} experts over {num_ranks} ranks "
            f"are {wanted_W}: see local_experts"
        )
    return shares


def exchange(
    rows: Tensor, sent_W: Sequence[int], received_W: Sequence[int], group: dist.ProcessGroup | None
) -> Tensor:
    """Send consecutive rows to the ranks in turn; gradients travel back the same way.

    All ranks call this together, and again in the backward pass.

    Args:
        rows: `[R, ...]`, the first rank's first.
        sent_W: how many rows go to each rank; sums to R.
        received_W: how many rows come from each rank; sums to S.
        group: of processes.

    Returns:
        `[S, ...]`, rows from the first rank first.
    """
    received: Tensor = _Exchange.apply(  # type: ignore[no-untyped-call]
        rows, list(sent_W), list(received_W), group
    )
    return received


class _Exchange(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        sent_W: list[int],
        received_W: list[int],
        group: dist.ProcessGroup | None,
    ) -> Tensor:
        ctx.splits, ctx.group = (sent_W, received_W), group
        received = rows.new_empty(sum(received_W), *rows.shape[1:])
        dist.all_to_all_single(received, rows.contiguous(), received_W, sent_W, group=group)
        return received

    @staticmethod
    def backward(ctx: Any, *d_received: Tensor) -> tuple[Tensor | None, ...]:
        sent_W, received_W = ctx.splits
        # Backwards every row goes where it came from.
        return exchange(d_received[0], received_W, sent_W, ctx.group), None, None, None
