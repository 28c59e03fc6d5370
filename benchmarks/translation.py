"""Speed of the translation study as ratios within one run: `make benchmark-translation`.

Every round times all contenders in turn on the same batches, so that a busy machine slows all
alike; printed are medians over rounds with the lowest and highest.

- a wide expert in place of 2,048, at equal operations per word: what experts cost, with small
  batches and with large ones;
- the same 2,048 experts, one product after the other in a loop over experts;
- the wide model from torch's own LSTMs, stepped by autograd: what most code bases have;
- the optimiser: the same step with the experts' updates left out;
- beam search over a batch of sentences and one sentence at a time.

Memory: the process's peak over the first steps of the 2,048 experts, less what it held before the
model was made, over the model's weights and moments.
"""

import argparse
import resource
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from experiments.compose import composed, typed
from experiments.scaling.timing import interleaved, ratios, spread
from experiments.text.encoded import Batch, Encoded, collate, order
from experiments.translation import stepping, translator
from experiments.translation.beam import search
from experiments.translation.counts import memory
from experiments.translation.evaluation import balance, cross_entropy
from experiments.translation.settings import TranslationConfig
from experiments.translation.study import prepare
from experiments.translation.training import optimisers_of
from experiments.translation.translator import Translator
from moe.grouped import Backend
from moe.memory import keep_memory

_NUM_BATCHES = 4
_NUM_SENTENCES = 32
_LARGE_BATCH = 4096
_WIDE = "one wide expert"
_MANY = "2,048 experts"


class Contender:
    """A model in training, and one pass over some batches."""

    def __init__(self, config: TranslationConfig, num_subwords: int) -> None:
        """Make model and optimisers."""
        self.config = config
        self.model = Translator(config, num_subwords, 0)
        self.optimisers = optimisers_of(self.model, config)

    def step(self, batch: Batch) -> None:
        """Take one training step."""
        self.optimisers.begin(self.config.learning_rate)
        output = self.model(batch.source_BS, batch.target_in_BT)
        # As in training, without label smoothing.
        loss = cross_entropy(output, batch) + balance(output, self.config)
        torch.autograd.backward(loss)
        self.optimisers.step()

    def stacks(self) -> Iterator[torch.nn.Module]:
        """The experts' weights, layer by layer."""
        for block in self.model.blocks():
            yield from block.layer.stacks


def _config(*changes: str) -> TranslationConfig:
    config = typed(composed(["study=translation", *(f"study.{item}" for item in changes)])).study
    assert isinstance(config, TranslationConfig)
    return config


@contextmanager
def _torchs_own_steps() -> Iterator[None]:
    """Let torch step through LSTMs as it would without `stepping`."""
    with ExitStack() as stack:
        for module in (stepping, translator):
            stack.enter_context(
                mock.patch.object(module, "is_taken_step_by_step", return_value=False)
            )
        yield


_MANY_CHANGES = ("num_experts=2048", "num_groups=64", "gate=hierarchical")


def _contenders(many: Contender, num_subwords: int) -> dict[str, Callable[[Batch], None]]:
    wide = Contender(_config("num_experts=1", "k=1", "expert_units=256"), num_subwords)

    def loop(batch: Batch) -> None:
        with _attributes(many, backend=Backend.reference):
            many.step(batch)

    def without_updates(batch: Batch) -> None:
        # A sink that drops gradients: the products of the backward pass remain, the update goes.
        with _attributes(many, sink=lambda first, gradient: None):
            many.step(batch)

    def plain(batch: Batch) -> None:
        with _torchs_own_steps():
            wide.step(batch)

    return {
        _WIDE: wide.step,
        _MANY: many.step,
        "2,048 experts, without their updates": without_updates,
        "2,048 experts, in a loop": loop,
        "one wide expert, torch's own LSTM": plain,
    }


@contextmanager
def _attributes(contender: Contender, **values: object) -> Iterator[None]:
    """Change attributes of all the experts' weights for a while."""
    before = [
        (stack, {name: getattr(stack, name) for name in values}) for stack in contender.stacks()
    ]
    for stack, _ in before:
        for name, value in values.items():
            setattr(stack, name, value)
    try:
        yield
    finally:
        for stack, kept in before:
            for name, value in kept.items():
                setattr(stack, name, value)


def _peak() -> int:
    """The most bytes that this process has held so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def peak_over_floor(many: Contender, batches: list[Batch], before: int, num_subwords: int) -> float:
    """The peak of some steps over what weights and moments need; first of all measurements.

    Args:
        many: just made.
        batches: one step each.
        before: the peak before the model was made.
        num_subwords: of the vocabulary.
    """
    for batch in batches:
        many.step(batch)
    return (_peak() - before) / memory(many.config, num_subwords).total


def time_steps(
    contenders: dict[str, Callable[[Batch], None]], batches: list[Batch], num_rounds: int
) -> dict[str, list[float]]:
    """Seconds per step of every contender, by round."""

    def steps(step: Callable[[Batch], None]) -> None:
        for batch in batches:
            step(batch)

    works = {name: partial(steps, step) for name, step in contenders.items()}
    return _shared_out(interleaved(works, num_rounds), len(batches))


def time_search(test: Encoded, num_subwords: int, num_rounds: int) -> dict[str, list[float]]:
    """Seconds per sentence of beam search, batched and one at a time, by round."""
    config = _config("num_experts=1", "k=1", "expert_units=256", "max_length_ratio=1.0")
    model = Translator(config, num_subwords, 0).eval()
    together = collate(test, list(range(_NUM_SENTENCES))).source_BS
    alone = [collate(test, [place]).source_BS for place in range(_NUM_SENTENCES)]

    def searches(sources: list[Tensor]) -> None:
        for source_BS in sources:
            search(model, source_BS, config)

    works = {"batched": partial(searches, [together]), "one at a time": partial(searches, alone)}
    return _shared_out(interleaved(works, num_rounds), _NUM_SENTENCES)


def _shared_out(seconds: dict[str, list[float]], parts: int) -> dict[str, list[float]]:
    return {name: [time / parts for time in times] for name, times in seconds.items()}


def _batches(data: Encoded, num_tokens: int) -> list[Batch]:
    epoch = order(data, num_tokens, 0, 0)
    return [collate(data, next(epoch)) for _ in range(_NUM_BATCHES)]


def _table(steps: dict[str, list[float]], num_tokens: int) -> Table:
    table = Table(
        title=f"batches of {num_tokens:,} tokens, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}"
    )
    for column in ("contender", "ms per step", "time over 2,048 experts"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    for name, seconds in steps.items():
        over_many = spread(ratios(seconds, steps[_MANY]))
        table.add_row(name, f"{1e3 * statistics.median(seconds):,.0f}", over_many)
    return table


def main() -> None:
    """Print all ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    num_rounds = parser.parse_args().rounds
    keep_memory()
    _, subwords, splits = prepare(replace(_config(), max_train_pairs=4000))
    data, num_subwords = splits["train"], len(subwords)
    batches = _batches(data, _config().tokens_per_batch)
    before = _peak()
    many = Contender(_config(*_MANY_CHANGES), num_subwords)
    over_floor = peak_over_floor(many, batches, before, num_subwords)
    contenders = _contenders(many, num_subwords)
    console = Console()
    console.print(_table(time_steps(contenders, batches, num_rounds), _config().tokens_per_batch))
    few = {name: contenders[name] for name in (_WIDE, _MANY)}
    seconds = time_steps(few, _batches(data, _LARGE_BATCH), num_rounds)
    console.print(_table(seconds, _LARGE_BATCH))
    searched = time_search(splits["test"], num_subwords, num_rounds)
    gain = spread(ratios(searched["one at a time"], searched["batched"]))
    console.print(f"beam search, alone over batched: {gain}")
    console.print(f"peak memory over weights and moments: {over_floor:.2f}")


if __name__ == "__main__":
    main()
