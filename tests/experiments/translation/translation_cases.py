"""A tiny model of the translation study: its training broken off, and toy files of text."""

import itertools
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.run_folder import claimed
from experiments.text.encoded import Encoded, rows_of
from experiments.text.settings import CorpusName
from experiments.translation.settings import TranslationConfig
from experiments.translation.training import Training
from experiments.translation.translator import Translator

TINY = TranslationConfig(
    width=8,
    num_units=12,
    num_experts=8,
    num_groups=2,
    expert_units=6,
    attention_units=5,
    init_range=0.5,
    tokens_per_batch=60,
    max_steps=12,
    evaluate_every=6,
    report_every=2,
    learning_rate=0.002,
    expert_learning_rate=1.0,
    warm_up_steps=3,
    constant_steps=400,
    dropout=0.3,
)
NUM_SUBWORDS = 30
PAIRS = Encoded(
    rows_of([[4 + (7 * n + p) % 26 for p in range(2 + n % 5)] for n in range(60)]),
    rows_of([[4 + (3 * n + p) % 26 for p in range(1 + n % 6)] for n in range(60)]),
)


class _Killed(Exception):
    pass


def train(config: TranslationConfig, path: Path, kill_at: int | None) -> tuple[object, object]:
    """Weights and curves after training; broken off after a step first, if so wished."""

    def report(stage: str, share: float) -> None:
        if kill_at is not None and round(share * config.max_steps) == kill_at:
            raise _Killed

    with claimed(path, {"test": 1}) as folder:
        training = Training(config, Translator(config, NUM_SUBWORDS, config.seed), folder)
        if kill_at is None:
            training.run(PAIRS, PAIRS, report)
        else:
            with pytest.raises(_Killed):
                training.run(PAIRS, PAIRS, report)
    progress = training.progress
    return training.model.state_dict(), tuple(
        [without_times(row) for row in rows] for rows in (progress.curves, progress.evaluations)
    )


def without_times(row: dict[str, float]) -> dict[str, float]:
    """A row of a training without what two trainings never have alike."""
    return {
        name: value
        for name, value in row.items()
        if name not in ("tokens_per_second", "core_seconds")
    }


PARTS = (
    (("the dog", "le chien"), ("a man", "un homme"), ("my brother", "mon frère")),
    (("sees", "voit"), ("eats", "mange"), ("loves", "aime"), ("finds", "trouve")),
    (("the bread", "le pain"), ("a house", "une maison"), ("an apple", "une pomme")),
    (("today", "aujourd’hui"), ("in the morning", "le matin"), ("at night", "la nuit")),
)


def write_corpus(folder: Path) -> dict[str, Path]:
    """Six aligned files in a folder, by the settings that name them; no pair is in two splits."""
    every = [
        tuple(" ".join(side) + "." for side in zip(*parts, strict=True))
        for parts in itertools.product(*PARTS)
    ]
    random.Random(0).shuffle(every)
    splits = {"train": every[:90], "valid": every[90:100], "test": every[100:]}
    files = {}
    for split, rows in splits.items():
        for side, lines in zip(("source", "target"), zip(*rows, strict=True), strict=True):
            files[f"{split}_{side}"] = file = folder / f"{split}.{side}"
            file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return files


def config_of(files: dict[str, Path], **changes: Any) -> TranslationConfig:
    """A toy run on files."""
    paths: dict[str, Any] = {key: str(file) for key, file in files.items()}
    settings: dict[str, Any] = {"num_subwords": 50, "beam_width": 2, "num_threads": 1, **changes}
    return replace(TINY, corpus=CorpusName.files, **paths, **settings)
