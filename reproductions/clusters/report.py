"""The clusters study's report, put together from finished runs."""

from pathlib import Path

import pandas as pd

from reproductions.claims import load_claims
from reproductions.clusters import table
from reproductions.clusters.evidence import evidence
from reproductions.clusters.figures.alignment import alignment
from reproductions.clusters.figures.curves import curves
from reproductions.clusters.figures.figure1 import figure1
from reproductions.clusters.figures.matrices import matrices
from reproductions.clusters.figures.published import ladder, published, sweep
from reproductions.clusters.rows import KINDS, SWEEP, ladder_labels, settings_in_words
from reproductions.clusters.summary import GROUPS
from reproductions.judging import drawn, filled, judge_all
from reproductions.notes import load_notes
from reproductions.pictures import Picture
from reproductions.report_types import Judged, StudyReport
from reproductions.runs import Found
from reproductions.summary import summary

_HERE = Path(__file__).parent
_CITATION = (
    "Chen, Z., Deng, Y., Wu, Y., Gu, Q. & Li, Y. (2022). Towards understanding the "
    "mixture-of-experts layer in deep learning. NeurIPS 35."
)


def build(found: Found, runs_dir: str, command: str) -> tuple[StudyReport, list[Picture]]:
    """The report and its pictures.

    Args:
        found: the finished runs of suite clusters_all, or of some of them.
        runs_dir: folder of all runs.
        command: the line that makes the report again.
    """
    judged = judge_all(load_claims(_HERE / "claims.yaml"), evidence(found.runs), found.runs)
    pictures = _pictures(found, judged)
    paragraphs = summary(judged, found.runs, GROUPS)
    if found.missing:
        paragraphs.append(
            f"Not run yet: {len(found.missing)} of the study's runs (make reproduce-clusters-all)."
        )
    report = StudyReport(
        study="clusters",
        title="Towards understanding mixture of experts: the clusters study",
        summary="\n\n".join(paragraphs),
        citation=_CITATION,
        tables=tuple(_tables(found, judged)),
        judged=judged,
        figures=tuple(figure for figure, _ in pictures),
        notes=load_notes(_HERE / "notes.yaml"),
        command=command,
        citation_url="https://arxiv.org/abs/2208.02813",
    )
    return report, pictures


def _pictures(found: Found, judged: tuple[Judged, ...]) -> list[Picture]:
    runs, claims = found.runs, [claim for claim, _, _ in judged]
    return drawn(
        [
            figure1(runs),
            published(runs, claims),
            curves(runs),
            alignment(runs),
            matrices(runs, "four"),
            matrices(runs, "coded_1"),
            ladder(runs),
            sweep(runs),
        ]
    )


def _tables(found: Found, judged: tuple[Judged, ...]) -> list[tuple[str, pd.DataFrame]]:
    """Captions and tables; Table 1 always comes first, the others where there are runs."""
    runs = found.runs
    tables = [
        (
            "Table 1 of the paper and its extensions beside ours: means over seeds, by the "
            f"authors' recipe; single networks of {table.filters_in_words(runs)}.",
            table.table_1(runs, judged),
        ),
        ("As written in the paper.", table.written_table(runs)),
        (
            "From the code to the text, one difference at a time, setting "
            f"{settings_in_words(ladder_labels(KINDS), runs)}.",
            table.ladder_table(runs),
        ),
        (
            f"Which expert gets which cluster: {table.map_experts(runs)} as written.",
            table.map_table(runs),
        ),
        ("Single networks by width, and tuned with ten times the data.", table.single_table(runs)),
        ("Single networks with other activations, test %.", table.activation_table(runs)),
        (
            f"Cubic experts with one setting changed, setting {settings_in_words(SWEEP, runs)}.",
            table.sweep_table(runs),
        ),
    ]
    return filled(tables)
