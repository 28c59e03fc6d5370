"""The step-size rule: what "limited exploration" means here, fixed before any result.

The paper chose a step size per system after limited exploration from the same initial conditions
(section 3) and gives neither the values nor the rule. Ours: try every step of `study.step_grid`
from the same initial weights on a few seeds that are not reported, and take the step with the
fewest mean epochs to the stop among those at which the most seeds arrived.
"""

import pandas as pd

COLUMNS = ["step_size", "seed", "status", "epochs"]


def choose(exploration: pd.DataFrame) -> float:
    """The step size that the rule takes.

    Args:
        exploration: one row per step and seed: step_size, seed, status, epochs.

    Returns:
        Among the steps at which the most seeds converged, the one with the fewest mean epochs;
        the smaller one of two that tie.
    """
    arrived = (exploration["status"] == "converged").groupby(exploration["step_size"]).sum()
    epochs = exploration.groupby("step_size")["epochs"].mean()
    best = epochs[arrived == arrived.max()]
    candidates = zip(best.tolist(), best.index.tolist(), strict=True)
    return float(min(candidates)[1])
