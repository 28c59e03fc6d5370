"""Train on several processes, GPUs or machines, then measure as a run of one process does.

  torchrun --nproc-per-node=2 -m experiments.translation.distributed \\
      study=translation study.num_experts=64 study.batches_per_step=2

The processes share out each step's batches (study.batches_per_step, a multiple of their number)
and the experts. Their number decides sums and draws of noise, so it is a setting of the run,
study.num_processes; with it reports and other commands find what torchrun trained. A training that
was broken off goes on to the same result, bit for bit on a CPU.
"""

import logging
import os
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist

from experiments.command_line import console, errors_for_people, plain_arguments, progress_bar
from experiments.compose import composed, typed
from experiments.execute import (
    execute,
    folder_of,
    identity_of,
    refuse_unless_finished,
    settled,
    threads,
)
from experiments.run_folder import RunFolder, claimed
from experiments.runner.errors import UserError
from experiments.runner.schema import Config, Device
from experiments.runner.stopping import listening
from experiments.translation.settings import TranslationConfig
from experiments.translation.shared_training import SharedTraining
from experiments.translation.study import of_seed, prepare
from experiments.translation.translator import Translator
from moe.parallel import start_process_group, stop_process_group


def train_together(settings: Config) -> None:
    """Train to the last step and leave a checkpoint; all processes call this together.

    Raises:
        UserError: the processes' machines would not give the same result.
    """
    config, identity = settled(settings.study), identity_of(settings.study)
    _refuse_differences(identity)
    path = folder_of(config, settings.runs_dir)
    with threads(config.num_threads):
        # One process claims the folder; the others wait until it is there.
        if dist.get_rank():
            dist.barrier()
            _train(config, RunFolder(path))
            return
        with claimed(path, identity, force=settings.force) as folder:
            dist.barrier()
            _train(config, folder)


def _refuse_differences(identity: dict[str, object]) -> None:
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, identity)
    differing = sorted({key for each in every for key in each if each[key] != every[0].get(key)})
    if differing:
        raise UserError(
            f"The processes do not agree in {', '.join(differing)}.",
            "Start them on machines with the same code, libraries, compiler and text; "
            "study.num_threads gives them the same number of threads.",
        )


def _train(config: TranslationConfig, folder: RunFolder) -> None:
    if folder.is_finished():
        return
    _, subwords, splits = prepare(config)
    model = Translator(config, len(subwords), config.seed).to(_device(config))
    training = SharedTraining(config, model, of_seed(folder))
    training.run(splits["train"], splits["valid"], lambda stage, share: None)
    training.save()
    dist.barrier()


def _device(config: TranslationConfig) -> torch.device:
    if config.device is Device.cpu:
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]))


def check(settings: Config, num_processes: int) -> None:
    """Reject settings that several processes cannot share.

    Raises:
        UserError: naming the settings and the fix.
    """
    config = settings.study
    if not isinstance(config, TranslationConfig) or config.name != "translation":
        raise UserError(
            f"study={config.name} does not train on several processes.",
            "Take study=translation, translation_gpu or translation_paper.",
        )
    if num_processes == 1 or config.num_processes not in (1, num_processes):
        raise UserError(
            f"torchrun started {num_processes} of study.num_processes={config.num_processes}.",
            "Take torchrun --nproc-per-node=2 or more and leave study.num_processes out, or train "
            "in one process: python -m experiments.run.",
        )
    if config.batches_per_step % num_processes:
        raise UserError(
            f"study.batches_per_step={config.batches_per_step} cannot be shared out among "
            f"{num_processes} processes.",
            f"Take a multiple: study.batches_per_step={num_processes}.",
        )
    if 0 < config.num_experts < num_processes:
        raise UserError(
            f"study.num_experts={config.num_experts} leaves a process without an expert.",
            f"Take at least {num_processes} experts, none, or fewer processes.",
        )


def main() -> None:
    """Train with the other processes, and measure on the first one."""
    with errors_for_people(), listening():
        settings = typed(composed(plain_arguments(str(__doc__))))
        if "WORLD_SIZE" not in os.environ:
            raise UserError(
                "This command was not started by torchrun.",
                "torchrun --nproc-per-node=2 -m experiments.translation.distributed ...",
            )
        num_processes = int(os.environ["WORLD_SIZE"])
        check(settings, num_processes)
        settings.study = replace(settings.study, num_processes=num_processes)
        path = folder_of(settled(settings.study), settings.runs_dir)
        refuse_unless_finished(settings.study, path, settings.force, settings.any_size)
        start_process_group(settings.study.device.value)
        rank = dist.get_rank()
        logging.getLogger().setLevel(logging.ERROR if rank else logging.INFO)
        train_together(settings)
        stop_process_group()
        if rank == 0:
            with progress_bar() as report:
                outcome = execute(
                    settings.study, settings.runs_dir, report=report, any_size=settings.any_size
                )
            console.print(f"results: {outcome.path / 'metrics.csv'}")


if __name__ == "__main__":
    main()
