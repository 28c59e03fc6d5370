"""The tables of the translation report but those of experts."""

from typing import Any

import numpy as np
import pandas as pd

from experiments.suite import suite_runs
from experiments.text.bible import BIBLES
from experiments.translation.settings import GateName
from reproductions.equal_time import on_one_machine, perplexity_after
from reproductions.runs import NamedRun, Runs, Source, distinct
from reproductions.tables import DASH, spread

WIDE, MANY = "wide", "experts_2048"
_PUBLISHED = {"experts_2048": ("2.63", "40.56"), "none": ("≈ 3.0 (Figure 4)", None)}
_NUM_EXAMPLES = 9
_OF = {
    "piece": "subword",
    "word": "subword",
    "word_class": "word class",
    "domain": "kind of text",
    "language": "target's language",
}
_SEARCH = "translation_search"
# Runs that have a table of their own.
_ELSEWHERE = ("importance_", "pair_")
# Source: Shazeer et al. (2017), Table 5: BLEU of the multilingual mixture and of the multilingual
# GNMT, English into that language.
TABLE_5 = {"fr": (36.59, 34.00), "es": (36.21, 34.25), "de": (24.53, 23.15)}


def label(run: NamedRun, runs: Runs) -> str:
    """A model by its settings, for readers; the wide one beside the many of equal cost."""
    many = runs.get(MANY)
    return run.called(_in_words(run.study, many.study if many is not None else run.study))


def _in_words(study: Any, many: Any) -> str:
    """A model by its settings, beside those of the many experts."""
    if study.num_experts > 1:
        return f"{study.num_experts:,} experts{'' if study.factored else ', plain Adam'}"
    if study.num_experts == 0:
        return "the constant alone" if study.constant else "no experts"
    times = study.expert_units / many.expert_units
    return f"1 expert, {times:g} times as wide" if times != 1 else "1 expert"


def of_test(run: NamedRun, language: str = "all") -> "pd.Series[float]":
    """Test perplexity of every training, in a language or over all."""
    table = run.table("metrics")
    own = table[(table["split"] == "test") & (table["language"] == language)]
    found: pd.Series[float] = own["perplexity"]
    return found


def bleu_of(run: NamedRun, metric: str = "sacrebleu", language: str = "all") -> "pd.Series[float]":
    """Corpus BLEU of every training, in a language or over all."""
    table = run.table("bleu")
    is_own = (table["metric"] == metric) & (table["language"] == language)
    found: pd.Series[float] = table[is_own & (table["domain"] == "all")]["value"]
    return found


def results_table(runs: Runs) -> pd.DataFrame:
    """A row per model: size, cost, test perplexity and BLEU over trainings, seconds."""
    return pd.DataFrame([_results_row(run, runs) for run in shown(runs)])


def _results_row(run: NamedRun, runs: Runs) -> dict[str, str | None]:
    facts = run.finished.manifest
    perplexity, bleu = _PUBLISHED.get(run.name, (None, None)) if run.is_as_named else (None, None)
    # With one language there is no row of French beside that of all.
    french = "fr" if run.study.languages[1:] else "all"
    return {
        "model": label(run, runs),
        "parameters": f"{facts['num_parameters'] / 1e6:,.2f} M",
        "operations per timestep": f"{facts['num_operations_per_timestep'] / 1e6:.3f} M",
        "test perplexity": spread(of_test(run)),
        "English to French": spread(of_test(run, french)),
        "published (WMT'14)": perplexity,
        "sacreBLEU": spread(bleu_of(run)),
        "English to French, tokenised BLEU": spread(bleu_of(run, "tokenised", french)),
        "published BLEU": bleu,
        "seconds of a core": spread(_seconds(run)) if is_timed(run, runs) else DASH,
    }


def is_timed(run: NamedRun, runs: Runs) -> bool:
    """Tell whether a run's seconds can be held against those of the wide expert, if any."""
    return on_one_machine(run, runs.get(WIDE, run))


def _seconds(run: NamedRun) -> "pd.Series[float]":
    found: pd.Series[float] = run.table("evaluations").groupby("seed")["core_seconds"].max()
    return found


def shown(runs: Runs) -> list[NamedRun]:
    """The runs of the main tables, each once, from the smallest model to the largest."""
    found = distinct(run for name, run in runs.items() if not name.startswith(_ELSEWHERE))
    return sorted(found, key=lambda run: run.finished.manifest["num_parameters"])


def search_table(source: Source) -> pd.DataFrame:
    """A row per point of the search for the models' rates, by perplexity of validation text.

    Args:
        source: of finished runs. A run whose loss blew up never finishes.
    """
    studies = suite_runs([f"suite={_SEARCH}"])[1]
    runs = source(studies, _SEARCH).runs
    if not runs:
        return pd.DataFrame()
    many = max(studies.values(), key=lambda study: study.num_experts)
    return pd.DataFrame(
        [
            {
                "model": _in_words(study, many),
                "learning rate": f"{study.learning_rate:g}",
                "gate's share": f"{study.gate_learning_rate:g}" if study.num_experts > 1 else DASH,
                "held-out perplexity": _last_perplexity(runs.get(name)),
            }
            for name, study in studies.items()
        ]
    )


def _last_perplexity(run: NamedRun | None) -> str:
    if run is None:
        return "not finished"
    table = run.table("evaluations").sort_values("step")
    return spread(table.groupby("seed")["perplexity"].last())


def pair_table(runs: Runs) -> pd.DataFrame:
    """English to French alone: both models of equal cost."""
    return pd.DataFrame(
        [_results_row(run, runs) for run in distinct(map(runs.get, ("pair_wide", "pair_2048")))]
    )


def languages_table(runs: Runs) -> pd.DataFrame:
    """A row per language: perplexity and BLEU of both models of equal cost, and Table 5."""
    found = distinct(runs.get(name) for name in (WIDE, MANY))
    if not found or len(found[0].study.languages) < 2:
        return pd.DataFrame()
    names = {bible.code: bible.language for bible in BIBLES.values()}
    return pd.DataFrame(
        [
            {"English into": names[language], **_language_row(found, runs, language)}
            for language in found[0].study.languages
        ]
    )


def _language_row(found: list[NamedRun], runs: Runs, language: str) -> dict[str, str]:
    row = {f"perplexity, {label(run, runs)}": spread(of_test(run, language)) for run in found}
    row |= {
        f"sacreBLEU, {label(run, runs)}": spread(bleu_of(run, language=language)) for run in found
    }
    many, rest = TABLE_5.get(language, (None, None))
    row["Table 5: mixture, GNMT"] = DASH if many is None else f"{many:.2f}, {rest:.2f}"
    return row


def equal_time_table(runs: Runs) -> pd.DataFrame:
    """Held-out perplexity when the fastest training of the wide model ends."""
    if WIDE not in runs:
        return pd.DataFrame()
    seconds = float(_seconds(runs[WIDE]).min())
    rows = []
    for run in shown(runs):
        table = run.table("evaluations")
        # A model that ended sooner has nothing to be read there; another machine has other seconds.
        if not is_timed(run, runs) or float(_seconds(run).min()) < 0.98 * seconds:
            continue
        found = [perplexity_after(own, seconds) for _, own in table.groupby("seed")]
        rows.append({"model": label(run, runs), f"after {seconds:,.0f} s": spread(found)})
    return pd.DataFrame(rows)


def regime_table(runs: Runs) -> pd.DataFrame:
    """What an expert sees: words in a step, and per weight over the training; the noise's share."""
    return pd.DataFrame([_regime_row(run, runs) for run in runs.values() if _has_choice(run)])


def _has_choice(run: NamedRun) -> bool:
    return bool(run.study.num_experts > run.study.k)


def _regime_row(run: NamedRun, runs: Runs) -> dict[str, str]:
    study = run.study
    words = study.tokens_per_batch * study.batches_per_step * study.k / study.num_experts
    weights = 2 * study.width * study.expert_units
    table = run.table("evaluations")
    last = table[table["step"] == table["step"].max()]
    row = {
        # Two of Table 6 differ in their balance losses alone.
        "model": _model(run) if run.name in _TABLE_6 else label(run, runs),
        "words per expert and step": f"{words:,.0f}",
        "words per expert weight": f"{words * study.max_steps / weights:,.2f}",
    }
    for side in ("encoder", "decoder"):
        column = f"{side}_clean_share_kept"
        has_noise = study.gate is not GateName.balanced and column in last
        row[f"{side}: choices that noise leaves"] = spread(last[column]) if has_noise else DASH
    return row


def gate_table(run: NamedRun) -> pd.DataFrame:
    """What the choice of experts tells, trained and untrained, over trainings."""
    table = run.table("gate")
    return pd.DataFrame(
        [
            {
                "side": side,
                "of": _OF[str(of)],
                "trained": spread(own["ami"]),
                "untrained": spread(own["ami_untrained"]),
                "difference": spread(own["ami"] - own["ami_untrained"]),
            }
            for (side, of), own in table.groupby(["side", "of"], sort=False)
        ]
    )


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
    """Some test sentences of the first training, evenly spaced and not picked, by every model."""
    first = _first_training(next(iter(runs.values())))
    # By place and not by what they say, so that nobody picked them.
    places = np.linspace(0, len(first) - 1, min(_NUM_EXAMPLES, len(first))).astype(int)
    columns = ["language"] * bool(first["language"].notna().any()) + ["source", "reference"]
    table = first.loc[places, columns].reset_index(drop=True)
    for run in distinct(runs.get(name) for name in (WIDE, MANY)):
        # A column in which all are empty reads as one of numbers.
        answers = _first_training(run)["answer"].astype(object)
        # Runs may have translated another number of sentences.
        if len(answers) == len(first):
            table[label(run, runs)] = answers.loc[places].fillna("").to_numpy()
    return table


def _first_training(run: NamedRun) -> pd.DataFrame:
    table = run.table("answers")
    first: pd.DataFrame = table[table["seed"] == table["seed"].min()].reset_index(drop=True)
    return first


_NUM_DRAWS = 1000
_BALANCED, _UNBALANCED = "importance_01_load_01", "importance_0_load_0"
# Source: Shazeer et al. (2017), Table 6: CV(importance), CV(load), largest load over the mean.
_TABLE_6 = {
    _UNBALANCED: (3.04, 3.01, 17.80),
    _BALANCED: (0.06, 0.05, 1.14),
}
_BALANCE_COLUMNS = {
    "cv_importance": "CV(importance)",
    "cv_load": "CV(load)",
    "max_over_mean_load": "max/mean load",
}


def balance_table(runs: Runs) -> pd.DataFrame:
    """Two rows of Table 6 beside ours, over trainings; last what equal chances would give."""
    found = distinct(runs.get(name) for name in _TABLE_6)
    rows = [_balance_row(run) for run in found]
    if found:
        rows.append(_chance_row(found[0].study))
    return pd.DataFrame(rows).fillna("")


def _balance_row(run: NamedRun) -> dict[str, str]:
    curves = run.table("curves")
    # The first half still shows the start.
    half = curves[curves["step"] > curves["step"].max() / 2]
    row = {"model": _model(run), "test perplexity": spread(of_test(run))}
    for (column, words), published in zip(
        _BALANCE_COLUMNS.items(), _TABLE_6[run.name], strict=True
    ):
        row[f"{words}, published"] = f"{published:.2f}" if run.is_as_named else ""
        row[f"{words}, ours"] = spread(half.groupby("seed")[f"encoder_{column}"].median())
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


def why_worse(runs: Runs) -> str:
    """How much of the clean choice noise leaves with and without the losses; else empty."""
    balanced, rest = (_kept_by_noise(runs.get(name)) for name in (_BALANCED, _UNBALANCED))
    if not balanced or not rest:
        return ""
    return (
        "the cause is not settled; at the end of these short trainings the routing noise leaves "
        f"{100 * balanced:.0f} % of the encoder's choices as they are with the losses, and "
        f"{100 * rest:.0f} % without"
    )


def _kept_by_noise(run: NamedRun | None) -> float:
    """The geometric mean over trainings, as in the table of shares; 0 where nothing is known."""
    column = "encoder_clean_share_kept"
    if run is None or column not in (table := run.table("evaluations")):
        return 0.0
    last = table[table["step"] == table["step"].max()][column]
    return float(np.exp(np.log(last).mean())) if last.min() > 0 else 0.0
