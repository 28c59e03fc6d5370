"""What experts are given, word classes, scores, and the translate command."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mutual_info_score

from experiments.runner.errors import UserError
from experiments.text.encoded import Encoded, rows_of
from experiments.translation.answers import bleu, sentence_bleu
from experiments.translation.expert_words import (
    assignments,
    expert_words,
    experts,
    specialisation,
    tokens,
    word_class,
)
from experiments.translation.settings import TranslationConfig
from experiments.translation.translate import settings
from experiments.translation.translator import Translator

CONFIG = TranslationConfig(
    width=8, num_units=10, num_experts=8, k=2, expert_units=4, attention_units=4, init_range=0.8
)
PAIRS = Encoded(
    rows_of([[4 + (7 * n + p) % 9 for p in range(2 + n % 5)] for n in range(40)]),
    rows_of([[4] for _ in range(40)]),
    ["even" if n % 2 == 0 else "odd" for n in range(40)],
)
NUM_TOKENS = sum(map(len, PAIRS.source))


class _Letters:
    """Subwords that are one letter each, every third beginning a word."""

    def piece(self, number: int) -> str:
        return ("▁" if number % 3 == 0 else "") + "abcdefghijklmnop"[number]


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    model = Translator(CONFIG, 13, 0)
    for name, weight in model.named_parameters():
        if "gate" in name:
            weight.data.normal_()
    return assignments(model, PAIRS, 60)


@pytest.fixture(scope="module")
def every_token() -> pd.DataFrame:
    return tokens(PAIRS, _Letters())  # type: ignore[arg-type]


def test_every_token_has_k_experts_whose_gates_sum_to_one(found: pd.DataFrame) -> None:
    per_token = found.groupby(["pair", "place"])["gate"]
    assert len(per_token) == NUM_TOKENS
    assert (per_token.size() == CONFIG.k).all()
    np.testing.assert_allclose(per_token.sum(), 1, rtol=1e-5)


def test_an_experts_words_are_its_largest_gates_in_their_places(found: pd.DataFrame) -> None:
    table = expert_words(found, PAIRS, _Letters())  # type: ignore[arg-type]
    for expert, rows in table.groupby("expert"):
        best = found[found["expert"] == expert]["gate"].nlargest(10)
        np.testing.assert_allclose(rows["gate"], best)
    for row in table.itertuples():
        whole = "".join(_Letters().piece(number) for number in PAIRS.source[row.pair])
        assert f"{row.left}{row.piece}{row.right}" in whole


def test_shares_and_entropies_of_an_expert_are_of_its_own_tokens(
    found: pd.DataFrame, every_token: pd.DataFrame
) -> None:
    table = experts(found, every_token, CONFIG.num_experts).set_index("expert")
    assert table["num_assignments"].sum() == CONFIG.k * NUM_TOKENS
    joined = found.merge(every_token, on=["pair", "place"])
    for expert, rows in joined.groupby("expert"):
        share = rows["piece"].value_counts(normalize=True)
        assert table.loc[expert, "top_piece_share"] == pytest.approx(share.max())
        assert table.loc[expert, "piece_entropy"] == pytest.approx(-(share * np.log(share)).sum())


def test_a_gate_that_sends_no_token_anywhere_has_empty_tables(
    found: pd.DataFrame, every_token: pd.DataFrame
) -> None:
    none = found.iloc[:0]
    assert expert_words(none, PAIRS, _Letters()).empty  # type: ignore[arg-type]
    table = experts(none, every_token, CONFIG.num_experts)
    assert list(table["num_assignments"]) == [0] * CONFIG.num_experts
    assert table["piece_entropy"].isna().all()
    known = specialisation(none, every_token)
    assert (known[["information", "chance", "entropy", "num_assignments"]] == 0).all(axis=None)


def test_information_is_mutual_information_and_chance_is_below_it(
    found: pd.DataFrame, every_token: pd.DataFrame
) -> None:
    table = specialisation(found, every_token).set_index("of")
    joined = found.merge(every_token, on=["pair", "place"])
    expected = mutual_info_score(joined["expert"], joined["piece"])
    assert table.loc["piece", "information"] == pytest.approx(expected)
    # The gate sees the piece; which of two sentences it stands in says nothing.
    assert table.loc["piece", "information"] > 2 * table.loc["piece", "chance"]
    assert (table["information"] <= table["entropy"] + 1e-9).all()


def test_experts_of_random_tokens_know_nothing(every_token: pd.DataFrame) -> None:
    random = np.random.default_rng(0)
    dealt = every_token[["pair", "place"]].assign(
        expert=random.integers(0, 4, len(every_token)), gate=1.0
    )
    table = specialisation(dealt, every_token).set_index("of")
    far = (table["information"] - table["chance"]).abs() / table["chance_sd"]
    assert (far < 4).all()


@pytest.mark.parametrize(
    ("word", "is_first", "found"),
    [
        ("the", False, "determiner"),
        ("Jerusalem,", False, "name"),
        ("Walking", True, "-ing"),
        ("\"He", True, "pronoun"),
        ("7", False, "number word"),
        (";", False, "punctuation"),
        ("stone", False, "other"),
    ],
)  # fmt: skip
def test_word_classes(word: str, is_first: bool, found: str) -> None:
    assert word_class(word, is_first) == found


def test_bleu_of_the_reference_is_100_and_brackets_the_score() -> None:
    texts = [f"le chat numéro {n} mange la souris grise ." for n in range(20)]
    for row in bleu(texts, texts):
        assert row["value"] == pytest.approx(100)
    worse = [text.replace("chat", "chien") if n % 2 else text for n, text in enumerate(texts)]
    for row in bleu(worse, texts):
        assert row["low"] < row["value"] < row["high"] < 100  # type: ignore[operator]
    assert sentence_bleu(texts[0], texts[0]) == pytest.approx(100)


def test_tokenised_bleu_splits_what_moses_splits() -> None:
    answer, reference = ["l'homme dit: viens ici ce soir"], ["l'homme dit : viens ici ce soir"]
    assert bleu(answer, reference)[1]["value"] == pytest.approx(100)


@pytest.mark.parametrize("wrong", ["beam=3", "num_best=0", "show=all", "file"])
def test_translate_refuses_what_it_does_not_know(wrong: str) -> None:
    with pytest.raises(UserError):
        settings([wrong])


def test_translate_knows_the_settings_of_the_search() -> None:
    own, changes = settings(["run=ab12", "beam_width=2"])
    assert own["run"] == "ab12"
    assert changes == ["beam_width=2"]
