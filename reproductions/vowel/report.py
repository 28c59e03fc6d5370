"""The vowel study's report, put together from finished runs."""

from collections import Counter
from pathlib import Path

import pandas as pd

from reproductions.claims import Claim, load_claims
from reproductions.evidence import Evidence
from reproductions.overview import interval_overview
from reproductions.pictures import Picture, still
from reproductions.report_types import Judged, StudyReport
from reproductions.runs import Found
from reproductions.verdicts import Verdict, judge
from reproductions.vowel import table
from reproductions.vowel.evidence import evidence
from reproductions.vowel.figures.figure2 import figure2
from reproductions.vowel.figures.figure3 import figure3
from reproductions.vowel.figures.seeds import costs, seeds
from reproductions.vowel.figures.steps import steps
from reproductions.vowel.figures.training import training
from reproductions.vowel.multiverse import COMMAND, MultiversePart, multiverse_part
from reproductions.vowel.notes import load_notes
from reproductions.vowel.rows import LINES
from reproductions.vowel.trajectories import has_lines

_CLAIMS = Path(__file__).with_name("claims.yaml")
_CITATION = (
    "Jacobs, R. A., Jordan, M. I., Nowlan, S. J. & Hinton, G. E. (1991). Adaptive mixtures of "
    "local experts. Neural Computation 3(1), 79-87."
)
# The claims that the summary names.
HEADLINES = (
    "experts-faster-4-6",
    "half-the-epochs-4-6",
    "two-or-three-live-4",
    "two-experts-on-a-4",
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
    by_claim = evidence(found.runs)
    judged = tuple(_judge(claim, by_claim[claim.id]) for claim in claims)
    multiverse = multiverse_part(runs_dir, claims)
    pictures = [*_pictures(found, judged), *(multiverse.figures if multiverse else ())]
    report = StudyReport(
        study="vowel",
        title="Adaptive mixtures of local experts: the vowel study",
        summary=" ".join(_sentences(judged, multiverse)),
        citation=_CITATION,
        tables=(*_tables(found, judged), *(multiverse.tables if multiverse else ())),
        judged=judged,
        figures=tuple(figure for figure, _ in pictures),
        notes=load_notes(),
        command=command,
        citation_url=_DOI,
    )
    return report, pictures


def _pictures(found: Found, judged: tuple[Judged, ...]) -> list[Picture]:
    runs = found.runs
    pictures = []
    if any(verdict is not None for _, _, verdict in judged):
        pictures.append(_overview(found, judged))
    for name, title in (("experts_4", "figure2"), ("experts_8", "figure2-8-experts")):
        if name in runs and has_lines(runs[name]):
            pictures.append(figure2(runs[name], id=title))
    lone = {name: runs[name] for name in LINES if name in runs}
    if len(lone) == len(LINES) and "experts_8" in runs and has_lines(runs["experts_8"]):
        pictures.append(figure3(runs["experts_8"], lone))
    pictures.append(steps(runs))
    pictures.append(seeds(runs, [claim for claim, _, _ in judged]))
    pictures.append(costs(runs))
    if {"experts_4", "experts_8"} & set(runs):
        pictures.append(training(runs))
    return pictures


def _overview(found: Found, judged: tuple[Judged, ...]) -> Picture:
    return still(
        interval_overview(judged),
        id="overview",
        title="Published values and margins against ours",
        caption="Every claim about a number, divided by the published value: the band is the "
        "margin, the mark our mean with its 95 % interval.",
        alt="Our means and 95 % intervals over the published values, with the margins.",
        claim_ids=[claim.id for claim, _, verdict in judged if verdict and claim.kind == "value"],
        runs=found.runs.values(),
    )


def _tables(found: Found, judged: tuple[Judged, ...]) -> list[tuple[str, pd.DataFrame]]:
    runs = found.runs
    tables = [
        (
            "Table 1 of the paper beside ours, each system at its own best step.",
            table.table_1(runs, judged),
        )
    ]
    if any(name.startswith("tuned_") for name in runs):
        caption = (
            "The same systems with step sizes tuned towards the published epochs: a world in which "
            "those epochs appear, and no evidence."
        )
        tables.append((caption, table.tuned_table(runs)))
    tables.append(("The three costs, each at its own best step.", table.cost_table(runs)))
    if "references" in runs:
        caption = "Standard classifiers on the same split: what 90 % means here."
        tables.append((caption, table.reference_table(runs["references"])))
    return tables


def _sentences(judged: tuple[Judged, ...], multiverse: MultiversePart | None) -> list[str]:
    words = Counter(verdict.word if verdict else "not run" for _, _, verdict in judged)
    counts = ", ".join(f"{count} {word}" for word, count in words.most_common())
    sentences = [f"Of {len(judged)} published claims: {counts}."]
    sentences += [_headline(*item) for item in judged if item[0].id in HEADLINES]
    if multiverse is None:
        return [*sentences, f"Not run yet: every other reading of the paper ({COMMAND})."]
    return [*sentences, *multiverse.summary]


def _judge(claim: Claim, item: Evidence | None) -> Judged:
    return claim, item, None if item is None else judge(claim, item)


def _headline(claim: Claim, _: Evidence | None, verdict: Verdict | None) -> str:
    if verdict is None:
        return f"{claim.sentence} Not run."
    is_share = claim.kind != "value"
    ours = f"{verdict.estimate:.0%} of seeds" if is_share else f"{verdict.estimate:,.3g}"
    return f"{claim.sentence.rstrip('.')}: {verdict.word} (ours {ours})."
