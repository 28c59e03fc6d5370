"""Train a model, from the start or from a checkpoint, to the same result bit for bit on a CPU."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from typing import Any

import torch

from experiments.optimisers import Optimisers, finite
from experiments.run_folder import RunFolder
from experiments.runner.stopping import is_asked
from experiments.runner.storage import random_state, set_random_state
from experiments.text.encoded import Batch, Encoded, collate, order
from experiments.translation.evaluation import (
    balance,
    balance_row,
    clean_share_kept,
    cross_entropy,
    learning_rate,
    perplexity,
)
from experiments.translation.settings import TranslationConfig
from experiments.translation.translator import Output, Translator

Row = dict[str, float]

_LOGGER = logging.getLogger(__name__)


@dataclass
class Progress:
    """Where a training stands; all of it goes into a checkpoint."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    num_tokens: int = 0
    # Of all cores together: what other programs do beside a training lengthens only the others.
    core_seconds: float = 0.0
    best: float = inf
    num_worse: int = 0
    curves: list[Row] = field(default_factory=list)
    evaluations: list[Row] = field(default_factory=list)


def optimisers_of(model: Translator, config: TranslationConfig) -> Optimisers:
    """The optimisers of a model; over several batches per step experts keep their gradients."""
    stacks = [stack for block in model.blocks() for stack in block.layer.stacks]
    held = {id(stack.weight) for stack in stacks}
    return Optimisers(
        [weight for weight in model.parameters() if id(weight) not in held],
        [weight for block in model.blocks() for weight in block.layer.gate.parameters()],
        stacks,
        config,
        config.seed,
        in_backward=config.batches_per_step == 1,
    )


class Training:
    """A model in training."""

    def __init__(self, config: TranslationConfig, model: Translator, folder: RunFolder) -> None:
        """Begin anew, or where the folder's checkpoint stands."""
        self.config, self.model, self.folder = config, model, folder
        self.optimisers = optimisers_of(model, config)
        self.progress = Progress()
        # Dropout and noise have a seed of their own: two models of other sizes draw other numbers
        # of weights.
        torch.manual_seed(config.seed + 1)
        kept = folder.load_checkpoint()
        if kept is not None:
            model.load_state_dict(kept["model"])
            self.optimisers.load(kept["optimisers"])
            self.progress = Progress(**kept["progress"])
            self._set_random_state(kept["random"])

    def _set_random_state(self, of_processes: list[list[torch.Tensor]]) -> None:
        set_random_state(of_processes[0])

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            Stopped: the process was asked to stop; the checkpoint is written.
        """
        self.folder.save_checkpoint(
            {
                "model": self.model.state_dict(),
                "optimisers": self.optimisers.state(),
                "random": [random_state()],
                "progress": dict(vars(self.progress)),
            }
        )

    def run(self, train: Encoded, valid: Encoded, report: Callable[[str, float], None]) -> Progress:
        """Train to the last step, or until held-out perplexity has stopped falling."""
        progress, config = self.progress, self.config
        self.model.train()
        saved = started = time.perf_counter()
        tokens_before = progress.num_tokens
        for batches in self._steps(train):
            if self.is_over():
                break
            begun = time.process_time()
            output, loss = self._step(batches)
            progress.core_seconds += time.process_time() - begun
            self._note(output, loss, (started, tokens_before))
            if progress.step % config.evaluate_every == 0 or progress.step == config.max_steps:
                self._evaluate(valid, (started, tokens_before))
            if self._is_due(saved):
                self.save()
                saved = time.perf_counter()
            report(self._stage(started, tokens_before), progress.step / config.max_steps)
        return progress

    def is_over(self) -> bool:
        """Whether this was the last step, or perplexity has stopped falling."""
        config, progress = self.config, self.progress
        return progress.step >= config.max_steps or progress.num_worse >= config.patience

    def _is_due(self, saved: float) -> bool:
        """Whether a checkpoint is, the last having been written at a time."""
        return is_asked() or time.perf_counter() - saved > self.config.checkpoint_seconds

    def _steps(self, train: Encoded) -> Iterator[list[Batch]]:
        """The batches of every step from where the training stands, epoch after epoch."""
        progress, config = self.progress, self.config
        while True:
            epoch = order(train, config.tokens_per_batch, config.seed, progress.epoch)
            rest = islice(epoch, progress.batch, None)
            while chosen := list(islice(rest, config.batches_per_step)):
                # Before the step: a checkpoint after it must not begin with these again.
                progress.batch += len(chosen)
                yield [collate(train, pairs).to(self.model.device) for pairs in chosen]
            progress.epoch, progress.batch = progress.epoch + 1, 0

    def _step(self, batches: list[Batch]) -> tuple[Output, float]:
        """One update; gives the last batch's output and the mean loss."""
        config, progress = self.config, self.progress
        self.optimisers.begin(learning_rate(progress.step, config))
        num_tokens = int(self._sum(sum(batch.num_target_tokens for batch in batches)))
        total = 0.0
        for batch in batches:
            output = self.model(batch.source_BS, batch.target_in_BT)
            loss = cross_entropy(output, batch, config.label_smoothing)
            # Batches weigh by their tokens, as if all were one. Balance losses are ratios, and
            # count alike.
            share = batch.num_target_tokens / num_tokens
            torch.autograd.backward(share * loss + balance(output, config) / len(batches))
            total += share * loss.item()
        self._sum_gradients()
        self.optimisers.step()
        progress.step += 1
        progress.num_tokens += num_tokens
        return output, finite(self._sum(total), f"step {progress.step}")

    def _sum(self, value: float) -> float:
        """Over all processes that train together; here there is one."""
        return value

    def _sum_gradients(self) -> None:
        """Over all processes that train together; here there is one."""

    def _note(self, output: Output, loss: float, since: tuple[float, int]) -> None:
        progress = self.progress
        if progress.step % self.config.report_every and progress.step != 1:
            return
        speed = self._speed(*since)
        row: Row = {"step": progress.step, "loss": loss, "tokens_per_second": speed}
        row["learning_rate"] = learning_rate(progress.step - 1, self.config)
        progress.curves.append(row | balance_row(output))

    def _speed(self, started: float, tokens_before: int) -> float:
        return (self.progress.num_tokens - tokens_before) / (time.perf_counter() - started)

    def _stage(self, started: float, tokens_before: int) -> str:
        progress = self.progress
        speed = self._speed(started, tokens_before)
        mean_tokens = progress.num_tokens / progress.step
        seconds_left = (self.config.max_steps - progress.step) * mean_tokens / speed
        loss = progress.curves[-1]["loss"]
        return f"training: loss {loss:.2f}, {speed:,.0f} tokens/s, {seconds_left / 60:.0f} min left"

    def _evaluate(self, valid: Encoded, since: tuple[float, int]) -> None:
        progress = self.progress
        found, num_tokens = perplexity(self.model, valid, self.config.tokens_per_batch)
        row: Row = {"step": progress.step, "perplexity": found, "num_tokens": num_tokens}
        row["core_seconds"] = progress.core_seconds
        progress.evaluations.append(row | self._kept_by_noise(valid))
        progress.num_worse = 0 if found < progress.best else progress.num_worse + 1
        progress.best = min(progress.best, found)
        stage = self._stage(*since)
        _LOGGER.info("step %d: held-out perplexity %.1f; %s", progress.step, found, stage)

    def _kept_by_noise(self, valid: Encoded) -> Row:
        """See `clean_share_kept`; of one batch of validation text."""
        chosen = next(order(valid, self.config.tokens_per_batch, 0, 0), None)
        if chosen is None:
            return {}
        state = random_state()
        batch = collate(valid, chosen).to(self.model.device)
        found = clean_share_kept(self.model, batch)
        # The measure draws noise of its own, and must not change what follows.
        set_random_state(state)
        return found


def weights(model: Translator) -> dict[str, Any]:
    """The weights as arrays."""
    # numpy has no bfloat16.
    return {
        name: (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).cpu().numpy()
        for name, tensor in model.state_dict().items()
    }
