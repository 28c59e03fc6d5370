"""The page on which a reader looks up words and experts; it reads without JavaScript too."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.errors import shown
from reproductions.html import render, write
from reproductions.runs import NamedRun

_MARK = "▁"
_NUM_COMMONEST = 12


@dataclass(frozen=True)
class _Row:
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
    rows: tuple[_Row, ...]


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
    table = run.finished.table("experts").sort_values("num_assignments", ascending=False)
    groups = run.finished.table("expert_words").groupby("expert")
    words: dict[Any, pd.DataFrame] = dict(iter(groups))
    pieces: dict[Any, pd.DataFrame] = dict(
        iter(run.finished.table("expert_pieces").groupby("expert"))
    )
    return [
        _expert(own, words[own.expert], pieces[own.expert])
        for own in table[table["num_assignments"] > 0].itertuples()
    ]


def _expert(own: Any, words: pd.DataFrame, pieces: pd.DataFrame) -> _Expert:
    rows = tuple(
        _Row(f"{row.gate:.2f}", _plain(row.left), _plain(row.piece), _plain(row.right))
        for row in words.itertuples()
    )
    return _Expert(
        number=own.expert,
        num_assignments=f"{own.num_assignments:,.0f}",
        commonest=_plain(own.top_piece),
        share=f"{own.top_piece_share:.0%}",
        word_class=own.top_word_class,
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
