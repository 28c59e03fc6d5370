"""Build the whole site from what is published, without training: `python -m reproductions.site`.

Front page, a page per study, and the pages to play with, as files that need nothing beside
themselves. A study whose runs are stored has its whole report, with sliders; any other has its
published claims and pictures. Settings: out=FOLDER, by default site.
"""

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup

from experiments.command_line import console, errors_for_people, plain_arguments
from experiments.runner.errors import UserError
from reproductions.explorers import EXPLORERS, page_of
from reproductions.front import render_front
from reproductions.html import write
from reproductions.page import RecordPage, render_page, render_record
from reproductions.publish import ROOT
from reproductions.records import StudyRecord, read
from reproductions.rejudge import rebuilt
from reproductions.report import STUDIES, BuiltReport
from reproductions.results_md import FIGURE_FOLDER
from reproductions.stored import is_stored
from reproductions.study_report import load_notes

DEFAULT_FOLDER = "site"


def write_site(folder: Path, root: Path = ROOT) -> list[Path]:
    """Write every page of the site.

    Args:
        folder: where to; made if need be.
        root: the checkout, with its published records, stored runs and figures.

    Returns:
        The pages, the front page first.

    Raises:
        UserError: a record or a stored run is damaged, or the folder cannot be written.
    """
    published = root / "reproductions" / "published"
    records = read(list(STUDIES), published)
    stored = [record.study for record in records if is_stored(record.study, published)]
    reports = {study: rebuilt(study, root) for study in stored}
    links = {record.study: f"{record.study}.html" for record in records}
    front = render_front([], records, links, EXPLORERS)
    pages = {"index.html": front} | {
        links[record.study]: _study_page(record, reports.get(record.study), root)
        for record in records
    }
    pages |= {each.file: page_of(each) for each in EXPLORERS}
    for name, page in pages.items():
        write(page, folder / name)
    return [folder / name for name in pages]


def _study_page(record: StudyRecord, whole: BuiltReport | None, root: Path) -> str:
    beside = [each for each in EXPLORERS if each.study == record.study]
    if whole is not None:
        return render_page(whole.report, beside)
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
    )
    return render_record(page, beside)


def _picture(record: StudyRecord, root: Path) -> Iterable[Markup]:
    """Each figure of a record, within the page."""
    for figure in record.figures:
        path = root / FIGURE_FOLDER / record.study / f"{figure.id}.png"
        try:
            data = base64.b64encode(path.read_bytes()).decode()
        except OSError as error:
            raise UserError(
                f"The published figure {path} cannot be read: {error.strerror}.",
                f"Restore it: git checkout -- {path}",
            ) from error
        yield Markup('<img alt="" src="data:image/png;base64,{}">').format(data)


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
    main()
