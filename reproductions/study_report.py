"""A study's report as data: the hand-over between a study and the writers of pages."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd
import yaml
from matplotlib.figure import Figure as Drawing

from reproductions.drawing import to_svg
from reproductions.runs import NamedRun, Runs, Source, SuiteRuns, why_not_comparable
from reproductions.verdicts.claims import Claim, load_claims
from reproductions.verdicts.evidence import (
    COMMON_FORMS,
    Form,
    Reading,
    check_recipes,
    read_evidence,
)
from reproductions.verdicts.judge import Judged, judge_all
from reproductions.verdicts.verdict_text import Group, load_groups, summary


@dataclass(frozen=True)
class Frame:
    """One position of a figure's slider: its label, such as "epoch 100", and its picture."""

    label: str
    svg: str


@dataclass(frozen=True)
class Figure:
    """A figure of a report, with all that is said of it.

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
    shows. ``overrides`` are the settings in which its runs differ from the suite's. ``about`` says
    to a newcomer what the paper did. It tells no time of day, so that the same runs give the same
    page.
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
    num_printed: int = 1
    overrides: tuple[str, ...] = ()
    about: str = ""


# What the page shows, and what RESULTS.md shows of it.
Picture = tuple[Figure, Drawing]


def as_picture(
    drawing: Drawing,
    *,
    id: str,
    title: str,
    caption: str,
    alt: str,
    claim_ids: Iterable[str] = (),
    runs: Iterable[NamedRun] = (),
    base_svg: str | None = None,
    frames: Iterable[Frame] = (),
) -> Picture:
    """A figure of a report, drawn from ``runs``.

    Args:
        drawing: the whole picture, for RESULTS.md, and for the page if there is no slider.
        id: lower-case letters, digits and hyphens.
        title: above it.
        caption: below it.
        alt: its text alternative.
        claim_ids: claims that it speaks of.
        runs: that it was drawn from.
        base_svg: what is always seen below the frames of a slider.
        frames: of the slider.
    """
    figure = Figure(
        id=id,
        title=title,
        caption=caption,
        alt=alt,
        base_svg=to_svg(drawing, label=alt) if base_svg is None else base_svg,
        frames=tuple(frames),
        claim_ids=tuple(claim_ids),
        provenance=tuple(run.provenance() for run in runs),
    )
    return figure, drawing


def load_notes(path: Path) -> tuple[Silence, ...]:
    """Every silence of a notes.yaml; raises TypeError for an entry with other keys."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return tuple(Silence(**entry) for entry in entries)


# A caption and what stands below it.
Table = tuple[str, pd.DataFrame]


@dataclass(frozen=True)
class Parts:
    """What a report shows beside the verdicts; pictures and tables without runs are left out."""

    pictures: Sequence[Picture | None]
    tables: Sequence[Table]
    paragraphs: Sequence[str] = ()


@dataclass(frozen=True)
class Study:
    """One study as far as its report goes; a new study is one of these.

    Attributes:
        name: what the names of its suites begin with.
        title: of the report.
        citation: the paper.
        citation_url: its address, if any.
        folder: where its claims.yaml, groups.yaml and notes.yaml lie.
        forms: its own ways to read evidence, by the names that its claims use.
        why_not_comparable: gives the reason why runs cannot be held against a claim, if any.
        parts: puts pictures, tables and closing paragraphs together, from the finished runs, the
            judged claims and the source of runs of other suites.
        target: the make target that trains it.
        about: what the paper did, and what gate and experts are in it, for a newcomer.
        reasons: measured reasons for differences, by the groups of claims that they explain.
        shown_suite: the suite that its name stands for in reports, where that is a larger one.
        next_steps: what to try next, one line each.
        num_printed: how many of its tables the terminal shows.
        pages_beside: pages beside the report: the run that they show, the file, its writer.
    """

    name: str
    title: str
    citation: str
    citation_url: str | None
    folder: Path
    forms: Mapping[str, Form]
    why_not_comparable: Callable[[Claim, Sequence[NamedRun]], str | None]
    parts: Callable[[SuiteRuns, Sequence[Judged], Source], Parts]
    target: str
    about: str = ""
    reasons: Mapping[str, Callable[[Runs], str]] = field(default_factory=dict)
    shown_suite: str | None = None
    next_steps: tuple[str, ...] = ()
    num_printed: int = 1
    pages_beside: tuple[tuple[str, str, Callable[[NamedRun, Path], None]], ...] = ()

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """Read the study's claims and check how their evidence is read.

        Raises:
            UserError: the file is damaged, or a claim's evidence cannot be read as it says.
        """
        path = self.folder / "claims.yaml"
        claims = load_claims(path)
        check_recipes(claims, {**COMMON_FORMS, **self.forms}, path.name)
        return claims

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Read what the summary takes together.

        Raises:
            ValueError: there is a reason for a group that does not exist.
        """
        groups = load_groups(self.folder / "groups.yaml", self.reasons)
        if unknown := set(self.reasons) - {group.prefix for group in groups}:
            raise ValueError(f"no group of claims begins with {', '.join(sorted(unknown))}")
        return groups

    def evidence(self, runs: Runs) -> dict[str, Reading]:
        """What finished runs say of each claim, by its id."""
        forms = {**COMMON_FORMS, **self.forms}
        return read_evidence(self.claims, runs, forms, self.why_not_comparable)

    def build(
        self, found: SuiteRuns, source: Source, command: str
    ) -> tuple[StudyReport, list[Picture]]:
        """Put the report and its pictures together.

        Args:
            found: the finished runs of its suite, or of a part of it.
            source: of finished runs, for those of other suites.
            command: the line that makes the report again.
        """
        judged = judge_all(self.claims, self.evidence(found.runs), found.runs)
        parts = self.parts(found, judged, source)
        # A figure whose runs are not there is None, and a table without them has no rows.
        pictures = [picture for picture in parts.pictures if picture is not None]
        paragraphs = summary(judged, found.runs, self.groups)
        report = StudyReport(
            study=self.name,
            title=self.title,
            summary="\n\n".join([*paragraphs, *parts.paragraphs]),
            citation=self.citation,
            tables=tuple((caption, frame) for caption, frame in parts.tables if len(frame)),
            judged=judged,
            figures=tuple(figure for figure, _ in pictures),
            notes=load_notes(self.folder / "notes.yaml"),
            command=command,
            citation_url=self.citation_url,
            num_printed=self.num_printed,
            about=self.about,
        )
        return report, pictures


def departures_except(
    free: Collection[str],
) -> Callable[[Claim, Sequence[NamedRun]], str | None]:
    """The rule of most studies: runs that depart from the suite say nothing of the paper.

    Args:
        free: settings that change how much is seen of a result, or which of equally good draws it
            is, and so may differ.
    """
    return lambda _, runs: why_not_comparable(runs, free)
