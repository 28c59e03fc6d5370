"""The Triton backend: who it refuses, how it cuts its work, and its kernels' logic."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from packaging.version import Version

from benchmarks import compile_gpu
from moe.grouped import Backend, backends, triton
from moe.grouped.triton_tiles import FREE_BYTES, LARGEST, SMALLEST, Product, Tile, forced, tile_for

CASES = Path(__file__).with_name("triton_cases.py")
has_triton = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not has_triton, reason="the package triton is not installed")


def version(package: str) -> Version:
    return Version(importlib.metadata.version(package))


def run_tests(path: Path, **environment: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)]
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        cwd=CASES.parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def skip_without_interpreter() -> None:
    if version("triton") < Version("3.9") and version("numpy") >= Version("2.4"):
        pytest.skip("the interpreter of Triton before 3.9 cannot use NumPy 2.4 or newer")


@needs_triton
@pytest.mark.slow
def test_kernels_equal_the_reference() -> None:
    if torch.cuda.is_available():
        run_tests(CASES)
    else:
        skip_without_interpreter()
        run_tests(CASES, TRITON_INTERPRET="1")


@needs_triton
@pytest.mark.slow
def test_the_tests_of_a_gpu_run_at_toy_size() -> None:
    skip_without_interpreter()
    run_tests(CASES.with_name("test_gpu.py"), TRITON_INTERPRET="1", MOE_REHEARSE_GPU="1")


@needs_triton
@pytest.mark.slow
def test_kernels_compile_for_gpus_that_are_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    if os.environ.get("TRITON_INTERPRET") == "1":
        pytest.skip("the interpreter compiles nothing")
    compile_gpu.main(["--few", "--architectures", "90"])
    told = capsys.readouterr().out
    assert all(name in told for name in ("rows_kernel", "weight_kernel", "squares_kernel"))
    assert "sm_90" in told


def test_compiling_is_skipped_in_words_without_triton(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    compile_gpu.main([])
    assert "the package triton is not installed" in capsys.readouterr().out


def test_refuses_where_triton_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert triton.refusal("cuda", torch.float32) == "the package triton is not installed"


@pytest.fixture
def with_triton(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    return monkeypatch


def test_refuses_the_cpu_unless_interpreted(with_triton: pytest.MonkeyPatch) -> None:
    assert "NVIDIA" in str(triton.refusal("cpu", torch.float32))
    with_triton.setenv("TRITON_INTERPRET", "1")
    assert triton.refusal("cpu", torch.float32) is None
    assert "bfloat16" in str(triton.refusal("cpu", torch.bfloat16))


@pytest.mark.parametrize(("capability", "runs"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_refuses_old_gpus(
    with_triton: pytest.MonkeyPatch, capability: tuple[int, int], runs: bool
) -> None:
    with_triton.setattr(torch.cuda, "get_device_capability", lambda: capability)
    with_triton.setattr(triton, "_failure_on_gpu", lambda: None)
    assert (triton.refusal("cuda", torch.bfloat16) is None) == runs


def test_refuses_in_words_where_its_kernels_cannot_be_built(
    with_triton: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def build(*_: object) -> None:
        raise RuntimeError("Failed to find C compiler. Please specify via CC.\nmore")

    empty = torch.zeros
    with_triton.setattr(torch, "zeros", lambda *shape, device: empty(*shape))
    with_triton.setattr(torch, "arange", lambda end, device: empty(end))
    with_triton.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    with_triton.setattr(triton, "rows_product", build)
    for cached in (triton._failure_on_gpu, backends.refusal, backends._fastest):
        cached.cache_clear()
    try:
        reason = str(triton.refusal("cuda", torch.float32))
        assert "Failed to find C compiler" in reason
        assert "install gcc" in reason
        with caplog.at_level("WARNING", logger="moe.grouped"):
            assert backends._fastest("cuda", torch.bfloat16) is Backend.torch_grouped
        assert "install gcc" in caplog.text
        assert "torch_grouped multiplies instead" in caplog.text
    finally:
        for cached in (triton._failure_on_gpu, backends.refusal, backends._fastest):
            cached.cache_clear()


def test_kernels_run_on_the_device_of_their_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    # As a tensor of the second GPU says of itself.
    other = SimpleNamespace(is_cuda=True, device=torch.device("cuda", 1))
    taken: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "device", lambda device: taken.append(device) or nullcontext())
    with triton.on_device_of(other):  # type: ignore[arg-type]
        assert taken == [torch.device("cuda", 1)]
    with triton.on_device_of(torch.zeros(1)):
        assert len(taken) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
def test_refuses_other_dtypes(with_triton: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    assert "float32" in str(triton.refusal("cuda", dtype))


@pytest.mark.parametrize("product", Product)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows_per_expert", [0, 0.3, 8, 128, 5e5])
@pytest.mark.parametrize("features", [(1, 1), (20, 3), (512, 2048), (100, 100)])
def test_tiles_suit_the_hardware(
    product: Product, dtype: torch.dtype, rows_per_expert: float, features: tuple[int, int]
) -> None:
    tile, most = (
        tile_for(product, dtype, rows_per_expert, features),
        LARGEST[product, dtype.itemsize],
    )
    for side, longest in zip(tile[:3], most[:3], strict=True):
        assert SMALLEST <= side <= longest
        assert side.bit_count() == 1
    assert (tile.m + tile.n) * tile.k * dtype.itemsize * tile.stages <= FREE_BYTES
    assert tile.warps in (4, 8)


def test_few_rows_get_low_tiles() -> None:
    heights = [
        tile_for(Product.rows, torch.bfloat16, r, (512, 2048)).m for r in (1, 12, 32, 64, 512)
    ]
    assert heights == [16, 16, 64, 128, 128]


def test_a_tile_can_be_forced() -> None:
    tile = Tile(16, 16, 16, 4, 2)
    with forced(Product.rows, tile):
        assert tile_for(Product.rows, torch.float32, 1e3, (512, 512)) == tile
    assert tile_for(Product.rows, torch.float32, 1e3, (512, 512)) != tile
