"""Laws of what experts are worth to their words."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments.language_model.model import LanguageModel
from experiments.language_model.settings import Gate
from experiments.language_model.specialisation import shown_text, siblings, worth
from tests.experiments.language_model.test_study import TOY, encoded, train


def test_siblings_are_other_places_of_the_same_word_each_drawn_once() -> None:
    word_T = np.random.default_rng(0).integers(0, 30, 400)
    word_T[7] = 99
    place_T = siblings(word_T, np.random.default_rng(1))
    assert sorted(place_T) == list(range(400))
    assert (word_T[place_T] == word_T).all()
    alone = np.bincount(word_T)[word_T] == 1
    assert ((place_T == np.arange(400)) == alone).all()


@pytest.mark.parametrize("gate", [Gate.noisy_top_k, Gate.hierarchical, Gate.hash_two_words])
def test_without_a_change_a_word_loses_nothing_and_equal_experts_can_be_exchanged(
    gate: Gate,
) -> None:
    torch.manual_seed(0)
    model = LanguageModel(replace(TOY, gate=gate), 300)
    for weight in model.parameters():
        torch.nn.init.normal_(weight)
    found = worth(model, encoded(), 2000, 0).set_index("change")["rise"]
    assert found["nothing"] == 0
    assert (found.drop("nothing").abs() > 1e-4).all()
    for stack in model.mixture.stacks:  # type: ignore[union-attr]
        stack.weight.data[:] = stack.weight.data[:1]
    equal = worth(model, encoded(), 2000, 0).set_index("change")["rise"]
    assert equal[["sibling", "stranger"]].abs().max() < 1e-6
    assert abs(equal["removed"]) > 1e-4


def test_experts_that_know_their_words_are_worth_more_than_strangers() -> None:
    training = train(replace(TOY, max_steps=150, num_experts=4, k=1, gate=Gate.hash_word))
    found = worth(training.model, encoded(seed=1), 2000, 0).set_index("change")["rise"]
    # By a hash of the word every sibling is the same expert.
    assert abs(found["sibling"]) < 1e-6
    assert found["stranger"] > 0.001


class Pieces:
    """Subwords that are written as their numbers."""

    def piece(self, number: int) -> str:
        return f"_{number}"


def test_the_shown_text_has_the_experts_that_the_model_chose() -> None:
    torch.manual_seed(0)
    model, text = LanguageModel(replace(TOY, gate=Gate.random_words), 300), encoded()
    found = shown_text(model, text, Pieces())  # type: ignore[arg-type]
    assert found["kind"].value_counts().to_dict() == {"a": 1500, "b": 1500}
    own = found[found["kind"] == "b"]
    assert own["piece"].tolist() == [f"_{number}" for number in text.ids[text.ids >= 152][:1500]]
    # A random gate that sees the word alone gives every occurrence the same experts.
    experts = [f"expert_{number}" for number in range(1, 5)]
    assert (found.groupby("piece")[experts].nunique() == 1).all().all()
    weights = found[[f"weight_{number}" for number in range(1, 5)]].to_numpy()
    assert (np.diff(weights, axis=1) <= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-3)
