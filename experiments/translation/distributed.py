"""Train on several processes, GPUs or machines, then measure as a run of one process does.

  torchrun --nproc-per-node=2 -m experiments.translation.distributed \\
      study=translation study.num_experts=64 study.batches_per_step=2

The processes share out each step's batches (study.batches_per_step, a multiple of their number) and
the experts; everything else they have copies of. Balance losses are over the batches of all
processes. Checkpoints are those of one process, written at every evaluation: a training that was
broken off goes on with any number of processes, the same but for rounding and the draws of noise.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from experiments.command_line import console, errors_for_people, plain_arguments, progress_bar
from experiments.compose import composed, typed
from experiments.errors import UserError
from experiments.execute import execute, folder_of, identity_of
from experiments.run_folder import RunFolder, claimed
from experiments.schema import Config
from experiments.translation.batches import Batch
from experiments.translation.blocks import MoEBlock, dtype_of
from experiments.translation.encoded import Encoded
from experiments.translation.optimisers import Optimisers
from experiments.translation.settings import Device, TranslationConfig
from experiments.translation.study import prepare
from experiments.translation.training import Training, random_state
from experiments.translation.translator import Translator
from moe.parallel import ExpertParallel, local_experts, start_process_group, stop_process_group
from moe.parallel.replicas import over_all_ranks, sum_gradients
from moe.routing import Routing
from moe.stacked import FeedForwardExperts

_STACKS = ("first", "second")
_MIXTURES = ("encoder_moe", "decoder_moe")


class SharedTraining(Training):
    """A training of which every process does a part; all call its methods together."""

    def __init__(self, config: TranslationConfig, model: Translator, folder: RunFolder) -> None:
        """Begin anew, or where the folder's checkpoint stands, with this process's experts."""
        super().__init__(config, model, folder)
        rank = dist.get_rank()
        if rank:
            torch.manual_seed(hash((config.seed, rank, self.progress.step)) % 2**63)
        before = self.optimisers.state()
        for name in self._mixtures():
            _keep_own_experts(getattr(model, name), config)
        num_own = config.batches_per_step // dist.get_world_size()
        self.optimisers = Optimisers(model, replace(config, batches_per_step=num_own))
        self.optimisers.load([before[0], *map(_own_part, before[1:])])

    def _mixtures(self) -> list[str]:
        return [name for name in _MIXTURES if getattr(self.model, name) is not None]

    def save(self) -> None:
        """Write a checkpoint of one process, with the experts of all."""
        state = self.model.state_dict()
        for mixture in self._mixtures():
            for stack in _STACKS:
                whole = _of_all_ranks(state.pop(f"{mixture}.layer.experts.local.{stack}.weight"))
                for owner in ("experts", "layer.experts"):
                    state[f"{mixture}.{owner}.{stack}.weight"] = whole
        adam, *factored = self.optimisers.state()
        optimisers = [adam, *map(_whole_part, factored)]
        if dist.get_rank() == 0:
            self.folder.save_checkpoint(
                {
                    "model": state,
                    "optimisers": optimisers,
                    "random": random_state(),
                    "progress": dict(vars(self.progress)),
                }
            )

    def _steps(self, train: Encoded) -> Iterator[list[Batch]]:
        for batches in super()._steps(train):
            # The rest of an epoch that does not give every process its share is left out.
            if len(batches) == self.config.batches_per_step:
                yield batches[dist.get_rank() :: dist.get_world_size()]

    def _evaluate(self, valid: Encoded, since: tuple[float, int]) -> None:
        super()._evaluate(valid, since)
        self.save()

    def _sum(self, value: float) -> float:
        total = torch.tensor(float(value), dtype=torch.float64, device=self.model.device)
        dist.all_reduce(total)
        return float(total)

    def _sum_gradients(self) -> None:
        sum_gradients(self.model)


def _keep_own_experts(block: MoEBlock, config: TranslationConfig) -> None:
    mine = local_experts(config.num_experts)
    own = FeedForwardExperts(
        len(mine), config.width, config.expert_units, dtype=dtype_of(config)
    ).to(block.experts.first.weight.device)
    for stack in _STACKS:
        whole = getattr(block.experts, stack).weight.data
        getattr(own, stack).weight.data = whole[mine.start : mine.stop].clone()
    block.experts, block.layer.experts = own, ExpertParallel(own)
    block.layer.gate.register_forward_hook(_over_all_ranks)


def _over_all_ranks(gate: nn.Module, given: Any, routing: Routing) -> Routing:
    return over_all_ranks(routing)


def _own_part(state: dict[str, Any]) -> dict[str, Any]:
    """An optimiser's state of all experts cut to this process's."""

    def cut(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        mine = local_experts(len(value))
        return value[mine.start : mine.stop].clone()

    return _changed(state, cut)


def _whole_part(state: dict[str, Any]) -> dict[str, Any]:
    """The state of this process's experts joined with the others'."""
    return _changed(
        state, lambda value: _of_all_ranks(value) if isinstance(value, Tensor) else value
    )


def _changed(state: dict[str, Any], change: Any) -> dict[str, Any]:
    parts = {
        key: {name: change(value) for name, value in own.items()}
        for key, own in state["state"].items()
    }
    return {**state, "state": parts}


def _of_all_ranks(own: Tensor) -> Tensor:
    """The blocks of all ranks one after another, in main memory."""
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, own.cpu())
    return torch.cat(parts)


def train_together(settings: Config) -> None:
    """Train to the last step and leave a checkpoint; all processes call this together."""
    config, path = settings.study, folder_of(settings.study, settings.runs_dir)
    if dist.get_rank():
        dist.barrier()
        _train(config, RunFolder(path))
        return
    with claimed(path, identity_of(config), force=settings.force) as folder:
        dist.barrier()
        if not folder.is_finished():
            _train(config, folder)


def _train(config: TranslationConfig, folder: RunFolder) -> None:
    if folder.is_finished():
        return
    _, subwords, splits = prepare(config)
    model = Translator(config, len(subwords), config.seed).to(_device(config))
    training = SharedTraining(replace(config, checkpoint_seconds=float("inf")), model, folder)
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
    with errors_for_people():
        settings = typed(composed(plain_arguments(str(__doc__))))
        if "WORLD_SIZE" not in os.environ:
            raise UserError(
                "This command was not started by torchrun.",
                "torchrun --nproc-per-node=2 -m experiments.translation.distributed ...",
            )
        check(settings, int(os.environ["WORLD_SIZE"]))
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
