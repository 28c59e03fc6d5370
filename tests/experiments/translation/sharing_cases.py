"""Two processes train a tiny model: as a whole, killed and asked to stop. Run by torchrun."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from experiments.run_folder import RunFolder
from experiments.runner.stopping import Stopped, listening
from experiments.translation.settings import GateName, TranslationConfig
from experiments.translation.shared_training import SharedTraining
from experiments.translation.translator import Translator
from moe.parallel import start_process_group, stop_process_group
from tests.experiments.translation.translation_cases import NUM_SUBWORDS, PAIRS, TINY, without_times

# Batches that do not share out evenly, noise in the gates, and steps in several epochs.
CONFIG = replace(
    TINY, gate=GateName.noisy_top_k, k=2, batches_per_step=2, num_processes=2, max_steps=12
)
KILLED_AT, ASKED_AT = 7, 4


class _Killed(Exception):
    pass


def train(config: TranslationConfig, folder: RunFolder, stop: str | None) -> int | None:
    """Train, or go on, to the end or to where it is broken off; leaves what came out."""
    model = Translator(config, NUM_SUBWORDS, config.seed)
    training = SharedTraining(config, model, folder)

    def report(stage: str, share: float) -> None:
        step = training.progress.step
        if stop == "killed" and step == KILLED_AT:
            raise _Killed
        # Only one process hears it.
        if stop == "asked" and step == ASKED_AT - 1 and dist.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        with listening():
            training.run(PAIRS, PAIRS, report)
    except (_Killed, Stopped):
        return training.progress.step
    progress = training.progress
    found: dict[str, Any] = {
        "curves": [without_times(row) for row in (*progress.curves, *progress.evaluations)]
    }
    found["weights"], found["draw"] = model.state_dict(), torch.rand(4)
    torch.save(found, folder.path / f"{dist.get_rank()}.pt")
    return None


def main(place: Path) -> None:
    """Train three times; a training that was broken off goes on as another one."""
    torch.set_num_threads(1)
    start_process_group("cpu")
    rank = dist.get_rank()
    for name in ("whole", "killed", "asked"):
        folder = RunFolder(place / name)
        folder.path.mkdir(exist_ok=True)
        config = replace(CONFIG, checkpoint_seconds=0.0 if name == "killed" else 1e9)
        stopped_at = train(config, folder, name)
        dist.barrier()
        if stopped_at is not None:
            train(config, folder, None)
        found = torch.load(folder.path / f"{rank}.pt")
        torch.save({**found, "stopped_at": stopped_at}, place / f"{name}-{rank}.pt")
    stop_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
