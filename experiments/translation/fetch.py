"""Fetch texts of other kinds than the Bible from a Debian archive, for study.corpus=domains.

  python -m experiments.translation.fetch

Nothing is installed, and no root is needed: lists and packages go to a folder of their own, which
is removed at the end. What is kept are tables of English and French passages.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from experiments.command_line import console, errors_for_people, plain_arguments
from experiments.errors import UserError
from experiments.translation import domains
from experiments.translation.debian import apt, descriptions, manual_pages, office_help
from experiments.translation.passages import Passage

_FEWEST_LETTERS = 2


def cleaned(passages: Iterable[Passage]) -> list[Passage]:
    """Passages with single spaces: each pair once, none untranslated, none without words."""
    kept: dict[tuple[str, str], Passage] = {}
    for passage in passages:
        english, french = (" ".join(text.split()) for text in (passage.english, passage.french))
        has_words = min(sum(map(str.isalpha, text)) for text in (english, french))
        if english != french and has_words >= _FEWEST_LETTERS:
            pair = (english, french)
            kept.setdefault(pair, passage._replace(english=english, french=french))
    return list(kept.values())


def fetch(folder: Path) -> dict[str, list[Passage]]:
    """Passages by kind, from files put into a folder.

    Raises:
        UserError: there is no apt, no network or no such text.
    """
    configuration = apt.prepare(folder)
    packages = (*office_help.PACKAGES, *manual_pages.PACKAGES)
    files = apt.unpacked(packages, folder, configuration)
    found = {
        descriptions.KIND: cleaned(descriptions.passages(folder / "lists")),
        office_help.KIND: cleaned(office_help.passages(files)),
        manual_pages.KIND: cleaned(manual_pages.passages(files)),
    }
    for kind, own in found.items():
        if not own:
            raise UserError(
                f"The archive has no {kind} in English and French.",
                "Debian's own archive has them; leave the kind out with study.kinds.",
            )
    return found


def main() -> None:
    """Fetch and keep all kinds."""
    with errors_for_people():
        plain_arguments(str(__doc__))
        with tempfile.TemporaryDirectory() as folder, console.status("fetching"):
            found = fetch(Path(folder))
        for kind, own in found.items():
            domains.write(kind, own)
            num_documents = len({passage.document for passage in own})
            console.print(f"{kind}: {len(own):,} passages of {num_documents:,} documents")
        console.print(
            "train on them: python -m experiments.run study=translation study.corpus=domains"
        )


if __name__ == "__main__":
    main()
