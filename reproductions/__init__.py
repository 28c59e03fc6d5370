"""From finished runs to pages: claims, evidence, verdicts, pictures and reports.

Nothing here trains. In reading order: `reproductions.verdicts` judges what runs say of the paper's
claims; `reproductions.study_report` says what a study hands over; a folder for each study has its
claims, its own ways to read evidence, its tables and figures, and its `report`, which declares it;
`reproductions.page`, `reproductions.results_md` and `reproductions.records` write what they are
given. The commands are `reproductions.report`, `reproductions.front` and `reproductions.publish`.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import experiments as _  # noqa: F401  First, for its way with Ctrl-C.

if TYPE_CHECKING:
    import pandas as pd


def _import_matplotlib() -> None:
    # A notebook's way of showing pictures, or a misspelt one, may be missing here, and matplotlib
    # would not start at all. Nothing here shows any.
    backend = os.environ.pop("MPLBACKEND", None)
    import matplotlib as mpl

    if backend is not None:
        os.environ["MPLBACKEND"] = backend
        with suppress(ValueError):
            mpl.rcParams["backend"] = backend


if "matplotlib" not in sys.modules:
    _import_matplotlib()


def results(runs_dir: str | Path | None = None) -> "pd.DataFrame":
    """Return every published claim with its numbers and verdict, or those of a folder of runs.

    See `reproductions.result_rows.results`, which says what the columns are.
    """
    # Late: it takes all studies, and whoever wants one module of them should not wait for it.
    from reproductions import result_rows

    return result_rows.results(runs_dir)
