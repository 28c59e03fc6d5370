"""What a command writes into texts that people write: README.md and docs/verdicts.md.

Every number of a result stands there between two marks, and follows from the published records. The
minutes of the commands follow from the Makefile, which `make` prints them from as well.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from reproductions.records import FOLDER, ClaimRecord, StudyRecord, readme_table, with_table
from reproductions.verdicts.judge import RULE
from reproductions.verdicts.number_text import number

WRITTEN_IN = ("README.md", "docs/verdicts.md")
_STORIES = Path(__file__).with_name("came_out.yaml")
_FIRST_RULE = FOLDER / "first_rule.json"
_MAKEFILE = Path(__file__).resolve().parents[1] / "Makefile"
# A claim's number in a sentence: {claim-id}, {claim-id:number} or {claim-id:published}.
_PLACE = re.compile(r"\{([a-z0-9-]+)(?::(number|published))?\}")
_DIGITS = re.compile(r"[−-]?\d[\d,]*(?:\.\d+)?")
_MINUTES = re.compile(r"^([a-z-]+):.*## .* \| (\S+) \| .*$", re.MULTILINE)
# What README shows first, and what each study is called there.
_FIRST_COMMANDS = {
    "reproduce-vowel": "the first study and its report, set-up apart",
    "site": "all published results as pages, in site/",
    "test": "lint, types and tests",
}
_COMMANDS = {
    "reproduce-vowel": "vowels, [Jacobs et al. 1991](https://doi.org/10.1162/neco.1991.3.1.79)",
    "reproduce-clusters": "clusters, [Chen et al. 2022](https://arxiv.org/abs/2208.02813)",
    "reproduce-language-model": "language model, [Shazeer et al. 2017]"
    "(https://arxiv.org/abs/1701.06538)",
    "reproduce-translation": "translation, the same paper",
    "scaling": "what a sparse layer costs, the same paper",
    "questions": "five questions, all studies from other starts",
    "reproduce": "vowels, clusters and translation, and the front page",
    "reproduce-all": "all of these",
}


@dataclass(frozen=True)
class Saying:
    """A sentence about results, with places for numbers, and the verdicts that it rests on."""

    text: str
    holds: Mapping[str, str] = field(default_factory=dict)


@cache
def sayings() -> Mapping[str, tuple[Saying, ...]]:
    """The sentences about each study, by its id."""
    found: dict[str, dict[str, list[dict[str, object]]]] = yaml.safe_load(
        _STORIES.read_text("utf-8")
    )
    return {
        study: tuple(Saying(**entry) for entry in parts["says"])  # type: ignore[arg-type]
        for study, parts in found.items()
    }


def told(saying: Saying, record: StudyRecord) -> str | None:
    """A sentence with its numbers; None where its verdicts have changed or a number is not there.

    Args:
        saying: the sentence.
        record: what is published of its study.
    """
    rows = {row.id: row for row in record.rows}
    if any(name not in rows or rows[name].word != word for name, word in saying.holds.items()):
        return None
    found = [_number(rows.get(name), kind) for name, kind in _PLACE.findall(saying.text)]
    if not all(found):
        return None
    numbers = iter(found)
    return _PLACE.sub(lambda _: str(next(numbers)), saying.text)


def _number(row: ClaimRecord | None, kind: str) -> str:
    """A claim's number as a sentence has it; empty where there is none."""
    text = "" if row is None else row.published if kind == "published" else row.ours
    digits = _DIGITS.search(text)
    if digits is None or not kind:
        return text if digits else ""
    # As published; ours with three digits, which is what a sentence needs.
    value = digits[0].replace(",", "").replace("−", "-")
    return digits[0] if kind == "published" else number(float(value), 3)


def untold(records: Sequence[StudyRecord]) -> list[str]:
    """Sentences that what is published no longer bears out, each with its study."""
    return [
        f"{record.study}: {saying.text}"
        for record in records
        for saying in sayings().get(record.study, ())
        if told(saying, record) is None
    ]


def came_out(records: Sequence[StudyRecord]) -> str:
    """README's sentences about what came out, a line each."""
    lines = [
        text
        for record in records
        for saying in sayings().get(record.study, ())
        if (text := told(saying, record)) is not None
    ]
    return "\n".join(f"- {line}" for line in lines)


def minutes() -> dict[str, str]:
    """Expected minutes of the Makefile's targets on two cores, as its help prints them."""
    return dict(_MINUTES.findall(_MAKEFILE.read_text("utf-8")))


def first_commands() -> str:
    """README's first commands, from the clone on."""
    known = minutes()
    lines = [
        f"make {target:<15}  # {what}: {known[target]} min"
        for target, what in _FIRST_COMMANDS.items()
    ]
    return "\n".join(["```bash", "git clone <url> moe && cd moe", *lines, "```"])


def command_table() -> str:
    """README's table of studies, papers, commands and minutes."""
    known = minutes()
    rows = [f"| {what} | `make {name}` | {known[name]} |" for name, what in _COMMANDS.items()]
    return "\n".join(["| study | command | minutes |", "| --- | --- | --: |", *rows])


def first_rule() -> dict[str, dict[str, str]]:
    """The verdicts that the first rule gave, by study and claim."""
    found: dict[str, dict[str, str]] = json.loads(_FIRST_RULE.read_text("utf-8"))
    return found


def before_and_after(records: Sequence[StudyRecord]) -> str:
    """Each claim's verdict by the first rule and by today's, for studies that were judged again."""
    earlier = first_rule()
    blocks = [
        "\n\n".join(_comparison(record, earlier[record.study]))
        for record in records
        if record.study in earlier and record.rule == RULE
    ]
    waiting = [each.study for each in records if each.study in earlier and each.rule != RULE]
    if waiting:
        blocks.append(f"Not judged again yet: {', '.join(waiting)}.")
    return "\n\n".join(blocks)


def _comparison(record: StudyRecord, earlier: Mapping[str, str]) -> Iterator[str]:
    now = {row.id: row.word for row in record.rows}
    changed = [name for name in earlier if name in now and now[name] != earlier[name]]
    both = len(earlier.keys() & now.keys())
    yield (
        f"**{record.study}**: of {both} claims that both have, {len(changed)} changed; "
        f"{len(earlier.keys() - now.keys())} are gone and {len(now.keys() - earlier.keys())} new."
    )
    yield f"<details>\n<summary>All claims of {record.study}</summary>"
    lines = ["| claim | first rule | now |", "| --- | --- | --- |"]
    for name in dict.fromkeys([*now, *earlier]):
        word = now.get(name, "no longer claimed")
        shown = f"**{word}**" if name in changed else word
        lines.append(f"| {name} | {earlier.get(name, 'new')} | {shown} |")
    yield "\n".join(lines)
    yield "</details>"


def fill_in(texts: Mapping[str, str], records: Sequence[StudyRecord]) -> dict[str, str]:
    """Texts with all that a command writes into them.

    Args:
        texts: by the file's name, those of `WRITTEN_IN`.
        records: what is published.

    Raises:
        UserError: a text has no place for it; names the file and the marks.
    """
    blocks = {
        "README.md": {
            "first commands": first_commands(),
            "came out": came_out(records),
            "verdicts": readme_table(records),
            "commands": command_table(),
        },
        "docs/verdicts.md": {"before and after": before_and_after(records)},
    }
    found = dict(texts)
    for file, parts in blocks.items():
        for name, block in parts.items():
            found[file] = with_table(found[file], block, name, file)
    return found
