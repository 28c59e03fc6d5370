"""Where more experts stop helping: the gap to one layer of equal cost, by what an expert sees.

Runs are paired by their settings: a model with experts and the wide layer that was trained on as
many subwords, in steps of the same size.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from experiments.language_model.counts import regime
from experiments.language_model.settings import LEARNT_GATES, Block, Gate
from experiments.runner.schema import plain
from reproductions.drawing import COLOURS, INK, figure_style, legend_below
from reproductions.language_model.evidence import FREE, gains
from reproductions.runs import NamedRun, Runs, distinct
from reproductions.study_report import Picture, as_picture
from reproductions.verdicts.intervals import mean_estimate
from reproductions.verdicts.judge import CONFIDENCE
from reproductions.verdicts.number_text import number

# What an expert sees in a step and in all; pairs that differ in nothing else share an axis.
_SEEN = ("num_streams", "num_unrolled", "max_steps")
# What may differ between a model with experts and the wide layer that it is held against.
_OF_MODEL = (
    *("block", "num_experts", "gate", "num_groups", "warm_up_steps"),
    *("learning_rate", "gate_learning_rate", "expert_learning_rate"),
)
# Weights of a published expert, 512-1,024-512, and experts per word. Source: appendix C.1.
_PUBLISHED_WEIGHTS, _PUBLISHED_K = 2 * 512 * 1024, 4


@dataclass(frozen=True)
class Point:
    """One model against one layer of equal cost.

    Attributes:
        num_experts: of the model.
        per_step: words per expert and step.
        per_weight: words per expert weight over the whole training.
        ratio: its perplexity over that of the layer; below one the experts are better.
        interval: 95 %, over trainings; the ratio itself for a published one.
    """

    num_experts: int
    per_step: float
    per_weight: float
    ratio: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Published:
    """A line of the paper: perplexity by number of experts, and that of its dense model."""

    words: str
    words_per_step: float
    num_words: float
    dense: float
    perplexity: dict[int, float]


# Source: Shazeer et al. (2017), Table 7 (over MoE-1-Wide, 27,000 steps) and Table 8 (over
# 4xLSTM-512, after a tenth and after the whole of 100 billion words). The words of a step of
# Table 8 are not printed; 2.5 million follow from its 131,072 experts with 76 words each.
PUBLISHED = (
    Published(
        "published, Table 7", 300_000, 8.1e9, 46.1,
        {4: 45.0, 32: 39.7, 256: 36.0, 1024: 34.6, 4096: 34.1},
    ),
    Published(
        "published, Table 8, 10 billion words", 2_500_000, 1e10, 54.5,
        {32: 48.5, 256: 42.8, 1024: 40.3, 4096: 38.9, 16384: 38.2, 65536: 38.2, 131072: 39.8},
    ),
    Published(
        "published, Table 8, 100 billion words", 2_500_000, 1e11, 47.0,
        {32: 40.4, 256: 35.3, 1024: 32.7, 4096: 30.9, 16384: 29.7, 65536: 28.9, 131072: 29.2},
    ),
)  # fmt: skip


def published_points(line: Published) -> list[Point]:
    """The points of a line of the paper, most words per expert first."""
    points = []
    for num_experts, perplexity in line.perplexity.items():
        share = _PUBLISHED_K / num_experts
        ratio = perplexity / line.dense
        points.append(
            Point(
                num_experts,
                line.words_per_step * share,
                line.num_words * share / _PUBLISHED_WEIGHTS,
                ratio,
                (ratio, ratio),
            )
        )
    return points


def own_lines(runs: Runs) -> dict[str, list[Point]]:
    """Our lines, most words per expert first: by number of experts, by step and by length."""
    pairs = _pairs(runs)
    if not pairs:
        return {}
    # The regime in which most sizes were trained, and the size that was trained in most regimes.
    (base, _), *_ = Counter(_seen(many) for _, many in pairs).most_common(1)
    (size, _), *_ = Counter(many.study.num_experts for _, many in pairs).most_common(1)
    of_size = [pair for pair in pairs if pair[1].study.num_experts == size]
    lines = {
        "by number of experts": [pair for pair in pairs if _seen(pair[1]) == base],
        f"{size:,} experts, by words in a step": [
            pair for pair in of_size if _num_words(_seen(pair[1])) == _num_words(base)
        ],
        f"{size:,} experts, by length of training": [
            pair for pair in of_size if _seen(pair[1])[:2] == base[:2]
        ],
    }
    return {
        f"ours, {words}": sorted(map(_point, own), key=_falling)
        for words, own in lines.items()
        if len(own) > 1
    }


def _falling(point: Point) -> tuple[float, float]:
    return -point.per_step, -point.per_weight


def _pairs(runs: Runs) -> list[tuple[NamedRun, NamedRun]]:
    """Each model with a learnt gate, and the wide layer whose settings are otherwise its own."""
    found = distinct(runs.values())
    wide = {_rest(run): run for run in found if run.study.block is Block.wide}
    many = {}
    for run in found:
        study = run.study
        if study.block is not Block.experts or study.gate not in LEARNT_GATES or study.untrained:
            continue
        if not study.sigmoid or _rest(run) not in wide:
            continue
        key = (study.num_experts, _seen(run))
        # Where one size has both gates the paper's own counts: two levels from 256 experts on.
        if key not in many or study.gate is Gate.hierarchical:
            many[key] = run
    return [(wide[_rest(run)], run) for run in many.values()]


def _rest(run: NamedRun) -> tuple[tuple[str, str], ...]:
    left_out = {*FREE, *_OF_MODEL}
    settings = plain(run.study)
    return tuple((key, str(settings[key])) for key in settings if key not in left_out)


def _seen(run: NamedRun) -> tuple[int, ...]:
    return tuple(getattr(run.study, key) for key in _SEEN)


def _num_words(seen: tuple[int, ...]) -> int:
    return int(np.prod(seen))


def _point(pair: tuple[NamedRun, NamedRun]) -> Point:
    wide, many = pair
    seen = regime(many.study)
    # Ratios multiply, so their logarithms are averaged; a gain is that of wide over experts.
    logs = [-gain for gain in gains(wide, many)]
    ratio = float(np.exp(np.mean(logs)))
    interval = (ratio, ratio)
    if len(logs) > 1:
        interval = mean_estimate(logs, is_log=True).interval(CONFIDENCE)
    return Point(
        many.study.num_experts,
        seen["words_per_expert_and_step"],
        seen["words_per_expert_weight"],
        ratio,
        interval,
    )


_LOOKS = (("blue", "o", "-"), ("green", "s", "-"), ("purple", "^", "-"))
_PUBLISHED_LOOKS = (("vermillion", "D", "--"), ("orange", "v", ":"), ("sky", "P", "-."))
_AXES = {"per_step": "words per expert and step", "per_weight": "words per expert weight"}
_TICKS = (0.6, 0.7, 0.8, 0.9, 1.0)


def regime_map(runs: Runs) -> Picture | None:
    """The gap to equal cost against words per expert and step, and words per weight."""
    own = own_lines(runs)
    if not own:
        return None
    lines = [(words, points, look) for (words, points), look in zip(own.items(), _LOOKS[: len(own)],
                                                                    strict=True)]  # fmt: skip
    lines += [
        (line.words, published_points(line), look)
        for line, look in zip(PUBLISHED, _PUBLISHED_LOOKS, strict=True)
    ]
    with figure_style():
        figure = Drawing(figsize=(6.4, 5.6))
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (column, words) in zip(panels, _AXES.items(), strict=True):
            for name, points, look in lines:
                _line(axes, column, name, points, look)
            _dress(axes, words)
        panels[0].set_ylabel("perplexity over that of equal cost")
        named = (axes.get_legend_handles_labels()[0] for axes in panels)
        legend_below(figure, [entry for own in named for entry in own], num_columns=1)
    return as_picture(
        figure,
        id="regime-map",
        title="Where more experts stop helping",
        caption="Perplexity of a model with experts over that of a model of equal cost per word: "
        "below the dotted line the experts win. Left against the words that an expert sees in a "
        "step, right against the words that it sees per weight over the whole training. A ring "
        "marks the lowest point of every line; beyond it, to the left, the line turns up. Bars are "
        "95 % intervals over trainings. The paper prints one number per model, of another text and "
        "larger models, so that places can be compared and depths cannot.",
        alt="Two plots of the perplexity ratio, ours and the paper's Tables 7 and 8, by words per "
        "expert and step, and by words per weight.",
        claim_ids=("regime-length", "regime-batch", "capacity-1024-4096"),
        runs=_runs_of(runs),
    )


def _runs_of(runs: Runs) -> list[NamedRun]:
    return distinct(run for pair in _pairs(runs) for run in pair)


def _line(
    axes: Axes, column: str, name: str, points: Sequence[Point], look: tuple[str, str, str]
) -> None:
    colour, marker, line = look
    where = [getattr(point, column) for point in points]
    # Steps of another size leave the words per weight as they are, and so on: no line would show.
    if np.allclose(where, where[0]):
        return
    ratio = np.array([point.ratio for point in points])
    below, above = (
        np.abs(np.array([point.interval[end] for point in points]) - ratio) for end in (0, 1)
    )
    axes.errorbar(where, ratio, [below, above], color=COLOURS[colour], marker=marker,
                  linestyle=line, linewidth=1.3, markersize=5, elinewidth=1,
                  label=name)  # fmt: skip
    lowest = _lowest(points)
    axes.plot(where[lowest], ratio[lowest], "o", markersize=11, markerfacecolor="none",
              markeredgecolor=INK, markeredgewidth=1)  # fmt: skip


def _lowest(points: Sequence[Point]) -> int:
    # Of equal ones the last, with the fewest words: a turn comes after it.
    return min(range(len(points)), key=lambda place: (points[place].ratio, -place))


def _dress(axes: Axes, words: str) -> None:
    axes.axhline(1, color=INK, linestyle=":", linewidth=1)
    axes.set(xlabel=words, xscale="log", yscale="log")
    axes.yaxis.set_major_locator(FixedLocator(_TICKS))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def turns_table(runs: Runs) -> pd.DataFrame:
    """A row per line: where its perplexity ratio is lowest, and what the next step harms."""
    lines = own_lines(runs)
    if not lines:
        return pd.DataFrame()
    lines |= {line.words: published_points(line) for line in PUBLISHED}
    return pd.DataFrame([_turn(words, points) for words, points in lines.items()])


def _turn(words: str, points: Sequence[Point]) -> dict[str, str]:
    lowest = _lowest(points)
    best = points[lowest]
    following = points[lowest + 1] if lowest + 1 < len(points) else None
    return {
        "line": words,
        "lowest with": f"{best.num_experts:,} experts",
        "words per expert and step": number(best.per_step, 3),
        "words per weight": number(best.per_weight, 3),
        "ratio there": _ratio_text(best),
        "next, fewer words": "none: no turn seen" if following is None else _next_text(following),
    }


def _ratio_text(point: Point) -> str:
    low, high = point.interval
    span = "" if low == high else f" ({number(low, 3)} to {number(high, 3)})"
    return f"{number(point.ratio, 3)}{span}"


def _next_text(point: Point) -> str:
    return (
        f"{_ratio_text(point)} with {point.num_experts:,} experts, {number(point.per_step, 3)} "
        f"words a step, {number(point.per_weight, 3)} per weight"
    )
