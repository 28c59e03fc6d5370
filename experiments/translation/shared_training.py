"""A training of which several processes do a part each: batches, and experts.

A step's batches are shared out, and so are the experts; everything else the processes have copies
of. Balance losses are over the batches of all processes. A checkpoint is that of one process, with
the experts of all, and knows every process's random state: a training that was broken off goes on
to the same result, bit for bit on a CPU.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from experiments.run_folder import RunFolder
from experiments.runner.stopping import Stopped, is_asked
from experiments.runner.storage import random_state, set_random_state
from experiments.text.encoded import Batch, Encoded
from experiments.translation.blocks import MoEBlock, experts_of
from experiments.translation.settings import TranslationConfig
from experiments.translation.training import Training, optimisers_of
from experiments.translation.translator import Translator
from moe.parallel import ExpertParallel, local_experts, over_all_ranks, sum_gradients
from moe.parallel.checkpoint import load_state, whole_state, whole_weights
from moe.routing import Routing


class SharedTraining(Training):
    """A training of which every process does a part; all call its methods together."""

    def __init__(self, config: TranslationConfig, model: Translator, folder: RunFolder) -> None:
        """Begin anew, or where the folder's checkpoint stands, with this process's experts."""
        rank = dist.get_rank()
        # The first process sets aside a checkpoint that is damaged; the others must not see it.
        if rank:
            dist.barrier()
        super().__init__(config, model, folder)
        if not rank:
            dist.barrier()
        # Noise and dropout are drawn by each process for its own batches.
        if rank and not self.progress.step:
            torch.manual_seed(hash((config.seed, rank, 0)) % 2**63)
        random = random_state()
        before = self.optimisers.state()
        for block in model.blocks():
            _keep_own_experts(block, config)
        # With one batch per process, experts are updated in the backward pass here too.
        num_own = config.batches_per_step // dist.get_world_size()
        self.optimisers = optimisers_of(model, replace(config, batches_per_step=num_own))
        for optimiser, state in zip(self.optimisers.each, before, strict=True):
            load_state(model, optimiser, state)
        if self.progress.step:
            # New experts have drawn weights, which are not theirs.
            set_random_state(random)

    def _set_random_state(self, of_processes: list[list[Tensor]]) -> None:
        set_random_state(of_processes[dist.get_rank()])

    def _is_due(self, saved: float) -> bool:
        return self._sum(float(super()._is_due(saved))) > 0

    def save(self) -> None:
        """Write a checkpoint; see `Training.save`."""
        state = whole_weights(self.model)
        optimisers = [whole_state(self.model, each) for each in self.optimisers.each]
        random: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(random, random_state())
        # Where one process is asked to stop, all leave, but not before the first one has written.
        # A signal may reach one process alone: a sum tells all of them.
        are_asked = self._sum(float(is_asked())) > 0
        try:
            if dist.get_rank() == 0:
                self.folder.save_checkpoint(
                    {
                        "model": state,
                        "optimisers": optimisers,
                        "random": random,
                        "progress": dict(vars(self.progress)),
                    }
                )
        finally:
            if are_asked:
                dist.barrier()
        if are_asked:
            raise Stopped

    def _steps(self, train: Encoded) -> Iterator[list[Batch]]:
        for batches in super()._steps(train):
            # The rest of an epoch that does not give every process its share is left out.
            if len(batches) == self.config.batches_per_step:
                yield batches[dist.get_rank() :: dist.get_world_size()]

    def _sum(self, value: float) -> float:
        # In float64: numbers of tokens must stay whole.
        total = torch.tensor(float(value), dtype=torch.float64, device=self.model.device)
        dist.all_reduce(total)
        return float(total)

    def _sum_gradients(self) -> None:
        sum_gradients(self.model)


def _keep_own_experts(block: MoEBlock, config: TranslationConfig) -> None:
    mine = local_experts(config.num_experts)
    whole = block.layer.stacks
    own = experts_of(config, len(mine)).to(whole[0].weight.device)
    for stack, of_all in zip(own.stacks, whole, strict=True):
        stack.weight.data = of_all.weight.data[mine.start : mine.stop].clone()
    block.layer.experts = ExpertParallel(own)
    # Importance and load are sums over all tokens of a step (eqs. 6 and 10).
    block.layer.gate.register_forward_hook(_over_all_ranks)


def _over_all_ranks(gate: nn.Module, given: Any, routing: Routing) -> Routing:
    return over_all_ranks(routing)
