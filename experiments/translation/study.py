"""One run of the translation study: text, subwords, training, perplexity."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from experiments.run_folder import RunFolder
from experiments.runner.errors import UserError
from experiments.runner.stopping import is_asked
from experiments.text import pairs
from experiments.text.encoded import Encoded, encode
from experiments.text.settings import CorpusConfig
from experiments.text.subwords import Subwords, learn
from experiments.text.text_files import CACHE
from experiments.translation.answers import answers, bleu_table
from experiments.translation.counts import operations_per_timestep
from experiments.translation.evaluation import perplexity, sentence_losses
from experiments.translation.expert_words import (
    assignments,
    expert_pieces,
    expert_words,
    experts,
    specialisation,
    tokens,
)
from experiments.translation.settings import TranslationConfig
from experiments.translation.training import Training, weights
from experiments.translation.translator import Translator
from moe.memory import keep_memory

_LOGGER = logging.getLogger(__name__)


def identity(config: CorpusConfig) -> dict[str, object]:
    """What beside config and code decides a run's results: the text."""
    return pairs.identity(config)


def modules(config: TranslationConfig) -> tuple[str, ...]:
    """Whose code decides a run's results beside this one's: what several processes share."""
    return ("experiments.translation.shared_training",) if config.num_processes > 1 else ()


def run(
    config: TranslationConfig, folder: RunFolder, report: Callable[[str, float], None]
) -> dict[str, Any]:
    """Train and measure one model, continuing from a checkpoint if there is one.

    Writes metrics.csv (perplexity by split), curves.csv, evaluations.csv, sentences.csv,
    answers.csv, bleu.csv, subwords.npz and weights.npz; with experts also expert_words.csv,
    expert_pieces.csv, experts.csv, embeddings.npz and specialisation.csv.

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
    model = Translator(config, len(subwords), config.seed).to(config.device.value)
    training = Training(config, model, folder)
    if config.num_processes > 1 and not training.is_over():
        raise UserError(
            f"A model of study.num_processes={config.num_processes} is not trained by one.",
            f"Start torchrun --nproc-per-node={config.num_processes} -m "
            "experiments.translation.distributed with the same settings.",
        )
    progress = training.run(splits["train"], splits["valid"], report)
    _write_losses(model, splits, config, folder)
    _write_answers(training, texts.test, splits["test"], subwords, report)
    if config.num_experts:
        _write_experts(model, splits["test"], subwords, config, folder)
    folder.write_table("curves", pd.DataFrame(progress.curves))
    folder.write_table("evaluations", pd.DataFrame(progress.evaluations))
    folder.write_arrays("weights", weights(model), compressed=False)
    folder.write_arrays("subwords", {"model": np.frombuffer(subwords.model, np.uint8)})
    return {
        "counts": texts.counts,
        "num_parameters": sum(weight.numel() for weight in model.parameters()),
        "num_operations_per_timestep": operations_per_timestep(config, len(subwords)),
        "num_subwords": len(subwords),
        "subwords": subwords.digest,
        "num_steps": progress.step,
        "num_epochs": progress.epoch,
    }


def prepare(config: CorpusConfig) -> tuple[pairs.Texts, Subwords, dict[str, Encoded]]:
    """The text of a config, its subwords, and its splits as ids.

    Raises:
        UserError: a text is missing or damaged, nothing is left of a split, or a text was changed
            while it was read.
    """
    before = pairs.identity(config)
    texts = pairs.load(config)
    subwords = learn(partial(_lines, texts), config.num_subwords, CACHE)
    encoded = {name: encode(getattr(texts, name), subwords, CACHE) for name in pairs.SPLITS}
    if pairs.identity(config) != before:
        raise UserError(
            "The text was changed while it was read.", "Give the same command again; it reads anew."
        )
    return texts, subwords, encoded


def _lines(texts: pairs.Texts) -> Iterator[str]:
    return (text for pair in texts.train for text in (pair.source, pair.target))


def _write_losses(
    model: Translator, splits: dict[str, Encoded], config: TranslationConfig, folder: RunFolder
) -> None:
    """Write metrics.csv and sentences.csv."""
    rows = []
    for name in ("valid", "test"):
        found, num_tokens = perplexity(model, splits[name], config.tokens_per_batch)
        rows.append({"split": name, "perplexity": found, "num_tokens": num_tokens})
    folder.write_table("metrics", pd.DataFrame(rows))
    folder.write_table("sentences", sentence_losses(model, splits["test"], config.tokens_per_batch))


def _write_answers(
    training: Training,
    test: Sequence[pairs.Pair],
    encoded: Encoded,
    subwords: Subwords,
    report: Callable[[str, float], None],
) -> None:
    """Write answers.csv and bleu.csv."""
    config, folder = training.config, training.folder
    count = config.num_translated
    if count is not None and count > len(test):
        message = "study.num_translated=%d: there are %d test sentences, and all are translated."
        _LOGGER.warning(message, count, len(test))

    def tell(stage: str, share: float) -> None:
        report(stage, share)
        # Here too a run can be stopped: from a checkpoint it begins with the answers again.
        if is_asked():
            training.save()

    given = answers(training.model, test[:count], encoded.first(count), subwords, config, tell)
    folder.write_table("answers", given)
    folder.write_table("bleu", bleu_table(given))


def _write_experts(
    model: Translator,
    pairs: Encoded,
    subwords: Subwords,
    config: TranslationConfig,
    folder: RunFolder,
) -> None:
    """Write expert_words.csv, expert_pieces.csv, experts.csv and specialisation.csv."""
    found = assignments(model, pairs, config.tokens_per_batch)
    every_token = tokens(pairs, subwords)
    folder.write_table("expert_words", expert_words(found, pairs, subwords))
    folder.write_table("expert_pieces", expert_pieces(found, every_token))
    folder.write_arrays("embeddings", _embeddings(model, subwords))
    folder.write_table("experts", experts(found, every_token, config.num_experts))
    folder.write_table("specialisation", specialisation(found, every_token))


def _embeddings(model: Translator, subwords: Subwords) -> dict[str, Any]:
    return {
        "piece": np.array([subwords.piece(number) for number in range(len(subwords))]),
        "vector": model.embedding.weight.detach().cpu().numpy(),
    }
