"""From finished runs to pages: claims, evidence, verdicts, pictures and reports.

Nothing here trains. A study module reads finished run folders, hands its numbers over as
evidence, and this package judges them against the paper's claims and writes the pages.
"""

import os
import sys
from contextlib import suppress

import experiments as _  # noqa: F401  First, for its way with Ctrl-C.


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
