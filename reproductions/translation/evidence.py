"""What the finished runs say about each claim."""

from collections.abc import Callable

import pandas as pd

from reproductions.runs import NamedRun, Runs
from reproductions.verdicts.evidence import Evidence, OrderEvidence, RateEvidence, ValueEvidence

_REDUCED = "Another corpus and a smaller model than the published ones."
FEWEST = 20
"""Assignments below which an expert's variety says nothing."""
_ONE_WORD = 0.9
_LARGEST_LOAD = 2.0
_FEWEST_STEPS = 300


def evidence(runs: Runs) -> dict[str, Evidence | None]:
    """Evidence by claim id; None where a run that the claim needs is not finished."""
    return {
        "perplexity-2048": _value(runs, "metrics", ("split", "test"), "perplexity"),
        "bleu-2048": _value(runs, "bleu", ("metric", "tokenised"), "value"),
        "equal-cost-perplexity": _order(runs, "experts_2048", "wide", "sentences", "loss"),
        "perplexity-order-32": _order(runs, "experts_32", "experts_0", "sentences", "loss"),
        "perplexity-order-512": _order(runs, "experts_512", "experts_32", "sentences", "loss"),
        "perplexity-order-2048": _order(runs, "experts_2048", "experts_512", "sentences", "loss"),
        "bleu-order": _order(runs, "experts_2048", "wide", "answers", "bleu"),
        "balance-kept": _balance_kept(runs, "importance_01_load_01"),
        "balance-lost": _balance_lost(runs, "importance_0_load_0", "importance_01_load_01"),
        "experts-meaning": _experts(runs, _below_chance("piece")),
        "experts-syntax": _experts(runs, _below_chance("word_class")),
        "experts-topic": _experts(runs, _below_chance("domain")),
        "experts-one-word": _experts(runs, lambda table: table["top_piece_share"] >= _ONE_WORD),
    }


def _toy(runs: Runs, *names: str) -> str | None:
    """Why these runs cannot be held against a claim, or None."""
    if any(runs[name].study.max_steps < _FEWEST_STEPS for name in names):
        return "These runs are too short to have learnt."
    return None


def _value(runs: Runs, table: str, row: tuple[str, str], column: str) -> ValueEvidence | None:
    if "experts_2048" not in runs:
        return None
    found = runs["experts_2048"].finished.table(table)
    samples = found.loc[found[row[0]] == row[1], column].head(1)
    return ValueEvidence(tuple(samples.tolist()), ("experts_2048",), not_comparable=_REDUCED)


def _order(runs: Runs, first: str, second: str, table: str, column: str) -> OrderEvidence | None:
    if not {first, second} <= set(runs):
        return None
    samples = (runs[name].finished.table(table)[column].tolist() for name in (first, second))
    ours, others = (tuple(each) for each in samples)
    return OrderEvidence(ours, others, (first, second), _toy(runs, first, second))


def _largest_loads(run: NamedRun) -> list[float]:
    """Largest over mean load of the encoder at the points of the second half of training."""
    curves = run.finished.table("curves")
    second_half = curves[curves["step"] > curves["step"].max() / 2]
    return list(second_half["encoder_max_over_mean_load"])


def _balance_kept(runs: Runs, name: str) -> RateEvidence | None:
    if name not in runs:
        return None
    loads = _largest_loads(runs[name])
    kept = sum(load <= _LARGEST_LOAD for load in loads)
    return RateEvidence(kept, len(loads), (name,), _toy(runs, name))


def _balance_lost(runs: Runs, without: str, with_losses: str) -> OrderEvidence | None:
    names = (without, with_losses)
    if not set(names) <= set(runs):
        return None
    first, second = (tuple(_largest_loads(runs[name])) for name in names)
    return OrderEvidence(first, second, names, _toy(runs, *names))


def judged_experts(run: NamedRun) -> pd.DataFrame:
    """Experts with enough held-out assignments to say something of them."""
    table = run.finished.table("experts")
    return table[table["num_assignments"] >= FEWEST]


def _below_chance(key: str) -> Callable[[pd.DataFrame], "pd.Series[bool]"]:
    return lambda table: table[f"{key}_entropy"] < table[f"{key}_entropy_chance"]


def _experts(runs: Runs, holds: Callable[[pd.DataFrame], "pd.Series[bool]"]) -> RateEvidence | None:
    if "experts_2048" not in runs:
        return None
    table = judged_experts(runs["experts_2048"])
    names = ("experts_2048",)
    return RateEvidence(int(holds(table).sum()), len(table), names, _toy(runs, *names))
