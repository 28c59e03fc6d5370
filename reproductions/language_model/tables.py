"""The tables of the language model's report."""

import numpy as np
import pandas as pd

from experiments.language_model.settings import Block
from reproductions.equal_time import perplexity_after
from reproductions.language_model.evidence import (
    gains,
    late_median,
    perplexity_of,
)
from reproductions.runs import NamedRun, Runs, distinct
from reproductions.tables import spread
from reproductions.verdicts.number_text import number

# What each run is called, in the order of the tables; the published perplexity is that after ten
# epochs. Source: Shazeer et al. (2017), Table 7.
MODELS: dict[str, tuple[str, float | None]] = {
    "none": ("no block", None),
    "constant": ("the constant alone", None),
    "wide": ("one wide expert", 46.1),
    "deep": ("one deep expert", 45.7),
    "lstm": ("four LSTM layers", 46.0),
    "experts_4": ("4 experts", 45.0),
    "experts_32": ("32 experts", 39.7),
    "flat_256": ("256 experts, flat gate", 35.7),
    "experts_256": ("256 experts", 36.0),
    "experts_512": ("512 experts", None),
    "experts_1024": ("1,024 experts", 34.6),
    "experts_2048": ("2,048 experts", None),
    "experts_4096": ("4,096 experts", 34.1),
}
# Millions of operations per word and of weights without embedding and softmax.
# Source: Shazeer et al. (2017), Table 7.
PUBLISHED_SIZES = {
    "wide": (8.4, 8.4),
    "deep": (8.4, 8.4),
    "lstm": (8.4, 8.4),
    "experts_4": (8.4, 8.4),
    "experts_32": (8.4, 37.8),
    "flat_256": (8.6, 272.9),
    "experts_256": (8.4, 272.9),
    "experts_1024": (8.5, 1079.0),
    "experts_4096": (8.9, 4303.4),
}
CONTROLS = {
    "experts_2048": "the learnt gate",
    "hash_2048": "a fixed hash of the last two words",
    "hash_word_2048": "a fixed hash of the last word",
    "random_words_2048": "a random, fixed gate of the word",
    "random_inputs_2048": "a random, fixed gate of the layer's input",
    "no_sigmoid_2048": "the learnt gate, no sigmoid after the mixture",
    "no_sigmoid_wide": "one wide expert, no sigmoid after it",
    "adam_2048": "the learnt gate, experts trained by plain Adam",
    "untrained_2048": "nothing learnt: a random gate, random experts",
    "untrained_32": "32 experts, nothing learnt",
}
# Setting, its wide layer and its experts.
REGIMES = {
    "as above": ("wide", "experts_2048"),
    "a quarter of the subwords in a step": ("batch_1024_wide", "batch_1024_2048"),
    "four times the subwords in a step": ("batch_16384_wide", "batch_16384_2048"),
    "three times as many steps": ("long_wide", "long_2048"),
}
# Source: Shazeer et al. (2017), Table 6: test perplexity, CV(importance), CV(load), largest load
# over the mean.
TABLE_6 = {
    "importance_0_load_0": (39.8, 3.04, 3.01, 17.80),
    "importance_02_load_0": (35.6, 0.06, 0.17, 1.47),
    "importance_0_load_02": (35.7, 0.22, 0.04, 1.15),
    "importance_01_load_01": (35.6, 0.06, 0.05, 1.14),
    "importance_001_load_001": (35.7, 0.48, 0.11, 1.37),
    "importance_1_load_1": (35.7, 0.03, 0.02, 1.07),
}
# Below this share of the wide layer's seconds a training has nothing to be read at its end.
_HARDLY_SOONER = 0.98
_BALANCE = {"cv_importance": "CV(importance)", "cv_load": "CV(load)",
            "max_over_mean_load": "largest / mean load"}  # fmt: skip


def label(run: NamedRun) -> str:
    """What readers call a model, true to its settings."""
    words = MODELS[run.name][0] if run.name in MODELS else CONTROLS[run.name]
    return run.called(words)


def table_7(runs: Runs) -> pd.DataFrame:
    """A row per model: published and own perplexity, and the seconds of a core it took."""
    return pd.DataFrame([_model_row(run) for run in _models(runs)])


def _models(runs: Runs) -> list[NamedRun]:
    return distinct(runs.get(name) for name in MODELS)


def _model_row(run: NamedRun) -> dict[str, str]:
    facts = run.finished.manifest
    perplexity = MODELS[run.name][1] if run.is_as_named else None
    operations, weights = PUBLISHED_SIZES.get(run.name, (None, None))
    if not run.is_as_named:
        operations = weights = None
    seconds = run.table("evaluations").groupby("seed")["core_seconds"].max()
    return {
        "model": label(run),
        "perplexity, published": _or_dash(perplexity, "{}"),
        "perplexity, ours": spread(perplexity_of(run)),
        "operations per word, published": _or_dash(operations, "{:.1f} M"),
        "operations per word, ours": f"{facts['num_operations_per_word']:,}",
        "weights, published": _or_dash(weights, "{:,.1f} M"),
        "weights, ours": f"{_weights(facts['num_weights']):,}",
        "seconds of one core": spread(seconds),
    }


def sizes_table(runs: Runs) -> pd.DataFrame:
    """A row per model with experts: the regime that it is trained in."""
    return pd.DataFrame([_sizes_row(run) for run in _models(runs) if _has_experts(run)])


def _has_experts(run: NamedRun) -> bool:
    return bool(run.study.block is Block.experts)


def _sizes_row(run: NamedRun) -> dict[str, str]:
    facts = run.finished.manifest
    return {
        "model": label(run),
        "words per expert and step": _regime(facts, "words_per_expert_and_step"),
        "words per expert weight": _regime(facts, "words_per_expert_weight"),
    }


def equal_time_table(runs: Runs) -> pd.DataFrame:
    """Held-out perplexity of each model when the wide layer's fastest training ends."""
    if "wide" not in runs:
        return pd.DataFrame()
    of_wide = runs["wide"].table("evaluations").groupby("seed")["core_seconds"].max()
    seconds = float(of_wide.min())
    rows = []
    for run in _models(runs):
        table = run.table("evaluations")
        own = table.groupby("seed")["core_seconds"].max()
        # A model that ends sooner has no perplexity at that time.
        if run.study.untrained or own.min() < seconds * _HARDLY_SOONER:
            continue
        rows.append(
            {
                "model": label(run),
                f"perplexity after {seconds:.0f} seconds of one core": spread(
                    [perplexity_after(part, seconds) for _, part in table.groupby("seed")]
                ),
                "at its end": spread(table[table["step"] == table["step"].max()]["perplexity"]),
                "steps done by then": spread([_steps_after(part, seconds)
                                              for _, part in table.groupby("seed")]),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _steps_after(table: pd.DataFrame, seconds: float) -> float:
    return float(np.interp(seconds, table["core_seconds"], table["step"]))


# Table 7 counts weights without embedding and softmax.
def _weights(by_part: dict[str, int]) -> int:
    return sum(number for part, number in by_part.items() if part != "embedding_and_softmax")


def _regime(facts: dict[str, float], key: str) -> str:
    return number(facts[key], 3) if key in facts else "–"


def controls_table(runs: Runs) -> pd.DataFrame:
    """A row per gate of 2,048 experts: perplexity and what the choice of experts says."""
    return pd.DataFrame(
        [_control_row(run) for run in distinct(runs.get(name) for name in CONTROLS)]
    )


def _control_row(run: NamedRun) -> dict[str, str]:
    row = {"gate": run.called(CONTROLS[run.name]), "test perplexity": spread(perplexity_of(run))}
    is_mixture = _has_experts(run)
    gate = run.table("gate") if is_mixture else pd.DataFrame()
    for column, words in (("ami_kind", "language"), ("ami_word", "subword")):
        row[f"information on the {words}"] = spread(gate[column]) if is_mixture else "–"
    return row


def worth_table(runs: Runs) -> pd.DataFrame:
    """How much the loss rises, in nats per subword, by what is done to the first expert."""
    found = distinct(
        runs.get(name)
        for name in ("experts_32", "experts_2048", "hash_2048", "random_inputs_2048",
                     "untrained_2048")
    )  # fmt: skip
    rows = []
    for run in found:
        rise = run.table("worth").pivot(index="seed", columns="change", values="rise")
        rows.append(
            {
                "model": label(run),
                "its answer is taken away": spread(rise["removed"]),
                "that of the same subword elsewhere": spread(rise["sibling"]),
                "a stranger's": spread(rise["stranger"]),
            }
        )
    return pd.DataFrame(rows)


def balance_table(runs: Runs) -> pd.DataFrame:
    """Table 6 beside ours: perplexity and loads with every pair of weights."""
    return pd.DataFrame([_balance_row(run) for run in distinct(runs.get(name) for name in TABLE_6)])


def _balance_row(run: NamedRun) -> dict[str, str]:
    study = run.study
    published = TABLE_6[run.name] if run.is_as_named else (None,) * 4
    row = {
        "w_importance": f"{study.importance_weight:g}",
        "w_load": f"{study.load_weight:g}",
        "perplexity, published": _or_dash(published[0]),
        "perplexity, ours": spread(perplexity_of(run)),
    }
    for (column, words), value in zip(_BALANCE.items(), published[1:], strict=True):
        row[f"{words}, published"] = _or_dash(value)
        row[f"{words}, ours"] = spread(late_median(run, column))
    return row


def _or_dash(value: float | None, form: str = "{:g}") -> str:
    return "–" if value is None else form.format(value)


def regime_table(runs: Runs) -> pd.DataFrame:
    """How far 2,048 experts are below one wide layer, by the size of a step and the length."""
    rows = []
    for words, names in REGIMES.items():
        if not set(names) <= set(runs):
            continue
        wide, many = (runs[name] for name in names)
        facts = many.finished.manifest
        rows.append(
            {
                "setting": many.called(words),
                "words per expert and step": _regime(facts, "words_per_expert_and_step"),
                "words per expert weight": _regime(facts, "words_per_expert_weight"),
                "wide": spread(perplexity_of(wide)),
                "2,048 experts": spread(perplexity_of(many)),
                "wide over experts": spread(np.exp(gains(wide, many)).tolist()),
            }
        )
    return pd.DataFrame(rows)
