"""Writes RESULTS.md: the reports again as plain GitHub markdown with pictures beside it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill

from filelock import FileLock

from experiments.runner.errors import UserError
from experiments.runner.storage import TEMPORARY_PREFIX, sha256, storage_errors, write_atomically
from reproductions import records
from reproductions.stored import is_stored
from reproductions.study_report import Figure, Silence, StudyReport
from reproductions.tables import TableView, table_view
from reproductions.verdicts.judge import Judged
from reproductions.verdicts.power_text import power_text
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

# Invisible in the rendered page: where a study's section begins.
_MARK = "<!-- study: {} -->"
_ANY_MARK = re.compile(r"^<!-- study: (\w+) -->$", re.MULTILINE)
# All that GitHub's markdown gives a meaning, with $ of its formulas and ~ of struck-out text.
_MARKUP = re.compile(r"[\\`*_\[\]<>|~$&#]")
_HEADER = """\
<!-- Written from finished runs by python -m reproductions.publish; edits here are lost. -->

# Results

One function gives the verdicts, by the rules of docs/verdicts.md; margins and rules are committed
before the runs that they judge. Claims that a paper prints are counted first, all others apart.
Intervals are 95 % intervals over seeds where nothing else is said.
"""


def study_section(report: StudyReport) -> str:
    """One study's section: summary, tables, claims, pictures, choices and the command.

    Pictures are links to ``reproductions/figures/<study>/<id>.png``, relative to the root.
    """
    citation = escape(report.citation)
    blocks = [
        f"## {escape(report.title)}",
        f"[{citation}]({report.citation_url})" if report.citation_url else citation,
        *map(escape, report.summary.split("\n\n")),
        f"**Verdicts:** {headline_of(report.judged)}",
        *(
            block
            for caption, frame in report.tables
            for block in _table(caption, table_view(frame))
        ),
        "### Claims",
        _claims(report.judged),
        *(block for figure in report.figures for block in _figure(report.study, figure)),
        *_notes(report.notes),
        "### Make it again",
        _code(report.command),
    ]
    return "\n\n".join(blocks) + "\n"


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
        _check(text, set(order) - set(new), order, path)
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
        told.append(f"`make judge` makes the sections of {', '.join(kept)} again from stored runs.")
    if others:
        told.append(
            f"The runs of {', '.join(others)} are not stored: these sections stand as they were "
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
        for leftover in root.glob(f"{TEMPORARY_PREFIX}*.md"):
            leftover.unlink()
        yield


def _check(text: str, kept: set[str], order: Sequence[str], path: Path) -> None:
    """Raise UserError where sections that are to be kept are not those that were published."""
    marks = _ANY_MARK.findall(text)
    wrong = {f"{name} (there is no such study)" for name in set(marks) - set(order)}
    wrong |= {f"{name} (it is there twice)" for name in marks if marks.count(name) > 1}
    sections = _sections(text)
    for record in records.read(order, path.parent / "reproductions" / "published"):
        if record.study in kept and record.study not in sections:
            wrong.add(f"{record.study} (it is missing)")
        elif record.study in kept and sha256(sections[record.study].encode()) != record.section:
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


def _rows(columns: Iterable[str], rows: Iterable[Iterable[str]], rule: Iterable[str]) -> str:
    lines = [columns, rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _table(caption: str, view: TableView) -> list[str]:
    columns = map(escape, view.columns)
    rows = [map(escape, row) for row in view.rows]
    rule = ("--:" if numeric else "---" for numeric in view.numeric)
    return [f"**{escape(caption)}**", _rows(columns, rows, rule)]


def _claims(judged: Sequence[Judged]) -> str:
    columns = ("Claim", "Place", "Source", "Published", "Ours", "Allowed", "Verdict", "Why")
    return _rows(columns, map(_claim_row, judged), ["---"] * len(columns))


def _claim_row(judged: Judged) -> list[str]:
    claim, _, verdict = judged
    word = verdict_word(verdict)
    interval = escape(interval_text(claim, verdict))
    return [
        escape(claim.sentence),
        escape(claim.place),
        claim.source,
        escape(published_text(claim)),
        escape(ours_text(claim, verdict)) + (f"<br>{interval}" if interval else ""),
        escape(margin_text(claim)),
        f"{escape(SYMBOLS[word])} **{word}**",
        escape(verdict.explanation + power_text(claim.id) if verdict else why_not_run(claim)),
    ]


def _figure(study: str, figure: Figure) -> list[str]:
    return [
        f"### {escape(figure.title)}",
        f"![{escape(figure.alt)}]({FIGURE_FOLDER}/{study}/{figure.id}.png)",
        escape(figure.caption),
    ]


def _notes(notes: Sequence[Silence]) -> list[str]:
    if not notes:
        return []
    lines = [
        f"- {escape(note.silence)} **{escape(note.choice)}** {escape(note.reason)} "
        f"(`{note.config_key}`)"
        for note in notes
    ]
    return ["### Where the paper is silent", "\n".join(lines)]


def _code(command: str) -> str:
    return f"```bash\n{command}\n```"
