"""Make all that is published again from stored runs: `python -m reproductions.rejudge`.

Every verdict, table and figure of docs/results, the index RESULTS.md, what README and
docs/verdicts.md say of them, and the published records follow from the stored runs by today's rules
and claims. Says claim by claim what changes by it, and writes a page with sliders for each study,
reports/published/<study>/index.html. Settings: study=NAME,NAME for some studies alone; check=true
writes nothing, and fails where anything would change. Claims that would vanish are refused as in
publishing, and accept=... takes them away. Trains nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib.image import imread

from experiments.command_line import console, errors_for_people, plain_arguments
from experiments.runner.errors import UserError
from experiments.runner.storage import sha256
from reproductions import records
from reproductions.drawing import to_png
from reproductions.filled import WRITTEN_IN, fill_in
from reproductions.page import PUBLISHED_RUNS, write_page
from reproductions.publish import ROOT, publish, record_with_section, settings_of
from reproductions.records import ClaimRecord, StudyRecord
from reproductions.report import REPORTS, STUDIES, BuiltReport, build_report
from reproductions.results_md import (
    FIGURE_FOLDER,
    RESULTS_FOLDER,
    header_of,
    index_sections,
    page_path,
    study_section,
    text_of,
)
from reproductions.stored import is_stored, stored_runs
from reproductions.study_report import Picture

_SETTINGS = ("study", "check", "accept")
# Root mean square of the difference of two pictures, of 1 from black to white. Processors round
# differently, which may shade the edge of a line anew; a marker that moved is five times as much.
_SAME_PICTURE = 0.002


@contextmanager
def rebuilding(study: str, root: Path = ROOT) -> Iterator[BuiltReport]:
    """A study's report and pictures from its stored runs, whose tables can be read in the block.

    Raises:
        UserError: they are damaged, lack what today's claims read, or their suite has changed.
    """
    with stored_runs(study, _published(root)) as source:
        whole = build_report([f"suite={study}"], source)
        if whole is None:
            raise UserError(f"No run of {study} is stored.", "Publish its runs: make publish.")
        yield whole


def rebuilt(study: str, root: Path = ROOT) -> BuiltReport:
    """The same for what reads no run any more."""
    with rebuilding(study, root) as whole:
        return whole


def _published(root: Path) -> Path:
    return root / "reproductions" / "published"


def changes(study: str, whole: BuiltReport, root: Path = ROOT) -> list[str]:
    """What of a published study is another by its stored runs and today's rules, in words."""
    old = next(iter(records.read([study], _published(root))), None)
    if old is None:
        return [f"{study} is not published yet"]
    new = record_with_section(whole)
    # What a reader is told first is which verdicts change; words and numbers come after.
    found = [*claim_changes(old.rows, new.rows), *_other_changes(old, new)]
    if not found and study_section(whole.report) != text_of(page_path(study, root)):
        found.append(f"numbers or words of {RESULTS_FOLDER}/{study}.md")
    return found + list(_picture_changes(whole.pictures, root / FIGURE_FOLDER / study))


def claim_changes(old: Sequence[ClaimRecord], new: Sequence[ClaimRecord]) -> Iterator[str]:
    """What became of each claim, in words."""
    before, now = ({row.id: row for row in rows} for rows in (old, new))
    yield from (f"the claim {name} is new" for name in now if name not in before)
    yield from (f"the claim {name} is gone" for name in before if name not in now)
    for name in (name for name in before if name in now):
        was, is_now = before[name], now[name]
        if was.word != is_now.word:
            yield f"{name}: {was.word} becomes {is_now.word}"
        elif was != is_now:
            yield f"{name}: its words or numbers"


def _other_changes(old: StudyRecord, new: StudyRecord) -> Iterator[str]:
    for name in ("title", "summary", "tables", "figures", "notes", "rule"):
        if getattr(old, name) != getattr(new, name):
            yield f"the {name}"


def _picture_changes(pictures: Sequence[Picture], folder: Path) -> Iterator[str]:
    with TemporaryDirectory() as scratch:
        for figure, drawing in pictures:
            made, known = Path(scratch, "made.png"), folder / f"{figure.id}.png"
            to_png(drawing, made)
            if not known.exists() or not _look_the_same(made, known):
                yield f"the picture {figure.id}"


def _look_the_same(first: Path, second: Path) -> bool:
    one, other = (imread(path).astype(float) for path in (first, second))
    return one.shape == other.shape and float(np.sqrt(np.mean((one - other) ** 2))) < _SAME_PICTURE


def page_changes(root: Path = ROOT) -> list[str]:
    """What of the texts that are tracked does not follow from the records, in words."""
    known = records.read(list(STUDIES), _published(root))
    found = []
    for record in known:
        path = page_path(record.study, root)
        if not path.exists() or sha256(path.read_bytes()) != record.section:
            found.append(f"{path.relative_to(root)}, which is not what was published")
    index = text_of(root / "RESULTS.md")
    if not index.startswith(header_of(list(STUDIES), root)):
        found.append("the head of RESULTS.md")
    if any(section not in index for section in index_sections(known).values()):
        found.append("the studies of RESULTS.md")
    texts = {name: text_of(root / name) for name in WRITTEN_IN}
    for name, text in fill_in(texts, known).items():
        if text != texts[name]:
            found.append(f"what is filled in in {name}")
    return found


def check(studies: Sequence[str], root: Path = ROOT) -> None:
    """Check that what is published is what stored runs give by today's rules and claims.

    Raises:
        UserError: it is not; names what changes.
    """
    found = [
        f"{study}: {', '.join(changed)}"
        for study in studies
        if is_stored(study, _published(root))
        and (changed := changes(study, rebuilt(study, root), root))
    ] + page_changes(root)
    if found:
        raise UserError(
            f"What is published is stale. It would change in: {'; '.join(found)}.",
            "Run make judge, look at what it changes, and commit that.",
        )


def rejudge(studies: Sequence[str], root: Path = ROOT, accept: str = "") -> dict[str, list[str]]:
    """Make what is published of these studies again, and return what changed by study.

    Args:
        studies: whose runs are stored.
        root: the checkout.
        accept: the code that a refusal named, to take away what it listed.

    Raises:
        UserError: stored runs are damaged or too old, or claims would vanish.
    """
    # All are rebuilt before any is written: a damaged one must not leave half of the others new.
    every = {study: rebuilt(study, root) for study in studies}
    found = {study: changes(study, whole, root) for study, whole in every.items()}
    publish(list(every.values()), root, accept)
    return found


def main() -> None:
    """Judge again what the command line names."""
    with errors_for_people():
        given = settings_of(plain_arguments(str(__doc__)), _SETTINGS, list(STUDIES))
        named = given["study"].split(",") if "study" in given else list(STUDIES)
        stored = [study for study in named if is_stored(study)]
        for study in named:
            if study not in stored:
                console.print(f"{study}: its runs are not stored, so it stays as it is published")
        # As tests and continuous integration ask: nothing is written.
        if given.get("check", "false") != "false":
            check(stored)
            console.print(f"up to date: {', '.join(stored) or 'nothing is stored'}")
            return
        for study, found in rejudge(stored, accept=given.get("accept", "")).items():
            console.print(f"{study}: {'; '.join(found) or 'nothing changes'}")
        for study in stored:
            page = REPORTS / "published" / study / "index.html"
            write_page(rebuilt(study).report, page, PUBLISHED_RUNS)
            console.print(f"report: {page}")


if __name__ == "__main__":
    main()
