"""What is published, as data: what the pages of results, the README and the front page share.

One file per study, `reproductions/published/<study>.json`, written together with its page of
docs/results. It says what the page shows, so that nothing of it can be lost unseen, and carries
a seal, so that a change by anything but `python -m reproductions.publish` is found on reading.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

from experiments.runner.errors import UserError
from experiments.runner.storage import sha256, storage_errors, write_atomically
from reproductions.runs import Runs
from reproductions.study_report import StudyReport
from reproductions.tables import table_view
from reproductions.verdicts.claims import Source
from reproductions.verdicts.judge import RULE
from reproductions.verdicts.sources import MEANINGS, SOURCES, counted, source_of
from reproductions.verdicts.verdict_text import (
    NOT_RUN,
    SYMBOLS,
    interval_text,
    ours_text,
    published_text,
    verdict_word,
)

FOLDER = Path(__file__).parent / "published"
BEGIN, END = "<!-- verdicts: begin -->", "<!-- verdicts: end -->"


@dataclass(frozen=True)
class ClaimRecord:
    """A claim and what became of it, in words."""

    id: str
    sentence: str
    place: str
    question: int | None
    published: str
    ours: str
    interval: str
    word: str


@dataclass(frozen=True)
class TableRecord:
    """What a table shows, without its numbers."""

    caption: str
    columns: tuple[str, ...]
    num_rows: int


@dataclass(frozen=True)
class FigureRecord:
    """What is said of a figure; its picture is `reproductions/figures/<study>/<id>.png`."""

    id: str
    title: str
    caption: str
    alt: str


@dataclass(frozen=True)
class StudyRecord:
    """What is published of a study.

    Attributes:
        study: its id.
        title: of its report.
        summary: its paragraphs.
        rows: one per claim.
        tables: beside the claims.
        figures: in their order.
        notes: where the paper is silent.
        num_runs: finished runs that it rests on.
        seconds: their wall time, added up.
        hardware: machines that they ran on, in words.
        versions: of the libraries that decide results.
        section: SHA-256 of the study's page of docs/results.
        rule: version of the rule that gave its verdicts; records without one are of the first.
    """

    study: str
    title: str
    summary: tuple[str, ...]
    rows: tuple[ClaimRecord, ...]
    tables: tuple[TableRecord, ...]
    figures: tuple[FigureRecord, ...]
    notes: tuple[str, ...]
    num_runs: int
    seconds: float
    hardware: tuple[str, ...]
    versions: tuple[str, ...]
    section: str = ""
    rule: int = 1


def record_of(report: StudyReport, runs: Runs) -> StudyRecord:
    """What a report says, and what it cost; without the checksum of its page."""
    # By folder, since one run may have several names and its time counts once.
    manifests = {run.finished.path: run.finished.manifest for run in runs.values()}.values()
    tables = [(caption, table_view(frame)) for caption, frame in report.tables]
    return StudyRecord(
        study=report.study,
        title=report.title,
        summary=tuple(map(_line_of, report.summary.split("\n\n"))),
        rows=tuple(
            ClaimRecord(
                claim.id,
                claim.sentence,
                claim.place,
                claim.question,
                published_text(claim),
                ours_text(claim, verdict),
                interval_text(claim, verdict),
                verdict_word(verdict),
            )
            for claim, _, verdict in report.judged
        ),
        tables=tuple(
            TableRecord(_line_of(caption), tuple(map(_line_of, view.columns)), len(view.rows))
            for caption, view in tables
        ),
        figures=tuple(
            FigureRecord(each.id, *map(_line_of, (each.title, each.caption, each.alt)))
            for each in report.figures
        ),
        notes=tuple(_line_of(note.silence) for note in report.notes),
        num_runs=len(manifests),
        seconds=sum(float(manifest["wall_seconds"]) for manifest in manifests),
        hardware=tuple(sorted({_hardware(manifest) for manifest in manifests})),
        versions=tuple(
            sorted({f"torch {manifest['versions']['torch']}" for manifest in manifests})
        ),
        rule=RULE,
    )


def _line_of(text: str) -> str:
    """The text on one line with single spaces, as the page of results has it."""
    return " ".join(text.split())


def _hardware(manifest: Mapping[str, Any]) -> str:
    memory = f"{manifest['memory_bytes'] / 1e9:.0f} GB"
    gpu = f", {manifest['gpu']}" if manifest["gpu"] else ""
    return f"{manifest['cpu']}, {manifest['num_cores']} cores, {memory}{gpu}"


def write(record: StudyRecord, folder: Path | None = None) -> None:
    """Write a study's record with its seal.

    Args:
        record: to be kept.
        folder: of all records; the project's own by default.
    """
    folder = folder or FOLDER
    content = asdict(record)
    # One space and real letters: a diff of it can be read.
    text = json.dumps({**content, "seal": _seal(content)}, indent=1, ensure_ascii=False) + "\n"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{record.study}.json", text.encode())


def _seal(content: Mapping[str, Any]) -> str:
    return sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode())


def read(studies: Sequence[str], folder: Path | None = None) -> list[StudyRecord]:
    """The records that there are, in the order of the studies.

    Args:
        studies: their ids.
        folder: of all records; the project's own by default.

    Raises:
        UserError: a record is damaged; names the file, and the key where one is to blame.
    """
    paths = [(folder or FOLDER) / f"{study}.json" for study in studies]
    return [_record(path) for path in paths if path.exists()]


def _record(path: Path) -> StudyRecord:
    try:
        data = json.loads(
            path.read_bytes().decode("utf-8"),
            object_pairs_hook=_without_repetition,
            parse_constant=_no_number,
        )
        seal = data.pop("seal", None) if isinstance(data, dict) else None
        # The first rule wrote no version.
        whole = {"rule": 1, **data} if isinstance(data, dict) else data
        record: StudyRecord = _typed(StudyRecord, whole, "")
        _check(record, path.stem)
    except OSError as error:
        raise _damaged(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _damaged(path, f"is not UTF-8 at byte {error.start:,}") from error
    except RecursionError as error:
        raise _damaged(path, "is not JSON of this kind: it is nested too deeply") from error
    except ValueError as error:
        raise _damaged(path, f"does not hold what a record holds: {error}") from error
    # The seal guards against slips, such as an edit by hand or a bad merge, not against intent.
    if seal != _seal(data):
        raise _damaged(path, "does not match its seal: something in it was changed by hand")
    return record


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"The published record {path} {reason}.",
        f"Restore it: git checkout -- {path} (or install the package again).",
    )


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, count in Counter(key for key, _ in pairs).items():
        if count > 1:
            raise ValueError(f"the key {key!r} is there {count} times")
    return dict(pairs)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no finite number")


def _typed(kind: Any, value: Any, key: str) -> Any:
    """A value as JSON has it, as what the dataclass declares.

    Raises:
        ValueError: it is of another type, or a key is missing or unknown; names the key.
    """
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        if not isinstance(value, dict):
            raise ValueError(f"{key or 'all of it'} is no mapping of keys to values")
        # Missing keys and unknown ones alike: a record is all that it should be and nothing else.
        for name in hints.keys() ^ value.keys():
            what = "is missing" if name in hints else "is unknown"
            raise ValueError(f"the key {_below(key, name)} {what}")
        return kind(**{name: _typed(hints[name], value[name], _below(key, name)) for name in hints})
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{key} is no list")
        return tuple(
            _typed(get_args(kind)[0], item, f"{key}[{place}]") for place, item in enumerate(value)
        )
    allowed = get_args(kind) or (kind,)
    # JSON writes 3.0 as it likes; a truth value is no number.
    # isinstance would take True for a number.
    if type(value) not in allowed and not (float in allowed and type(value) is int):
        raise ValueError(f"{key} is {value!r} and not of type {getattr(kind, '__name__', kind)}")
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"{key} is no finite number")
    return value


def _below(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _check(record: StudyRecord, study: str) -> None:
    """Raise ValueError for what types alone do not say; names the key."""
    if record.study != study:
        raise ValueError(f"study is {record.study!r}, and the file is that of {study}")
    for place, row in enumerate(record.rows):
        if row.word not in SYMBOLS:
            raise ValueError(f"rows[{place}].word is {row.word!r}, which is no verdict")
    for name, ids in (("rows", record.rows), ("figures", record.figures)):
        # Rows and figures are found by their ids.
        if repeated := _repeated(item.id for item in ids):
            raise ValueError(f"{name} have the id {repeated[0]!r} twice")
    counts = {"num_runs": record.num_runs, "seconds": record.seconds}
    counts |= {f"tables[{i}].num_rows": table.num_rows for i, table in enumerate(record.tables)}
    for key, count in counts.items():
        if count < 0:
            raise ValueError(f"{key} is {count}, which is below 0")


def _repeated(ids: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(ids).items() if count > 1]


def filled_in(
    record: StudyRecord, earlier: Sequence[StudyRecord]
) -> tuple[StudyRecord, frozenset[str]]:
    """Claims that were not run here, from what is published of them, and their ids.

    Args:
        record: of the runs that are here.
        earlier: what is published.
    """
    known = {
        row.id: row
        for old in earlier
        if old.study == record.study
        for row in old.rows
        if row.word != NOT_RUN
    }
    # Only where nothing was run here: our own verdicts are never replaced by published ones.
    taken = frozenset(row.id for row in record.rows if row.word == NOT_RUN and row.id in known)
    rows = tuple(known[row.id] if row.id in taken else row for row in record.rows)
    return replace(record, rows=rows), taken


def still_caption(caption: str) -> str:
    """A caption for a picture that does not move: without the sentence about its slider."""
    return re.sub(r"\s*[^.]*\bslider\b[^.]*\.", "", caption)


def readme_table(records: Sequence[StudyRecord]) -> str:
    """Return the README's table of verdicts: printed claims by study, all others in a line each."""
    lines = [
        f"| study | printed claims | {' | '.join(SYMBOLS)} |",
        f"| --- | --: | {' | '.join('--:' for _ in SYMBOLS)} |",
    ]
    # What a paper prints comes first and is never added to the rest.
    by_source = {source: _counts(records, source) for source in SOURCES}
    for study, counts in by_source["printed"].items():
        lines.append(_line(f"[{study}](docs/results/{study}.md)", counts))
    lines.append(_line("**all**", sum(by_source["printed"].values(), Counter())))
    lines.append("")
    for source in SOURCES[1:]:
        total = sum(by_source[source].values(), Counter())
        if total:
            studies = ", ".join(by_source[source])
            lines.append(
                f"- *{source}* ({MEANINGS[source]}), {total.total()}: {counted(total)} ({studies})."
            )
    if outdated := outdated_text(records):
        lines += ["", outdated]
    return "\n".join(lines)


def _counts(records: Sequence[StudyRecord], source: Source) -> dict[str, Counter[str]]:
    """How often each word occurs among a study's claims of one source, by the study's id."""
    counts = {
        record.study: Counter(
            row.word for row in record.rows if source_of(record.study, row.id) == source
        )
        for record in records
    }
    return {study: found for study, found in counts.items() if found}


def outdated_text(records: Iterable[StudyRecord]) -> str:
    """What is said of records that an earlier rule judged; empty where there are none."""
    old = [record.study for record in records if record.rule != RULE]
    if not old:
        return ""
    return (
        f"Judged by the first rule, until the runs are judged again: {', '.join(old)}. "
        "docs/verdicts.md says what the second one changed."
    )


def _line(name: str, counts: Counter[str]) -> str:
    numbers = " | ".join(str(counts[word]) for word in SYMBOLS)
    return f"| {name} | {counts.total()} | {numbers} |"


def with_table(text: str, table: str, name: str = "verdicts", file: str = "README.md") -> str:
    """A text with what stands between two marks replaced.

    Args:
        text: of the file.
        table: what is to stand there.
        name: of the marks, `<!-- name: begin -->` and `<!-- name: end -->`.
        file: to be named where they are missing.

    Raises:
        UserError: the text has no place for it, or more than one.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise UserError(
            f"{file} has no place for what a command writes between {begin} and {end}.",
            "Put the two lines back, in this order and once each, around it.",
        )
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
