"""Write the table of docs/speed.md from the times that `make benchmark-core` kept.

`python -m benchmarks.speed_table FILE` copies the file to benchmarks/core.json, and writes what
lies between the table's marks anew. Without a file it writes the table of the one that is there.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.core import Record, doubt, limit
from experiments.scaling.timing import ratios, spread

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = ROOT / "benchmarks" / "core.json"
PAGE = ROOT / "docs" / "speed.md"
BEGIN, END = "<!-- benchmark-core: begin -->", "<!-- benchmark-core: end -->"


def markdown(run: dict[str, object], records: Sequence[Record]) -> str:
    """The run in words, and a row per contender: milliseconds, and the ratio over the limit."""
    lines = [
        f"{run['machine']}, torch {run['torch']}, {run['date']}. Medians, with lowest and highest.",
        "Ratios are over dense + traffic, and for whole steps over the first one.",
        "",
        "| size | threads | contender | ms | ratio |",
        "| --- | --: | --- | --: | --: |",
    ]
    for record in records:
        for name, times in record["seconds"].items():
            milliseconds = spread([1e3 * time for time in times], 1)
            ratio = spread(ratios(times, limit(record)))
            lines.append(
                f"| {record['name']} | {record['threads']} | {name} | {milliseconds} | {ratio} |"
            )
    doubts = [
        f"- {record['name']}, threads: {record['threads']}: {reason}."
        for record in records
        if (reason := doubt(record, records))
    ]
    if doubts:
        lines += ["", "**The machine was busy: these sizes are not to be believed.**", "", *doubts]
    return "\n".join(lines)


def page_with(page: str, text: str) -> str:
    """The page with another text between the marks.

    Raises:
        ValueError: the page has no marks.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE} has no lines {BEGIN} and {END}: put them where the table goes")
    return f"{head}{BEGIN}\n{text}\n{END}{tail}"


def published_page() -> str:
    """The page as it must be: its own words, and the published times' table."""
    run = json.loads(PUBLISHED.read_text("utf-8"))
    return page_with(PAGE.read_text("utf-8"), markdown(run, run["records"]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Publish a file's times, or write the table of those published."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", help="what make benchmark-core kept")
    file = parser.parse_args(arguments).file
    if file is not None:
        shutil.copyfile(file, PUBLISHED)
    PAGE.write_text(published_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
