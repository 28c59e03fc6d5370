"""The multiverse's part of the vowel report: its tables, sentences, and the pictures' texts."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing

from experiments.suite import suite_runs
from experiments.vowel.multiverse import AXES
from reproductions.drawing import to_svg
from reproductions.runs import NamedRun, Runs, Source
from reproductions.study_report import Figure, Parts, Picture
from reproductions.verdicts.claims import Claim
from reproductions.verdicts.judge import Judged
from reproductions.verdicts.verdict_text import SYMBOLS, verdict_word
from reproductions.vowel.multiverse import (
    CLAIM_IDS,
    OWN_STEP,
    decisiveness,
    judged_worlds,
    shown_choice,
)
from reproductions.vowel.multiverse_figures import (
    CHOICE_NAMES,
    claim_shares,
    picture_map,
    share_matching,
    specification_curve,
)
from reproductions.vowel.stop_sweep import stop_picture, sweep_sentence, sweep_table

COMMAND = "make multiverse-vowel"
_SUITE = "vowel_multiverse"
_HALF = "half-the-epochs-4-6"


def multiverse_part(source: Source, judged_claims: Sequence[Judged]) -> Parts | None:
    """Figures, table and sentences from the finished multiverse runs; None where there are none.

    Args:
        source: of finished runs.
        judged_claims: the study's claims and their verdicts.

    Raises:
        UserError: a finished run is damaged.
    """
    _, studies = suite_runs([f"suite={_SUITE}"])
    runs = source(studies, _SUITE).runs
    by_id = {claim.id: claim for claim, _, _ in judged_claims}
    judged = {name: _judged_run(run, by_id) for name, run in runs.items()}
    # Its readings were searched for by their picture, so they are no sample of all readings.
    searched = judged.pop("multiverse_picture", None)
    swept = judged.pop("multiverse_stop", None)
    if not judged:
        return None
    if swept is not None:
        # Of the sweep only these read the 0.08 of the paper.
        judged["multiverse_stop"] = swept[swept["stop_rule"].isin(["blend", "later"])]
    worlds = pd.concat(judged.values(), ignore_index=True)
    everything = worlds if searched is None else pd.concat([worlds, searched], ignore_index=True)
    pictures = _pictures(worlds, everything, runs, by_id)
    tables = [
        (_READINGS, readings_table(worlds, judged_claims)),
        (_MATCHES, most_matches(everything)),
        (_PICTURES, best_pictures(everything)),
    ]
    paragraphs = [" ".join(sentences(worlds, everything))]
    if swept is not None:
        pictures.append(stop_picture(swept, runs["multiverse_stop"]))
        tables.insert(1, (_SWEEP, sweep_table(swept)))
        paragraphs.append(sweep_sentence(swept))
    return Parts(pictures, tables, paragraphs)


def _judged_run(run: NamedRun, claims: Mapping[str, Claim]) -> pd.DataFrame:
    tables = run.table("exploration"), run.table("metrics")
    return judged_worlds(*tables, claims, run.study.step_share, run.study.common_step)


_SEARCHED = "Found by search among all worlds, so a lead and no evidence by itself."
_MATCHES = f"The worlds in which the most of {len(CLAIM_IDS)} published claims match. {_SEARCHED}"
_PICTURES = (
    "The worlds closest to the paper's own picture: three live experts, two of them on [a]/[A] and "
    f"one on [i]/[I]; shares of seeds. {_SEARCHED}"
)
_READINGS = (
    "Each verdict beside the worlds (readings of what the paper leaves open): in how many the "
    "claim matches, and in how many it differs. A choice decides a claim as far as changing it "
    "alone changes whether the claim matches: shares of all pairs of worlds that differ in it "
    "only, at most three choices, from a tenth on."
)
_SWEEP = (
    "The stop error in the place of 0.08, with coding and start, at the study's own step: means "
    "over 25 seeds, and how many claims match."
)
_WORLD = [*AXES, "stop_rule", "policy"]
_NUMBERS = ["arrived", "ratio_4", "ratio_8", "picture_4", "picture_8", "test_accuracy_4"]
_COLUMNS = {
    "num_matches": "claims that match",
    "unit": "outputs",
    "init_range": "initial range",
    "gate_step": "gate's step over the experts'",
    "stop_rule": "stop at",
    "policy": "steps",
    "arrived": "share of seeds that stop",
    "ratio_4": "epochs of BP 6 over 4 experts",
    "ratio_8": "epochs of BP 12 over 8 experts",
    "picture_4": "picture of Figure 2, 4 experts",
    "picture_8": "picture of Figure 2, 8 experts",
    "test_accuracy_4": "test accuracy, 4 experts",
}


def _pictures(
    worlds: pd.DataFrame, everything: pd.DataFrame, runs: Runs, claims: Mapping[str, Claim]
) -> list[Picture]:
    texts: list[tuple[str, str, str, Callable[[pd.DataFrame], Drawing], Any]] = [
        (
            "multiverse",
            "Which claim holds in which world",
            f"All {len(worlds):,} combinations of the choices on which the paper is silent, from "
            "left to right by how many times fewer epochs 4 experts need than back-propagation "
            "with 6 hidden units. The band is the margin of the published factor; percentages "
            "are the shares of worlds that match.",
            partial(specification_curve, claim=claims[_HALF]),
            worlds,
        ),
        (
            "multiverse-claims",
            "How much each claim depends on what the paper left out",
            "For each claim, the share of worlds in which it matches, stays open, and differs, by "
            "the same rules as in the table of claims.",
            claim_shares,
            worlds,
        ),
        (
            "multiverse-picture",
            "Where the picture of Figure 2 appears",
            "Share of seeds with three live experts, two on [a]/[A] and one on [i]/[I], in the "
            "worlds with logistic outputs and equation 1.3. Lines join the best world of each "
            "variance. The paper's variance is 1.",
            picture_map,
            everything,
        ),
    ]
    provenance = tuple(run.finished.manifest for run in runs.values())
    made = []
    for name, title, caption, draw, frame in texts:
        picture = draw(frame)
        svg = to_svg(picture, label=title)
        shown = CLAIM_IDS if name != "multiverse-picture" else CLAIM_IDS[-2:]
        made.append((Figure(name, title, caption, caption, svg, (), shown, provenance), picture))
    return made


def most_matches(worlds: pd.DataFrame, num_rows: int = 8) -> pd.DataFrame:
    """The worlds in which the most claims match, the most first."""
    best = worlds.sort_values("num_matches", ascending=False, kind="stable").head(num_rows)
    return _in_words(best[["num_matches", *_WORLD, *_NUMBERS]])


def best_pictures(worlds: pd.DataFrame, num_rows: int = 8) -> pd.DataFrame:
    """The worlds in which the most seeds show the picture of Figure 2 with 4 and 8 experts."""
    score = worlds["picture_4"] + worlds["picture_8"]
    best = worlds.assign(score=score).sort_values("score", ascending=False, kind="stable")
    # A reading is listed once, with the choice of steps by which it does better.
    shown = best.drop_duplicates([*AXES, "stop_rule"]).head(num_rows)
    return _in_words(shown[[*_WORLD, *_NUMBERS]])


def _in_words(worlds: pd.DataFrame) -> pd.DataFrame:
    words = worlds.round(2).reset_index(drop=True)
    for axis in ("coding", "cost", "stop_rule"):
        words[axis] = words[axis].map(shown_choice)
    return words.rename(columns=_COLUMNS)


def sentences(worlds: pd.DataFrame, everything: pd.DataFrame) -> list[str]:
    """What the multiverse says, in numbers: the summary paragraph's part."""
    # The fair comparison: each system at its best, and hardly any seed cut off.
    own = worlds[(worlds["policy"] == OWN_STEP) & (worlds["arrived"] >= 0.9)]
    half = worlds[_HALF] == "matches"
    own_half = (own[_HALF] == "matches").mean()
    faster = (own["experts-faster-4-6"] == "matches").mean()
    slower = (own["experts-faster-4-6"] == "differs").mean()
    best = everything.sort_values("picture_8", kind="stable").to_dict("records")[-1]
    fit = everything.sort_values("num_matches", kind="stable").to_dict("records")[-1]
    return [
        f"A world is one reading of all that the paper leaves open. In {half.mean():.0%} of "
        f"{len(worlds):,} worlds the experts need about half the epochs, as published.",
        f"Where each system has its own fastest step and 90 % of seeds arrive ({len(own):,} "
        f"worlds), 4 experts are faster than back-propagation in {faster:.0%}, slower in "
        f"{slower:.0%}, and need about half the epochs in {own_half:.0%}.",
        f"The most claims, {fit['num_matches']} of {len(CLAIM_IDS)}, match in the world with "
        f"{_described(fit)}.",
        f"The picture of Figure 2 appears most often, in {best['picture_8']:.0%} of seeds with 8 "
        f"experts, in the world with {_described(best)}.",
    ]


def _described(world: Mapping[Any, Any]) -> str:
    coding, cost, stop = (shown_choice(world[axis]) for axis in ("coding", "cost", "stop_rule"))
    return (
        f'the coding "{coding}", {world["unit"]} outputs, the cost of {cost}, variance '
        f"{world['variance']:g}, initial range {world['init_range']:g}, and the stop read as {stop}"
    )


def readings_table(worlds: pd.DataFrame, judged: Sequence[Judged]) -> pd.DataFrame:
    """Every verdict with the share of worlds in which the claim holds, and what decides it."""
    rows = []
    for claim, _, verdict in judged:
        if claim.id not in worlds:
            continue
        word = verdict_word(verdict)
        rows.append(
            {
                "claim": claim.sentence,
                "here": f"{SYMBOLS[word]} {word}",
                "matches in": f"{share_matching(worlds[claim.id]):.0%}",
                "differs in": f"{float((worlds[claim.id] == 'differs').mean()):.0%}",
                "decided by": _deciding(worlds, claim.id),
            }
        )
    return pd.DataFrame(rows)


_LEAST_DECISIVE, _MOST_CHOICES = 0.1, 3


def _deciding(worlds: pd.DataFrame, claim: str) -> str:
    found = [
        f"{CHOICE_NAMES.get(choice, choice)} {share:.0%}"
        for choice, share in decisiveness(worlds, claim).items()
        if share >= _LEAST_DECISIVE
    ]
    return ", ".join(found[:_MOST_CHOICES]) or "no choice"
