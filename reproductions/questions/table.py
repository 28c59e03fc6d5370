"""What became of each start, per study."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reproductions.formatting import number
from reproductions.questions.measures import SETTLED, STARTS, at_end, steps_to_leave
from reproductions.runs import NamedRun

_COLUMNS = {
    "loss": "loss",
    "effective_experts": "effective experts",
    "largest_share": "largest share",
    "similarity": "mean cosine",
}


def starts_table(runs: Mapping[str, NamedRun]) -> pd.DataFrame:
    """A row per run with a measured start: means over seeds at the last step."""
    return pd.DataFrame(
        [_row(name, run) for name, run in runs.items() if hasattr(run.study, "gate_start")]
    )


def _row(name: str, run: NamedRun) -> dict[str, str]:
    label = run.called(name.replace("_", " "), STARTS)
    cells = {"run": label, "seeds": str(len(at_end(run, "loss")))}
    for column, words in _COLUMNS.items():
        values = at_end(run, column)
        cells[words] = _mean(values) if len(values) > 1 else "–"
    is_collapsed = run.study.gate_start.name == "collapsed"
    cells["steps to leave"] = _left(run) if is_collapsed else "–"
    return cells


def _mean(values: NDArray[np.float64]) -> str:
    return f"{number(values.mean(), 3)} (SD {number(values.std(ddof=1), 2)})"


def _left(run: NamedRun) -> str:
    is_text = run.study.name == "translation_start"
    least = run.study.num_experts / 2 if is_text else SETTLED
    found = steps_to_leave(run, least, run.study.collapse_at if is_text else 0)
    if np.isnan(found).all():
        return "never"
    stayed = int(np.isnan(found).sum())
    return f"{np.nanmedian(found):.0f}" + (f" ({stayed} seeds never)" if stayed else "")


def references_table(runs: Mapping[str, NamedRun]) -> pd.DataFrame:
    """Adjusted mutual information with the true groups: the gate's, and standard clusterings'."""
    rows = []
    for name in ("vowel_published", "clusters_published", "text_published", "domains_four"):
        if name not in runs:
            continue
        table = runs[name].finished.table("references")
        for of, own in table.groupby("of"):
            means = own.groupby("method")["agreement"].mean()
            gate = at_end(runs[name], f"agreement_{of}")
            label = runs[name].called(name.replace("_", " "), STARTS)
            cells = {"run": label, "groups": str(of)}
            rows.append(
                cells
                | {"gate": f"{gate.mean():.3f}"}
                | {str(m): f"{v:.3f}" for m, v in means.items()}
            )
    return pd.DataFrame(rows)
