"""A study's report as data: the hand-over between a study and the writers of pages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml
from matplotlib.figure import Figure as Drawing

from reproductions.drawing import to_svg
from reproductions.runs import NamedRun
from reproductions.verdicts.judge import Judged


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


# What the page shows, and what RESULTS.md shows of it.
Picture = tuple[Figure, Drawing]


def still(
    drawing: Drawing,
    *,
    id: str,
    title: str,
    caption: str,
    alt: str,
    claim_ids: Iterable[str] = (),
    runs: Iterable[NamedRun] = (),
) -> Picture:
    """A figure without a slider, drawn from ``runs``."""
    figure = Figure(
        id=id,
        title=title,
        caption=caption,
        alt=alt,
        base_svg=to_svg(drawing, label=alt),
        frames=(),
        claim_ids=tuple(claim_ids),
        provenance=tuple(run.provenance() for run in runs),
    )
    return figure, drawing


def load_notes(path: Path) -> tuple[Silence, ...]:
    """Every silence of a notes.yaml; raises TypeError for an entry with other keys."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return tuple(Silence(**entry) for entry in entries)


def drawn(pictures: Iterable[Picture | None]) -> list[Picture]:
    """The pictures for which there were runs."""
    return [picture for picture in pictures if picture is not None]


def filled(tables: Iterable[tuple[str, pd.DataFrame]]) -> list[tuple[str, pd.DataFrame]]:
    """Captions and tables, without the empty ones."""
    return [(caption, frame) for caption, frame in tables if len(frame)]
