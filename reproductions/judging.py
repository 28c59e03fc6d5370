"""What every study's report does with its claims, pictures and tables."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from reproductions.claims import Claim
from reproductions.evidence import Evidence
from reproductions.pictures import Picture
from reproductions.report_types import Judged
from reproductions.runs import NamedRun
from reproductions.verdicts import CONFIDENCE, Verdict, judge

Found = Evidence | tuple[str, ...] | None
"""Evidence on a claim; the names of its runs where they are not what they say; or nothing."""


def evidence_of(
    make: Callable[[], Evidence | None], names: tuple[str, ...], runs: Mapping[str, NamedRun]
) -> Found:
    """What runs say of a claim, as far as they are there and are those that it speaks of.

    Args:
        make: gives the evidence.
        names: of the runs that it needs.
        runs: that are finished.
    """
    if not set(names) <= set(runs):
        return None
    return make() if all(runs[name].is_as_named for name in names) else names


def judge_all(
    claims: Sequence[Claim], evidence: Mapping[str, Found], runs: Mapping[str, NamedRun]
) -> tuple[Judged, ...]:
    """Every claim with its evidence and verdict, or None for both where no run speaks about it.

    Runs that are not what their names say, since the user gave them another number of experts
    say, are held against no claim: nothing is said of them there.

    Args:
        claims: a study's claims.
        evidence: by claim id; the names of the runs alone where they are others.
        runs: by the names that the evidence has.

    Raises:
        KeyError: a claim without an entry in ``evidence``.
    """
    return tuple(_judged(claim, evidence[claim.id], runs) for claim in claims)


def _judged(claim: Claim, item: Found, runs: Mapping[str, NamedRun]) -> Judged:
    if item is None:
        return claim, None, None
    names = item if isinstance(item, tuple) else item.runs
    others = [text for name in names for text in runs[name].departures(runs[name].own)]
    if isinstance(item, tuple) or others:
        reason = f"These are not the runs that it speaks of: {'; '.join(dict.fromkeys(others))}."
        return claim, None, Verdict("not comparable", None, None, CONFIDENCE, 0, reason)
    return claim, item, judge(claim, item)


def drawn(pictures: Iterable[Picture | None]) -> list[Picture]:
    """The pictures for which there were runs."""
    return [picture for picture in pictures if picture is not None]


def filled(tables: Iterable[tuple[str, pd.DataFrame]]) -> list[tuple[str, pd.DataFrame]]:
    """Captions and tables, without the empty ones."""
    return [(caption, frame) for caption, frame in tables if len(frame)]
