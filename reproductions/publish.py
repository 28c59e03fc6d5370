"""Publish finished runs: `python -m reproductions.publish`. A maintainer's command.

Writes a page of results for each study (docs/results), pictures, reproductions/published/, the
index RESULTS.md, and what follows from them in README.md and docs/verdicts.md. It does so for every
study with finished runs, or for study=NAME,NAME alone. The runs are those of the suites as they
are, in runs_dir=PATH; what the reports read of them is stored, so that `make judge` makes all of it
again without them. A run that is stored, but not in the folder, is published again as it is
stored: so a study can be published in parts. Nothing is published that would take away what is: the
command then says what, and accept=... takes it away on purpose. Trains nothing.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from experiments.command_line import console, errors_for_people, plain_arguments
from experiments.runner.errors import UserError
from experiments.runner.schema import Config
from experiments.runner.storage import (
    sha256,
    storage_errors,
    sweep_temporary_files,
    write_atomically,
)
from reproductions import records
from reproductions.drawing import to_png
from reproductions.filled import WRITTEN_IN, fill_in, untold
from reproductions.records import StudyRecord, record_of
from reproductions.report import STUDIES, BuiltReport, build_report
from reproductions.results_md import (
    FIGURE_FOLDER,
    check_index,
    index_sections,
    publishing,
    study_section,
    text_of,
    write_page,
    write_sections,
)
from reproductions.stored import Watched, or_stored, store, watching
from reproductions.verdicts.verdict_text import NOT_RUN

ROOT = Path(__file__).resolve().parents[1]
_SETTINGS = ("study", "runs_dir", "accept")
# Numbers and brackets change with every run; a sentence is the same without them.
_IN_BRACKETS = re.compile(r"\([^()]*\)")
_NUMBER = re.compile(r"[−-]?\d[\d,.]*")
# What a sentence begins or ends with that says how the claims were judged: claims are held
# against each other themselves.
_OF_VERDICTS = re.compile(
    r"(of # .*claims, .*|what (matches|stays open|our runs cannot be held against)|differs|)"
)


def publish(every: Sequence[BuiltReport], root: Path = ROOT, accept: str = "") -> None:
    """Publish reports, all of them or none.

    Args:
        every: the reports, of suites as they are.
        root: the checkout.
        accept: the code that the refusal named, to take away what it listed.

    Raises:
        UserError: something that is published would be lost, or was damaged, or there is no room.
    """
    order, folder = list(STUDIES), root / "reproductions" / "published"
    new = list(map(record_with_section, every))
    # One lock from reading to the last picture: what was compared is what is replaced.
    with publishing(root):
        earlier = records.read(order, folder)
        _refuse_losses(earlier, new, accept)
        # Before anything is written: a text without a place for its numbers stops it all.
        index = root / "RESULTS.md"
        others = set(order) - {record.study for record in new}
        check_index(text_of(index) if index.exists() else "", others, order, index)
        texts = {name: text_of(root / name) for name in WRITTEN_IN}
        fill_in(texts, earlier)
        for each, record in zip(every, new, strict=True):
            _write_pictures(each, root)
            # Reports that were made from stored runs have nothing to store.
            if each.watched:
                store(record.study, each.watched, folder)
            write_page(record.study, study_section(each.report), root)
            records.write(record, folder)
        known = records.read(order, folder)
        names = {record.study for record in new}
        sections = {k: text for k, text in index_sections(known).items() if k in names}
        write_sections(sections, order, index)
        for name, text in fill_in(texts, known).items():
            write_atomically(root / name, text.encode())
        for record in new:
            _remove_others(record, root)


def record_with_section(each: BuiltReport) -> StudyRecord:
    """What a report says, what it cost, and the checksum of its page of results."""
    section = sha256(study_section(each.report).encode())
    return replace(record_of(each.report, each.found.runs), section=section)


def _write_pictures(each: BuiltReport, root: Path) -> None:
    folder = root / FIGURE_FOLDER / each.report.study
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        sweep_temporary_files(folder)
        sweep_temporary_files(root / "reproductions" / "published")
    for figure, drawing in each.pictures:
        to_png(drawing, folder / f"{figure.id}.png")


def _remove_others(record: StudyRecord, root: Path) -> None:
    """Delete pictures that the study no longer shows."""
    shown = {figure.id for figure in record.figures}
    for picture in (root / FIGURE_FOLDER / record.study).glob("*.png"):
        if picture.stem not in shown:
            picture.unlink()


def _refuse_losses(
    earlier: Sequence[StudyRecord], records: Sequence[StudyRecord], accept: str
) -> None:
    now = {record.study: record for record in records}
    lost = [loss for old in earlier if old.study in now for loss in losses(old, now[old.study])]
    # The code is of these very losses: an answer to one refusal cannot let another through.
    code = sha256("\n".join(lost).encode())[:8]
    if lost and accept != code:
        raise UserError(
            f"This would take away what is published: {'; '.join(lost)}.",
            "Finish the runs that it needs (a report names them), or take it away on purpose: "
            f"give the command again with accept={code}",
        )


def losses(old: StudyRecord, new: StudyRecord) -> list[str]:
    """What is published of a study and would no longer be, in words.

    Numbers may change, and so may verdicts: what counts is that something is said of every claim,
    and that every table, column, row, figure, sentence and note is still there.
    """
    return [f"{old.study}: {loss}" for loss in (*_lost_parts(old, new), *_lost_texts(old, new))]


def _lost_parts(old: StudyRecord, new: StudyRecord) -> Iterator[str]:
    # A verdict may become another, but not vanish.
    judged = {row.id for row in new.rows if row.word != NOT_RUN}
    for row in old.rows:
        if row.word != NOT_RUN and row.id not in judged:
            yield f"the verdict on {row.id}"
    figures = {figure.id for figure in new.figures}
    yield from (f"the figure {each.id}" for each in old.figures if each.id not in figures)
    tables = {table.caption: table for table in new.tables}
    for table in old.tables:
        name, other = f"the table '{table.caption}'", tables.get(table.caption)
        if other is None:
            yield name
            continue
        gone = [column for column in table.columns if column not in other.columns]
        yield from (f"the column '{column}' of {name}" for column in gone)
        # Rows have no ids of their own, so they can only be counted.
        if other.num_rows < table.num_rows:
            yield f"{table.num_rows - other.num_rows} of {table.num_rows} rows of {name}"


def _lost_texts(old: StudyRecord, new: StudyRecord) -> Iterator[str]:
    said = _masked(" ".join(new.summary))
    for statement in _statements(" ".join(old.summary)):
        # Anywhere in the new summary: sentences may move, and may be joined to others.
        if _masked(statement) not in said:
            yield f"the sentence '{statement}'"
    yield from (f"the note '{note}'" for note in old.notes if note not in new.notes)


def _statements(text: str) -> list[str]:
    """The parts of a summary that can stand alone, but for those that count verdicts."""
    parts = re.split(r"[.;:](?:\s+|$)", _IN_BRACKETS.sub("", text))
    return [part for part in map(str.strip, parts) if not _OF_VERDICTS.fullmatch(_masked(part))]


def _masked(text: str) -> str:
    """The text without its numbers and without what stands in brackets."""
    return " ".join(_NUMBER.sub("#", _IN_BRACKETS.sub("", text)).casefold().split())


def settings_of(
    arguments: Sequence[str], known: Sequence[str], studies: Sequence[str]
) -> dict[str, str]:
    """The settings of a command about what is published, from `key=value` pairs.

    Args:
        arguments: of the command line.
        known: settings that the command has.
        studies: what `study=` may name.

    Raises:
        UserError: another setting, or a study that does not exist.
    """
    # Plain pairs: no Hydra, since no setting of a run may be changed here.
    given = {name: value for name, _, value in (item.partition("=") for item in arguments)}
    if unknown := sorted(set(given) - set(known)):
        raise UserError(
            f"There is no setting {unknown[0]} here: what is published has the suites' own.",
            f"Allowed: {', '.join(f'{name}=...' for name in known)}.",
        )
    named = given["study"].split(",") if "study" in given else []
    if unknown := [study for study in named if study not in studies]:
        raise UserError(
            f"There is no study {unknown[0]} to publish.", f"Choose from {', '.join(studies)}."
        )
    return given


def finished(arguments: Sequence[str]) -> list[BuiltReport]:
    """The reports of the studies that have finished runs.

    Args:
        arguments: `study=NAME,NAME` and `runs_dir=PATH`, either of which may be left out.

    Raises:
        UserError: another setting, a study that does not exist, or one without finished runs.
    """
    given = settings_of(arguments, _SETTINGS, list(STUDIES))
    named = given["study"].split(",") if "study" in given else []
    runs_dir = given.get("runs_dir", Config.runs_dir)
    found = {study: _watched_report(study, runs_dir) for study in named or STUDIES}
    every = [whole for whole in found.values() if whole is not None]
    if len(every) < len(named) or not every:
        without = [study for study, whole in found.items() if whole is None]
        raise UserError(
            f"There are no finished runs to publish of {', '.join(without)}.",
            "Train them first (make alone lists the commands), or name other studies: study=NAME.",
        )
    return every


def _watched_report(study: str, runs_dir: str) -> BuiltReport | None:
    watched: Watched = {}
    # The folder is left out of the command that the report names: any will do.
    with or_stored(study, watching(runs_dir, watched), watched) as source:
        whole = build_report([f"suite={study}"], source)
    return whole and replace(whole, watched=watched)


def main() -> None:
    """Publish what the command line names."""
    with errors_for_people():
        arguments = plain_arguments(str(__doc__))
        if not (ROOT / "RESULTS.md").exists() and not (ROOT / "README.md").exists():
            raise UserError(
                f"There is nothing to publish into: {ROOT} is no checkout of the project.",
                "Give the command in a clone of the repository.",
            )
        every = finished(arguments)
        accept = [item.partition("=")[2] for item in arguments if item.startswith("accept=")]
        publish(every, accept="".join(accept[-1:]))
        for each in every:
            left_out = f" without {', '.join(each.found.missing)}" if each.found.missing else ""
            console.print(f"published: {each.report.study}{left_out}")
        for sentence in untold(records.read(list(STUDIES))):
            console.print(
                f"no longer told in README, so write it anew in came_out.yaml: {sentence}"
            )


if __name__ == "__main__":
    main()
