"""All claims with their numbers and verdicts as one table: `reproductions.results()`."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.runner.errors import UserError
from reproductions.records import ClaimRecord, read
from reproductions.report import STUDIES, build_report
from reproductions.verdicts.claims import Claim
from reproductions.verdicts.judge import Verdict
from reproductions.verdicts.number_text import is_share
from reproductions.verdicts.sources import source_of
from reproductions.verdicts.verdict_text import (
    interval_text,
    ours_text,
    published_text,
    verdict_word,
)

COLUMNS = (
    *("study", "claim", "source", "sentence", "published", "ours", "bound", "low", "high"),
    *("unit", "n", "verdict", "place", "question"),
)
_BOUNDS = {"≥": "lower", "≤": "upper", "≈": "unknown"}
_NUMBER = r"−?∞|−?[\d.][\d,.]*(?:e[−+]?\d+)?"
# As `verdict_text.ours_text` and `interval_text` write them.
_OURS = re.compile(rf"(?:([≥≤≈]) )?({_NUMBER})(.*)")
_INTERVAL = re.compile(rf"interval (at least |at most )?({_NUMBER})(?: %)?(?: to ({_NUMBER}))?")
_SEEDS = re.compile(r"n = (\d+)")


def results(runs_dir: str | Path | None = None) -> pd.DataFrame:
    """Every claim with the published number, ours, and the verdict: one row each.

    Args:
        runs_dir: folder of runs, whose finished suites are judged now; by default what is
            published with this project.

    Returns:
        The columns of `COLUMNS`. ``published``, ``ours`` and the interval from ``low`` to ``high``
        have the same ``unit``; shares are in %. An interval open to one side ends in infinity, and
        a number that is not there is NaN. ``bound`` tells whether ours is "exact", or a "lower" or
        "upper" bound, since some runs were stopped. Published numbers of ours have the four digits
        that RESULTS.md shows.

    Raises:
        UserError: the folder has no finished run of a study's suite, or a damaged one.
    """
    rows = list(_published_rows() if runs_dir is None else _rows_of_runs(Path(runs_dir)))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({"n": "Int64", "question": "Int64"})


def _published_rows() -> Iterator[dict[str, Any]]:
    for record in read(list(STUDIES)):
        for row in record.rows:
            yield _row(record.study, row)


def _rows_of_runs(folder: Path) -> Iterator[dict[str, Any]]:
    reports = [build_report([f"suite={study}", f"runs_dir={folder}"]) for study in STUDIES]
    if not any(reports):
        raise UserError(
            f"{folder} holds no finished run of a published suite.",
            "Train one, for example: python -m experiments.suite suite=vowel "
            f"runs_dir={folder}; or leave out the folder for the published results.",
        )
    for whole in filter(None, reports):
        for claim, _, verdict in whole.report.judged:
            row = _row(whole.report.study, _as_record(claim, verdict))
            yield {**row, **_exact(claim, verdict)}


def _as_record(claim: Claim, verdict: Verdict | None) -> ClaimRecord:
    return ClaimRecord(
        claim.id,
        claim.sentence,
        claim.place,
        claim.question,
        published_text(claim),
        ours_text(claim, verdict),
        interval_text(claim, verdict),
        verdict_word(verdict),
    )


def _exact(claim: Claim, verdict: Verdict | None) -> dict[str, Any]:
    """A verdict's numbers with all of their digits."""
    if verdict is None or verdict.estimate is None:
        return {}
    scale = 100.0 if is_share(claim) else 1.0
    found = {"ours": scale * verdict.estimate}
    if verdict.interval is not None:
        low, high = verdict.interval
        found |= {"low": scale * low, "high": scale * high}
    return found


def _row(study: str, row: ClaimRecord) -> dict[str, Any]:
    return {
        "study": study,
        "claim": row.id,
        "source": source_of(study, row.id),
        "sentence": row.sentence,
        "published": _published(row),
        **_numbers(row),
        "verdict": row.word,
        "place": row.place,
        "question": row.question,
    }


def _published(row: ClaimRecord) -> float:
    found = _OURS.fullmatch(row.published)
    # A claim without a published number reads "in words", or "–" where it is our own.
    return _number(found[2]) if found else math.nan


def _numbers(row: ClaimRecord) -> dict[str, Any]:
    """The numbers of a record, which holds them in words.

    Raises:
        ValueError: the words are not as `verdict_text` writes them.
    """
    found: dict[str, Any] = {"ours": math.nan, "bound": "", "unit": ""}
    if row.ours != "–":
        ours = _OURS.fullmatch(row.ours)
        if ours is None:
            raise ValueError(f"{row.id}: {row.ours!r} is no number with its unit")
        mark, amount, unit = ours.groups()
        found = {"ours": _number(amount), "bound": _BOUNDS.get(mark, "exact"), "unit": unit.strip()}
    seeds = _SEEDS.search(row.interval)
    low, high = _ends(row)
    return {**found, "low": low, "high": high, "n": int(seeds[1]) if seeds else None}


def _ends(row: ClaimRecord) -> tuple[float, float]:
    if "interval" not in row.interval:
        return math.nan, math.nan
    ends = _INTERVAL.search(row.interval)
    if ends is None:
        raise ValueError(f"{row.id}: {row.interval!r} is no interval")
    side, first, second = ends.groups()
    if side:
        one = _number(first)
        return (one, math.inf) if side == "at least " else (-math.inf, one)
    if second is None:
        raise ValueError(f"{row.id}: {row.interval!r} has one end only")
    return _number(first), _number(second)


def _number(text: str) -> float:
    """A number as `number_text` writes it: with separators, and a true minus sign."""
    return float(text.replace(",", "").replace("−", "-").replace("∞", "inf"))
