"""The multiverse's part of the vowel report: its figures, table and sentences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.figure
import pandas as pd

from experiments.execute import folder_of
from experiments.run_folder import FinishedRun, RunFolder, read_finished
from experiments.suite import suite_runs
from experiments.vowel.multiverse import AXES
from reproductions.claims import Claim
from reproductions.drawing import to_svg
from reproductions.report_types import Figure
from reproductions.vowel.figures import multiverse as drawings
from reproductions.vowel.worlds import CLAIM_IDS, judged_worlds

COMMAND = "make multiverse-vowel"


@dataclass(frozen=True)
class MultiversePart:
    """What the multiverse adds to the study's report."""

    figures: tuple[tuple[Figure, matplotlib.figure.Figure], ...]
    tables: tuple[tuple[str, pd.DataFrame], ...]
    summary: tuple[str, ...]


def multiverse_part(runs_dir: str, claims: Sequence[Claim]) -> MultiversePart | None:
    """Figures, table and sentences from the finished multiverse runs; None where there are none.

    Args:
        runs_dir: folder of all runs.
        claims: the study's claims.

    Raises:
        UserError: a finished run is damaged.
    """
    runs = _finished(runs_dir)
    if not runs:
        return None
    by_id = {claim.id: claim for claim in claims}
    judged = {name: _judged(run, by_id) for name, run in runs.items()}
    searched = judged.pop("multiverse_picture", None)
    if not judged:
        return None
    worlds = pd.concat(judged.values(), ignore_index=True)
    everything = worlds if searched is None else pd.concat([worlds, searched], ignore_index=True)
    return MultiversePart(
        _figures(worlds, everything, runs),
        ((_MATCHES, most_matches(everything)), (_PICTURES, best_pictures(everything))),
        tuple(sentences(worlds, everything)),
    )


_SEARCHED = "Found by search among all worlds, so a lead and no evidence by itself."
_MATCHES = f"The worlds in which the most of {len(CLAIM_IDS)} published claims match. {_SEARCHED}"
_PICTURES = (
    "The worlds closest to the paper's own picture: three live experts, two of them on [a]/[A] and "
    f"one on [i]/[I]; shares of seeds. {_SEARCHED}"
)
_WORLD = [*AXES, "stop_rule", "policy"]
_NUMBERS = ["arrived", "ratio_4", "ratio_8", "picture_4", "picture_8", "test_accuracy_4"]


def _finished(runs_dir: str) -> dict[str, FinishedRun]:
    _, runs = suite_runs(["suite=vowel_multiverse", f"runs_dir={runs_dir}"])
    folders = {name: folder_of(study, runs_dir) for name, study in runs.items()}
    return {name: read_finished(path) for name, path in folders.items() if _is_finished(path)}


def _is_finished(path: Path) -> bool:
    return RunFolder(path).is_finished()


def _judged(run: FinishedRun, claims: Mapping[str, Claim]) -> pd.DataFrame:
    return judged_worlds(run.table("exploration"), run.table("metrics"), claims)


def _figures(
    worlds: pd.DataFrame, everything: pd.DataFrame, runs: Mapping[str, FinishedRun]
) -> tuple[tuple[Figure, matplotlib.figure.Figure], ...]:
    texts: list[tuple[str, str, str, Callable[[pd.DataFrame], matplotlib.figure.Figure], Any]] = [
        (
            "multiverse",
            "Which claim holds in which world",
            f"All {len(worlds):,} combinations of the choices on which the paper is silent, from "
            "left to right by how many times fewer epochs 4 experts need than back-propagation "
            "with 6 hidden units. The band is the margin of the published factor; percentages "
            "are the shares of worlds that match.",
            drawings.specification_curve,
            worlds,
        ),
        (
            "multiverse-claims",
            "How much each claim depends on what the paper left out",
            "For each claim, the share of worlds in which it matches, stays open, and differs, by "
            "the same rules as in the table of claims.",
            drawings.claim_shares,
            worlds,
        ),
        (
            "multiverse-picture",
            "Where the picture of Figure 2 appears",
            "Share of seeds with three live experts, two on [a]/[A] and one on [i]/[I], in the "
            "worlds with logistic outputs and equation 1.3. Lines join the best world of each "
            "variance. The paper's variance is 1.",
            drawings.picture_map,
            everything,
        ),
    ]
    provenance = tuple(run.manifest for run in runs.values())
    made = []
    for name, title, caption, draw, frame in texts:
        picture = draw(frame)
        svg = to_svg(picture, label=title)
        claims = CLAIM_IDS if name != "multiverse-picture" else CLAIM_IDS[-2:]
        made.append((Figure(name, title, caption, caption, svg, (), claims, provenance), picture))
    return tuple(made)


def most_matches(worlds: pd.DataFrame, num_rows: int = 8) -> pd.DataFrame:
    """The worlds in which the most claims match, the most first."""
    best = worlds.sort_values("num_matches", ascending=False, kind="stable").head(num_rows)
    return best[["num_matches", *_WORLD, *_NUMBERS]].round(2).reset_index(drop=True)


def best_pictures(worlds: pd.DataFrame, num_rows: int = 8) -> pd.DataFrame:
    """The worlds in which the most seeds show the picture of Figure 2 with 4 and 8 experts."""
    score = worlds["picture_4"] + worlds["picture_8"]
    best = worlds.assign(score=score).sort_values("score", ascending=False, kind="stable")
    shown = best.drop_duplicates([*AXES, "stop_rule"]).head(num_rows)
    return shown[[*_WORLD, *_NUMBERS]].round(2).reset_index(drop=True)


def sentences(worlds: pd.DataFrame, everything: pd.DataFrame) -> list[str]:
    """What the multiverse says, in numbers: the summary paragraph's part."""
    own = worlds[(worlds["policy"] == "own best step") & (worlds["arrived"] >= 0.9)]
    half = worlds["half-the-epochs-4-6"] == "matches"
    own_half = (own["half-the-epochs-4-6"] == "matches").mean()
    faster = (own["experts-faster-4-6"] == "matches").mean()
    slower = (own["experts-faster-4-6"] == "differs").mean()
    best = everything.sort_values("picture_8", kind="stable").to_dict("records")[-1]
    fit = everything.sort_values("num_matches", kind="stable").to_dict("records")[-1]
    return [
        f"Of {len(worlds):,} worlds (readings of what the paper leaves open), about half the "
        f"epochs, as published, holds in {half.mean():.0%}.",
        f"Where each system has its own best step and 90 % of seeds arrive ({len(own):,} worlds), "
        f"4 experts are faster than back-propagation in {faster:.0%}, slower in {slower:.0%}, and "
        f"need about half the epochs in {own_half:.0%}.",
        f"The most claims, {fit['num_matches']} of {len(CLAIM_IDS)}, match in the world with "
        f"{_described(fit)}.",
        f"The picture of Figure 2 appears most often, in {best['picture_8']:.0%} of seeds with 8 "
        f"experts, in the world with {_described(best)}.",
    ]


def _described(world: Mapping[Any, Any]) -> str:
    return (
        f"coding {world['coding']}, {world['unit']} outputs, cost {world['cost']}, variance "
        f"{world['variance']:g}, initial range {world['init_range']:g}, stop {world['stop_rule']}"
    )
