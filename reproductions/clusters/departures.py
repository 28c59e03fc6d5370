"""Whether runs measure what the paper measured: where they leave the settings of their suite."""

from collections.abc import Iterable

from reproductions import departures
from reproductions.runs import NamedRun

ALL_RUNS = "clusters_all"
_FREE = {
    "num_seeds",
    "first_seed",
    "data_seed",
    "fresh_data",
    "curve_every",
    "snapshot_every",
    "keep_picture",
    "decompose",
}


def why_not_comparable(runs: Iterable[NamedRun]) -> str | None:
    """One sentence that names every departure from the published runs; None where none is."""
    return departures.why_not_comparable(runs, ALL_RUNS, _FREE)
