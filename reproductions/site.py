"""Build the whole site from what is published, without training: `python -m reproductions.site`.

Front page, a page per study and per group of claims, and the pages to play with, as files that need
nothing beside themselves. A study whose runs are stored has its whole report, with sliders; any
other has its published claims, tables and pictures. Settings: out=FOLDER, by default site.
"""

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from markupsafe import Markup

from experiments.command_line import console, errors_for_people, plain_arguments
from experiments.runner.errors import UserError
from experiments.runner.processes import each_in_a_process
from reproductions import api_pages, settings_page
from reproductions.explorers import EXPLORERS, page_of
from reproductions.front import render_front
from reproductions.html import image_address, write
from reproductions.page import (
    PUBLISHED_RUNS,
    ClaimGroup,
    RecordPage,
    Surroundings,
    claim_rows,
    record_rows,
    render_group,
    render_page,
    render_record,
)
from reproductions.publish import ROOT
from reproductions.records import StudyRecord, read
from reproductions.rejudge import rebuilding
from reproductions.report import STUDIES, BuiltReport
from reproductions.results_md import FIGURE_FOLDER, findings, page_path
from reproductions.stored import is_stored
from reproductions.study_report import load_notes
from reproductions.tables import TableView, is_numeric

DEFAULT_FOLDER = "site"
_INSTALLED = Path(__file__).with_name("results_pages")
# Pages to look things up in: file, title and one sentence of each.
HANDBOOK = (
    (
        "settings.html",
        "Every setting",
        "What can be changed on the command line, with meaning, range, default and place in the "
        "paper.",
    ),
    (
        api_pages.INDEX,
        "The programming interface",
        "Functions and classes for your own Python code, with what they take and return.",
    ),
)
# A table of the published results: its caption, and its lines.
_TABLE = re.compile(r"^\*\*(?P<caption>.+)\*\*\n\n(?P<lines>(?:\|.*\n)+)", re.MULTILINE)
# Cells end at a bar, unless a backslash makes it a bar of the text.
_OTHERS = "the pages of no study"
_BAR = re.compile(r"(?<!\\)\|")


def write_site(folder: Path, root: Path = ROOT) -> list[Path]:
    """Write every page of the site.

    Args:
        folder: where to; made if need be.
        root: the checkout, with its published records, stored runs and figures.

    Returns:
        The pages, the front page first.

    Raises:
        UserError: a record is damaged, or the folder cannot be written.
    """
    records = read(list(STUDIES), root / "reproductions" / "published")
    links = {record.study: f"{record.study}.html" for record in records}
    pages = {"index.html": render_front([], records, links, EXPLORERS, HANDBOOK, is_site=True)}
    # To judge stored runs takes half a minute of a core for some studies, so they share the cores.
    calls = {record.study: (record, root) for record in records} | {_OTHERS: (None, root)}
    found = dict(each_in_a_process(_pages_of, calls, os.cpu_count() or 1))
    for name in calls:
        if isinstance(found[name], UserError):
            raise found[name]
        pages |= found[name]
    for name, page in pages.items():
        write(page, folder / name)
    return [folder / name for name in pages]


def _pages_of(record: StudyRecord | None, root: Path) -> dict[str, str]:
    """A study's page, and those of its groups of claims; without a study, the pages of none."""
    if record is None:
        pages = {each.file: page_of(each) for each in EXPLORERS}
        return pages | {"settings.html": settings_page.page()} | api_pages.pages()
    with ExitStack() as runs:
        whole = _whole(record.study, root, runs)
        groups = _groups(record, whole)
        page = _study_page(record, whole, groups, root)
    return {f"{record.study}.html": page} | {group.file: render_group(group) for group in groups}


def _whole(study: str, root: Path, runs: ExitStack) -> BuiltReport | None:
    """A study's report from its stored runs, until these are closed; None where they do not fit."""
    if not is_stored(study, root / "reproductions" / "published"):
        return None
    try:
        return runs.enter_context(rebuilding(study, root))
    except UserError as error:
        # A suite that has changed since must not take the whole site away, nor do so in silence.
        console.print(f"{study}: its page shows the published record, without sliders. {error}")
        return None


def _groups(record: StudyRecord, whole: BuiltReport | None) -> list[ClaimGroup]:
    """A page's content for each group of claims that has any."""
    study = STUDIES[record.study]
    rows = claim_rows(whole.report.judged) if whole else record_rows(record, study.claims)
    found = [
        ClaimGroup(
            file=f"{record.study}-{group.prefix.strip('-')}.html",
            words=group.words,
            # Reasons that are measured need the runs.
            why=group.why(whole.found.runs if whole else {})
            if whole or group.prefix not in study.reasons
            else "",
            study=record.title,
            study_file=f"{record.study}.html",
            rows=own,
        )
        for group in study.groups
        if (own := [row for row in rows if row.claim.id.startswith(group.prefix)])
    ]
    named = [(group.file, group.words) for group in found]
    return [
        replace(
            group, neighbours=[*named[max(0, place - 1) : place], *named[place + 1 : place + 2]]
        )
        for place, group in enumerate(found)
    ]


def _study_page(
    record: StudyRecord, whole: BuiltReport | None, groups: Sequence[ClaimGroup], root: Path
) -> str:
    around = Surroundings(
        beside=[each for each in EXPLORERS if each.study == record.study],
        groups=[(group.file, group.words) for group in groups],
        found=findings()[record.study],
        whose=PUBLISHED_RUNS,
        is_site=True,
    )
    if whole is not None:
        return render_page(whole.report, around)
    study = STUDIES[record.study]
    page = RecordPage(
        record=record,
        claims=study.claims,
        notes=load_notes(study.folder / "notes.yaml"),
        about=study.about,
        citation=study.citation,
        citation_url=study.citation_url,
        pictures=tuple(_picture(record, root)),
        command=f"make {study.target}",
        tables=list(published_tables(record, root)),
    )
    return render_record(page, around)


def published_tables(record: StudyRecord, root: Path) -> Iterable[tuple[str, TableView]]:
    """Captions and texts of a study's tables, as far as the published results have them.

    The record says which tables there are, but not their numbers; these stand in the study's page
    of results.
    """
    # A checkout has the pages in docs, an installed copy beside this module.
    places = (page_path(record.study, root), _INSTALLED / f"{record.study}.md")
    text = next((path.read_text("utf-8") for path in places if path.exists()), "")
    known = {}
    for found in _TABLE.finditer(text):
        columns, _, *rows = map(_cells, found["lines"].splitlines())
        known[_plain(found["caption"]), tuple(columns), len(rows)] = rows
    for table in record.tables:
        rows = known.get((table.caption, table.columns, table.num_rows), [])
        if rows:
            numeric = tuple(all(map(is_numeric, column)) for column in zip(*rows, strict=True))
            yield table.caption, TableView(table.columns, tuple(map(tuple, rows)), numeric)


def _cells(line: str) -> list[str]:
    return [_plain(cell) for cell in _BAR.split(line)[1:-1]]


def _plain(text: str) -> str:
    """A text without the backslashes that markdown needs."""
    return re.sub(r"\\(.)", r"\1", text).strip()


def _picture(record: StudyRecord, root: Path) -> Iterable[Markup]:
    """Each figure of a record, within the page."""
    for figure in record.figures:
        path = root / FIGURE_FOLDER / record.study / f"{figure.id}.png"
        yield Markup('<img alt="" src="{}">').format(image_address(path))


def _folder_of(arguments: Sequence[str]) -> Path:
    unknown = [item for item in arguments if not item.startswith("out=")]
    if unknown:
        raise UserError(f"There is no setting {unknown[0]} here.", "Allowed: out=FOLDER.")
    given = [item.removeprefix("out=") for item in arguments]
    return Path(given[-1] if given else DEFAULT_FOLDER)


def main() -> None:
    """Write the site and say where it begins."""
    with errors_for_people():
        pages = write_site(_folder_of(plain_arguments(str(__doc__))))
        console.print(f"site: {len(pages)} pages, which begin at {pages[0]}")


if __name__ == "__main__":
    # By its name and not as __main__, or other processes could not be sent its functions.
    import reproductions.site

    reproductions.site.main()
