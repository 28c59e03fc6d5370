"""The tables of the translation report."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from reproductions.runs import NamedRun, distinct
from reproductions.translation.early import SHORT_RUNS
from reproductions.translation.perplexity import perplexity_text
from reproductions.translation.seeds import MANY, SEED_RUNS, WIDE, label

Runs = Mapping[str, NamedRun]
_PUBLISHED = {"experts_2048": ("2.63", "40.56"), "experts_0": ("≈ 3.0 (Figure 4)", None)}
_NUM_EXAMPLES = 6
_OF = {"piece": "subword", "word_class": "word class", "domain": "kind of text"}
# Runs that have a table of their own.
_ELSEWHERE = ("importance_", *SHORT_RUNS, *SEED_RUNS)


def results_table(runs: Runs) -> pd.DataFrame:
    """A row per model: size, cost, test perplexity and BLEU with 95 % intervals, speed."""
    return pd.DataFrame([_row(run, runs) for run in shown(runs)])


def _row(run: NamedRun, runs: Runs) -> dict[str, str | None]:
    facts = run.finished.manifest
    nothing = (None, None)
    perplexity, bleu = _PUBLISHED.get(run.name, nothing) if run.is_as_named else nothing
    return {
        "model": label(run, runs),
        "parameters": f"{facts['num_parameters'] / 1e6:,.1f} M",
        "operations per timestep": f"{facts['num_operations_per_timestep'] / 1e6:.2f} M",
        "published perplexity (WMT'14)": perplexity,
        "test perplexity": perplexity_text(run),
        "published BLEU": bleu,
        "sacreBLEU": _bleu(run, "sacrebleu"),
        "tokenised BLEU": _bleu(run, "tokenised"),
        "training tokens/s": f"{_speed(run):,.0f}",
    }


def shown(runs: Runs) -> list[NamedRun]:
    """The runs of the main tables, each once."""
    return distinct(run for name, run in runs.items() if not name.startswith(_ELSEWHERE))


def _bleu(run: NamedRun, metric: str) -> str:
    table = run.finished.table("bleu")
    row = table[(table["metric"] == metric) & (table["domain"] == "all")].iloc[0]
    return f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def _speed(run: NamedRun) -> float:
    return float(run.finished.table("curves")["tokens_per_second"].iloc[-1])


def domains_table(runs: Runs) -> pd.DataFrame:
    """A row per kind of book: test perplexity and sacreBLEU of the models of equal cost."""
    columns: dict[str, pd.Series[str]] = {}
    for run in distinct(runs.get(name) for name in (WIDE, MANY)):
        sentences = run.finished.table("sentences")
        perplexities = {
            str(kind): f"{np.exp(np.average(own['loss'], weights=own['num_tokens'])):.2f}"
            for kind, own in sentences.groupby("domain")
        }
        columns[f"perplexity, {label(run, runs)}"] = pd.Series(perplexities)
        scores = run.finished.table("bleu")
        scores = scores[(scores["metric"] == "sacrebleu") & (scores["domain"] != "all")]
        columns[f"sacreBLEU, {label(run, runs)}"] = pd.Series(
            {
                row.domain: f"{row.value:.2f} ({row.low:.2f} to {row.high:.2f})"
                for row in scores.itertuples()
            }
        )
    return pd.DataFrame(columns).rename_axis("kind of book").reset_index()


def specialisation_table(run: NamedRun) -> pd.DataFrame:
    """Mutual information of an assignment's expert and its subword, class and kind of book."""
    table = run.finished.table("specialisation")
    return pd.DataFrame(
        {
            "of": table["of"].replace(_OF),
            "information (nats)": table["information"].round(3),
            "by chance (20 deals)": [
                f"{mean:.3f} (SD {sd:.4f})"
                for mean, sd in zip(table["chance"], table["chance_sd"], strict=True)
            ],
            "of at most (entropy)": table["entropy"].round(3),
            "assignments": table["num_assignments"],
        }
    )


def use_table(runs: Runs) -> pd.DataFrame:
    """How many experts are used on held-out text, and how evenly."""
    rows = []
    for run in shown(runs):
        if run.study.num_experts < 2:
            continue
        count = run.finished.table("experts")["num_assignments"]
        share = count[count > 0] / count.sum()
        rows.append(
            {
                "model": label(run, runs),
                "experts used": f"{(count > 0).sum():,} of {len(count):,}",
                "effective number (exp entropy)": f"{np.exp(-(share * np.log(share)).sum()):,.0f}",
                "largest over mean load": f"{count.max() / count.mean():.2f}",
            }
        )
    return pd.DataFrame(rows)


def examples_table(runs: Runs) -> pd.DataFrame:
    """Some test sentences, evenly spaced and not picked, in every model's words."""
    first = next(iter(runs.values())).finished.table("answers")
    places = np.linspace(0, len(first) - 1, min(_NUM_EXAMPLES, len(first))).astype(int)
    table = first.loc[places, ["source", "reference"]].reset_index(drop=True)
    for run in distinct(runs.get(name) for name in (WIDE, MANY)):
        # A column in which all are empty reads as one of numbers.
        answers = run.finished.table("answers")["answer"].astype(object)
        if len(answers) == len(first):
            table[label(run, runs)] = answers.loc[places].fillna("").to_numpy()
    return table
