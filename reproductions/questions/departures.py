"""Whether runs are those that the claims speak of."""

from collections.abc import Iterable

from reproductions import departures
from reproductions.runs import NamedRun

_FREE = {"num_seeds", "first_seed", "seed", "data_seed", "num_threads", "references"}


def why_not_comparable(runs: Iterable[NamedRun]) -> str | None:
    """One sentence that names every departure from the suite's settings; None where none is."""
    return departures.why_not_comparable(runs, "questions_domains", _FREE)
