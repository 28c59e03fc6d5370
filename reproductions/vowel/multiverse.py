"""The worlds of the multiverse: in which of them does each published claim hold?

A world fixes every choice on which the paper is silent, the reading of the stop, and how steps are
chosen (each system at its own fastest step, or one common step). Multiverse analysis (Steegen,
Tuerlinckx, Gelman & Vanpaemel, 2016) calls it a universe, and specification curves a specification.
Each world is held against the same claims, by the same rules, as the study itself.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from experiments.vowel.multiverse import AXES, common_steps, own_steps
from reproductions.verdicts.claims import Claim
from reproductions.verdicts.evidence import Evidence
from reproductions.verdicts.judge import judge
from reproductions.verdicts.verdict import Word
from reproductions.vowel.evidence import measured

# The claims that a world can be held against; the absolute epochs of Table 1 are left out, since
# they follow the step size almost in proportion.
CLAIM_IDS = (
    "experts-faster-4-6",
    "experts-faster-8-12",
    "half-the-epochs-4-6",
    "half-the-epochs-8-12",
    "eight-faster-than-four",
    "backprop-12-slower",
    "train-accuracy-4-experts",
    "test-accuracy-4-experts",
    "equal-test-accuracy-4-6",
    "equal-test-accuracy-8-12",
    "two-or-three-live-4",
    "two-or-three-live-8",
    "two-experts-on-a-4",
    "two-experts-on-a-8",
)
ROWS = {
    "experts_4": "mixture_4",
    "experts_8": "mixture_8",
    "backprop_6": "backprop_6",
    "backprop_12": "backprop_12",
}
OWN_STEP, COMMON_STEP, HALF_STEP = "own fastest step", "one common step", "half of own fastest step"
_CHOICES = {
    "bit_1001": "[i] and [A] are 1",
    "bit_1010": "[i] and [a] are 1",
    "two_bits": "two bits",
    "one_hot": "an output each",
    "mixture_likelihood": "equation 1.3",
    "expected_error": "equation 1.2",
    "blend_error": "equation 1.1",
    "blend": "error of the blend",
    "expected": "expected error",
    "half": "half the error",
    "per_output": "error per output",
    "later": "0.07",
    "at_06": "0.06",
    "at_09": "0.09",
    "at_10": "0.10",
    "at_11": "0.11",
    "at_12": "0.12",
}
# Equation 1.3 with the published variance and the plain gate step: the nets have no such axes.
_NET_AXES = {"cost": "mixture_likelihood", "variance": 1.0, "gate_step": 1.0}
_KEYS = ["system", *AXES, "step_size", "stop_rule"]

Tables = dict[str, pd.DataFrame]


def _policies(share: float, has_common: bool) -> dict[str, Callable[..., Mapping[Any, float]]]:
    found: dict[str, Callable[..., Mapping[Any, float]]]
    found = {OWN_STEP if share == 1 else HALF_STEP: own_steps}
    return {**found, COMMON_STEP: common_steps} if has_common else found


def worlds(
    exploration: pd.DataFrame, metrics: pd.DataFrame, share: float = 1.0, has_common: bool = True
) -> Iterator[tuple[dict[str, Any], Tables]]:
    """Every world with the metrics of its four systems, one row per seed.

    Args:
        exploration: exploration.csv of a multiverse run.
        metrics: its metrics.csv.
        share: of the fastest step that was taken.
        has_common: whether one common step was trained as well.

    Yields:
        The world (AXES, policy, stop_rule) and, per row of Table 1, the metrics ordered by seed.
    """
    # By seed, since orders are judged on pairs.
    groups = dict(iter(metrics.sort_values("seed").groupby(_KEYS, sort=False)))
    # Its keys are all combinations of choices for which runs are there.
    found = common_steps(exploration)
    policies = _policies(share, has_common)
    steps = {name: choose(exploration, share) for name, choose in policies.items()}
    for axes in found:
        for policy, chosen in steps.items():
            for stop_rule in _stop_rules(metrics, axes):
                tables = {
                    row: groups[(*_setting(system, axes), _step(chosen, system, axes), stop_rule)]
                    for row, system in ROWS.items()
                }
                world = dict(zip(AXES, axes, strict=True))
                yield {**world, "policy": policy, "stop_rule": stop_rule}, tables


def _stop_rules(metrics: pd.DataFrame, axes: tuple[Any, ...]) -> list[str]:
    # With a single output, an average over outputs is the sum: one world, not two.
    is_bit = axes[AXES.index("coding")].startswith("bit")
    rules: list[str] = metrics["stop_rule"].unique().tolist()
    return [rule for rule in rules if not (is_bit and rule == "per_output" and "blend" in rules)]


def _setting(system: str, axes: tuple[Any, ...]) -> tuple[Any, ...]:
    if system.startswith("mixture"):
        return (system, *axes)
    return (system, *(_NET_AXES.get(name, value) for name, value in zip(AXES, axes, strict=True)))


def _step(chosen: Mapping[tuple[Any, ...], float], system: str, axes: tuple[Any, ...]) -> float:
    # A common step is that of the world; an own step is that of the system in it.
    return chosen[axes] if axes in chosen else chosen[_setting(system, axes)]


def ids_of_worlds(claims: Mapping[str, Claim]) -> list[str]:
    """The claims that the metrics of a world's four systems can decide."""
    return [
        name
        for name, claim in claims.items()
        if claim.evidence is not None and set(claim.evidence.runs) <= set(ROWS)
    ]


def judged_worlds(
    exploration: pd.DataFrame,
    metrics: pd.DataFrame,
    claims: Mapping[str, Claim],
    share: float = 1.0,
    has_common: bool = True,
) -> pd.DataFrame:
    """One row per world: its choices, summary numbers, and a verdict word per claim.

    Beside the verdicts: num_matches (claims that match), ratio_4 and ratio_8 (epochs of
    back-propagation over those of experts), arrived (share of the seeds of all four systems that
    reached the stop), picture_4 and picture_8 (share of seeds that use experts as in Figure 2).
    """
    rows = []
    names = ids_of_worlds(claims)
    # Worlds share their nets, so that more than half of all judgments come up again.
    known: dict[tuple[str, Evidence | None], Word] = {}
    for world, tables in worlds(exploration, metrics, share, has_common):
        # The same recipes as for the study's own runs, on the tables of one world.
        evidence = {name: measured(claims[name], tables) for name in names}
        for name, item in evidence.items():
            if (name, item) not in known:
                known[name, item] = judge(claims[name], item).word if item else "inconclusive"
        words = {name: known[name, item] for name, item in evidence.items()}
        num_matches = sum(words[name] == "matches" for name in CLAIM_IDS)
        rows.append({**world, **_summary(tables), "num_matches": num_matches, **words})
    return pd.DataFrame(rows)


def _summary(tables: Tables) -> dict[str, float]:
    epochs = {name: float(table["epochs"].mean()) for name, table in tables.items()}
    arrived = pd.concat([table["status"] == "converged" for table in tables.values()])
    return {
        # Factors of mean epochs, as the paper gives them; the floor of one keeps them finite.
        "ratio_4": epochs["backprop_6"] / max(epochs["experts_4"], 1.0),
        "ratio_8": epochs["backprop_12"] / max(epochs["experts_8"], 1.0),
        "arrived": float(arrived.mean()),
        "picture_4": float(shows_figure_2(tables["experts_4"]).mean()),
        "picture_8": float(shows_figure_2(tables["experts_8"]).mean()),
        "train_accuracy_4": float(tables["experts_4"]["train_accuracy"].mean()),
        "test_accuracy_4": float(tables["experts_4"]["test_accuracy"].mean()),
        "train_accuracy_6": float(tables["backprop_6"]["train_accuracy"].mean()),
        "test_accuracy_6": float(tables["backprop_6"]["test_accuracy"].mean()),
    }


def decisiveness(worlds: pd.DataFrame, claim: str) -> dict[str, float]:
    """How much each choice decides whether a claim matches, from 0 to 1, the most first.

    For each choice: of all pairs of worlds that differ in it alone, the share in which the claim
    matches in one world and not in the other.
    """
    choices = [*AXES, "policy", "stop_rule"]
    holds = worlds[claim] == "matches"
    found = {}
    for choice in choices:
        groups = holds.groupby([worlds[other] for other in choices if other != choice])
        size, num = groups.size(), groups.sum()
        # Of n worlds, k of which match: k (n - k) of n (n - 1) / 2 pairs disagree.
        pairs = float((size * (size - 1) / 2).sum())
        if pairs:
            found[choice] = float((num * (size - num)).sum()) / pairs
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def shows_figure_2(metrics: pd.DataFrame) -> pd.Series:
    """Per seed: three live experts, two of them on [a]/[A] and one on [i]/[I] (Figure 2)."""
    return (
        (metrics["live_experts"] == 3)
        & (metrics["experts_on_aa_ah"] == 2)
        & (metrics["experts_on_iy_ih"] == 1)
    )


def shown_choice(value: Any) -> str:
    """Return the value of a choice in words."""
    if isinstance(value, float):
        return f"{value:g}"
    return _CHOICES.get(value, str(value).replace("_", " "))
