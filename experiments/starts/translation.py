"""A small model of the translation study from another start, seed by seed.

Measured is the encoder's mixture. Shapes: T tokens, D features, E experts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import log
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from experiments.run_folder import RunFolder
from experiments.starts.measures import Groups, Row, agreements, references, row
from experiments.starts.settings import ExpertStart, GateStart, TranslationStartConfig
from experiments.text.encoded import Batch, Encoded, collate, order, rows_of
from experiments.text.subwords import Subwords
from experiments.translation.blocks import MoEBlock
from experiments.translation.evaluation import cross_entropy, perplexity, sentence_losses
from experiments.translation.expert_words import tokens
from experiments.translation.study import prepare
from experiments.translation.training import Training
from experiments.translation.translator import Translator
from moe.gates import NoisyTopKGate
from moe.layer import MoEOutput
from moe.measures import expert_similarity, first_choices
from moe.routing import NO_EXPERT, assignments_per_expert

# What is kept of a finished seed: see `_train_seed`.
Seed = dict[str, Any]
# Of the held-out pairs every so many are measured.
_HELD_STEP = 4
# Ridge of the least squares by which a gate is collapsed.
_RIDGE = 1e-3


@dataclass(frozen=True)
class _Held:
    """Held-out text: its pairs, and each token's groups in the order of `tokens`."""

    pairs: Encoded
    every_token: pd.DataFrame


@dataclass(frozen=True)
class _SeedFolder(RunFolder):
    """The run's folder as the training of one seed sees it.

    Attributes:
        done: the seeds that are finished.
        rows: what was measured of this one; grows.
        begun: the training's state as an earlier call left it, or None.
    """

    done: list[Seed]
    rows: list[Row]
    begun: dict[str, Any] | None

    def save_checkpoint(self, state: Mapping[str, object]) -> None:
        """Keep the training's state beside the finished seeds."""
        super().save_checkpoint({"done": self.done, "rows": self.rows, "training": state})

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The training's own state, without what belongs to other seeds."""
        return self.begun


def run(
    config: TranslationStartConfig, folder: RunFolder, report: Callable[[str, float], None]
) -> dict[str, Any]:
    """Train all seeds from the start that the config asks for, going on where a call ended.

    Writes start.csv (see `experiments.starts.measures.row`; loss is held-out, nats per
    subword), sentences.csv (test sentences: pair, loss in nats per subword, mean over seeds),
    metrics.csv (seed, perplexity of the test chapters), choices.npz (each held-out
    token's first expert at the end) and, if asked for, references.csv.

    Args:
        config: the settings.
        folder: a claimed run folder.
        report: called with a stage's name and the share of it that is done.

    Returns:
        Facts for the manifest: the seeds, and what the text was.
    """
    texts, subwords, splits = prepare(config)
    some = _every(_HELD_STEP, splits["valid"])
    held = _Held(some, tokens(some, subwords))
    # Seeds one after another: each is a training of its own with its own checkpoint.
    seeds = list(range(config.seed, config.seed + config.num_seeds))
    kept = folder.load_checkpoint() or {}
    done: list[Seed] = kept.get("done", [])
    for seed in seeds[len(done) :]:

        def tell(stage: str, share: float, place: int = len(done)) -> None:
            report(stage, (place + share) / len(seeds))

        # References are computed once, on what the gate of the last seed sees.
        own = replace(config, seed=seed, references=config.references and seed == seeds[-1])
        seed_folder = _SeedFolder(folder.path, done, kept.get("rows", []), kept.get("training"))
        kept = {}
        done.append(_train_seed(own, subwords, splits, held, seed_folder, tell))
        folder.save_checkpoint({"done": done})
    _write(done, held, folder)
    return {"seeds": seeds, "counts": texts.counts, "subwords": subwords.digest}


def _write(done: list[Seed], held: _Held, folder: RunFolder) -> None:
    folder.write_table("start", pd.DataFrame([each for seed in done for each in seed["rows"]]))
    metrics = [{"seed": seed["seed"], "perplexity": seed["perplexity"]} for seed in done]
    folder.write_table("metrics", pd.DataFrame(metrics))
    sentences = pd.concat([pd.DataFrame(seed["sentences"]) for seed in done])
    folder.write_table("sentences", sentences.groupby("pair")["loss"].mean().reset_index())
    expert_RT = torch.stack([seed["expert"] for seed in done]).numpy()
    folder.write_arrays("choices", {"expert": expert_RT, **_groups(held)})
    if done[-1]["references"]:
        folder.write_table("references", pd.DataFrame(done[-1]["references"]))


def _train_seed(
    config: TranslationStartConfig,
    subwords: Subwords,
    splits: Mapping[str, Encoded],
    held: _Held,
    folder: _SeedFolder,
    report: Callable[[str, float], None],
) -> Seed:
    training = _training(config, subwords, folder)
    _train(training, splits["train"], held, folder.rows, report)
    model, size = training.model, config.tokens_per_batch
    expert_T, inputs_TD = _choices(model, held, size)
    found, _ = perplexity(model, splits["test"], size)
    agreed = pd.DataFrame()
    if config.references:
        agreed = references(inputs_TD.astype(np.float64), _groups(held))
    return {
        "seed": config.seed,
        "rows": folder.rows,
        "perplexity": found,
        "sentences": sentence_losses(model, splits["test"], size).to_dict("list"),
        "expert": torch.from_numpy(expert_T),
        "references": agreed.to_dict("list"),
    }


def _every(step: int, pairs: Encoded) -> Encoded:
    """Take one pair in every `step`, so that all books are among them."""
    source, target = (rows_of(list(rows)[::step]) for rows in (pairs.source, pairs.target))
    return Encoded(source, target, pairs.domain[::step])


def _training(config: TranslationStartConfig, subwords: Subwords, folder: RunFolder) -> Training:
    model = Translator(config, len(subwords), config.seed)
    for block in model.blocks():
        begin_experts(block, config)
        if config.gate_start is GateStart.frozen:
            freeze(block, config)
    return Training(config, model, folder)


def _train(
    training: Training,
    train: Encoded,
    held: _Held,
    rows: list[Row],
    report: Callable[[str, float], None],
) -> None:
    """Train to each mark and measure there, going on after the marks that have their rows."""
    config: Any = training.config
    # The last step is a mark even where the interval does not divide it.
    marks = {*range(0, config.max_steps, config.measure_every), config.max_steps}
    if config.gate_start is GateStart.collapsed:
        marks.add(config.collapse_at)
    # Before any training.
    if not rows:
        rows.append(_row(training, held))
    for mark in sorted(marks)[len(rows) :]:
        # It evaluates at its last step, and nothing ends it before.
        training.config = replace(
            config, max_steps=mark, evaluate_every=mark, patience=config.max_steps
        )
        training.run(train, held.pairs, lambda stage, share: None)
        if mark == config.collapse_at and config.gate_start is GateStart.collapsed:
            collapse(training, train)
            rows.append(_row(training, held))
        else:
            rows.append(_row(training, held, training.progress.evaluations[-1]["perplexity"]))
        report("training", mark / config.max_steps)


def _row(training: Training, held: _Held, found: float | None = None) -> Row:
    model, config = training.model, training.config
    if found is None:
        found, _ = perplexity(model, held.pairs, config.tokens_per_batch)
    expert_T, _ = _choices(model, held, config.tokens_per_batch)
    block = model.encoder_moe
    assert block is not None
    # By first choices: of k experts per token the others count for nothing here.
    share_E = assignments_per_expert(torch.from_numpy(expert_T), config.num_experts).float()
    # All weights of an expert as one vector, of which pairs have a cosine.
    weight = torch.cat([stack.weight.flatten(1) for stack in block.layer.stacks], dim=1)
    gradient = _gate_gradient(model, first_batch(held.pairs, config.tokens_per_batch))
    step, seed = training.progress.step, config.seed
    own = row(step, seed, log(found), share_E, float(expert_similarity(weight)), gradient)
    return own | agreements(expert_T, _groups(held))


def _gate_gradient(model: Translator, batch: Batch) -> float:
    assert model.encoder_moe is not None
    gate = _gate(model.encoder_moe)
    own = set(gate.parameters())
    if not any(each.requires_grad for each in own):
        return 0.0
    was_training = model.training
    model.eval()
    # Experts that need no gradient are not updated by this backward pass.
    others = [each for each in model.parameters() if each.requires_grad and each not in own]
    for each in others:
        each.requires_grad_(False)
    # One batch, always the same, without dropout or noise: only the weights differ between steps.
    loss = cross_entropy(model(batch.source_BS, batch.target_in_BT), batch)
    gradient_DE = gate.logit_gradient(loss)
    for each in others:
        each.requires_grad_(True)
    model.train(was_training)
    return float(gradient_DE.norm())


def _gate(block: MoEBlock) -> NoisyTopKGate:
    gate = block.layer.gate
    # See `experiments.starts.settings.check_translation_start`.
    assert isinstance(gate, NoisyTopKGate)
    return gate


@torch.no_grad()
def _choices(
    model: Translator, held: _Held, tokens_per_batch: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Each held-out source token's first expert, and what the gate sees of it."""
    was_training = model.training
    model.eval()
    block = model.encoder_moe
    assert block is not None
    starts = held.pairs.source.start
    # Tokens in the order of the text, whatever the order of the batches.
    expert_T = np.full(int(starts[-1]), NO_EXPERT)
    inputs_TD = np.zeros((int(starts[-1]), model.config.width), np.float32)
    for chosen in order(held.pairs, tokens_per_batch, 0, None):
        batch = collate(held.pairs, chosen)
        inputs, output = seen(block, partial(model.encode, batch.source_BS))
        # Padding has no first expert, and its places are left out by the mask.
        first_BS = first_choices(output.routing).view(batch.source_BS.shape)
        places = np.concatenate([np.arange(starts[pair], starts[pair + 1]) for pair in chosen])
        expert_T[places] = first_BS[batch.source_mask_BS].numpy()
        inputs_TD[places] = inputs.numpy()
    model.train(was_training)
    return expert_T, inputs_TD


def _groups(held: _Held) -> Groups:
    return {
        name: pd.factorize(held.every_token[column], sort=True)[0].astype(np.int64)
        for name, column in (("kind of book", "domain"), ("word class", "word_class"))
    }


@torch.no_grad()
def begin_experts(block: MoEBlock, config: TranslationStartConfig) -> None:
    """Give a mixture the experts that the config asks for, in place."""
    generator = torch.Generator().manual_seed(config.seed)
    for stack in block.layer.stacks:
        if config.expert_start is ExpertStart.identical:
            stack.weight[:] = stack.weight[:1].clone()
        if config.expert_noise:
            noise = torch.randn(stack.weight.shape, generator=generator)
            stack.weight.add_(noise * stack.weight.std(), alpha=config.expert_noise)


@torch.no_grad()
def freeze(block: MoEBlock, config: TranslationStartConfig) -> None:
    """Hold the gate still, at random weights: at zeros all would go to the first k experts."""
    gate = _gate(block)
    generator = torch.Generator().manual_seed(config.seed)
    drawn_DE = torch.randn(gate.num_features, gate.num_experts, generator=generator)
    gate.set_logit_weight(drawn_DE / config.width**0.5)
    gate.requires_grad_(False)


@torch.no_grad()
def collapse(training: Training, train: Encoded) -> None:
    """Give the first expert a lead on (almost) every token, by least squares on one batch."""
    config: Any = training.config
    batch = first_batch(train, config.tokens_per_batch)
    ask = partial(training.model, batch.source_BS, batch.target_in_BT)
    for block in training.model.blocks():
        inputs_TD, _ = seen(block, ask)
        wanted_T = inputs_TD.new_full((len(inputs_TD),), config.collapse)
        gram_DD = inputs_TD.T @ inputs_TD + _RIDGE * torch.eye(inputs_TD.shape[1])
        weight_DE = inputs_TD.new_zeros(inputs_TD.shape[1], config.num_experts)
        # The w that takes X w nearest to the wanted lead: (X'X + ridge I) w = X' lead.
        weight_DE[:, 0] = torch.linalg.solve(gram_DD, inputs_TD.T @ wanted_T)
        _gate(block).set_logit_weight(weight_DE)


def first_batch(pairs: Encoded, tokens_per_batch: int) -> Batch:
    """The first batch of the first epoch."""
    return collate(pairs, next(order(pairs, tokens_per_batch, 0, 0)))


def seen(block: MoEBlock, ask: Callable[[], object]) -> tuple[Tensor, MoEOutput]:
    """What a mixture is given, `[T, D]` without padding, and what it answers, while `ask` runs."""
    found: list[tuple[Tensor, MoEOutput]] = []

    def note(module: nn.Module, given: tuple[Tensor, Tensor], output: MoEOutput) -> None:
        inputs, mask = given
        found.append((inputs[mask].detach(), output))

    # A hook, since the translator does not hand on what its mixtures were given.
    hook = block.layer.register_forward_hook(note)
    ask()
    hook.remove()
    return found[0]
