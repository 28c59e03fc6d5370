"""The report of the five questions, put together from finished runs of other starts."""

from pathlib import Path

from reproductions.claims import load_claims
from reproductions.judging import drawn, filled, judge_all
from reproductions.notes import load_notes
from reproductions.pictures import Picture
from reproductions.questions.curves import collapse, groups, identity
from reproductions.questions.evidence import evidence
from reproductions.questions.gains import agreement, gains
from reproductions.questions.summary import GROUPS
from reproductions.questions.table import references_table, starts_table
from reproductions.report_types import StudyReport
from reproductions.runs import Found
from reproductions.summary import summary

_HERE = Path(__file__).parent


def build(found: Found, runs_dir: str, command: str) -> tuple[StudyReport, list[Picture]]:
    """The report and its pictures.

    Args:
        found: the suite's finished runs.
        runs_dir: folder of all runs.
        command: the line that makes the report again.
    """
    runs = found.runs
    judged = judge_all(load_claims(_HERE / "claims.yaml"), evidence(runs), runs)
    pictures = drawn([gains(runs), collapse(runs), identity(runs), agreement(runs), groups(runs)])
    report = StudyReport(
        study="questions",
        title="Five questions: the three studies from other starts",
        summary="\n\n".join(summary(judged, runs, GROUPS, "claims of our own")),
        citation="Interventions of our own on the three studies; no paper has them as such.",
        tables=tuple(
            filled(
                [
                    ("Where each start ends; means over seeds.", starts_table(runs)),
                    (
                        "Adjusted mutual information with the true groups at the end, and of "
                        "standard clusterings of the gate's inputs.",
                        references_table(runs),
                    ),
                ]
            )
        ),
        judged=judged,
        figures=tuple(figure for figure, _ in pictures),
        notes=load_notes(_HERE / "notes.yaml"),
        command=command,
    )
    return report, pictures
