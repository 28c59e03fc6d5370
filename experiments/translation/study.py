"""One run of the translation study: text, subwords, training, perplexity."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from experiments.run_folder import RunFolder
from experiments.runner.errors import UserError
from experiments.runner.stopping import is_asked
from experiments.text import pairs
from experiments.text.encoded import Encoded, encode
from experiments.text.settings import CorpusConfig, marks
from experiments.text.subwords import Subwords, learn
from experiments.text.text_files import CACHE
from experiments.translation.answers import answers, bleu_table
from experiments.translation.counts import num_parameters, operations_per_timestep
from experiments.translation.evaluation import by_language, sentence_losses
from experiments.translation.expert_words import (
    assignments,
    expert_pieces,
    expert_words,
    experts,
    specialisation,
    tokens,
)
from experiments.translation.gate_information import gate_information, spaced
from experiments.translation.settings import TranslationConfig
from experiments.translation.training import Training, weights
from experiments.translation.translator import Translator
from moe.memory import keep_memory

_LOGGER = logging.getLogger(__name__)
# Tables by name; of finished seeds as lists, which a checkpoint can hold.
Frames = dict[str, pd.DataFrame]
Tables = dict[str, dict[str, list[Any]]]
# One training is enough to look at its experts.
_OF_FIRST_SEED = ("expert_words", "expert_pieces", "experts", "specialisation")


@dataclass(frozen=True)
class Text:
    """Text, its subwords, and its splits as ids."""

    texts: pairs.Texts
    subwords: Subwords
    splits: dict[str, Encoded]


def identity(config: CorpusConfig) -> dict[str, object]:
    """What beside config and code decides a run's results: the text."""
    return pairs.identity(config)


def modules(config: TranslationConfig) -> tuple[str, ...]:
    """Whose code decides a run's results beside this one's: what several processes share."""
    return ("experiments.translation.shared_training",) if config.num_processes > 1 else ()


@dataclass(frozen=True)
class SeedFolder(RunFolder):
    """The run's folder as the training of one seed sees it.

    Attributes:
        done: tables of the seeds that are finished, by name, as lists of rows.
        begun: the training's state as an earlier call left it, or None.
    """

    done: list[Tables]
    begun: dict[str, Any] | None

    def save_checkpoint(self, state: Mapping[str, object]) -> None:
        """Keep the training's state beside the finished seeds."""
        super().save_checkpoint({"done": self.done, "training": state})

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The training's own state, without what belongs to other seeds."""
        return self.begun


def of_seed(folder: RunFolder) -> SeedFolder:
    """The folder for the seed that comes next, which an earlier call may have begun."""
    kept = folder.load_checkpoint() or {"done": [], "training": None}
    return SeedFolder(folder.path, kept["done"], kept["training"])


def run(
    config: TranslationConfig, folder: RunFolder, report: Callable[[str, float], None]
) -> dict[str, Any]:
    """Train and measure one model from every seed, going on where an earlier call ended.

    Writes, with a column `seed` each, metrics.csv (perplexity by split and language), curves.csv,
    evaluations.csv, sentences.csv, answers.csv and bleu.csv; with experts also gate.csv (what a
    word's first expert tells, trained and not). Of the first seed alone: weights.npz, subwords.npz,
    and with experts expert_words.csv, expert_pieces.csv, experts.csv, embeddings.npz and
    specialisation.csv.

    Args:
        config: the settings.
        folder: a claimed run folder.
        report: called with a stage's name and the share of it that is done.

    Returns:
        Facts for the manifest: counts of pairs, parameters, subwords.
    """
    keep_memory()
    # It tells that torch's own code is used for projections, which is meant.
    warnings.filterwarnings("ignore", message="LSTM with projections is not supported with oneDNN")
    report("subwords", 0.0)
    texts, subwords, splits = prepare(config)
    text = Text(texts, subwords, splits)
    while len(of_seed(folder).done) < config.num_seeds:
        _run_seed(config, of_seed(folder), text, report)
    done = of_seed(folder).done
    for name in done[0]:
        parts = [pd.DataFrame(tables[name]).assign(seed=config.seed + place)
                 for place, tables in enumerate(done) if name in tables]  # fmt: skip
        table = pd.concat(parts, ignore_index=True)
        table.insert(0, "seed", table.pop("seed"))
        folder.write_table(name, table.drop(columns="seed") if name in _OF_FIRST_SEED else table)
    return _facts(config, text)


def _run_seed(
    config: TranslationConfig,
    folder: SeedFolder,
    text: Text,
    report: Callable[[str, float], None],
) -> None:
    """Train from the next seed, measure it, and keep its tables in the checkpoint."""
    seed, is_first = config.seed + len(folder.done), not folder.done
    own = replace(config, seed=seed)
    model = Translator(own, len(text.subwords), seed).to(config.device.value)
    training = Training(own, model, folder)
    if config.num_processes > 1 and not training.is_over():
        raise UserError(
            f"A model of study.num_processes={config.num_processes} is not trained by one.",
            f"Start torchrun --nproc-per-node={config.num_processes} -m "
            "experiments.translation.distributed with the same settings.",
        )

    def tell(stage: str, share: float) -> None:
        report(stage, (len(folder.done) + share) / config.num_seeds)

    progress = training.run(text.splits["train"], text.splits["valid"], tell)
    tables = _losses(model, text, own)
    tables |= _answers(training, text, tell)
    tables["curves"] = pd.DataFrame(progress.curves)
    tables["evaluations"] = pd.DataFrame(progress.evaluations)
    if config.num_experts > 1:
        tables["gate"] = gate_information(model, own, text.splits["test"])
    if is_first:
        tables |= _looked_at(model, text, own, folder) if config.num_experts else {}
        folder.write_arrays("weights", weights(model), compressed=False)
        folder.write_arrays("subwords", {"model": np.frombuffer(text.subwords.model, np.uint8)})
    rows = {name: _columns(table) for name, table in tables.items()}
    RunFolder(folder.path).save_checkpoint({"done": [*folder.done, rows], "training": None})


def _columns(table: pd.DataFrame) -> dict[str, list[Any]]:
    return {str(name): values for name, values in table.to_dict("list").items()}


def prepare(config: CorpusConfig) -> tuple[pairs.Texts, Subwords, dict[str, Encoded]]:
    """The text of a config, its subwords, and its splits as ids.

    Raises:
        UserError: a text is missing or damaged, nothing is left of a split, or a text was changed
            while it was read.
    """
    before = pairs.identity(config)
    texts = pairs.load(config)
    languages = marks(config)
    lines = partial(_lines, texts, max(1, len(languages)))
    subwords = learn(lines, config.num_subwords, CACHE, languages)
    encoded = {name: encode(getattr(texts, name), subwords, CACHE) for name in pairs.SPLITS}
    if pairs.identity(config) != before:
        raise UserError(
            "The text was changed while it was read.", "Give the same command again; it reads anew."
        )
    return texts, subwords, encoded


def _lines(texts: pairs.Texts, every: int) -> Iterator[str]:
    """Both sides of every so many training pairs, which stand in random order."""
    # With nine languages each English verse is there nine times, and sentencepiece holds all lines
    # in memory: a ninth of the pairs has about every verse once.
    chosen = islice(texts.train, None, None, every)
    return (text for pair in chosen for text in (pair.source, pair.target))


def _losses(model: Translator, text: Text, config: TranslationConfig) -> Frames:
    """Perplexity by split and language, and the loss of every test sentence."""
    parts = []
    for name in ("valid", "test"):
        sentences = sentence_losses(model, text.splits[name], config.tokens_per_batch)
        parts.append(by_language(sentences).assign(split=name))
    metrics = pd.concat(parts, ignore_index=True)
    return {
        "metrics": metrics[["split", "language", "perplexity", "num_tokens"]],
        "sentences": sentences,
    }


def _answers(training: Training, text: Text, report: Callable[[str, float], None]) -> Frames:
    """Translations of test sentences, and their BLEU."""
    config, test = training.config, text.texts.test
    count = config.num_translated
    if count is not None and count > len(test):
        message = "study.num_translated=%d: there are %d test sentences, and all are translated."
        _LOGGER.warning(message, count, len(test))

    def tell(stage: str, share: float) -> None:
        report(stage, share)
        # Here too a run can be stopped: from a checkpoint it begins with the answers again.
        if is_asked():
            training.save()

    places = shown_places([pair.language for pair in test], count)
    given = answers(
        training.model,
        [test[place] for place in places],
        text.splits["test"].take(places),
        text.subwords,
        config,
        tell,
    )
    return {"answers": given, "bleu": bleu_table(given)}


def shown_places(languages: Sequence[str], count: int | None) -> list[int]:
    """Which test sentences are translated: equally many of each language, evenly spaced.

    Args:
        languages: of the sentences.
        count: sentences in all; None for every one.
    """
    if count is None or count >= len(languages):
        return list(range(len(languages)))
    own = {name: [p for p, it in enumerate(languages) if it == name] for name in set(languages)}
    each = max(1, count // len(own))
    # Spaced, since neighbours are of one chapter, and all books should be among them.
    chosen = [
        places[int(place)]
        for places in own.values()
        for place in np.linspace(0, len(places) - 1, min(each, len(places)))
    ]
    return sorted(chosen)


def _looked_at(
    model: Translator, text: Text, config: TranslationConfig, folder: RunFolder
) -> Frames:
    """What the encoder's experts are given; writes embeddings.npz."""
    pairs, subwords = spaced(text.splits["test"]), text.subwords
    found = assignments(model, pairs, config.tokens_per_batch)
    every_token = tokens(pairs, subwords)
    folder.write_arrays("embeddings", _embeddings(model, subwords))
    return {
        "expert_words": expert_words(found, pairs, subwords),
        "expert_pieces": expert_pieces(found, every_token),
        "experts": experts(found, every_token, config.num_experts),
        "specialisation": specialisation(found, every_token),
    }


def _embeddings(model: Translator, subwords: Subwords) -> dict[str, Any]:
    return {
        "piece": np.array([subwords.piece(number) for number in range(len(subwords))]),
        "vector": model.embedding.weight.detach().cpu().numpy(),
    }


def _facts(config: TranslationConfig, text: Text) -> dict[str, Any]:
    num_subwords = len(text.subwords)
    return {
        "counts": text.texts.counts,
        "num_parameters": num_parameters(config, num_subwords),
        "num_operations_per_timestep": operations_per_timestep(config, num_subwords),
        "num_subwords": num_subwords,
        "subwords": text.subwords.digest,
        "num_target_subwords": len(text.splits["train"].target.ids) + len(text.splits["train"]),
    }
