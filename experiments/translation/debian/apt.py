"""Files of the archive that the system's own apt sources name, in folders of our own."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from experiments.errors import UserError

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
