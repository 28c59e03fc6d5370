"""Other ways to compute the sparse layer, written as they are usually found, on the same tensors.

Each is a function that runs forward and backward, as the contenders of
`experiments.scaling.timing.Problem`. Shapes: T tokens, E experts, k experts per token, R = T k rows
sorted by expert, D features, H hidden.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from experiments.scaling.timing import Problem

# Padded rows and hidden units of one contender; more would be no contest but a test of the memory.
MOST_PADDED_BYTES = 2**30

Answer = Callable[[Tensor], Tensor]


def peers(problem: Problem) -> dict[str, Callable[[], None]]:
    """Each by its name; padded products are left out where padding would take over a gigabyte."""
    found = {
        "sort, split, cat": _contender(problem, lambda gates_TK: _split(problem, gates_TK)),
        "dispatcher of 2017": _contender(problem, lambda gates_TK: _dispatcher(problem, gates_TK)),
    }
    cell = problem.cell
    counts_E = torch.bincount(problem.expert_TK.flatten(), minlength=cell.num_experts)
    features = cell.num_features + cell.num_hidden
    if 4 * cell.num_experts * int(counts_E.max()) * features <= MOST_PADDED_BYTES:
        found["padded bmm"] = _contender(problem, lambda gates_TK: _padded(problem, gates_TK))
    return found


def _contender(problem: Problem, answers_TD: Answer) -> Callable[[], None]:
    gates_TK = problem.weight_TK.clone().requires_grad_()

    def work() -> None:
        for tensor in (problem.tokens_TD, gates_TK, *problem.weights):
            tensor.grad = None
        answers_TD(gates_TK).backward(problem.d_TD)  # type: ignore[no-untyped-call]

    return work


def _each_expert(problem: Problem, rows_RD: Tensor, counts_E: list[int]) -> Tensor:
    """A list of experts, called one by one; the parts are put together again."""
    first, second = (weight.unbind() for weight in problem.weights)
    parts = torch.split(rows_RD, counts_E)
    # Shazeer et al. (2017), appendix E: E_i(x) = W_2 relu(W_1 x).
    pairs = zip(parts, first, second, strict=True)
    return torch.cat([torch.relu(part @ w1) @ w2 for part, w1, w2 in pairs])


def _split(problem: Problem, gates_TK: Tensor) -> Tensor:
    order_R = problem.expert_TK.flatten().argsort(stable=True)
    counts = torch.bincount(problem.expert_TK.flatten(), minlength=problem.cell.num_experts)
    rows_RD = problem.tokens_TD[order_R // problem.cell.k]
    answers = _each_expert(problem, rows_RD, counts.tolist())[order_R.argsort()]
    return (answers.view(*gates_TK.shape, -1) * gates_TK.unsqueeze(-1)).sum(1)


def _dispatcher(problem: Problem, gates_TK: Tensor) -> Tensor:
    # As the dispatcher that the paper's authors published: a dense matrix of gate values says who
    # answers for whom, and answers are added up by token.
    gates_TE = gates_TK.new_zeros(problem.cell.num_tokens, problem.cell.num_experts)
    gates_TE = gates_TE.scatter(1, problem.expert_TK, gates_TK)
    expert_R, token_R = gates_TE.t().nonzero(as_tuple=True)
    counts = torch.bincount(expert_R, minlength=problem.cell.num_experts)
    answers = _each_expert(problem, problem.tokens_TD[token_R], counts.tolist())
    weighted = answers * gates_TE[token_R, expert_R].unsqueeze(1)
    return torch.zeros_like(problem.tokens_TD).index_add(0, token_R, weighted)


def _padded(problem: Problem, gates_TK: Tensor) -> Tensor:
    # All experts are padded to the one with the most rows.
    expert_A, num_experts = problem.expert_TK.flatten(), problem.cell.num_experts
    counts_E = torch.bincount(expert_A, minlength=num_experts)
    most = int(counts_E.max())
    order_R = expert_A.argsort(stable=True)
    expert_R = expert_A[order_R]
    place_R = torch.arange(len(order_R)) - (counts_E.cumsum(0) - counts_E)[expert_R]
    slot_R = expert_R * most + place_R
    rows_RD = problem.tokens_TD[order_R // problem.cell.k]
    padded = rows_RD.new_zeros(num_experts * most, rows_RD.shape[1]).index_copy(0, slot_R, rows_RD)
    first, second = problem.weights
    hidden = torch.relu(torch.bmm(padded.view(num_experts, most, -1), first))
    answers = torch.bmm(hidden, second).flatten(0, 1)[slot_R][order_R.argsort()]
    return (answers.view(*gates_TK.shape, -1) * gates_TK.unsqueeze(-1)).sum(1)
