"""A study's page of published results, docs/results/<study>.md, as plain GitHub markdown.

Pictures come first, then what came out in plain words, the paper's table beside ours, what does
not reproduce and why, the claims, and all else. Nothing here knows where the parts come from.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from reproductions.verdicts.claims import Source

HEAD = (
    "<!-- Written from finished runs by python -m reproductions.publish; edits here are lost. -->"
)
FIRST_RULE = (
    "These verdicts are those of the first rule; [docs/verdicts.md](../verdicts.md) says what the "
    "second one changed."
)
# So many pictures stand before all words; the others stand further down.
_NUM_FIRST_PICTURES = 2
_TITLES: dict[Source, str] = {
    "printed": "Printed in the paper",
    "sentence": "Sentences and figures of the paper, by a criterion of ours",
    "notebook": "From the authors' notebooks, not in the paper",
    "implied": "Implied by other claims",
    "ours": "Questions and goals of this project",
}
_OPEN = ("What stays open", "What our runs cannot be held against")
# Where a sentence about a difference begins; "1.2" and the like are no ends of sentences.
_NEXT_DIFFERENCE = re.compile(r"(?<=\.) (?=(?:[^.;:]|\.\d)+: differs)")


@dataclass(frozen=True)
class ClaimLine:
    """A claim as the page shows it; all texts are markdown."""

    source: Source
    sentence: str
    place: str
    published: str
    ours: str
    interval: str
    allowed: str
    verdict: str
    why: str


@dataclass(frozen=True)
class PictureLine:
    """A picture: its title, its link with the text alternative, and its caption, as markdown."""

    title: str
    image: str
    caption: str


@dataclass(frozen=True)
class ResultsPage:
    """All parts of a page; all texts are markdown.

    Attributes:
        title: of the study.
        citation: the paper, as a link where it has an address.
        about: what the paper did, for a newcomer.
        found: what came out, in plain sentences.
        verdicts: the count of verdicts in words.
        summary: the report's paragraphs without that count.
        pictures: in the order of the report.
        tables: caption and lines of each; the first is the paper's beside ours.
        claims: in the order of the report.
        notes: one per silence of the paper.
        command: makes the report again.
        remark: on all of the page, such as which rule gave the verdicts.
    """

    title: str
    citation: str
    about: str
    found: str
    verdicts: str
    summary: Sequence[str]
    pictures: Sequence[PictureLine]
    tables: Sequence[tuple[str, str]]
    claims: Sequence[ClaimLine]
    notes: Sequence[str]
    command: str
    remark: str = ""


def page_text(page: ResultsPage) -> str:
    """Return the whole page."""
    first, others = page.pictures[:_NUM_FIRST_PICTURES], page.pictures[_NUM_FIRST_PICTURES:]
    blocks = [
        HEAD,
        f"# {page.title}",
        f"[All results](../../RESULTS.md). {page.citation}",
        page.about,
        *_pictures(first),
        *_section("What came out", [page.found, page.verdicts, *_said(page, is_difference=False)]),
        page.remark,
        *_section(_first_table_title(page.claims), map(_table, page.tables[:1])),
        *_section("What does not reproduce, and why", _differences(page)),
        *_section("Claims", [*_claims(page.claims), *_reasons(page.claims)]),
        *_section("More pictures", _pictures(others)),
        *_section("More tables", _folded(f"Show all {len(page.tables) - 1}", page.tables[1:])),
        *_section("Where the paper is silent", ["\n".join(page.notes)]),
        *_section("Make it again", [f"```bash\n{page.command}\n```"]),
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _first_table_title(claims: Iterable[ClaimLine]) -> str:
    # Some studies are questions of ours, and no paper has numbers for them.
    is_printed = any(claim.source == "printed" for claim in claims)
    return "The paper beside ours" if is_printed else "What was measured"


def table_lines(columns: Iterable[str], rows: Iterable[Iterable[str]], rule: Iterable[str]) -> str:
    """A table from cells that are markdown already."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, rule, *rows))


def _section(title: str, blocks: Iterable[str]) -> list[str]:
    """Title and blocks; nothing where there are no blocks."""
    found = [block for block in blocks if block]
    return [f"## {title}", *found] if found else []


def _pictures(pictures: Iterable[PictureLine]) -> Iterator[str]:
    for picture in pictures:
        yield from (f"### {picture.title}", picture.image, picture.caption)


def _said(page: ResultsPage, *, is_difference: bool) -> list[str]:
    """The paragraphs of the summary that tell of differences and open claims, or the others."""
    return [
        text
        for text in page.summary
        if (": differs" in text or text.startswith(_OPEN)) == is_difference
    ]


def _differences(page: ResultsPage) -> Iterator[str]:
    found = _said(page, is_difference=True)
    sentences = [
        sentence
        for text in found
        if not text.startswith(_OPEN)
        for sentence in _NEXT_DIFFERENCE.split(text)
    ]
    yield "\n".join(f"- {sentence}" for sentence in sentences)
    yield from (text for text in found if text.startswith(_OPEN))


def _table(table: tuple[str, str]) -> str:
    caption, lines = table
    return f"**{caption}**\n\n{lines}"


def _folded(summary: str, tables: Sequence[tuple[str, str]]) -> list[str]:
    # An empty line after the summary, or markdown in the fold stays unread.
    return _fold(summary, map(_table, tables)) if tables else []


def _fold(summary: str, blocks: Iterable[str]) -> list[str]:
    return [f"<details>\n<summary>{summary}</summary>", *blocks, "</details>"]


def _claims(claims: Sequence[ClaimLine]) -> Iterator[str]:
    """A table for each kind of source, of few columns: what does not fit stands below."""
    for source, title in _TITLES.items():
        own = [claim for claim in claims if claim.source == source]
        if own:
            yield f"### {title}"
            columns = ("Claim", "Published", "Ours", "Verdict")
            yield table_lines(columns, map(_claim_cells, own), ["---"] * len(columns))


def _claim_cells(claim: ClaimLine) -> list[str]:
    interval = f"<br><sub>{claim.interval}</sub>" if claim.interval else ""
    return [
        f"{claim.sentence}<br><sub>{claim.place}</sub>",
        claim.published,
        claim.ours + interval,
        claim.verdict,
    ]


def _reasons(claims: Sequence[ClaimLine]) -> list[str]:
    lines = [
        f"- {claim.sentence} {claim.verdict}; allowed: {claim.allowed}. {claim.why}"
        for claim in claims
    ]
    text = "What each claim allows, and how its verdict came about"
    return _fold(text, ["\n".join(lines)]) if lines else []
