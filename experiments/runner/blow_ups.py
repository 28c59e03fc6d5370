"""Trainings that blew up: one rule on the loss, for every study.

A training that ends with numbers that are not finite shows itself. One whose loss explodes and
stays finite does not: its accuracy at the end enters means and tables as if it had been learnt.
"""

import math
from pathlib import Path

import pandas as pd

# A model that has learnt nothing has the loss of the start: log 2 for two classes, log V for V
# words, a quarter for an answer of one half. Three times as much is worse than knowing nothing, and
# no noise of batches; what explodes passes it within a few steps (a loss of 29 to 103 was seen
# where the start had 0.7).
FACTOR = 3.0
RULE = f"a loss that is not finite, or more than {FACTOR:g} times that at the start"
# What studies call their loss and their updates, and the tables in which they keep them over time.
_LOSSES = ("loss", "train_error")
_STEPS = ("step", "epoch")
_TABLES = ("curves", "start")

Facts = dict[str, object]


def has_blown_up(loss: float, first: float) -> bool:
    """Tell whether a loss is one of a training that blew up, given its loss at the start."""
    return not math.isfinite(loss) or loss > FACTOR * first


def blow_ups(curves: pd.DataFrame) -> pd.DataFrame | None:
    """The trainings that blew up, a row each.

    Args:
        curves: a row per step, and per seed if there are several; the loss is `loss` or
            `train_error`, the step `step` or `epoch`.

    Returns:
        seed, blew_up_at (the first step at which the loss had blown up), and the training's row at
        its lowest loss before; None where the table has no loss or no steps.
    """
    loss = next((name for name in _LOSSES if name in curves), None)
    step = next((name for name in _STEPS if name in curves), None)
    if loss is None or step is None:
        return None
    by_seed = curves if "seed" in curves else curves.assign(seed=0)
    found = []
    for seed, own in by_seed.sort_values(step, kind="stable").groupby("seed"):
        first = float(own[loss].iloc[0])
        is_over = [has_blown_up(value, first) for value in own[loss].astype(float)]
        if any(is_over):
            place = is_over.index(True)
            before = own.iloc[: max(place, 1)]
            row = before.iloc[int(before[loss].fillna(math.inf).to_numpy().argmin())]
            found.append({**row, "seed": seed, "blew_up_at": own[step].iloc[place]})
    return pd.DataFrame(found, columns=[*by_seed.columns, "blew_up_at"])


def facts(folder: Path) -> Facts:
    """What the manifest of a run says of its trainings that blew up; nothing without curves.

    Returns:
        `blow_ups`: the rule, how many trainings there were, the seeds that blew up with the step at
        which they did, and the means of their measures at their lowest losses before.
    """
    paths = [folder / f"{name}.csv" for name in _TABLES]
    tables = [pd.read_csv(path) for path in paths if path.exists()]
    return of_tables(tables)


def of_tables(tables: list[pd.DataFrame]) -> Facts:
    """The same, of tables that may have a loss over time; the first that has one counts."""
    for table in tables:
        found = blow_ups(table)
        if found is None or not len(table):
            continue
        num_trainings = table["seed"].nunique() if "seed" in table else 1
        seeds = dict(zip(found["seed"].astype(int), found["blew_up_at"].astype(int), strict=True))
        before = found.drop(columns=["seed", "blew_up_at"]).select_dtypes("number").mean()
        return {
            "blow_ups": {
                "rule": RULE,
                "num_trainings": int(num_trainings),
                "num_blown_up": len(found),
                "seeds": {str(seed): step for seed, step in seeds.items()},
                "before": {
                    str(name): float(value)
                    for name, value in before.items()
                    if math.isfinite(value)
                },
            }
        }
    return {}
