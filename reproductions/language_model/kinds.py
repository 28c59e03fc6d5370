"""The paper's three kinds of expert, found by rule in the shown text, beside a random sample.

Source: Shazeer et al. (2017), Table 9: expert 381 has a topic, expert 2004 words of nearly one
meaning, expert 752 one function word in one construction. The same rules choose the best of a model
that has learnt nothing, so that a reader sees what the rules find where there is nothing to find.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reproductions.runs import NamedRun, Runs
from reproductions.verdicts.number_text import percentage

BIBLES = {"experts_2048": "trained", "untrained_2048": "nothing learnt"}
MODERN = {"domains_2048": "trained", "domains_untrained_2048": "nothing learnt"}
_NUM_OF_KIND, _NUM_RANDOM, _NUM_WORDS, _NUM_PLACES, _AROUND = 2, 3, 5, 3, 4
# Experts with few words would win every contest of extremes by chance.
_FEWEST_WORDS = 20
# A subword is a whole word where mostly another one begins after it; so many of each language's
# commonest are taken for its function words.
_WHOLE, _NUM_FUNCTION_WORDS = 0.8, 20
# One word has most of an expert; a topic or a family has no word with so much of it.
_MOST, _AT_MOST_OF_TOPIC, _AT_MOST_OF_FAMILY = 0.5, 0.25, 0.5
_FEWEST_OF_TOPIC, _FEWEST_OF_FAMILY = 8, 4
_SPACE = "▁"

Vector = NDArray[np.float64]


def has_shown(run: NamedRun) -> bool:
    """Whether the shown text is there; what is stored of older runs may be without."""
    return bool((run.finished.path / "shown.csv").exists())


def kinds_table(runs: Runs, models: Mapping[str, str]) -> pd.DataFrame:
    """A row per chosen expert: model, kind, its commonest words, the measure, words in place.

    Args:
        runs: of the study.
        models: what the models are called, by the names of their runs (BIBLES or MODERN).
    """
    rows: list[dict[str, str]] = []
    for name, words in models.items():
        if name in runs and has_shown(runs[name]):
            rows += _rows_of(Shown(runs[name].table("shown")), words)
    return pd.DataFrame(rows)


class Shown:
    """Running text with the experts of every subword, and what the rules ask of it.

    Attributes:
        text: a row per subword: kind, piece, and the pieces before and after it.
        own: a row per subword and expert of it, with the columns of `text`.
        whole: subwords that are mostly whole words.
        function_words: those of them that a language has most of.
    """

    def __init__(self, shown: pd.DataFrame) -> None:
        """Read the run's table `shown`."""
        by_kind = shown.groupby("kind", sort=False)["piece"]
        self.text = shown[["kind", "piece"]].assign(
            before=by_kind.shift(1, fill_value=""), after=by_kind.shift(-1, fill_value="")
        )
        experts = shown.filter(regex="^expert_")
        parts = [self.text.assign(expert=experts[column]) for column in experts]
        counted = pd.concat(parts).sort_index(kind="stable")
        size = counted.groupby("expert")["piece"].transform("size")
        self.own = counted[size >= _FEWEST_WORDS]
        self.whole = _whole_words(self.text)
        self.function_words = _function_words(self.text, self.whole)


def _whole_words(text: pd.DataFrame) -> set[str]:
    begins = text["piece"].str.match(f"{_SPACE}[^\\W\\d_]+$")
    # A word ends where a space, punctuation or the chapter's end comes next.
    ends = text["after"].str.match(f"{_SPACE}|\\W|$")
    share = ends[begins].groupby(text["piece"][begins]).mean()
    return set(share.index[share >= _WHOLE])


def _function_words(text: pd.DataFrame, whole: set[str]) -> set[str]:
    # Names are common too, and begin with a capital where a script has them.
    is_lower = text["piece"] == text["piece"].str.lower()
    words = text[text["piece"].isin(whole) & is_lower]
    counts = words.groupby("kind")["piece"].value_counts()
    return set(counts.groupby("kind").head(_NUM_FUNCTION_WORDS).index.get_level_values("piece"))


def topics(shown: Shown) -> pd.Series:
    """The share of one language or kind of text in experts with many different subwords."""
    groups = shown.own.groupby("expert")
    share = groups["kind"].agg(lambda kinds: kinds.value_counts(normalize=True).iloc[0])
    top = groups["piece"].agg(lambda pieces: pieces.value_counts(normalize=True).iloc[0])
    num = groups["piece"].nunique()
    found = share[(top <= _AT_MOST_OF_TOPIC) & (num >= _FEWEST_OF_TOPIC)]
    # Of equal shares the one with more different words comes first.
    order = pd.DataFrame({"share": found, "num": num[found.index]})
    return order.sort_values(["share", "num"], ascending=False)["share"]


def families(shown: Shown) -> pd.Series:
    """How alike the neighbours of an expert's words are: the mean cosine of all pairs."""
    words = shown.own[shown.own["piece"].isin(shown.whole)]
    vectors = _contexts(shown)
    found = {}
    for expert, own in words.groupby("expert"):
        pieces = own["piece"].unique()
        everything = shown.own[shown.own["expert"] == expert]["piece"]
        top = everything.value_counts(normalize=True).iloc[0]
        is_family = len(own) >= _MOST * len(everything) and top <= _AT_MOST_OF_FAMILY
        if is_family and len(pieces) >= _FEWEST_OF_FAMILY:
            found[expert] = _mean_cosine(np.stack([vectors[piece] for piece in pieces]))
    return pd.Series(found, dtype=float).sort_values(ascending=False)


def _contexts(shown: Shown) -> dict[str, Vector]:
    """Of every whole word the counts of what stands before and after it, as a vector of length 1.

    Roots of the counts, or the commonest neighbours would decide alone (the Hellinger distance).
    """
    words = shown.text[shown.text["piece"].isin(shown.whole)]
    tables = [pd.crosstab(words["piece"], words[side]) for side in ("before", "after")]
    counts = np.sqrt(np.hstack([table.to_numpy(float) for table in tables]))
    unit = counts / np.linalg.norm(counts, axis=1, keepdims=True)
    return dict(zip(tables[0].index, unit, strict=True))


def _mean_cosine(unit: Vector) -> float:
    return float((unit @ unit.T)[np.triu_indices(len(unit), 1)].mean())


def constructions(shown: Shown) -> pd.Series:
    """How much oftener a neighbour stands beside an expert's one function word than elsewhere."""
    found = {expert: _construction(shown, own)[0] for expert, own in shown.own.groupby("expert")}
    return pd.Series(found, dtype=float).dropna().sort_values(ascending=False)


def _construction(shown: Shown, own: pd.DataFrame) -> tuple[float, str]:
    """Share of the commonest neighbour here minus its share at all places of the word, in words."""
    shares = own["piece"].value_counts(normalize=True)
    word = shares.index[0]
    if shares.iloc[0] < _MOST or word not in shown.function_words:
        return float("nan"), ""
    here, all_places = (table[table["piece"] == word] for table in (own, shown.text))
    best = (float("nan"), "")
    for side in ("before", "after"):
        counts = here[side].value_counts(normalize=True)
        neighbour, share = counts.index[0], float(counts.iloc[0])
        elsewhere = float((all_places[side] == neighbour).mean())
        if not share - elsewhere <= best[0]:
            words = f"{_plain(str(neighbour))} stands {side} it in {percentage(share)} of its "
            best = (share - elsewhere, f"{words}places here, {percentage(elsewhere)} of all")
    return best


_KINDS: dict[str, Callable[[Shown], pd.Series]] = {
    "a topic: one kind of text, many words": topics,
    "a family: words with like neighbours": families,
    "one function word, one construction": constructions,
}


def _rows_of(shown: Shown, model: str) -> list[dict[str, str]]:
    rows = []
    for kind, rule in _KINDS.items():
        best = rule(shown).head(_NUM_OF_KIND)
        rows += [_row(shown, model, kind, expert, value) for expert, value in best.items()]
    random = np.random.default_rng(0)
    every = shown.own["expert"].unique()
    sample = random.choice(np.sort(every), min(_NUM_RANDOM, len(every)), replace=False)
    return rows + [
        _row(shown, model, "chosen at random", expert, None) for expert in sorted(sample)
    ]


def _row(shown: Shown, model: str, kind: str, expert: Any, value: float | None) -> dict[str, str]:
    own = shown.own[shown.own["expert"] == expert]
    counts = own["piece"].value_counts().head(_NUM_WORDS)
    return {
        "model": model,
        "kind": kind,
        "expert": f"{expert}",
        "words": f"{len(own)}",
        "commonest": ", ".join(f"{_plain(piece)} {count}" for piece, count in counts.items()),
        "measure": _measure(shown, own, kind, value),
        "in their places": " | ".join(_in_place(shown.text, place) for place in _spread(own)),
    }


def _measure(shown: Shown, own: pd.DataFrame, kind: str, value: float | None) -> str:
    if value is None:
        share = own["kind"].value_counts(normalize=True)
        return f"{percentage(float(share.iloc[0]))} {share.index[0]}"
    if kind.startswith("a topic"):
        of_text = own["kind"].value_counts().index[0]
        return f"{percentage(value)} {of_text}, {own['piece'].nunique()} different subwords"
    if kind.startswith("a family"):
        return f"mean cosine {value:.2f}"
    return _construction(shown, own)[1]


def _spread(own: pd.DataFrame) -> list[int]:
    places = [int(place) for place in own.index]
    # Evenly over the text, and not all from its first verse.
    return [places[number * len(places) // _NUM_PLACES] for number in range(_NUM_PLACES)]


def _in_place(text: pd.DataFrame, place: int) -> str:
    kind = text["kind"]
    near = range(max(0, place - _AROUND), min(len(text), place + _AROUND + 1))
    parts = [
        _marked(text["piece"][other]) if other == place else text["piece"][other]
        for other in near
        if kind[other] == kind[place]
    ]
    return "".join(parts).replace(_SPACE, " ").replace("</s>", " ¶ ").strip()


def _marked(piece: str) -> str:
    before = " " if piece.startswith(_SPACE) else ""
    return f"{before}*{_plain(piece)}*"


def _plain(piece: str) -> str:
    return piece.replace(_SPACE, " ").replace("</s>", "¶").strip() or "(space)"
