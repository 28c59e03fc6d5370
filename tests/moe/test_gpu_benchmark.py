"""What `make benchmark-gpu` runs, at toy size and without a GPU."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmarks import gpu


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_benchmark_prints_both_tables(dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(["--rehearse", "--rounds", "1", "--dtype", dtype])
    told = capsys.readouterr().out
    for words in ("ours, native", "F.grouped_mm", "% of the bound", "factored, by operators"):
        assert words in told
    assert "left out" not in told


def test_a_size_that_needs_too_much_memory_is_skipped_in_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu.Place, "free_bytes", 2.0**30)
    monkeypatch.setattr(gpu, "REHEARSAL", replace(gpu.REHEARSAL, cells=gpu.CELLS[:1]))
    gpu.main(["--rehearse"])
    assert "skipped, it needs about" in capsys.readouterr().out


def test_the_largest_size_fits_one_gpu_of_80_gb() -> None:
    assert max(gpu.needed_bytes(cell, torch.bfloat16) for cell in gpu.CELLS) < 60e9


def test_a_contender_that_fails_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nmore")

    able = gpu.that_run({"other": fail, "ours": lambda: None}, Console(width=110))
    assert list(able) == ["ours"]
    assert "other is left out: OutOfMemoryError: CUDA out of memory." in capsys.readouterr().out


def test_the_translators_gpu_tests_run_on_the_cpu() -> None:
    path = Path(__file__).parents[1] / "experiments/translation/test_gpu_translation.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)]
    environment = {**os.environ, "MOE_REHEARSE_GPU": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
