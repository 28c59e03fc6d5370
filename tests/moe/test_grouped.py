"""Every backend multiplies as the plain reference does, in values and in gradients."""

import hashlib
import logging
import os
import signal
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import forward_ad

from moe.grouped import (
    Backend,
    backends,
    chosen_backend,
    compiler,
    grouped_linear,
    native,
    team,
)
from moe.grouped.compiler import CompilerError
from moe.grouped.linear import _Product
from moe.grouped.torch_backends import Reference
from moe.plan import Plan, plan
from tests.moe.core import random_routing

CPU_BACKENDS = [Backend.padded, Backend.native]


def _needs(backend: Backend) -> None:
    if reason := backends.refusal(backend, "cpu", torch.float64):
        pytest.skip(reason)


def _start(counts: list[int]) -> Tensor:
    return torch.tensor([0, *counts]).cumsum(0)


@pytest.mark.parametrize("backend", CPU_BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.sampled_from([0, 0, 1, 2, 7, 8, 9, 33, 70]), min_size=1, max_size=8),
    idle=st.integers(0, 3),
    sizes=st.tuples(st.sampled_from([1, 3, 16, 20, 64]), st.sampled_from([1, 5, 16, 48, 70])),
)
def test_a_backend_equals_the_reference(
    backend: Backend, dtype: torch.dtype, counts: list[int], idle: int, sizes: tuple[int, int]
) -> None:
    _needs(backend)
    product = backends.implementation(backend)
    start = _start(counts)
    rows = torch.randn(sum(counts) + idle, sizes[0], dtype=dtype)
    d_rows = torch.randn(sum(counts) + idle, sizes[1], dtype=dtype)
    weight = torch.randn(len(counts), *sizes, dtype=dtype)
    some = slice(len(counts) // 2, None)
    tolerance = {"rtol": 0, "atol": 1e-12 if dtype is torch.float64 else 1e-4}
    for name, arguments in {
        "forward": (rows, weight, start),
        "backward_rows": (d_rows, weight, start),
        "backward_weight": (rows, d_rows, start, some),
    }.items():
        got, expected = (getattr(module, name)(*arguments) for module in (product, Reference))
        torch.testing.assert_close(got, expected, **tolerance)


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_an_expert_with_very_many_rows_is_no_exception(backend: Backend) -> None:
    _needs(backend)
    start = _start([3, native.LARGE_EXPERT + 5, 0, 1])
    rows = torch.randn(int(start[-1]), 6, dtype=torch.float64)
    weight = torch.randn(4, 6, 10, dtype=torch.float64)
    got = backends.implementation(backend).forward(rows, weight, start)
    torch.testing.assert_close(got, Reference.forward(rows, weight, start))


def test_the_gradient_of_a_large_block_is_written_past_the_cache_and_is_the_same() -> None:
    _needs(Backend.native)
    num_experts = native.CACHED_BLOCK_BYTES // (64 * 64 * 4) + 1
    start = _start([2] * num_experts)
    rows, d_rows = torch.randn(2, 2 * num_experts, 64).unbind(0)
    got = native.backward_weight(rows, d_rows, start, slice(None))
    torch.testing.assert_close(got, Reference.backward_weight(rows, d_rows, start, slice(None)))


def _case(backend: Backend) -> tuple[Tensor, Tensor, Plan]:
    _needs(backend)
    torch.manual_seed(3)
    where = plan(random_routing(4, 3, 2, idle=0.3))
    rows = torch.randn(8, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 3, 5, dtype=torch.float64, requires_grad=True)
    return rows, weight, where


@pytest.mark.parametrize("backend", [Backend.reference, *CPU_BACKENDS])
def test_the_gradients_of_a_grouped_product_are_exact(backend: Backend) -> None:
    rows, weight, where = _case(backend)
    assert torch.autograd.gradcheck(
        lambda x, w: grouped_linear(x, w, where, backend), (rows, weight)
    )


@pytest.mark.parametrize("backend", [Backend.reference, *CPU_BACKENDS])
def test_second_derivatives_of_a_grouped_product_are_exact(backend: Backend) -> None:
    rows, weight, where = _case(backend)
    assert torch.autograd.gradgradcheck(
        lambda x, w: grouped_linear(x, w, where, backend), (rows, weight)
    )


def test_a_sink_has_no_second_derivative() -> None:
    rows, weight, where = _case(Backend.padded)
    out = grouped_linear(rows, weight, where, Backend.padded, lambda first, block: None)
    (d_rows,) = torch.autograd.grad(out.square().sum(), rows, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        d_rows.sum().backward()


def test_torch_knows_the_operators() -> None:
    rows, weight, where = _case(Backend.padded)
    d_rows, start, name = torch.randn(8, 5, dtype=torch.float64), where.start_E1, "padded"
    for arguments in ((rows, weight, start, False, name), (d_rows, weight, start, True, name)):
        torch.library.opcheck(torch.ops.moe.grouped_product.default, arguments)
    outer = (rows, d_rows.requires_grad_(), start, name)
    torch.library.opcheck(torch.ops.moe.grouped_outer.default, outer)


# torch's own, when it loads its rules of forward mode.
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_functional_transforms_see_the_product_or_say_that_they_do_not() -> None:
    rows, weight, where = _case(Backend.padded)

    def loss(rows: Tensor, weight: Tensor) -> Tensor:
        return grouped_linear(rows, weight, where).pow(3).sum()

    expected = torch.autograd.grad(loss(rows, weight), (rows, weight))
    got = torch.func.grad(loss, argnums=(0, 1))(rows, weight)
    torch.testing.assert_close(got, expected)

    def penalty(rows: Tensor) -> Tensor:
        return torch.func.grad(loss)(rows, weight).square().sum()

    (d_rows,) = torch.autograd.grad(loss(rows, weight), rows, create_graph=True)
    (expected_again,) = torch.autograd.grad(d_rows.square().sum(), rows)
    torch.testing.assert_close(torch.func.grad(penalty)(rows), expected_again)
    # A derivative in forward mode that is missing must not come out as zero.
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="jvp"):
        loss(forward_ad.make_dual(rows.detach(), rows.detach()), weight.detach())
    with pytest.raises(RuntimeError, match="vmap"):
        torch.func.vmap(loss, in_dims=(0, None))(rows.expand(2, -1, -1), weight)


FREED = torch.zeros(3, 3, 5)
FREED.untyped_storage().resize_(0)

# Rows [8, 3], weights [3, 3, 5] and start_E1 [4], one of them wrong.
MISTAKES: dict[str, tuple[dict[str, Tensor], type[Exception], str]] = {
    "bfloat16 weights": (
        {"weight": torch.zeros(3, 3, 5).bfloat16()},
        TypeError,
        "rows have dtype torch.float32, but weights have dtype torch.bfloat16",
    ),
    "float64 rows": ({"rows": torch.zeros(8, 3).double()}, TypeError, "float64.*float32"),
    "whole numbers": (
        {"rows": torch.zeros(8, 3).long(), "weight": torch.zeros(3, 3, 5).long()},
        TypeError,
        "takes floats",
    ),
    "sparse rows": ({"rows": torch.zeros(8, 3).to_sparse()}, TypeError, "dense"),
    "weights on meta": ({"weight": torch.zeros(3, 3, 5, device="meta")}, ValueError, "meta"),
    "freed weights": ({"weight": FREED}, ValueError, "no memory of that size"),
    "narrow rows": ({"rows": torch.zeros(8, 2)}, ValueError, "3 inputs got rows of 2"),
    "one matrix": ({"weight": torch.zeros(3, 5)}, ValueError, "takes"),
    "int32 start": ({"start": torch.tensor([0, 2, 4, 8]).int()}, TypeError, "torch.int64"),
    "start of others": ({"start": torch.tensor([0, 2, 8])}, ValueError, "to 2 experts"),
    "too many rows": ({"start": torch.tensor([0, 2, 4, 9])}, ValueError, "another batch"),
    "rows of nobody first": ({"start": torch.tensor([1, 2, 4, 8])}, ValueError, "begin at 0"),
}


@pytest.mark.parametrize("backend", [Backend.reference, *CPU_BACKENDS, Backend.torch_grouped])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_operand_is_named_by_every_backend(mistake: str, backend: Backend) -> None:
    wrong, kind, message = MISTAKES[mistake]
    right = {
        "rows": torch.zeros(8, 3),
        "weight": torch.zeros(3, 3, 5),
        "start": torch.tensor([0, 2, 4, 8]),
    }
    operands = {**right, **wrong}
    with pytest.raises(kind, match=message):
        _Product.apply(
            operands["rows"], operands["weight"], operands["start"], False, backend.value
        )


def test_a_start_that_descends_never_reaches_memory() -> None:
    _needs(Backend.native)
    for start in ([0, 10**9, 4, 8], [0, -(10**9), 4, 8], [0, 6, 4, 8]):
        with pytest.raises(ValueError, match="does not ascend"):
            native.forward(torch.zeros(8, 3), torch.zeros(3, 3, 5), torch.tensor(start))


@pytest.mark.parametrize("backend", [Backend.reference, *CPU_BACKENDS])
def test_operands_may_be_views(backend: Backend) -> None:
    _needs(backend)
    where = plan(random_routing(4, 3, 2, dtype=torch.float32))
    rows, weight = torch.randn(3, 8).T, torch.randn(3, 5, 3).mT
    expected = Reference.forward(rows.contiguous(), weight.contiguous(), where.start_E1)
    for x, w, sign in (
        (rows, weight, 1),
        (torch._neg_view(rows), weight, -1),
        (rows, torch.complex(weight, weight).conj().imag, -1),
    ):
        torch.testing.assert_close(grouped_linear(x, w, where, backend), sign * expected)


@pytest.mark.parametrize("backend", [Backend.reference, *CPU_BACKENDS, Backend.torch_grouped])
def test_no_features_give_zeros(backend: Backend) -> None:
    where = plan(random_routing(4, 3, 2, dtype=torch.float32))
    rows = torch.zeros(8, 0, requires_grad=True)
    weight = torch.zeros(3, 0, 5, requires_grad=True)
    out = grouped_linear(rows, weight, where, backend)
    out.sum().backward()
    assert torch.equal(out, torch.zeros(8, 5))
    assert weight.grad is not None
    assert weight.grad.shape == weight.shape


def test_two_bytes_are_multiplied_in_single_precision() -> None:
    _needs(Backend.native)
    start = _start([3, 30, 2])
    for dtype in (torch.bfloat16, torch.float16):
        rows, weight = torch.randn(35, 6).to(dtype), torch.randn(3, 6, 7).to(dtype)
        d_rows = torch.randn(35, 7).to(dtype)
        for name, arguments in {
            "forward": (rows, weight),
            "backward_rows": (d_rows, weight),
            "backward_weight": (rows, d_rows),
        }.items():
            some = [slice(1, 3)] if name == "backward_weight" else []
            exact = getattr(Reference, name)(*(part.double() for part in arguments), start, *some)
            got = getattr(native, name)(*arguments, start, *some)
            assert got.dtype is dtype
            torch.testing.assert_close(got.double(), exact, rtol=2**-8, atol=1e-2)


# Newer versions of Python warn of what is tested here.
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_multiplies_too(monkeypatch: pytest.MonkeyPatch) -> None:
    _needs(Backend.native)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    start = _start([4] * 64)
    rows, weight = torch.randn(256, 64), torch.randn(64, 64, 128)
    expected = native.forward(rows, weight, start)
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # ends the child that waits for threads which it does not have
        os._exit(0 if torch.equal(native.forward(rows, weight, start), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_a_sink_gets_the_gradient_that_the_weights_would_get(backend: Backend) -> None:
    rows, weight, where = _case(backend)
    grouped_linear(rows, weight, where, backend).square().sum().backward()
    expected = weight.grad
    weight.grad = None
    blocks: dict[int, Tensor] = {}
    grouped_linear(rows, weight, where, backend, blocks.__setitem__).square().sum().backward()
    assert weight.grad is None
    assert expected is not None
    torch.testing.assert_close(torch.cat([blocks[e] for e in sorted(blocks)]), expected)


def test_rows_of_no_expert_are_zero_even_where_they_hold_nan() -> None:
    rows = torch.full((3, 2), torch.nan)
    for backend in [Backend.reference, *CPU_BACKENDS]:
        _needs(backend)
        got = backends.implementation(backend).forward(rows, torch.ones(1, 2, 2), _start([0]))
        assert torch.equal(got, torch.zeros(3, 2))


def test_the_choice_of_a_backend_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    backends._fastest.cache_clear()
    with caplog.at_level(logging.INFO, "moe.grouped"):
        chosen = chosen_backend(Backend.auto, torch.zeros(1, 1))
    assert f"backend {chosen.value}" in caplog.text


def test_a_backend_that_cannot_run_says_why_and_which_can() -> None:
    with pytest.raises(ValueError, match=r"float64.*padded"):
        chosen_backend(Backend.torch_grouped, torch.zeros(1, 1, dtype=torch.float64))


def test_without_a_compiler_torchs_products_are_chosen_and_their_cost_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caches = (
        backends.refusal,
        backends._fastest,
        backends._warn_once,
        native.unavailable,
        team.work_off,
        compiler._made,
    )
    for cached in caches:
        cached.cache_clear()
    monkeypatch.setenv("CC", "no-such-compiler")
    try:
        assert "no-such-compiler" in str(native.unavailable())
        for _ in range(2):
            assert chosen_backend(Backend.auto, torch.zeros(1, 1)) is Backend.torch_grouped
        (told,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
        assert "no-such-compiler" in told
        assert "torch_grouped multiplies instead: up to 5 times slower" in told
        _check_share_out(monkeypatch)
        # torch's grouped product has no float64.
        assert chosen_backend(Backend.auto, torch.zeros(1, 1).double()) is Backend.padded
        with pytest.raises(CompilerError, match="no-such-compiler"):
            native.identity()
    finally:
        for cached in caches:
            cached.cache_clear()


@pytest.mark.parametrize("counts", [[300, 200, 3], [120] * 10, [0, 700]])
def test_large_experts_of_wide_answers_are_multiplied_right(counts: list[int]) -> None:
    _needs(Backend.native)
    start, num_rows = _start(counts), sum(counts)
    rows, d_rows = torch.randn(num_rows, 20).double(), torch.randn(num_rows, 64).double()
    weight = torch.randn(len(counts), 20, 64).double()
    for name, arguments in {
        "forward": (rows, weight, start),
        "backward_rows": (d_rows, weight, start),
        "backward_weight": (rows, d_rows, start, slice(None)),
    }.items():
        expected = getattr(Reference, name)(*arguments)
        torch.testing.assert_close(getattr(native, name)(*arguments), expected)


def test_an_expert_that_would_keep_other_threads_waiting_is_torchs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert native._most_rows(8_000, 64) == 1_000
    assert native._most_rows(80, 64) == native.LARGE_EXPERT
    # Answers that leave a vector half empty, or are of a few features.
    assert native._most_rows(8_000, 65) == native._most_rows(8_000, 16) == native.LARGE_EXPERT


def _check_share_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several threads share out experts of few rows in batches; one thread never does."""
    rows = torch.zeros(100 * backends.FEW_ROWS, 1)
    for num_threads, num_experts, expected in [
        (2, 100, Backend.torch_grouped),
        (2, 101, Backend.padded),
        (1, 101, Backend.torch_grouped),
    ]:
        monkeypatch.setattr(torch, "get_num_threads", lambda count=num_threads: count)
        assert chosen_backend(Backend.auto, rows, num_experts) is expected


@pytest.mark.parametrize("has_openmp", [True, False])
def test_two_threads_share_every_expert_out_once(
    monkeypatch: pytest.MonkeyPatch, has_openmp: bool
) -> None:
    _needs(Backend.native)
    if not has_openmp:
        monkeypatch.setattr(team, "_parallel", lambda: None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    start = _start([4, 0, 9] * 30)
    rows, weight = torch.randn(390, 64), torch.randn(90, 64, 128)
    expected = Reference.forward(rows, weight, start)
    torch.testing.assert_close(native.forward(rows, weight, start), expected)
    # A plan that does not ascend is refused, whichever thread meets it.
    start[60] = 380
    with pytest.raises(ValueError, match="damaged"):
        native.forward(rows, weight, start)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch may have no OpenMP")
def test_torchs_own_threads_are_found() -> None:
    _needs(Backend.native)
    assert ("OpenMP" not in torch.__config__.parallel_info()) == (team._parallel() is None)


def test_what_no_faster_backend_multiplies_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    backends._fastest.cache_clear()
    assert chosen_backend(Backend.auto, torch.zeros(1, 1).bfloat16()) is Backend.padded
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_what_the_native_products_are_made_of_is_told() -> None:
    _needs(Backend.native)
    assert "-ffp-contract=fast" in native.identity()
    assert hashlib.sha256(native.SOURCE.read_bytes()).hexdigest()[:16] in native.identity()
