"""The three kinds of expert are found where they were put, and nowhere else."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from reproductions.language_model.kinds import (
    BIBLES,
    MODERN,
    Shown,
    constructions,
    families,
    kinds_table,
    topics,
)
from tests.reproductions.language_model.test_regime import named

# Expert 1 has all of Latin; 2 the word "an" before "egg"; 3 the colours, which stand in one place
# of a sentence; 0 everything else. Words have two letters or more, and each begins one.
_COLOURS = ("red", "green", "blue", "white")


def _text(round_: int) -> list[tuple[str, str, int]]:
    colour = _COLOURS[round_ % len(_COLOURS)]
    words = [("▁an", 2), ("▁egg", 0), ("▁is", 0), (f"▁{colour}", 3), ("▁today", 0)]
    # The same word before others is another expert's, so that "an" has more than one construction.
    words += [("▁an", 0), ("▁owl", 0), ("▁is", 0), ("▁asleep", 0)]
    english = [("English", piece, expert) for piece, expert in words]
    latin = [("Latin", f"▁w{'abcdefghij'[(round_ + place) % 10]}", 1) for place in range(4)]
    return english + latin


def _table() -> pd.DataFrame:
    """Forty rounds of a sentence in English, then of words in Latin."""
    rows = sorted((row for round_ in range(40) for row in _text(round_)), key=lambda row: row[0])
    return pd.DataFrame(rows, columns=["kind", "piece", "expert_1"])


@pytest.fixture(scope="module")
def shown() -> Shown:
    """The text and its experts."""
    return Shown(_table())


def test_a_topic_is_many_words_of_one_language(shown: Shown) -> None:
    found = topics(shown)
    assert found.index[0] == 1
    assert found[1] == 1
    # One word, or one of four, is no topic.
    assert not {2, 3} & set(found.index)


def test_a_family_has_words_with_the_same_neighbours(shown: Shown) -> None:
    found = families(shown)
    assert found.index[0] == 3
    assert found[3] == pytest.approx(1)
    assert found[3] > 2 * found[0]
    assert 2 not in found.index


def test_a_construction_is_one_word_beside_one_neighbour(shown: Shown) -> None:
    found = constructions(shown)
    assert list(found.index) == [2]
    # "egg" follows every "an" of the expert, and half of all.
    assert found[2] == pytest.approx(0.5)


def test_names_are_no_function_words() -> None:
    rows = [("English", piece, 2) for _ in range(40) for piece in ("▁Saul", "▁went")]
    shown = Shown(pd.DataFrame(rows, columns=["kind", "piece", "expert_1"]))
    assert shown.function_words == {"▁went"}


def test_runs_without_shown_text_are_left_out() -> None:
    run = named("experts_2048", 1.0)
    assert kinds_table({"experts_2048": run}, BIBLES).empty
    assert not Path("experts_2048", "shown.csv").exists()


def test_a_table_has_the_models_of_its_text_and_every_kind(tmp_path: Path) -> None:
    (tmp_path / "shown.csv").touch()
    run: Any = SimpleNamespace(finished=SimpleNamespace(path=tmp_path), table=lambda _: _table())
    names = [*BIBLES, *MODERN]
    assert len(set(names)) == 4
    for models in (BIBLES, MODERN):
        found = kinds_table(dict.fromkeys(names, run), models)
        assert list(found["model"].unique()) == list(models.values())
        assert found.groupby("kind")["model"].nunique().tolist() == [2, 2, 2, 2]
        others = {name: run for name in names if name not in models}
        assert kinds_table(others, models).empty
