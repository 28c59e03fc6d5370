"""Models of one cost per word at equal time, from the seconds in their evaluations."""

import numpy as np
import pandas as pd

from reproductions.verdicts.evidence import HasTables, OrderEvidence

# What of a manifest says on which machine a run was computed; memory differs a little by the boot.
_MACHINE = ("platform", "cpu", "num_cores", "gpu")


def on_one_machine(first: object, second: object) -> bool:
    """Tell by the manifests of two runs whether their seconds can be compared."""
    one, other = (
        getattr(getattr(run, "finished", None), "manifest", {}) for run in (first, second)
    )
    return all(one.get(key) == other.get(key) for key in _MACHINE)


def after_equal_seconds(first: HasTables, second: HasTables) -> OrderEvidence:
    """Held-out perplexity of each training after the seconds of a core that the fastest took.

    Between two evaluations the logarithm of the perplexity is taken to be a straight line.
    """
    tables = [run.table("evaluations") for run in (first, second)]
    # No training may be asked for a time that it did not reach.
    seconds = min(float(table.groupby("seed")["core_seconds"].max().min()) for table in tables)
    one, other = (
        tuple(perplexity_after(own, seconds) for _, own in table.groupby("seed"))
        for table in tables
    )
    apart = None if on_one_machine(first, second) else "They were trained on different machines."
    return OrderEvidence(one, other, (first.name, second.name), not_comparable=apart)


def perplexity_after(table: pd.DataFrame, seconds: float) -> float:
    """Held-out perplexity of one training after these seconds, from its evaluations."""
    logs = np.log(table["perplexity"])
    return float(np.exp(np.interp(seconds, table["core_seconds"], logs)))
