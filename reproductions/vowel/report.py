"""The vowel study's report, put together from finished runs."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from reproductions.claims import load_claims
from reproductions.judging import drawn, filled, judge_all
from reproductions.notes import load_notes
from reproductions.overview import interval_overview
from reproductions.pictures import Picture, still
from reproductions.report_types import Judged, StudyReport
from reproductions.runs import Found, NamedRun, distinct
from reproductions.summary import summary
from reproductions.vowel import table
from reproductions.vowel.evidence import evidence
from reproductions.vowel.figures.figure2 import figure2
from reproductions.vowel.figures.figure3 import figure3
from reproductions.vowel.figures.seeds import costs, seeds
from reproductions.vowel.figures.steps import steps
from reproductions.vowel.figures.training import training
from reproductions.vowel.multiverse import COMMAND, MultiversePart, multiverse_part
from reproductions.vowel.rows import LINES, cost_runs, costs_in_words, table_1_rows
from reproductions.vowel.summary import GROUPS
from reproductions.vowel.trajectories import has_lines

_CLAIMS = Path(__file__).with_name("claims.yaml")
_NOTES = Path(__file__).with_name("notes.yaml")
_CITATION = (
    "Jacobs, R. A., Jordan, M. I., Nowlan, S. J. & Hinton, G. E. (1991). Adaptive mixtures of "
    "local experts. Neural Computation 3(1), 79-87."
)
_DOI = "https://doi.org/10.1162/neco.1991.3.1.79"


def build(found: Found, runs_dir: str, command: str) -> tuple[StudyReport, list[Picture]]:
    """The report and its pictures.

    Args:
        found: the suite's finished runs.
        runs_dir: folder of all runs, where the multiverse is looked for.
        command: the line that makes the report again.
    """
    claims = load_claims(_CLAIMS)
    judged = judge_all(claims, evidence(found.runs), found.runs)
    multiverse = multiverse_part(runs_dir, claims)
    pictures = [*_pictures(found, judged), *(multiverse.figures if multiverse else ())]
    report = StudyReport(
        study="vowel",
        title="Adaptive mixtures of local experts: the vowel study",
        summary="\n\n".join(_paragraphs(judged, found, multiverse)),
        citation=_CITATION,
        tables=(*_tables(found, judged), *(multiverse.tables if multiverse else ())),
        judged=judged,
        figures=tuple(figure for figure, _ in pictures),
        notes=load_notes(_NOTES),
        command=command,
        citation_url=_DOI,
    )
    return report, pictures


def _pictures(found: Found, judged: tuple[Judged, ...]) -> list[Picture]:
    """All figures for which the runs are there."""
    runs, claims = found.runs, [claim for claim, _, _ in judged]
    return drawn(
        [
            _overview(found, judged),
            *(
                figure2(run, id="figure2" if run.name == "experts_4" else "figure2-8-experts")
                for run in distinct(runs.get(name) for name in ("experts_4", "experts_8"))
                if has_lines(run)
            ),
            _figure3(runs),
            training(runs),
            steps(runs, claims),
            seeds(runs, claims),
            costs(runs),
        ]
    )


def _figure3(runs: Mapping[str, NamedRun]) -> Picture | None:
    needed = {"experts_8", *LINES}
    if not needed <= set(runs) or not all(has_lines(runs[name]) for name in needed):
        return None
    # The lines are those of single experts, of all vowels and of two pairs.
    if any({"num_experts", "vowels"} & runs[name].changed.keys() for name in LINES):
        return None
    return figure3(runs["experts_8"], {name: runs[name] for name in LINES})


def _overview(found: Found, judged: tuple[Judged, ...]) -> Picture | None:
    shown = [
        claim
        for claim, _, verdict in judged
        if verdict and verdict.estimate is not None and claim.kind == "value"
    ]
    if not any(claim.published and claim.published.value for claim in shown):
        return None
    return still(
        interval_overview(judged),
        id="overview",
        title="Published values and margins against ours",
        caption="Every claim about a number, divided by the published value: the band is the "
        "margin, the mark our mean with its 95 % interval.",
        alt="Our means and 95 % intervals over the published values, with the margins.",
        claim_ids=[claim.id for claim in shown],
        runs=found.runs.values(),
    )


def _tables(found: Found, judged: tuple[Judged, ...]) -> list[tuple[str, pd.DataFrame]]:
    """Captions and tables; Table 1 always comes first, the others where there are runs."""
    runs = found.runs
    is_given = any(run.study.step_size is not None for _, run in table_1_rows(runs))
    step = "was given" if is_given else "the rule of the exploration takes"
    tables = [
        (
            "Table 1 of the paper beside ours: means over seeds, each system at the step that "
            f"{step}.",
            table.table_1(runs, judged),
        ),
        (
            "The same systems with step sizes tuned towards the published epochs: a world in which "
            "those epochs can be looked for, and no evidence.",
            table.tuned_table(runs),
        ),
        (f"{costs_in_words(cost_runs(runs))}.", table.cost_table(runs)),
    ]
    if "references" in runs:
        caption = "Standard classifiers on the same recordings and split, not in the paper."
        tables.append((caption, table.reference_table(runs["references"])))
    return filled(tables)


def _paragraphs(
    judged: tuple[Judged, ...], found: Found, multiverse: MultiversePart | None
) -> list[str]:
    paragraphs = summary(judged, found.runs, GROUPS)
    if multiverse is None:
        return [*paragraphs, f"Not run yet: every other reading of the paper ({COMMAND})."]
    return [*paragraphs, " ".join(multiverse.summary)]
