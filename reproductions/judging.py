"""What every study's report does with its claims, pictures and tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from reproductions.claims import Claim
from reproductions.evidence import Evidence
from reproductions.pictures import Picture
from reproductions.report_types import Judged
from reproductions.runs import NamedRun
from reproductions.verdicts import Verdict, judge


def judge_all(
    claims: Sequence[Claim], evidence: Mapping[str, Evidence | None], runs: Mapping[str, NamedRun]
) -> tuple[Judged, ...]:
    """Every claim with its evidence and verdict, or None for both where no run speaks about it.

    Runs that are not what their names say, since the user gave them another number of experts
    say, are held against no claim: nothing is said of them there.

    Args:
        claims: a study's claims.
        evidence: by claim id.
        runs: by the names that the evidence has.

    Raises:
        KeyError: a claim without an entry in ``evidence``.
    """
    return tuple(_judged(claim, evidence[claim.id], runs) for claim in claims)


def _judged(claim: Claim, item: Evidence | None, runs: Mapping[str, NamedRun]) -> Judged:
    if item is None:
        return claim, None, None
    verdict = judge(claim, item)
    others = [text for name in item.runs for text in runs[name].departures(runs[name].own)]
    return claim, item, _unsaid(verdict, others) if others else verdict


def _unsaid(verdict: Verdict, departures: Sequence[str]) -> Verdict:
    reason = f"These are not the runs that it speaks of: {'; '.join(dict.fromkeys(departures))}."
    return replace(
        verdict, word="not comparable", estimate=None, interval=None, n=0, explanation=reason
    )


def drawn(pictures: Iterable[Picture | None]) -> list[Picture]:
    """The pictures for which there were runs."""
    return [picture for picture in pictures if picture is not None]


def filled(tables: Iterable[tuple[str, pd.DataFrame]]) -> list[tuple[str, pd.DataFrame]]:
    """Captions and tables, without the empty ones."""
    return [(caption, frame) for caption, frame in tables if len(frame)]
