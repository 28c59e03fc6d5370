"""Our nearest experts to the paper's three kinds (Table 9), found by rule, beside a random sample.

Source: Shazeer et al. (2017), appendix E: expert 381 has words of research and innovation (a
topic), 752 the article "a" before an object of importance (one function word), 2004 words for
rapid change (near synonyms).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.runner.errors import shown
from reproductions.html import render, write
from reproductions.runs import NamedRun
from reproductions.tables import interval_text
from reproductions.translation.evidence import judged_experts

_CLOSED = ("determiner", "pronoun", "preposition", "conjunction", "auxiliary", "negation")
_NUM_RANDOM = 5
_NUM_SHOWN = 6
_FEWEST_PIECES = 5


def chosen_experts(run: NamedRun) -> dict[str, list[int]]:
    """Expert ids by kind; a kind that no expert is of is left out.

    One function word: of experts whose commonest subword is a word of a closed class, the largest
    share of it. A topic: the least varied kinds of book against chance. Near synonyms: of experts
    with several subwords of open classes among their largest gates, the nearest in the embedding.
    """
    # Experts with few words would win every contest of extremes by chance.
    table = judged_experts(run).set_index("expert")
    # A comma has the class of the word before it, and is none itself.
    has_letters = table["top_piece"].str.contains("[a-z]", case=False, na=False)
    # As the paper's expert for "a": one word of grammar and hardly any other.
    function_words = table[table["top_word_class"].isin(_CLOSED) & has_letters]
    topics = table["domain_entropy"] - table["domain_entropy_chance"]
    found: dict[str, Iterable[Any]] = {
        "one function word": function_words["top_piece_share"].nlargest(2).index,
        "a topic": topics.nsmallest(2).index,
        "near synonyms": _nearest(run, table[~table["top_word_class"].isin(_CLOSED)]),
        "chosen at random": _random(table),
    }
    return {kind: list(map(int, experts)) for kind, experts in found.items()}


def _random(table: pd.DataFrame) -> list[int]:
    random = np.random.default_rng(0)
    number = min(_NUM_RANDOM, len(table))
    # Beside those found by rule, so that a reader sees what an ordinary expert is like.
    return sorted(random.choice(table.index.to_numpy(), number, replace=False).tolist())


def _nearest(run: NamedRun, table: pd.DataFrame) -> list[int]:
    """The two experts whose distinct words of largest gate have the highest mean cosine."""
    words = run.table("expert_words")
    words = words[words["expert"].isin(table.index)]
    vectors = embeddings(run)
    likeness = {
        expert: mean_cosine(vectors, rows["piece"].unique())
        for expert, rows in words.groupby("expert")
        if rows["piece"].nunique() >= _FEWEST_PIECES
    }
    return list(pd.Series(likeness, dtype=float).nlargest(2).index)


def mean_cosine(vectors: Mapping[str, "np.typing.NDArray[np.float32]"], pieces: Any) -> float:
    """Return the mean cosine of all pairs of different subwords; NaN for fewer than two."""
    unit = np.stack([vectors[piece] for piece in pieces])
    if len(unit) < 2:
        return float("nan")
    # Vectors have length one, so inner products are cosines; each pair once.
    return float((unit @ unit.T)[np.triu_indices(len(unit), 1)].mean())


def cosine_table(run: NamedRun) -> pd.DataFrame:
    """How near each other the words of an expert's largest gates lie, beside words at random.

    Of the experts with enough assignments and two different words among their largest gates; the
    words at random are dealt anew from all those words, to experts of the same numbers of them.
    """
    words = run.table("expert_words")
    words = words[words["expert"].isin(judged_experts(run)["expert"])]
    own = words.drop_duplicates(["expert", "piece"])
    vectors, random = embeddings(run), np.random.default_rng(0)
    # The same words and the same numbers of them per expert: only who has which is by chance.
    dealt = own.assign(piece=random.permutation(own["piece"].to_numpy()))
    both = pd.DataFrame(
        {
            name: table.groupby("expert")["piece"].agg(lambda p: mean_cosine(vectors, p.unique()))
            for name, table in (("own", own), ("dealt", dealt))
        }
    ).dropna()
    if both.empty:
        return pd.DataFrame()
    return pd.DataFrame(
        [
            {
                "words": words_of,
                "mean cosine": f"{both[name].mean():.3f}",
                "95 % interval": interval_text(both[name], 3),
                "experts": len(both),
            }
            for name, words_of in (("own", "of one expert"), ("dealt", "dealt at random"))
        ]
    )


def embeddings(run: NamedRun) -> dict[str, "np.typing.NDArray[np.float32]"]:
    """The learnt vector of every source subword that the run shows, of length one."""
    arrays = run.finished.arrays("embeddings")
    vectors = arrays["vector"].astype(np.float32)
    # A subword that was never updated may have a vector of zeros.
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return dict(zip(arrays["piece"].tolist(), unit, strict=True))


def chosen_experts_table(run: NamedRun) -> pd.DataFrame:
    """A row per expert: its kind, counts, and the words of the largest gates in their places."""
    words = run.table("expert_words")
    table = run.table("experts").set_index("expert")
    information = pointwise_information(run)
    rows = []
    for kind, experts in chosen_experts(run).items():
        for expert in experts:
            own, shown = table.loc[expert], words[words["expert"] == expert].head(_NUM_SHOWN)
            rows.append(
                {
                    "kind": kind,
                    "expert": expert,
                    "assignments": f"{own['num_assignments']:,.0f}",
                    "commonest": f"{own['top_piece']} ({own['top_piece_share']:.0%})",
                    "PMI (nats)": f"{information[expert]:.2f}",
                    "class": f"{own['top_word_class']} ({own['top_word_class_share']:.0%})",
                    "largest gates": " | ".join(map(_in_place, shown.itertuples())),
                }
            )
    return pd.DataFrame(rows)


def pointwise_information(run: NamedRun) -> "pd.Series[float]":
    """Return log p(subword | expert) / p(subword) of each expert's commonest one, in nats."""
    counts = run.table("expert_pieces")
    of_expert = counts.groupby("expert")["count"].sum()
    of_piece = counts.groupby("piece", dropna=False)["count"].sum()
    # The table is sorted by count within each expert.
    top = counts.groupby("expert").first()
    # Church & Hanks (1990): pointwise mutual information, log p(x | y) / p(x).
    given = top["count"] / of_expert
    overall = of_piece.loc[top["piece"]].to_numpy() / of_piece.sum()
    information: pd.Series[float] = np.log(given / overall)
    return information


def _in_place(row: Any) -> str:
    around = (
        "" if pd.isna(part) else part.replace("▁", " ").strip() for part in (row.left, row.right)
    )
    before, after = around
    return f"{before} *{row.piece.replace('▁', '')}* {after}".strip()


_MARK = "▁"
_NUM_COMMONEST = 12


@dataclass(frozen=True)
class _WordInPlace:
    gate: str
    left: str
    piece: str
    right: str


@dataclass(frozen=True)
class _Expert:
    number: int
    num_assignments: str
    commonest: str
    share: str
    word_class: str
    words: str
    commonest_words: tuple[str, ...]
    num_pieces: int
    rows: tuple[_WordInPlace, ...]


def expert_page(run: NamedRun) -> str:
    """The page's HTML; every text of the corpus is escaped."""
    return render(
        "experts.html",
        "experts.js",
        title=f"What {run.study.num_experts:,} experts specialise in",
        experts=_experts(run),
    )


def write_expert_page(run: NamedRun, path: Path) -> None:
    """Write the page, and the folder above it if need be."""
    write(expert_page(run), path)


def _experts(run: NamedRun) -> list[_Expert]:
    table = run.table("experts").sort_values("num_assignments", ascending=False)
    groups = run.table("expert_words").groupby("expert")
    words: dict[Any, pd.DataFrame] = dict(iter(groups))
    pieces: dict[Any, pd.DataFrame] = dict(iter(run.table("expert_pieces").groupby("expert")))
    return [
        _expert(own, words[own.expert], pieces[own.expert])
        for own in table[table["num_assignments"] > 0].itertuples()
    ]


def _expert(own: Any, words: pd.DataFrame, pieces: pd.DataFrame) -> _Expert:
    rows = tuple(
        _WordInPlace(f"{row.gate:.2f}", _plain(row.left), _plain(row.piece), _plain(row.right))
        for row in words.itertuples()
    )
    return _Expert(
        number=own.expert,
        num_assignments=f"{own.num_assignments:,.0f}",
        commonest=_plain(own.top_piece),
        share=f"{own.top_piece_share:.0%}",
        word_class=own.top_word_class,
        # In lower case, as the page's search compares.
        words=" ".join(dict.fromkeys(_plain(piece).lower() for piece in pieces["piece"])),
        commonest_words=tuple(
            f"{_plain(row.piece)} {row.count}"
            for row in pieces.head(_NUM_COMMONEST).itertuples(index=False, name="Row")
        ),
        num_pieces=len(pieces),
        rows=rows,
    )


def _plain(text: Any) -> str:
    return "" if pd.isna(text) else shown(str(text).replace(_MARK, " ").strip())
