"""Every backend multiplies as the plain reference does, in values and in gradients."""

import hashlib
import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from moe.grouped import (
    Backend,
    backends,
    chosen_backend,
    compiler,
    grouped_linear,
    native,
    reference,
)
from moe.grouped.compiler import CompilerError
from moe.plan import Plan, plan
from tests.core import random_routing

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
        got, expected = (getattr(module, name)(*arguments) for module in (product, reference))
        torch.testing.assert_close(got, expected, **tolerance)


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_an_expert_with_very_many_rows_is_no_exception(backend: Backend) -> None:
    _needs(backend)
    start = _start([3, native.LARGE_EXPERT + 5, 0, 1])
    rows = torch.randn(int(start[-1]), 6, dtype=torch.float64)
    weight = torch.randn(4, 6, 10, dtype=torch.float64)
    got = backends.implementation(backend).forward(rows, weight, start)
    torch.testing.assert_close(got, reference.forward(rows, weight, start))


def test_the_gradient_of_a_large_block_is_written_past_the_cache_and_is_the_same() -> None:
    _needs(Backend.native)
    num_experts = native.CACHED_BLOCK_BYTES // (64 * 64 * 4) + 1
    start = _start([2] * num_experts)
    rows, d_rows = torch.randn(2, 2 * num_experts, 64).unbind(0)
    got = native.backward_weight(rows, d_rows, start, slice(None))
    torch.testing.assert_close(got, reference.backward_weight(rows, d_rows, start, slice(None)))


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


def test_without_a_compiler_the_padded_backend_is_chosen_and_its_cost_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caches = (
        backends.refusal,
        backends._fastest,
        backends._warn_once,
        native.unavailable,
        compiler._made,
    )
    for cached in caches:
        cached.cache_clear()
    monkeypatch.setenv("CC", "no-such-compiler")
    try:
        assert "no-such-compiler" in str(native.unavailable())
        for dtype in (torch.float32, torch.float64, torch.float32):
            assert chosen_backend(Backend.auto, torch.zeros(1, 1, dtype=dtype)) is Backend.padded
        (told,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
        assert "no-such-compiler" in told
        assert "padded multiplies instead: 2 to 3 times slower" in told
        with pytest.raises(CompilerError, match="no-such-compiler"):
            native.identity()
    finally:
        for cached in caches:
            cached.cache_clear()


def test_what_no_faster_backend_multiplies_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    backends._fastest.cache_clear()
    assert chosen_backend(Backend.auto, torch.zeros(1, 1).bfloat16()) is Backend.padded
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_what_the_native_products_are_made_of_is_told() -> None:
    _needs(Backend.native)
    assert "-ffp-contract=fast" in native.identity()
    assert hashlib.sha256(native.SOURCE.read_bytes()).hexdigest()[:16] in native.identity()
