"""Writes what is published as plain GitHub markdown: RESULTS.md, and a page for each study.

RESULTS.md is an index of one screen, with a section of a few lines per study. All else stands in
docs/results/<study>.md.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from textwrap import fill

import yaml
from filelock import FileLock

from experiments.runner.errors import UserError
from experiments.runner.storage import TEMPORARY_PREFIX, storage_errors, write_atomically
from reproductions import records
from reproductions.records import StudyRecord
from reproductions.results_page import (
    HEAD,
    ClaimLine,
    PictureLine,
    ResultsPage,
    page_text,
    table_lines,
)
from reproductions.stored import is_stored
from reproductions.study_report import Figure, Silence, StudyReport
from reproductions.tables import TableView, table_view
from reproductions.verdicts.judge import Judged
from reproductions.verdicts.power_text import power_text
from reproductions.verdicts.sources import headline, source_of
from reproductions.verdicts.verdict_text import (
    SYMBOLS,
    headline_of,
    interval_text,
    margin_text,
    ours_text,
    published_text,
    verdict_word,
    why_not_run,
)

FIGURE_FOLDER = "reproductions/figures"
RESULTS_FOLDER = "docs/results"
# From a page of docs/results to the root.
_UP = "../.."

# Invisible in the rendered page: where a study's section begins.
_MARK = "<!-- study: {} -->"
_ANY_MARK = re.compile(r"^<!-- study: (\w+) -->$", re.MULTILINE)
# All that GitHub's markdown gives a meaning, with $ of its formulas and ~ of struck-out text.
_MARKUP = re.compile(r"[\\`*_\[\]<>|~$&#]")
_HEADER = f"""\
{HEAD}

# Results

A page for each study: pictures, the paper's table beside ours, and every claim with its verdict.
One function gives the verdicts, by the [rules](docs/verdicts.md); margins are committed before the
runs that they judge. Claims that a paper prints are counted first, all others apart. Intervals are
95 % intervals over seeds where nothing else is said.
"""


def study_section(report: StudyReport) -> str:
    """One study's page of results.

    Pictures are links to ``reproductions/figures/<study>/<id>.png``, relative to the page.
    """
    citation = escape(report.citation)
    counted = headline_of(report.judged)
    return page_text(
        ResultsPage(
            title=escape(report.title),
            citation=f"[{citation}]({report.citation_url})" if report.citation_url else citation,
            about=escape(report.about),
            found=escape(findings().get(report.study, "")),
            verdicts=f"**Verdicts:** {counted}",
            summary=[
                text
                for paragraph in report.summary.split("\n\n")
                # The count of verdicts is told once.
                if (text := escape(paragraph).replace(escape(counted), "").strip())
            ],
            # What has a slider on the report's page shows the matter itself, so it comes first.
            pictures=[
                _picture(report.study, figure)
                for figure in sorted(report.figures, key=lambda figure: not figure.frames)
            ],
            tables=[
                (escape(caption), _table(table_view(frame))) for caption, frame in report.tables
            ],
            claims=[_claim(each) for each in report.judged],
            notes=[_note(note) for note in report.notes],
            command=report.command,
        )
    )


def page_path(study: str, root: Path) -> Path:
    """Where a study's page of results lies in a checkout."""
    return root / RESULTS_FOLDER / f"{study}.md"


def write_page(study: str, text: str, root: Path) -> None:
    """Write a study's page of results."""
    path = page_path(study, root)
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())


@cache
def findings() -> Mapping[str, str]:
    """What came out of each study, in plain sentences, by its id."""
    path = Path(__file__).with_name("findings.yaml")
    found: dict[str, str] = yaml.safe_load(path.read_text("utf-8"))
    return found


def index_section(record: StudyRecord, what: str) -> str:
    """A study's few lines in RESULTS.md: what it is in one sentence, its verdicts, and its page."""
    counted = headline((source_of(record.study, row.id), row.word) for row in record.rows)
    link = f"[{escape(record.title)}]({RESULTS_FOLDER}/{record.study}.md)"
    return f"**{link}.** {escape(what)}".rstrip() + f"\n{counted}\n"


def index_sections(known: Iterable[StudyRecord]) -> dict[str, str]:
    """The sections of RESULTS.md, by the study's id."""
    return {
        record.study: index_section(record, stories().get(record.study, "")) for record in known
    }


@cache
def stories() -> Mapping[str, str]:
    """What each study is, in one sentence, by its id."""
    path = Path(__file__).with_name("came_out.yaml")
    found: dict[str, dict[str, str]] = yaml.safe_load(path.read_text("utf-8"))
    return {study: entry["what"] for study, entry in found.items()}


def write_sections(new: Mapping[str, str], order: Sequence[str], path: Path) -> None:
    """Write sections of studies below the common heading and keep those of the others.

    Whoever else writes waits meanwhile, and a reader sees the old file or the new one.

    Args:
        new: sections by the study's id, which marks its section in the file.
        order: ids of all studies, in the order of the file.
        path: RESULTS.md.

    Raises:
        UserError: another study's section is not the one that was published, or the file cannot
            be written.
    """
    with publishing(path.parent):
        text = text_of(path) if path.exists() else ""
        sections = _sections(text)
        check_index(text, set(order) - set(new), order, path)
        sections |= new
        # In the order of the studies, whatever order they were published in.
        known = [_MARK.format(name) + "\n\n" + sections[name] for name in order if name in sections]
        head = header_of(order, path.parent)
        write_atomically(path, "\n".join([head, *known]).encode())


def header_of(order: Sequence[str], root: Path) -> str:
    """Return what RESULTS.md begins with: which studies can be judged again, and which were not.

    Args:
        order: ids of all studies.
        root: the checkout.
    """
    folder = root / "reproductions" / "published"
    published = records.read(order, folder)
    kept = [study for study in order if is_stored(study, folder)]
    others = [record.study for record in published if record.study not in kept]
    outdated = records.outdated_text(published)
    told = [outdated] if outdated else []
    if kept:
        told.append(f"`make judge` makes the pages of {', '.join(kept)} again from stored runs.")
    if others:
        told.append(
            f"The runs of {', '.join(others)} are not stored: these pages stand as they were "
            "published."
        )
    return "\n".join([_HEADER, *(fill(line, 100) for line in told), ""]) if told else _HEADER


def write_section(study: str, section: str, order: Sequence[str], path: Path) -> None:
    """Write one study's section; see `write_sections`."""
    write_sections({study: section}, order, path)


def text_of(path: Path) -> str:
    """Read a published page as text.

    Raises:
        UserError: it cannot be read, or is no text.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} cannot be read as UTF-8: {error}.", f"Restore it: git checkout -- {path.name}"
        ) from error


@contextmanager
def publishing(root: Path) -> Iterator[None]:
    """Hold alone what is published in a checkout, waiting for any other process that does.

    Raises:
        UserError: the folder cannot be written.
    """
    with storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(root / ".publish.lock", is_singleton=True).acquire()
    with lock:
        # Left by a process that was killed while it wrote.
        for place in (root, root / RESULTS_FOLDER):
            for leftover in place.glob(f"{TEMPORARY_PREFIX}*.md"):
                leftover.unlink()
        yield


def check_index(text: str, kept: set[str], order: Sequence[str], path: Path) -> None:
    """Check that sections which are to be kept are those that were published.

    Args:
        text: of RESULTS.md.
        kept: ids of their studies.
        order: ids of all studies.
        path: of the file.

    Raises:
        UserError: they are not; names them.
    """
    marks = _ANY_MARK.findall(text)
    wrong = {f"{name} (there is no such study)" for name in set(marks) - set(order)}
    wrong |= {f"{name} (it is there twice)" for name in marks if marks.count(name) > 1}
    sections = _sections(text)
    published = records.read(order, path.parent / "reproductions" / "published")
    index = index_sections(published)
    for record in published:
        if record.study in kept and record.study not in sections:
            wrong.add(f"{record.study} (it is missing)")
        elif record.study in kept and sections[record.study] != index[record.study]:
            wrong.add(f"{record.study} (it is not what was published)")
    if wrong:
        raise UserError(
            f"{path} is damaged, so nothing was written: {'; '.join(sorted(wrong))}.",
            f"Restore it (git checkout -- {path.name}), or publish the studies that it names too.",
        )


def _sections(text: str) -> dict[str, str]:
    # split with a group gives text, name, body, name, body.
    _, *parts = _ANY_MARK.split(text)
    return {
        name: body.strip("\n") + "\n" for name, body in zip(parts[::2], parts[1::2], strict=True)
    }


def escape(text: str) -> str:
    """A text that markdown shows as it is, on one line, inside and outside of tables."""
    return _MARKUP.sub(lambda found: f"\\{found[0]}", " ".join(text.split()))


def _table(view: TableView) -> str:
    rows = [map(escape, row) for row in view.rows]
    rule = ("--:" if numeric else "---" for numeric in view.numeric)
    return table_lines(map(escape, view.columns), rows, rule)


def _claim(judged: Judged) -> ClaimLine:
    claim, _, verdict = judged
    word = verdict_word(verdict)
    why = verdict.explanation + power_text(claim.id) if verdict else why_not_run(claim)
    return ClaimLine(
        source=claim.source,
        sentence=escape(claim.sentence),
        place=escape(claim.place),
        published=escape(published_text(claim)),
        ours=escape(ours_text(claim, verdict)),
        interval=escape(interval_text(claim, verdict)),
        allowed=escape(margin_text(claim)),
        verdict=f"{escape(SYMBOLS[word])} **{word}**",
        why=escape(why),
    )


def _picture(study: str, figure: Figure) -> PictureLine:
    link = f"{_UP}/{FIGURE_FOLDER}/{study}/{figure.id}.png"
    caption = records.still_caption(figure.caption)
    return PictureLine(escape(figure.title), f"![{escape(figure.alt)}]({link})", escape(caption))


def _note(note: Silence) -> str:
    return (
        f"- {escape(note.silence)} **{escape(note.choice)}** {escape(note.reason)} "
        f"(`{note.config_key}`)"
    )
