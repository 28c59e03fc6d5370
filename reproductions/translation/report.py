"""The translation study's report, put together from finished runs."""

from pathlib import Path

import pandas as pd

from reproductions.runs import Found, Runs
from reproductions.study_report import Picture, StudyReport, drawn, filled, load_notes
from reproductions.translation import SHAZEER_2017, SHAZEER_2017_URL
from reproductions.translation.equal_cost import (
    early_table,
    in_every_training,
    label,
    seeds_table,
    why_many_lose,
    why_more_lose,
)
from reproductions.translation.evidence import evidence
from reproductions.translation.experts import cosine_table, kinds_table
from reproductions.translation.figures import loads, perplexity_curves, variety
from reproductions.translation.tables import (
    balance_table,
    domains_table,
    examples_table,
    results_table,
    specialisation_table,
    use_table,
    why_uneven,
)
from reproductions.verdicts.claims import load_claims
from reproductions.verdicts.judge import judge_all
from reproductions.verdicts.verdict_text import Group, summary

_HERE = Path(__file__).parent


def build(found: Found, runs_dir: str, command: str) -> tuple[StudyReport, list[Picture]]:
    """The report and its pictures.

    Args:
        found: the suite's finished runs.
        runs_dir: folder of all runs.
        command: the line that makes the report again.
    """
    judged = judge_all(load_claims(_HERE / "claims.yaml"), evidence(found.runs), found.runs)
    pictures = drawn([perplexity_curves(found.runs), variety(found.runs), loads(found.runs)])
    report = StudyReport(
        study="translation",
        title="Outrageously large neural networks: the translation study",
        summary="\n\n".join(summary(judged, found.runs, GROUPS)),
        citation=SHAZEER_2017,
        tables=tuple(_tables(found)),
        judged=judged,
        figures=tuple(figure for figure, _ in pictures),
        notes=load_notes(_HERE / "notes.yaml"),
        command=command,
        citation_url=SHAZEER_2017_URL,
        num_printed=5,
    )
    return report, pictures


def _tables(found: Found) -> list[tuple[str, pd.DataFrame]]:
    runs = found.runs
    printed = [
        (
            "Test chapters; intervals are 95 % over sentences of one training. Published numbers "
            "are of WMT'14 and a larger model.",
            results_table(runs),
        ),
        ("Evenly spaced test sentences.", examples_table(runs)),
    ]
    if "experts_2048" in runs:
        run = runs["experts_2048"]
        printed += [
            (
                f"What an assignment's expert tells, {label(run, runs)}.",
                specialisation_table(run),
            ),
            (
                "Distance in embedding space: words of an expert's largest gates, two and two.",
                cosine_table(run),
            ),
            (
                "Experts of the three kinds of Table 9, found by rule, and a random sample. The "
                "expert's own subword stands between asterisks.",
                kinds_table(run),
            ),
        ]
    others = [
        ("By kind of book, test chapters.", domains_table(runs)),
        ("Use of the encoder's experts on the test chapters.", use_table(runs)),
        (
            "What holds many experts back: held-out perplexity, one training each.",
            early_table(runs),
        ),
        (
            "Both models of equal cost from several seeds, test chapters. Intervals are 95 %, of a "
            "perplexity over sentences, of the mean ratio over seeds.",
            seeds_table(runs),
        ),
        (
            "Table 6 beside ours: medians over the second half of training.",
            balance_table(runs),
        ),
    ]
    return filled([*printed, *others])


def _why_it_loses(runs: Runs) -> str:
    """The causes that runs tell of, and whether other seeds end so."""
    return "; ".join(part for part in (in_every_training(runs), why_many_lose(runs)) if part)


GROUPS = (
    Group("perplexity-2048", "the published perplexity"),
    Group("bleu-2048", "the published BLEU"),
    Group(
        "equal-cost-perplexity", "2,048 experts beat one of equal cost in perplexity", _why_it_loses
    ),
    Group("perplexity-order-", "more experts give lower perplexity", why_more_lose),
    Group("bleu-order", "2,048 experts beat one of equal cost in BLEU"),
    Group("balance", "balance losses keep loads even", why_uneven),
    Group("experts-meaning", "experts specialise in words"),
    Group("experts-syntax", "experts specialise by word class"),
    Group("experts-topic", "experts specialise by topic"),
    Group("experts-one-word", "some experts are about one word"),
)
