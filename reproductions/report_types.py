"""The hand-over between a study's report module and the writers of pages."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from reproductions.claims import Claim
from reproductions.evidence import Evidence
from reproductions.verdicts import Verdict

# None for evidence and verdict: no finished run speaks about the claim.
Judged = tuple[Claim, Evidence | None, Verdict | None]


@dataclass(frozen=True)
class Frame:
    """One position of a figure's slider: its label, such as "epoch 100", and its picture."""

    label: str
    svg: str


@dataclass(frozen=True)
class Figure:
    """One figure of a report.

    ``base_svg`` is always seen; ``frames`` are drawn exactly over it, one at a time, so all of
    them must share its viewBox. ``provenance`` holds the manifest of every run it was drawn from.
    ``id`` is lower-case letters, digits and hyphens.
    """

    id: str
    title: str
    caption: str
    alt: str
    base_svg: str | None
    frames: tuple[Frame, ...]
    claim_ids: tuple[str, ...]
    provenance: tuple[Mapping[str, object], ...]


@dataclass(frozen=True)
class Silence:
    """A point on which the paper is silent, and the choice made there."""

    silence: str
    choice: str
    config_key: str
    reason: str


@dataclass(frozen=True)
class StudyReport:
    """Everything that one study's page and its section of RESULTS.md are made from.

    ``study`` is the study's id, ``summary`` has an empty line between paragraphs, ``command`` is
    the line that makes the page again, ``num_printed`` says how many of the tables the terminal
    shows. ``made_utc`` is printed if given; left out, the same inputs give the same bytes on any
    day. ``overrides`` are the settings in which its runs differ from the suite's.
    """

    study: str
    title: str
    summary: str
    citation: str
    tables: tuple[tuple[str, pd.DataFrame], ...]
    judged: tuple[Judged, ...]
    figures: tuple[Figure, ...]
    notes: tuple[Silence, ...]
    command: str
    citation_url: str | None = None
    made_utc: str | None = None
    num_printed: int = 1
    overrides: tuple[str, ...] = ()
