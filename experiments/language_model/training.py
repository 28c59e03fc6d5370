"""Train a model by truncated backpropagation through time; resumes bit for bit on a CPU."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.language_model.evaluation import (
    balance,
    clean_share_kept,
    information,
    losses,
    perplexity,
    routing,
)
from experiments.language_model.model import LanguageModel, Output, State, is_learnt
from experiments.language_model.settings import LanguageModelConfig
from experiments.language_model.text import Encoded, Window, windows
from experiments.optimisers import Optimisers, finite
from experiments.runner.errors import UserError
from experiments.runner.stopping import is_asked
from experiments.runner.storage import random_state, set_random_state

_LOGGER = logging.getLogger(__name__)
Row = dict[str, float]


@dataclass
class Progress:
    """Where a training stands."""

    step: int = 0
    epoch: int = 0
    window: int = 0
    seconds: float = 0.0
    # Of all cores together: what other programs do beside a training lengthens only the others.
    core_seconds: float = 0.0
    curves: list[Row] = field(default_factory=list)
    evaluations: list[Row] = field(default_factory=list)


def optimisers_of(model: LanguageModel, config: LanguageModelConfig, seed: int) -> Optimisers:
    """The optimisers of a model; what is fixed has no gradient, and stays."""
    mixture = model.mixture
    of_gate = [] if mixture is None else list(mixture.gate.parameters())
    stacks = [] if mixture is None else list(mixture.stacks)
    held = {id(weight) for weight in [*of_gate, *(stack.weight for stack in stacks)]}
    learnt = [weight for weight in model.parameters() if weight.requires_grad]
    others = [weight for weight in learnt if id(weight) not in held]
    return Optimisers([*others, *of_gate], of_gate, stacks, config, seed, betas=(0.9, config.beta2))


def learning_rate(step: int, config: LanguageModelConfig) -> float:
    """Up in a line, then by the inverse square root of the step (appendix C.1)."""
    warm_up = config.warm_up_steps
    # The two lines meet at the last step of the warm-up, where both are one.
    share: float = min((step + 1) / warm_up, (warm_up / (step + 1)) ** 0.5)
    return config.learning_rate * share


class Training:
    """A model in training from one seed."""

    def __init__(
        self, config: LanguageModelConfig, num_subwords: int, seed: int, kept: dict[str, Any] | None
    ) -> None:
        """Begin anew, or go on from the state of a checkpoint."""
        self.config, self.seed = config, seed
        torch.manual_seed(seed)
        self.model = LanguageModel(config, num_subwords).to(config.device.value)
        self.optimisers = optimisers_of(self.model, config, seed)
        self.progress = Progress()
        self.state: State | None = None
        self.before_B: Tensor | None = None
        if kept is not None:
            self.model.load_state_dict(kept["model"])
            self.optimisers.load(kept["optimisers"])
            self.progress = Progress(**kept["progress"])
            self.state, self.before_B = kept["state"], kept["before"]
            set_random_state(kept["random"])

    def kept(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        return {
            "model": self.model.state_dict(),
            "optimisers": self.optimisers.state(),
            "progress": dict(vars(self.progress)),
            "state": self.state,
            "before": self.before_B,
            "random": random_state(),
        }

    def run(
        self,
        train: Encoded,
        valid: Encoded,
        report: Callable[[str, float], None],
        save: Callable[[], None],
    ) -> Progress:
        """Train to the last step; `save` is called whenever a checkpoint is due."""
        config, progress = self.config, self.progress
        num_steps = 0 if config.untrained else config.max_steps
        # The perplexity of the untrained model is the first point of every curve.
        if progress.step == 0:
            self._evaluate(valid)
        self.model.train()
        saved = time.perf_counter()
        for window in self._windows(train) if progress.step < num_steps else ():
            started, own = time.perf_counter(), time.process_time()
            output, loss = self._step(window)
            progress.seconds += time.perf_counter() - started
            progress.core_seconds += time.process_time() - own
            self._note(output, loss, window)
            if progress.step % config.evaluate_every == 0 or progress.step == num_steps:
                self._evaluate(valid)
            if is_asked() or time.perf_counter() - saved > config.checkpoint_seconds:
                save()
                saved = time.perf_counter()
            report(f"training: seed {self.seed}, loss {loss:.2f}", progress.step / num_steps)
            if progress.step == num_steps:
                break
        return progress

    def _windows(self, train: Encoded) -> Iterator[Window]:
        """From where the training stands, epoch after epoch."""
        config, progress = self.config, self.progress
        while True:
            # An own order of documents for every epoch, known from seed and epoch alone: a training
            # that goes on after a stop needs no state of this generator.
            random = np.random.default_rng([self.seed, progress.epoch])
            every = windows(
                train, config.num_streams, config.num_unrolled, config.device.value, random
            )
            is_empty = True
            for window in islice(every, progress.window, None):
                is_empty = False
                # Before the step: a checkpoint after it must not begin with this one again.
                progress.window += 1
                yield window
            if is_empty and progress.window == 0:
                raise UserError(
                    f"The training text of {len(train):,} subwords is too short for "
                    f"study.num_streams={config.num_streams} of study.num_unrolled="
                    f"{config.num_unrolled}.",
                    f"Take study.num_streams={max(1, len(train) // (2 * config.num_unrolled))}.",
                )
            progress.epoch, progress.window = progress.epoch + 1, 0

    def _step(self, window: Window) -> tuple[Output, float]:
        config, progress = self.config, self.progress
        self.optimisers.begin(learning_rate(progress.step, config))
        output = self.model(window.inputs_SB, self.state, self.before_B)
        loss = losses(output, window.targets_SB).mean()
        # The state before the stretch is a constant: gradients end there (truncated
        # backpropagation).
        torch.autograd.backward(loss + self._balance(output))
        self.optimisers.step()
        # The next stretch begins where this one ended.
        self.state, self.before_B = output.state, window.inputs_SB[-1]
        progress.step += 1
        where = f"step {progress.step} of seed {self.seed}"
        return output, finite(float(loss.detach()), where)

    def _balance(self, output: Output) -> Tensor:
        """The weighted auxiliary losses (equations 7 and 11)."""
        config = self.config
        total = output.logits_SBV.new_zeros(())
        # A fixed gate cannot follow a balance loss.
        if output.moe is None or not is_learnt(config):
            return total
        weights = {"importance": config.importance_weight, "load": config.load_weight}
        for name, loss in output.moe.routing.losses.items():
            total = total + weights[name] * loss
        return total

    def _note(self, output: Output, loss: float, window: Window) -> None:
        config, progress = self.config, self.progress
        if progress.step % config.report_every and progress.step != 1:
            return
        num = progress.step * config.num_streams * config.num_unrolled
        row: Row = {"seed": self.seed, "step": progress.step, "loss": loss}
        # The step counter was raised already: this is the rate that the update was made with.
        row["learning_rate"] = learning_rate(progress.step - 1, config)
        row["subwords_per_second"] = num / progress.seconds
        row |= balance(output)
        if is_learnt(config):
            state = random_state()
            row["clean_share_kept"] = clean_share_kept(self.model, window)
            # The measure draws noise of its own, and must not change what follows.
            set_random_state(state)
        progress.curves.append(row)

    def _evaluate(self, valid: Encoded) -> None:
        config, progress = self.config, self.progress
        found = perplexity(self.model, valid, config.num_evaluated)
        row: Row = {"seed": self.seed, "step": progress.step, "perplexity": found}
        row["seconds"], row["core_seconds"] = progress.seconds, progress.core_seconds
        if self.model.mixture is not None:
            row |= information(routing(self.model, valid, config.num_evaluated // 4))
        progress.evaluations.append(row)
        message = "seed %d, step %d: held-out perplexity %.2f"
        _LOGGER.info(message, self.seed, progress.step, found)
