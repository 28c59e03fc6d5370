"""Experts over several processes: the same numbers as in one, and checkpoints for any number."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from moe.parallel import ExpertParallel, start_process_group
from moe.parallel.experts import shares_of_ranks
from moe.stacked import FeedForwardExperts
from tests.moe.parallel_cases import STEPS, advance, backward, cases, train, whole_net

ROOT = Path(__file__).parents[2]
Found = list[dict[str, Any]]

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_gloo_available(), reason="this torch has no gloo"
)


def torchrun(num_ranks: int, folder: Path) -> Found:
    program = str(ROOT / "tests" / "moe" / "parallel_cases.py")
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_ranks}"]
    done = subprocess.run(
        [sys.executable, *start, program, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return [torch.load(folder / f"{num_ranks}-{rank}.pt") for rank in range(num_ranks)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[int, Found]:
    """What 2 ranks found, which saved checkpoints, and 4 ranks, which loaded them."""
    return {num_ranks: torchrun(num_ranks, folder) for num_ranks in (2, 4)}


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


def assert_whole(ranks: list[dict[str, Tensor]], whole: dict[str, Tensor]) -> None:
    """Experts are the ranks' parts one after another; the rest is the same on every rank."""
    names = {name.replace(".local.", "."): name for name in ranks[0]}
    assert whole.keys() <= names.keys()
    for name, expected in whole.items():
        parts = [rank[names[name]] for rank in ranks]
        if ".local." in names[name]:
            close(torch.cat(parts), expected)
        else:
            for part in parts:
                close(part, expected)


@pytest.mark.parametrize("num_ranks", [2, 4])
@pytest.mark.parametrize("name", cases())
def test_ranks_find_what_one_process_finds(
    found: dict[int, Found], name: str, num_ranks: int
) -> None:
    case = cases()[name]
    expected = backward(whole_net(), case, case.tokens_TD, case.expert_TK)
    ranks = [rank[name] for rank in found[num_ranks]]
    close(torch.cat([rank["outputs"] for rank in ranks]), expected["outputs"])
    close(torch.cat([rank["d_tokens"] for rank in ranks]), expected["d_tokens"])
    close(sum(rank["fit"] for rank in ranks), expected["fit"])
    for rank in ranks:
        for loss, value in expected["losses"].items():
            close(rank["losses"][loss], value)
    assert_whole([rank["gradients"] for rank in ranks], expected["gradients"])


def after(make: str, steps: int) -> dict[str, Tensor]:
    net, case = whole_net(), cases()["uneven"]
    train(net, make, steps, (case.tokens_TD, case.expert_TK), case)
    return {name: weight.detach() for name, weight in net.named_parameters()}


@pytest.mark.parametrize("make", ["adam", "factored", "in_backward"])
def test_two_ranks_train_as_one_process_does(found: dict[int, Found], make: str) -> None:
    assert_whole([rank[make] for rank in found[2]], after(make, STEPS))


@pytest.mark.parametrize("make", ["adam", "factored", "in_backward"])
def test_four_ranks_go_on_where_two_stopped(found: dict[int, Found], make: str) -> None:
    assert_whole([rank[make] for rank in found[4]], after(make, STEPS + 1))


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
@pytest.mark.parametrize("make", ["adam", "factored", "in_backward"])
def test_one_process_goes_on_where_two_stopped(
    found: dict[int, Found], folder: Path, make: str
) -> None:
    net, case = whole_net(), cases()["uneven"]
    share = case.tokens_TD, case.expert_TK
    with torch.no_grad():
        for weight in net.parameters():
            weight.zero_()
    optimiser = train(net, make, 0, share, case)
    state = torch.load(folder / f"{make}.pt")
    net.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    advance(net, optimiser, 1, share, case)
    assert_whole([dict(net.named_parameters())], after(make, STEPS + 1))


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("too few experts", "1 experts over 2 ranks, in blocks of 1, leave 1 ranks without"),
        ("ragged", r"the ranks hold \[1, 2\] experts, but 3 experts over 2 ranks are \[2, 1\]"),
        ("shared", r"FeedForwardExperts has extra\.weight, extra\.bias"),
        ("modules", "ModuleExperts has"),
        ("other number", "2 experts got rows routed to 10 experts"),
        ("factored biases", r"experts has the shape \[1, 2\], not one entry for each of the 2"),
    ],
)
def test_mistakes_are_told_on_every_rank(found: dict[int, Found], mistake: str, told: str) -> None:
    for rank in found[2]:
        with pytest.raises(ValueError, match=told):
            raise ValueError(rank["messages"][mistake])


@pytest.mark.parametrize(
    ("num_experts", "num_ranks", "sizes"),
    [(4, 4, [1, 1, 1, 1]), (10, 4, [3, 3, 3, 1]), (2048, 3, [683, 683, 682]), (7, 1, [7])],
)
def test_experts_are_shared_in_blocks(num_experts: int, num_ranks: int, sizes: list[int]) -> None:
    shares = shares_of_ranks(num_experts, num_ranks)
    assert [len(share) for share in shares] == sizes
    assert [e for share in shares for e in share] == list(range(num_experts))


@pytest.mark.parametrize(("num_experts", "num_ranks"), [(3, 4), (5, 4), (0, 1)])
def test_a_rank_without_experts_is_refused(num_experts: int, num_ranks: int) -> None:
    with pytest.raises(ValueError, match="without an expert"):
        shares_of_ranks(num_experts, num_ranks)


def test_a_program_that_torchrun_did_not_start_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeError, match=r"not started by torchrun \(RANK, WORLD_SIZE"):
        start_process_group()


def test_parallel_experts_ask_for_a_process_group() -> None:
    with pytest.raises(RuntimeError, match="start_process_group"):
        ExpertParallel(FeedForwardExperts(2, 3, 4))
