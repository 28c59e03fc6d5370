"""Two processes train what one does: the same model, and checkpoints that one process loads."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.compose import composed, typed
from experiments.errors import UserError
from experiments.execute import execute, folder_of
from experiments.run_folder import FinishedRun, read_finished
from experiments.translation.distributed import check

ROOT = Path(__file__).parents[1]
TOY = (
    "max_train_pairs=200 num_subwords=300 width=12 num_units=16 expert_units=6 max_steps=4 "
    "num_translated=2 attention_units=6 beam_width=1 tokens_per_batch=800 valid_share=0.003 "
    "test_share=0.003 num_threads=1 batches_per_step=2 evaluate_every=2 dropout=0"
)

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_gloo_available(), reason="this torch has no gloo"
)


def overrides(runs_dir: Path, *more: str) -> list[str]:
    settings = [f"study.{item}" for item in (*TOY.split(), *more)]
    return ["study=translation", f"runs_dir={runs_dir}", *settings]


def by_torchrun(runs_dir: Path, *more: str) -> FinishedRun:
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    module = ["-m", "experiments.translation.distributed"]
    arguments = overrides(runs_dir, *more)
    done = subprocess.run(
        [sys.executable, *start, *module, *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return read_finished(folder_of(typed(composed(arguments)).study, str(runs_dir)))


def test_without_experts_two_processes_train_the_model_of_one(tmp_path: Path) -> None:
    shared = by_torchrun(tmp_path / "two", "num_experts=0")
    study = typed(composed(overrides(tmp_path / "one", "num_experts=0"))).study
    alone = read_finished(execute(study, str(tmp_path / "one")).path)
    for name, weight in alone.arrays("weights").items():
        np.testing.assert_allclose(shared.arrays("weights")[name], weight, rtol=1e-3, atol=1e-4)


def test_experts_of_two_processes_are_gathered_as_they_were_trained(tmp_path: Path) -> None:
    run = by_torchrun(tmp_path, "num_experts=6", "k=2", "gate=noisy_top_k")
    # Measured by two processes while they trained, and by one from their checkpoint.
    together = run.table("evaluations")["perplexity"].iloc[-1]
    alone = run.table("metrics").set_index("split").loc["valid", "perplexity"]
    assert alone == pytest.approx(together, rel=1e-5)
    assert run.arrays("weights")["encoder_moe.experts.first.weight"].shape == (6, 12, 6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("batches_per_step=3",), "cannot be shared out"),
        (("num_experts=1", "k=1"), "without an expert"),
    ],
)
def test_what_processes_cannot_share_is_refused(
    changes: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    kept = [item for item in overrides(tmp_path) if not item.startswith("study.batches_per_step")]
    changed = [*kept, *(f"study.{item}" for item in changes)]
    if "batches_per_step=3" not in changes:
        changed.append("study.batches_per_step=2")
    with pytest.raises(UserError, match=words):
        check(typed(composed(changed)), 2)
