"""Two processes train what one does: the same model, and checkpoints that one process loads."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.compose import composed, typed
from experiments.execute import execute, folder_of, identity_of
from experiments.run_folder import FinishedRun, read_finished
from experiments.runner.errors import UserError
from experiments.translation.distributed import check

ROOT = Path(__file__).parents[3]
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


def start(program: list[str]) -> None:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [sys.executable, *torchrun, *program],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def by_torchrun(runs_dir: Path, *more: str) -> FinishedRun:
    arguments = overrides(runs_dir, *more)
    start(["-m", "experiments.translation.distributed", *arguments])
    study = typed(composed([*arguments, "study.num_processes=2"])).study
    return read_finished(folder_of(study, str(runs_dir)))


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
    assert run.arrays("weights")["encoder_moe.layer.experts.first.weight"].shape == (6, 12, 6)


def test_a_training_that_is_killed_or_asked_to_stop_goes_on_bit_for_bit(tmp_path: Path) -> None:
    start(["tests/experiments/translation/sharing_cases.py", str(tmp_path)])
    whole, killed, asked = (
        [torch.load(tmp_path / f"{name}-{rank}.pt") for rank in (0, 1)]
        for name in ("whole", "killed", "asked")
    )
    for before, *after in zip(whole, killed, asked, strict=True):
        assert before["stopped_at"] is None
        assert [each["stopped_at"] for each in after] == [7, 4]
        for each in after:
            # Of the curves the checkpoint has those of the first process.
            assert each["curves"] == before["curves"] or before is whole[1]
            for name, weight in before["weights"].items():
                assert torch.equal(weight, each["weights"][name]), name
    # Each process draws noise of its own, and holds experts of its own.
    assert not torch.equal(whole[0]["draw"], whole[1]["draw"])
    assert all(each["draw"].equal(other["draw"]) for each, other in zip(whole, asked, strict=True))


def test_one_process_does_not_train_what_several_share(tmp_path: Path) -> None:
    study = typed(composed(overrides(tmp_path, "num_experts=0", "num_processes=2"))).study
    with pytest.raises(UserError, match="num_processes=2") as caught:
        execute(study, str(tmp_path))
    assert "torchrun --nproc-per-node=2" in caught.value.fix


def test_a_study_that_several_processes_cannot_train_refuses_them() -> None:
    with pytest.raises(UserError, match="num_processes=2"):
        typed(composed(["study=translation_start", "study.num_processes=2"]))


def test_the_number_of_processes_and_their_code_are_in_the_identity(tmp_path: Path) -> None:
    one, two = (
        identity_of(typed(composed(overrides(tmp_path, f"num_processes={number}"))).study)
        for number in (1, 2)
    )
    assert one["code"] != two["code"]
    assert one["config"] != two["config"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("batches_per_step=3",), "cannot be shared out"),
        (("num_experts=1", "k=1"), "without an expert"),
        (("num_processes=4",), "torchrun started 2"),
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
