"""The translation study's report, put together from finished runs."""

from pathlib import Path

import pandas as pd

from reproductions.citations import SHAZEER_2017, SHAZEER_2017_URL
from reproductions.claims import load_claims
from reproductions.judging import drawn, filled, judge_all
from reproductions.notes import load_notes
from reproductions.pictures import Picture
from reproductions.report_types import StudyReport
from reproductions.runs import Found
from reproductions.summary import summary
from reproductions.translation import table
from reproductions.translation.balance import balance_table
from reproductions.translation.early import early_table
from reproductions.translation.evidence import evidence
from reproductions.translation.figures import loads, perplexity_curves, variety
from reproductions.translation.kinds import cosine_table, kinds_table
from reproductions.translation.seeds import label, seeds_table
from reproductions.translation.summary import GROUPS

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
            table.results_table(runs),
        ),
        ("Evenly spaced test sentences.", table.examples_table(runs)),
    ]
    if "experts_2048" in runs:
        run = runs["experts_2048"]
        printed += [
            (
                f"What an assignment's expert tells, {label(run, runs)}.",
                table.specialisation_table(run),
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
        ("By kind of book, test chapters.", table.domains_table(runs)),
        ("Use of the encoder's experts on the test chapters.", table.use_table(runs)),
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
