"""Fetch texts of other kinds than the Bible from a Debian archive, for study.corpus=domains.

  python -m experiments.text.fetch

Nothing is installed, and no root is needed: lists and packages go to a folder of their own, which
is removed at the end. What is kept are tables of English and French passages.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments.command_line import console, errors_for_people, plain_arguments
from experiments.runner.errors import UserError
from experiments.text import debian, domains
from experiments.text.text_files import Passage

# What the system may say that would keep us from translations, or needs root after an update.
_LEFT_OUT = ("Acquire::Languages", "Acquire::GzipIndexes", "APT::Update", "DPkg", "Dir::Cache")
# Its own files would be read after ours a second time.
_OURS = """
Acquire::Languages {{ "en"; "fr"; }};
Acquire::GzipIndexes "false";
APT::Sandbox::User "";
Dir::State::Lists "{folder}/lists";
Dir::Cache "{folder}/cache";
Dir::Etc::Parts "/dev/null";
Dir::Etc::Main "/dev/null";
"""


def prepare(folder: Path) -> Path:
    """Make an own apt configuration in a folder and fetch the lists of packages.

    Args:
        folder: where lists and packages go.

    Returns:
        The configuration.

    Raises:
        UserError: there is no apt here, or the archive cannot be reached.
    """
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    system = _run(["apt-config", "dump"], folder, None)
    kept = [line for line in system.splitlines() if not line.startswith(_LEFT_OUT)]
    configuration = folder / "apt.conf"
    # The system's sources and keys with our folders: nothing of the system is written.
    text = "\n".join(kept) + _OURS.format(folder=folder.resolve())
    configuration.write_text(text, encoding="utf-8")
    _run(["apt-get", "update", "--error-on=any"], folder, configuration)
    return configuration


def unpacked(names: Sequence[str], folder: Path, configuration: Path) -> Path:
    """The files of packages, which are not installed.

    Raises:
        UserError: the archive has no such package, or cannot be reached.
    """
    _run(["apt-get", "download", *names], folder, configuration)
    files = folder / "files"
    for package in sorted(folder.glob("*.deb")):
        _run(["dpkg-deb", "-x", package.name, files.name], folder, None)
        # Unpacked, it is no longer needed.
        package.unlink()
    return files


def _run(command: list[str], folder: Path, configuration: Path | None) -> str:
    variables = dict(os.environ, LC_ALL="C")
    if configuration is not None:
        variables["APT_CONFIG"] = str(configuration.resolve())
    try:
        done = subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise UserError(
            f"There is no {command[0]} on this system.",
            "These texts need Debian or Ubuntu; study.corpus=bible and files work everywhere.",
        ) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise UserError(
            f"{' '.join(command[:2])} failed: {lines[-1] if lines else 'no message'}",
            "Look at the network and at the apt sources, then run it again.",
        )
    return done.stdout


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
    configuration = prepare(folder)
    packages = (*debian.HELP_PACKAGES, *debian.MANUAL_PACKAGES)
    files = unpacked(packages, folder, configuration)
    found = {
        debian.DESCRIPTIONS: cleaned(debian.package_descriptions(folder / "lists")),
        debian.HELP: cleaned(debian.office_help(files)),
        debian.MANUALS: cleaned(debian.manual_pages(files)),
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
