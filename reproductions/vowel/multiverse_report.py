"""The multiverse's part of the vowel report: its figures, tables and sentences."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure as Drawing

from experiments.suite import suite_runs
from experiments.vowel.multiverse import AXES
from reproductions.drawing import COLOURS, INK, figure_style, to_svg
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
                "matches in": f"{_share(worlds[claim.id]):.0%}",
                "differs in": f"{float((worlds[claim.id] == 'differs').mean()):.0%}",
                "decided by": _deciding(worlds, claim.id),
            }
        )
    return pd.DataFrame(rows)


_LEAST_DECISIVE, _MOST_CHOICES = 0.1, 3


def _deciding(worlds: pd.DataFrame, claim: str) -> str:
    found = [
        f"{_NAMES.get(choice, choice)} {share:.0%}"
        for choice, share in decisiveness(worlds, claim).items()
        if share >= _LEAST_DECISIVE
    ]
    return ", ".join(found[:_MOST_CHOICES]) or "no choice"


CLAIM_LABELS = {
    "experts-faster-4-6": "4 experts faster than BP 6",
    "experts-faster-8-12": "8 experts faster than BP 12",
    "half-the-epochs-4-6": "about half the epochs (4, 6)",
    "half-the-epochs-8-12": "about half the epochs (8, 12)",
    "eight-faster-than-four": "8 experts faster than 4",
    "backprop-12-slower": "BP 12 slower than BP 6",
    "train-accuracy-4-experts": "88 % on training cases (4)",
    "test-accuracy-4-experts": "90 % on test cases (4)",
    "equal-test-accuracy-4-6": "equal accuracy (4, 6)",
    "equal-test-accuracy-8-12": "equal accuracy (8, 12)",
    "two-or-three-live-4": "2 or 3 of 4 experts live",
    "two-or-three-live-8": "2 or 3 of 8 experts live",
    "two-experts-on-a-4": "two on [a]/[A], one on [i]/[I] (4)",
    "two-experts-on-a-8": "two on [a]/[A], one on [i]/[I] (8)",
}
WORDS = ["matches", "inconclusive", "differs"]
_SHADES = [COLOURS["blue"], "#b9bdc3", COLOURS["orange"]]
_CHOICES = [*AXES, "policy", "stop_rule"]
_NAMES = {"init_range": "init", "gate_step": "gate step", "policy": "step", "stop_rule": "stop"}


def specification_curve(worlds: pd.DataFrame, claim: Claim) -> Drawing:
    """Worlds from left to right by the ratio of epochs; choices and verdicts below each."""
    # A specification curve (Simonsohn, Simmons & Nelson, 2020): every reading in the order of its
    # result, with its choices below.
    ordered = worlds.sort_values("ratio_4", kind="stable", ignore_index=True)
    options = [(axis, value) for axis in _CHOICES for value in _values(ordered, axis)]
    with figure_style():
        figure = Drawing(figsize=(8.4, 10.6))
        heights = [2.6, 0.165 * len(CLAIM_IDS) + 0.2, 0.15 * len(options) + 0.2]
        top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=heights)
        _draw_ratios(top, ordered, claim)
        _draw_verdicts(middle, ordered)
        _draw_choices(bottom, ordered, options)
    return figure


def _values(worlds: pd.DataFrame, axis: str) -> list[Any]:
    return sorted(worlds[axis].unique())


def _draw_ratios(axes: Axes, worlds: pd.DataFrame, claim: Claim) -> None:
    assert claim.published is not None
    assert claim.margin is not None
    published, margin = claim.published.value, claim.margin
    place = np.arange(len(worlds))
    # Where many seeds were cut off, the ratio is one of limits.
    arrived = worlds["arrived"] >= 0.9
    axes.axhspan(
        published - margin, published + margin, color=COLOURS["sky"], alpha=0.25, linewidth=0
    )
    axes.axhline(published, color=INK, linewidth=1)
    axes.axhline(1, color=INK, linewidth=0.8, linestyle=":")
    axes.scatter(
        place[~arrived],
        worlds["ratio_4"][~arrived],
        s=4,
        color="#9aa0a8",
        marker="x",
        linewidth=0.6,
    )
    axes.scatter(place[arrived], worlds["ratio_4"][arrived], s=7, color=COLOURS["blue"])
    axes.set_yscale("log")
    axes.set_yticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
    axes.set_ylabel("epochs of BP 6\nover those of 4 experts")
    axes.text(2, published + 0.05, f"published: {published:g}", va="bottom", size=9)
    axes.set_title("A dot is a world (×: fewer than 90 % of seeds reach the stop)")
    axes.minorticks_off()


def _draw_verdicts(axes: Axes, worlds: pd.DataFrame) -> None:
    # Blue, grey and orange can be told apart without red and green.
    # A line per claim and a column per world, so that a claim's verdicts stand under the worlds'
    # ratios.
    codes = np.array([[WORDS.index(word) for word in worlds[name]] for name in CLAIM_IDS])
    axes.imshow(
        codes, aspect="auto", interpolation="nearest", cmap=ListedColormap(_SHADES), vmin=0, vmax=2
    )
    labels = [f"{CLAIM_LABELS[name]}  {_share(worlds[name]):.0%}" for name in CLAIM_IDS]
    axes.set_yticks(range(len(CLAIM_IDS)), labels, size=8.5)
    axes.grid(False)
    axes.set_title(
        "Does the claim hold there?  blue: matches, grey: inconclusive, orange: differs", size=10
    )


def _share(words: pd.Series) -> float:
    return float((words == "matches").mean())


def _draw_choices(axes: Axes, worlds: pd.DataFrame, options: list[tuple[str, Any]]) -> None:
    chosen = np.array([(worlds[axis] == value).to_numpy() for axis, value in options], dtype=float)
    # Pixels do not follow the page's colours as lines do: a grey that stands out from both.
    shades = ListedColormap(["#00000000", "#7d858f"])
    axes.imshow(chosen, aspect="auto", interpolation="nearest", cmap=shades, vmin=0, vmax=1)
    labels = [f"{_NAMES.get(axis, axis)} {shown_choice(value)}" for axis, value in options]
    axes.set_yticks(range(len(options)), labels, size=8)
    # A thin line between the values of one choice and those of the next.
    for row in range(1, len(options)):
        if options[row][0] != options[row - 1][0]:
            axes.axhline(row - 0.5, color=INK, linewidth=0.4)
    axes.grid(False)
    axes.set_xlabel("worlds, ordered by the ratio of epochs")
    axes.set_title("The choices that make the world", size=10)


def claim_shares(worlds: pd.DataFrame) -> Drawing:
    """Draw the shares of worlds in which each claim matches, is open, and differs."""
    with figure_style():
        figure = Drawing(figsize=(7.6, 4.6))
        axes = figure.subplots()
        left = np.zeros(len(CLAIM_IDS))
        for word, shade, hatch in zip(WORDS, _SHADES, ["", "", "////"], strict=True):
            shares = np.array([(worlds[name] == word).mean() for name in CLAIM_IDS])
            axes.barh(
                range(len(CLAIM_IDS)),
                shares,
                left=left,
                color=shade,
                hatch=hatch,
                label=word,
                edgecolor=INK,
                linewidth=0.4,
            )
            left += shares
        axes.set_yticks(range(len(CLAIM_IDS)), [CLAIM_LABELS[name] for name in CLAIM_IDS], size=9)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel(f"share of {len(worlds):,} worlds")
        axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3, frameon=False)
    return figure


def picture_map(worlds: pd.DataFrame) -> Drawing:
    """Share of seeds with the picture of Figure 2 against the variance, by output coding."""
    # The other costs have no variance.
    chosen = worlds[(worlds["cost"] == "mixture_likelihood") & (worlds["unit"] == "logistic")]
    with figure_style():
        figure = Drawing(figsize=(7.6, 3.8))
        panels = figure.subplots(1, 2, sharey=True)
        for axes, size in zip(panels, (4, 8), strict=True):
            for (coding, group), colour, marker in zip(
                chosen.groupby("coding"), COLOURS.values(), "osD^", strict=False
            ):
                # The line joins the best of all readings with that variance: can any of them show
                # the picture?
                best = group.groupby("variance")[f"picture_{size}"].max()
                axes.scatter(
                    group["variance"],
                    group[f"picture_{size}"],
                    s=8,
                    color=colour,
                    alpha=0.35,
                    marker=marker,
                )
                axes.plot(
                    best.index, best, color=colour, marker=marker, label=shown_choice(str(coding))
                )
            axes.set_xscale("log")
            axes.set_xticks([0.1, 0.25, 0.5, 1], ["0.1", "0.25", "0.5", "1"])
            axes.minorticks_off()
            axes.set_xlabel("variance of equation 1.3 (paper: 1)")
            axes.set_title(f"{size} experts")
        panels[0].set_ylim(-0.02, 1)
        panels[0].set_ylabel("share of seeds that show\nthe picture of Figure 2")
        panels[1].legend(frameon=False, title="output coding")
    return figure
