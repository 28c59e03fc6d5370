"""The tables of the translation report but those of experts and of equal cost."""

from typing import Any

import numpy as np
import pandas as pd

from reproductions.runs import NamedRun, Runs, distinct
from reproductions.translation.equal_cost import (
    MANY,
    SEED_RUNS,
    SHORT_RUNS,
    WIDE,
    label,
    perplexity_text,
)

_PUBLISHED = {"experts_2048": ("2.63", "40.56"), "experts_0": ("≈ 3.0 (Figure 4)", None)}
_NUM_EXAMPLES = 6
_OF = {"piece": "subword", "word_class": "word class", "domain": "kind of text"}
# Runs that have a table of their own.
_ELSEWHERE = ("importance_", *SHORT_RUNS, *SEED_RUNS)


def results_table(runs: Runs) -> pd.DataFrame:
    """A row per model: size, cost, test perplexity and BLEU with 95 % intervals, speed."""
    return pd.DataFrame([_results_row(run, runs) for run in shown(runs)])


def _results_row(run: NamedRun, runs: Runs) -> dict[str, str | None]:
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
    table = run.table("bleu")
    row = table[(table["metric"] == metric) & (table["domain"] == "all")].iloc[0]
    return f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def _speed(run: NamedRun) -> float:
    return float(run.table("curves")["tokens_per_second"].iloc[-1])


def domains_table(runs: Runs) -> pd.DataFrame:
    """A row per kind of book: test perplexity and sacreBLEU of the models of equal cost."""
    columns: dict[str, pd.Series[str]] = {}
    for run in distinct(runs.get(name) for name in (WIDE, MANY)):
        sentences = run.table("sentences")
        perplexities = {
            str(kind): f"{np.exp(np.average(own['loss'], weights=own['num_tokens'])):.2f}"
            for kind, own in sentences.groupby("domain")
        }
        columns[f"perplexity, {label(run, runs)}"] = pd.Series(perplexities)
        scores = run.table("bleu")
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
    table = run.table("specialisation")
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
        count = run.table("experts")["num_assignments"]
        # 0 log 0 is 0, which the logarithm does not know.
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
    first = next(iter(runs.values())).table("answers")
    # By place and not by what they say, so that nobody picked them.
    places = np.linspace(0, len(first) - 1, min(_NUM_EXAMPLES, len(first))).astype(int)
    table = first.loc[places, ["source", "reference"]].reset_index(drop=True)
    for run in distinct(runs.get(name) for name in (WIDE, MANY)):
        # A column in which all are empty reads as one of numbers.
        answers = run.table("answers")["answer"].astype(object)
        # Runs may have translated another number of sentences.
        if len(answers) == len(first):
            table[label(run, runs)] = answers.loc[places].fillna("").to_numpy()
    return table


_NUM_DRAWS = 1000
_BALANCED = "importance_01_load_01"
# Source: Shazeer et al. (2017), Table 6: CV(importance), CV(load), largest load over the mean.
_TABLE_6 = {
    "importance_0_load_0": (3.04, 3.01, 17.80),
    "importance_02_load_0": (0.06, 0.17, 1.47),
    "importance_0_load_02": (0.22, 0.04, 1.15),
    "importance_01_load_01": (0.06, 0.05, 1.14),
    "importance_001_load_001": (0.48, 0.11, 1.37),
    "importance_1_load_1": (0.03, 0.02, 1.07),
}
_BALANCE_COLUMNS = {
    "cv_importance": "CV(importance)",
    "cv_load": "CV(load)",
    "max_over_mean_load": "max/mean load",
}


def balance_table(runs: Runs) -> pd.DataFrame:
    """Table 6 of the paper beside ours, medians and ranges; last what equal chances would give."""
    found = distinct(runs.get(name) for name in _TABLE_6)
    rows = [_balance_row(run) for run in found]
    if found:
        rows.append(_chance_row(found[0].study))
    return pd.DataFrame(rows).fillna("")


def _balance_row(run: NamedRun) -> dict[str, str]:
    curves = run.table("curves")
    # The first half still shows the start.
    half = curves[curves["step"] > curves["step"].max() / 2]
    row = {"model": _model(run), "test perplexity": perplexity_text(run)}
    for (column, words), published in zip(
        _BALANCE_COLUMNS.items(), _TABLE_6[run.name], strict=True
    ):
        found = half[f"encoder_{column}"]
        row[f"{words}, published"] = f"{published:.2f}" if run.is_as_named else ""
        row[f"{words}, ours"] = _with_range(found.median(), found.min(), found.max())
    return row


def _model(run: NamedRun) -> str:
    study = run.study
    return (
        f"{study.num_experts:,} experts, w_importance {study.importance_weight:g}, "
        f"w_load {study.load_weight:g}"
    )


def _with_range(median: float, low: float, high: float) -> str:
    return f"{median:.2f} ({low:.2f} to {high:.2f})"


def chance(study: Any) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """CV of load, and largest over mean load, if all experts have equal chances at every word.

    Median, lowest and highest of many batches without padding, which have the least spread.
    """
    random = np.random.default_rng(0)
    num_assignments = study.tokens_per_batch * study.k
    # Equal chances for all: what perfect balance of the gate would give.
    shares = np.full(study.num_experts, 1 / study.num_experts)
    # Each of a step's k n assignments falls on an expert with probability 1 / E. A gate's k choices
    # per word differ from each other, which spreads loads a little less.
    load_RE = random.multinomial(num_assignments, shares, size=_NUM_DRAWS)
    mean = num_assignments / study.num_experts
    variation, largest = load_RE.std(axis=1) / mean, load_RE.max(axis=1) / mean
    return _spread(variation), _spread(largest)


def _spread(values: "np.typing.NDArray[np.float64]") -> tuple[float, float, float]:
    return float(np.median(values)), float(values.min()), float(values.max())


def _chance_row(study: Any) -> dict[str, str]:
    variation, largest = chance(study)
    return {
        "model": "equal chances for all experts",
        "CV(load), ours": _with_range(*variation),
        "max/mean load, ours": _with_range(*largest),
    }


def why_uneven(runs: Runs) -> str:
    """What of the unevenness chance makes; empty where no balanced run is finished."""
    if _BALANCED not in runs:
        return ""
    study = runs[_BALANCED].study
    _, (median, _, high) = chance(study)
    words = study.tokens_per_batch * study.k / study.num_experts
    return (
        f"an expert gets {words:.0f} of a step's assignments here, so that equal chances give "
        f"a largest load of {median:.2f} times the mean, and up to {high:.2f}"
    )
