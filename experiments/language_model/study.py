"""One run of the language model: text, subwords, trainings from several seeds, perplexity."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from experiments.language_model import text
from experiments.language_model.counts import num_weights, operations_per_word, regime
from experiments.language_model.evaluation import by_kind, information, routing
from experiments.language_model.settings import LanguageModelConfig
from experiments.language_model.specialisation import shown_text, worth
from experiments.language_model.training import Training
from experiments.run_folder import RunFolder
from moe.memory import keep_memory

identity = text.identity


def run(
    config: LanguageModelConfig, folder: RunFolder, report: Callable[[str, float], None]
) -> dict[str, Any]:
    """Train and measure one model from every seed, continuing from a checkpoint if there is one.

    Writes metrics.csv (perplexity by seed, split and kind of text), curves.csv, evaluations.csv,
    and with experts gate.csv (what the gate's choice says of kind and word, by seed), worth.csv
    (what a word loses without its first expert), and shown.csv (running text with every subword's
    experts, of the first seed).

    Args:
        config: the settings.
        folder: a claimed run folder.
        report: called with a stage's name and the share of it that is done.

    Returns:
        Facts for the manifest: subwords, weights, operations, words per expert.
    """
    keep_memory()
    report("subwords", 0.0)
    subwords, splits = text.prepare(config)
    kept = folder.load_checkpoint() or {"tables": {}, "seed": config.first_seed, "training": None}
    tables: dict[str, list[dict[str, Any]]] = kept["tables"]
    for seed in range(kept["seed"], config.first_seed + config.num_seeds):
        state = kept["training"] if seed == kept["seed"] else None
        training = Training(config, len(subwords), seed, state)

        def save(seed: int = seed, training: Training = training) -> None:
            state = {"tables": tables, "seed": seed, "training": training.kept()}
            folder.save_checkpoint(state)

        progress = training.run(splits["train"], splits["valid"], report, save)
        rows = {"curves": progress.curves, "evaluations": progress.evaluations}
        rows |= _measured(training, splits)
        # One training is enough to look at, and each would take a megabyte.
        if seed == config.first_seed and training.model.mixture is not None:
            rows["shown"] = _rows(shown_text(training.model, splits["test"], subwords))
        for name, own in rows.items():
            tables.setdefault(name, []).extend(own)
        # A killed run goes on with the next seed.
        folder.save_checkpoint({"tables": tables, "seed": seed + 1, "training": None})
    for name, rows_of in tables.items():
        # A control that is not trained has no curves.
        if rows_of:
            folder.write_table(name, pd.DataFrame(rows_of))
    return {
        "num_subwords": len(subwords),
        "num_train_subwords": len(splits["train"]),
        "num_weights": num_weights(config, len(subwords)),
        "num_operations_per_word": operations_per_word(config),
        **regime(config),
    }


def _measured(training: Training, splits: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    config = training.config
    rows: list[dict[str, Any]] = []
    for name in ("valid", "test"):
        table = by_kind(training.model, splits[name])
        table.insert(0, "split", name)
        table.insert(0, "seed", training.seed)
        rows += _rows(table)
    found: dict[str, list[dict[str, Any]]] = {"metrics": rows}
    if training.model.mixture is not None:
        chosen = routing(training.model, splits["test"], 4 * config.num_evaluated)
        found["gate"] = [{"seed": training.seed, **information(chosen)}]
        lost = worth(training.model, splits["test"], config.num_evaluated, training.seed)
        found["worth"] = _rows(lost.assign(seed=training.seed))
    return found


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
