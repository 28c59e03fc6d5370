"""Every setting of every study, as data and as a page: what --help prints, all at once."""

from collections.abc import Iterator

import pandas as pd

from experiments.compose import composed, settings_of
from experiments.overrides import options
from experiments.studies import STUDIES
from reproductions.html import render

COLUMNS = ("key", "default", "allowed", "about")


def settings(study: str) -> pd.DataFrame:
    """Every setting of a config file in configs/study/, one a row.

    Args:
        study: the file's name, as in study=NAME; "" for the settings of every command.

    Returns:
        key, default, allowed (type and range, or choices), about (meaning and place in the paper).

    Raises:
        UserError: there is no such study.
    """
    config = composed([f"study={study}"] if study else [])
    rows = settings_of(config, "study" if study else "")
    return pd.DataFrame([each._asdict() for each in rows], columns=list(COLUMNS))


def studies() -> Iterator[str]:
    """Studies that have a file of their own name; other files are the same with other defaults."""
    yield from (name for name in STUDIES if name in options("study"))


def page() -> str:
    """The page's HTML."""
    return render(
        "settings.html",
        "settings.js",
        common=settings("").to_dict("records"),
        studies=[(name, settings(name).to_dict("records")) for name in studies()],
    )
