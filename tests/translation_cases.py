"""A tiny model of the translation study, and its training broken off and taken up again."""

from pathlib import Path

import pytest

from experiments.run_folder import claimed
from experiments.translation.encoded import Encoded, rows_of
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
    warm_up_steps=3,
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
    curves = [
        {name: value for name, value in row.items() if name != "tokens_per_second"}
        for row in training.progress.curves
    ]
    return training.model.state_dict(), (curves, training.progress.evaluations)
