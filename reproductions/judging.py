"""What every study's report does with its claims, pictures and tables."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from reproductions.claims import Claim
from reproductions.evidence import Evidence
from reproductions.pictures import Picture
from reproductions.report_types import Judged
from reproductions.verdicts import judge


def judge_all(
    claims: Sequence[Claim], evidence: Mapping[str, Evidence | None]
) -> tuple[Judged, ...]:
    """Every claim with its evidence and verdict, or None for both where no run speaks about it.

    Args:
        claims: a study's claims.
        evidence: by claim id.

    Raises:
        KeyError: a claim without an entry in ``evidence``.
    """
    return tuple(_judged(claim, evidence[claim.id]) for claim in claims)


def _judged(claim: Claim, item: Evidence | None) -> Judged:
    return claim, item, None if item is None else judge(claim, item)


def drawn(pictures: Iterable[Picture | None]) -> list[Picture]:
    """The pictures for which there were runs."""
    return [picture for picture in pictures if picture is not None]


def filled(tables: Iterable[tuple[str, pd.DataFrame]]) -> list[tuple[str, pd.DataFrame]]:
    """Captions and tables, without the empty ones."""
    return [(caption, frame) for caption, frame in tables if len(frame)]
