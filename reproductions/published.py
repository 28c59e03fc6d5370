"""The verdicts that are published, as data: what RESULTS.md, the README and the front page share.

One file per study, `reproductions/published/<study>.json`, written together with its section of
RESULTS.md, so that a check can tell when one of them is stale.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from experiments.atomic import write_atomically
from reproductions.report_types import StudyReport
from reproductions.runs import NamedRun
from reproductions.wording import (
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
class Row:
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
class Record:
    """What is published of a study.

    Attributes:
        study: its id.
        title: of its report.
        rows: one per claim.
        num_runs: finished runs that it rests on.
        seconds: their wall time, added up.
        hardware: machines that they ran on, in words.
        versions: of the libraries that decide results.
    """

    study: str
    title: str
    rows: tuple[Row, ...]
    num_runs: int
    seconds: float
    hardware: tuple[str, ...]
    versions: tuple[str, ...]


def record_of(report: StudyReport, runs: Mapping[str, NamedRun]) -> Record:
    """What a report says, and what it cost."""
    manifests = {run.finished.path: run.finished.manifest for run in runs.values()}.values()
    return Record(
        report.study,
        report.title,
        tuple(
            Row(
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
        len(manifests),
        sum(float(manifest["wall_seconds"]) for manifest in manifests),
        tuple(sorted({_hardware(manifest) for manifest in manifests})),
        tuple(sorted({f"torch {manifest['versions']['torch']}" for manifest in manifests})),
    )


def _hardware(manifest: Mapping[str, Any]) -> str:
    memory = f"{manifest['memory_bytes'] / 1e9:.0f} GB"
    gpu = f", {manifest['gpu']}" if manifest["gpu"] else ""
    return f"{manifest['cpu']}, {manifest['num_cores']} cores, {memory}{gpu}"


def write(record: Record) -> None:
    """Keep a study's record."""
    text = json.dumps(asdict(record), indent=1, ensure_ascii=False) + "\n"
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_atomically(FOLDER / f"{record.study}.json", text.encode())


def read(studies: Sequence[str]) -> list[Record]:
    """The records that there are, in the order of the studies."""
    paths = [FOLDER / f"{study}.json" for study in studies]
    return [_record(json.loads(path.read_text("utf-8"))) for path in paths if path.exists()]


def takes_away(record: Record) -> bool:
    """Whether a claim that is published with a verdict would be left without one."""
    judged = {row.id for row in record.rows if row.word != NOT_RUN}
    before = {row.id for old in read([record.study]) for row in old.rows if row.word != NOT_RUN}
    still_claimed = {row.id for row in record.rows}
    return bool((before & still_claimed) - judged)


def filled_in(record: Record, earlier: Sequence[Record]) -> tuple[Record, frozenset[str]]:
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
    taken = frozenset(row.id for row in record.rows if row.word == NOT_RUN and row.id in known)
    rows = tuple(known[row.id] if row.id in taken else row for row in record.rows)
    return replace(record, rows=rows), taken


def _record(data: dict[str, Any]) -> Record:
    rows = tuple(Row(**row) for row in data["rows"])
    lists: dict[str, Any] = {key: tuple(data[key]) for key in ("hardware", "versions")}
    return Record(**{**data, **lists, "rows": rows})


def readme_table(records: Sequence[Record]) -> str:
    """The README's table of verdicts."""
    lines = [
        f"| study | claims | {' | '.join(SYMBOLS)} |",
        f"| --- | --: | {' | '.join('--:' for _ in SYMBOLS)} |",
    ]
    total: Counter[str] = Counter()
    for record in records:
        counts = Counter(row.word for row in record.rows)
        total += counts
        lines.append(_line(f"[{record.study}](RESULTS.md)", counts))
    lines.append(_line("all", total))
    return "\n".join(lines)


def _line(name: str, counts: Mapping[str, int]) -> str:
    numbers = " | ".join(str(counts.get(word, 0)) for word in SYMBOLS)
    return f"| {name} | {sum(counts.values())} | {numbers} |"


def with_table(readme: str, table: str) -> str:
    """The README's text with its table replaced.

    Raises:
        ValueError: the README has no place for it.
    """
    if BEGIN not in readme or END not in readme:
        raise ValueError(f"the README lacks {BEGIN} and {END}")
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    return pattern.sub(lambda _: f"{BEGIN}\n{table}\n{END}", readme)
