"""What the tests of expert parallelism compute, in one process and in several.

Run by torchrun, it computes every case on this rank's share and saves what came out.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from moe.balance import importance_loss, load_loss
from moe.dispatch import combine, dispatch
from moe.grouped import Backend
from moe.optimisers import FactoredAdam
from moe.parallel import (
    ExpertParallel,
    copy_from_first_rank,
    local_experts,
    over_all_ranks,
    start_process_group,
    stop_process_group,
    sum_gradients,
)
from moe.parallel.checkpoint import load_state, load_weights, whole_state, whole_weights
from moe.plan import plan
from moe.routing import NO_EXPERT, Routing, even_starts, sum_per_expert
from moe.stacked import FeedForwardExperts, ModuleExperts

TOKENS, EXPERTS, FEATURES, HIDDEN, K, STEPS = 24, 10, 5, 7, 2, 3


class Net(nn.Module):
    """Two mixtures in a row; the experts of each token are given, their weights are learned."""

    def __init__(self, experts: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.embed = nn.Linear(FEATURES, FEATURES)
        self.unused = nn.Linear(FEATURES, 1)
        self.gate = nn.Linear(FEATURES, EXPERTS, bias=False)
        self.register_buffer("scale", torch.ones(()))
        self.below, self.above = experts(), experts()

    def routing(self, tokens_TD: Tensor, expert_TK: Tensor) -> Routing:
        logits_TE = self.gate(tokens_TD)
        chosen_TK = logits_TE.gather(1, expert_TK.clamp(min=0))
        weight_A = (chosen_TK.softmax(-1) * (expert_TK != NO_EXPERT)).flatten()
        importance_E = sum_per_expert(weight_A, expert_TK.flatten(), EXPERTS)
        load_E = logits_TE.sigmoid().sum(0)
        losses = {"importance": importance_loss(importance_E), "load": load_loss(load_E)}
        starts_T1 = even_starts(len(tokens_TD), K, tokens_TD.device)
        flat_A = expert_TK.flatten()
        return Routing(flat_A, weight_A, starts_T1, EXPERTS, importance_E, load_E, None, losses)

    def forward(self, tokens_TD: Tensor, expert_TK: Tensor) -> tuple[Tensor, Routing]:
        tokens_TD = torch.tanh(self.embed(tokens_TD)) * self.scale
        routing = self.routing(tokens_TD, expert_TK)
        where = plan(routing)
        for experts in (self.below, self.above):
            rows_RD = experts(dispatch(tokens_TD, where), where)
            tokens_TD = tokens_TD + combine(rows_RD, routing.weight_A, where)
        return tokens_TD, routing


@dataclass(frozen=True)
class Case:
    """Tokens, their experts, and how many of the tokens each rank has."""

    tokens_TD: Tensor
    expert_TK: Tensor
    shares: dict[int, list[int]]

    def objective(self, outputs_TD: Tensor, routing: Routing) -> Tensor:
        """A rank's part: own tokens over all tokens, and the whole batch's losses in full."""
        fit = (outputs_TD - 1).square().sum() / TOKENS
        return fit + 0.1 * routing.losses["importance"] + 0.2 * routing.losses["load"]

    def of_rank(self, rank: int, num_ranks: int) -> tuple[Tensor, Tensor]:
        """The tokens of a rank and their experts."""
        share = self.shares[num_ranks]
        return self.tokens_TD.split(share)[rank], self.expert_TK.split(share)[rank]


def cases() -> dict[str, Case]:
    generator = torch.Generator().manual_seed(7)
    tokens_TD = torch.randn(TOKENS, FEATURES, generator=generator, dtype=torch.float64)
    order_TE = torch.rand(TOKENS, EXPERTS, generator=generator).argsort(dim=1)
    expert_TK = order_TE[:, :K]
    even = {2: [12, 12], 4: [6, 6, 6, 6]}
    none = torch.full_like(expert_TK, NO_EXPERT)
    some = torch.rand(TOKENS, K, generator=generator) < 0.3
    first_rank_idle = torch.arange(TOKENS).unsqueeze(1) < 12
    return {
        "even": Case(tokens_TD, expert_TK, even),
        "uneven": Case(tokens_TD, expert_TK**2 // EXPERTS, {2: [17, 7], 4: [1, 14, 7, 2]}),
        "expert_without_token": Case(tokens_TD, expert_TK.clamp(max=EXPERTS - 3), even),
        "rank_without_token": Case(tokens_TD, expert_TK, {2: [0, 24], 4: [10, 0, 14, 0]}),
        "all_to_one_rank": Case(tokens_TD, expert_TK % 2, even),
        "some_without_expert": Case(tokens_TD, expert_TK.where(~some, NO_EXPERT), even),
        "rank_without_routed_token": Case(
            tokens_TD, expert_TK.where(~first_rank_idle, NO_EXPERT), even
        ),
        "nobody_routed": Case(tokens_TD, none, even),
    }


def all_experts() -> FeedForwardExperts:
    return FeedForwardExperts(
        EXPERTS, FEATURES, HIDDEN, backend=Backend.reference, dtype=torch.float64
    )


def whole_net() -> Net:
    """The model of a single process; the same in every process."""
    torch.manual_seed(3)
    return Net(all_experts).double()


def spread_net() -> Net:
    """This rank's part of `whole_net`."""
    whole = whole_net()
    mine = local_experts(EXPERTS)

    def part() -> ExpertParallel:
        experts = all_experts()
        for layer in (experts.first, experts.second):
            layer.weight = nn.Parameter(layer.weight[: len(mine)].detach())
            layer.num_experts = len(mine)
        experts.num_experts = len(mine)
        return ExpertParallel(experts)

    net = Net(part).double()
    state = whole.state_dict()
    for name, tensor in net.state_dict().items():
        source = state[name.replace(".local.", ".")]
        tensor.copy_(source[mine.start : mine.stop] if ".local." in name else source)
    if dist.get_rank() > 0:
        for tensor in [net.gate.weight.data, net.embed.bias.data, net.scale]:
            tensor.add_(1)
    copy_from_first_rank(net)
    return net


def backward(net: Net, case: Case, tokens_TD: Tensor, expert_TK: Tensor) -> dict[str, Any]:
    """Run a case forward and backward."""
    tokens_TD = tokens_TD.clone().requires_grad_()
    outputs_TD, routing = net(tokens_TD, expert_TK)
    if dist.is_initialized():
        routing = over_all_ranks(routing)
    objective = case.objective(outputs_TD, routing)
    objective.backward()
    if dist.is_initialized():
        sum_gradients(net)
    return {
        "outputs": outputs_TD.detach(),
        "fit": ((outputs_TD - 1).square().sum() / TOKENS).detach(),
        "losses": {name: loss.detach() for name, loss in routing.losses.items()},
        "d_tokens": tokens_TD.grad,
        "gradients": {
            name: weight.grad for name, weight in net.named_parameters() if weight.grad is not None
        },
    }


def train(net: Net, make: str, steps: int, share: tuple[Tensor, Tensor], case: Case) -> Any:
    """Make an optimiser and take some steps; `in_backward` never stores the experts' gradients."""
    rows_first = sorted(net.named_parameters(), key=lambda item: item[0])
    weights = [weight for _, weight in rows_first]
    optimiser: Any = torch.optim.Adam(weights, lr=0.05)
    if make != "adam":
        optimiser = FactoredAdam(weights, lr=0.05)
    if make == "in_backward":
        for part in (net.below, net.above):
            for stack in part.stacks:
                optimiser.attach(stack)
    advance(net, optimiser, steps, share, case)
    return optimiser


def advance(net: Net, optimiser: Any, steps: int, share: tuple[Tensor, Tensor], case: Case) -> None:
    for _ in range(steps):
        optimiser.zero_grad()
        backward(net, case, *share)
        optimiser.step()


def messages() -> dict[str, str]:
    """What each mistake is told."""
    rank = dist.get_rank()
    ragged = FeedForwardExperts(1 + rank, FEATURES, HIDDEN)
    shared = FeedForwardExperts(2, FEATURES, HIDDEN)
    shared.extra = nn.Linear(3, 3)
    tokens_TD, expert_TK = cases()["even"].of_rank(rank, dist.get_world_size())
    net = spread_net()
    where = plan(net.routing(tokens_TD, expert_TK))
    one = ExpertParallel(FeedForwardExperts(1, FEATURES, HIDDEN))
    biased = ExpertParallel(FeedForwardExperts(2, FEATURES, HIDDEN, bias=True))
    mistakes: dict[str, Callable[[], Any]] = {
        "too few experts": lambda: local_experts(1),
        "ragged": lambda: ExpertParallel(ragged),
        "shared": lambda: ExpertParallel(shared),
        "modules": lambda: ExpertParallel(ModuleExperts([nn.Linear(3, 3)] * 3)),
        "other number": lambda: one(tokens_TD, where),
        "factored biases": lambda: whole_state(biased, FactoredAdam(biased.parameters())),
    }
    heard = {}
    for name, mistake in mistakes.items():
        try:
            mistake()
        except ValueError as error:
            heard[name] = str(error)
    return heard


def main(folder: Path) -> None:
    """Compute this rank's part of everything; two ranks save checkpoints, four load them."""
    torch.set_num_threads(1)
    device = start_process_group("cpu")
    assert device.type == "cpu"
    rank, num_ranks = dist.get_rank(), dist.get_world_size()
    found: dict[str, Any] = {"messages": messages()}
    for name, case in cases().items():
        found[name] = backward(spread_net(), case, *case.of_rank(rank, num_ranks))
    case = cases()["uneven"]
    share = case.of_rank(rank, num_ranks)
    for make in ("adam", "factored", "in_backward"):
        net = spread_net()
        if num_ranks == 2:
            optimiser = train(net, make, STEPS, share, case)
            state = {"model": whole_weights(net), "optimiser": whole_state(net, optimiser)}
            if rank == 0:
                torch.save(state, folder / f"{make}.pt")
        else:
            optimiser = train(net, make, 0, share, case)
            state = torch.load(folder / f"{make}.pt")
            load_weights(net, state["model"])
            load_state(net, optimiser, state["optimiser"])
            advance(net, optimiser, 1, share, case)
        found[make] = {name: weight.detach() for name, weight in net.named_parameters()}
    torch.save(found, folder / f"{num_ranks}-{rank}.pt")
    stop_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
