"""The scaling study's report, put together from finished timings."""

from pathlib import Path

import pandas as pd

from reproductions.citations import SHAZEER_2017, SHAZEER_2017_URL
from reproductions.claims import load_claims
from reproductions.judging import drawn, filled, judge_all
from reproductions.notes import load_notes
from reproductions.pictures import Picture
from reproductions.report_types import StudyReport
from reproductions.runs import Found, distinct
from reproductions.scaling import table
from reproductions.scaling.evidence import evidence
from reproductions.scaling.figures import cost_per_token, skew_and_gates
from reproductions.scaling.summary import GROUPS
from reproductions.summary import summary

_HERE = Path(__file__).parent


def build(found: Found, runs_dir: str, command: str) -> tuple[StudyReport, list[Picture]]:
    """The report and its pictures.

    Args:
        found: the suite's finished runs.
        runs_dir: folder of all runs.
        command: the line that makes the report again.
    """
    judged = judge_all(load_claims(_HERE / "claims.yaml"), evidence(found.runs), found.runs)
    pictures = drawn([cost_per_token(found.runs), skew_and_gates(found.runs)])
    report = StudyReport(
        study="scaling",
        title="Constant cost: the scaling study",
        summary="\n\n".join(summary(judged, found.runs, GROUPS)),
        citation=SHAZEER_2017,
        tables=tuple(_tables(found)),
        judged=judged,
        figures=tuple(figure for figure, _ in pictures),
        notes=load_notes(_HERE / "notes.yaml"),
        command=command,
        citation_url=SHAZEER_2017_URL,
    )
    return report, pictures


def _tables(found: Found) -> list[tuple[str, pd.DataFrame]]:
    tables = [
        (
            f"{run.study.num_tokens:,} tokens{', Zipf' if run.study.skew else ''}: medians over "
            "rounds, with lowest and highest.",
            table.times_table(run),
        )
        for run in distinct(found.runs.values())
    ]
    tables.append(("Memory, float32.", table.memory_table(found.runs)))
    return filled(tables)
