"""Beam search against trying every translation, on small models."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from experiments.text.subwords import END, PAD, START
from experiments.translation.beam import Hypothesis, scores, search
from experiments.translation.settings import TranslationConfig
from experiments.translation.translator import Translator

NUM_SUBWORDS = 7
CONFIG = TranslationConfig(
    width=4,
    num_units=6,
    num_experts=4,
    k=2,
    expert_units=3,
    attention_units=3,
    init_range=1.5,
    beam_width=400,
    score_margin=None,
    max_length_ratio=0.5,
)
SOURCE = torch.tensor([[4, 5, 6, 4, 5], [6, 4, PAD, PAD, PAD], [5, 5, 5, 6, PAD]])


def model_of(seed: int) -> Translator:
    return Translator(CONFIG, NUM_SUBWORDS, seed).eval()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    # Every translation of at most four subwords can be tried.
    monkeypatch.setattr("experiments.translation.beam._SHORTEST_LIMIT", 4)


def every_score(
    model: Translator, source_S: torch.Tensor, limit: int
) -> dict[tuple[int, ...], float]:
    allowed = [1, *range(4, NUM_SUBWORDS)]
    found = {}
    for length in range(limit):
        for ids in itertools.product(allowed, repeat=length):
            target = torch.tensor([[START, *ids]])
            with torch.no_grad():
                output = model(source_S[None], target)
            log_probability = torch.log_softmax(output.logits[0], dim=-1)
            total = sum(log_probability[place, token] for place, token in enumerate([*ids, END]))
            coverage = output.attention_BTS[0].sum(dim=0)
            mask = source_S != PAD
            found[ids] = float(scores(torch.as_tensor(total), length + 1, coverage, mask, CONFIG))
    return found


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_the_best_of_all(seed: int) -> None:
    model = model_of(seed)
    answers = search(model, SOURCE, CONFIG, num_best=3)
    for source, answer in zip(SOURCE, answers, strict=True):
        every = every_score(model, source, 4)
        best = sorted(every.values(), reverse=True)[:3]
        assert [each.score for each in answer] == pytest.approx(best, abs=1e-4)
        assert all(every[tuple(each.ids)] == pytest.approx(each.score, abs=1e-4) for each in answer)


@given(st.integers(0, 50), st.integers(1, 6), st.sampled_from([None, 0.5, 3.0]))
def test_a_sentence_says_the_same_alone_and_in_company(
    seed: int, width: int, margin: float | None
) -> None:
    model = model_of(seed)
    config = replace(CONFIG, beam_width=width, score_margin=margin, max_length_ratio=2.0)
    together = search(model, SOURCE, config)
    for source, (best, *_) in zip(SOURCE, together, strict=True):
        (alone,) = search(model, source[source != PAD][None], config)
        assert alone[0].ids == best.ids
        assert alone[0].score == pytest.approx(best.score, abs=1e-4)


def test_a_beam_of_one_takes_the_likeliest_subword() -> None:
    model = model_of(4)
    config = replace(CONFIG, beam_width=1, max_length_ratio=2.0)
    for source in SOURCE:
        source = source[source != PAD][None]
        ((best,),) = search(model, source, config)
        target = torch.tensor([[START, *best.ids]])
        logits = model(source, target).logits[0]
        logits[:, [PAD, START]] = -torch.inf
        # The last may be an end that the limit forced.
        assert logits.argmax(dim=1).tolist()[:-1] == best.ids


def test_answers_keep_to_the_limit_and_name_where_they_looked() -> None:
    config = replace(CONFIG, beam_width=3, max_length_ratio=2.0)
    for seed in range(5):
        answers = search(model_of(seed), SOURCE, config, num_best=2)
        for source, found in zip(SOURCE, answers, strict=True):
            length = int((source != PAD).sum())
            assert found == sorted(found, key=lambda each: -each.score)
            assert all(_is_whole(each, length) for each in found)


@pytest.mark.parametrize("penalty", [50.0, 1e6, float("inf")])
def test_a_search_ends_whatever_the_penalty(penalty: float) -> None:
    config = replace(CONFIG, beam_width=2, max_length_ratio=2.0, length_penalty=penalty)
    for source, found in zip(SOURCE, search(model_of(0), SOURCE, config), strict=True):
        assert len(found[0].ids) < max(8, 2 * int((source != PAD).sum()))


def _is_whole(hypothesis: Hypothesis, length: int) -> bool:
    return (
        not {PAD, START, END} & set(hypothesis.ids)
        and len(hypothesis.looked_at) == len(hypothesis.ids) + 1 <= max(8, 2 * length)
        and max(hypothesis.looked_at) < length
    )


def test_penalties_as_printed() -> None:
    config = replace(CONFIG, length_penalty=0.5, coverage_penalty=0.1)
    coverage, mask = torch.tensor([0.5, 2.0, 0.1]), torch.tensor([True, True, False])
    found = scores(torch.tensor(-3.0), 4, coverage, mask, config)
    # log P / (9 / 6)^0.5 + 0.1 * log 0.5: what is seen twice counts once, padding not at all.
    assert float(found) == pytest.approx(-3.0 / 1.5**0.5 + 0.1 * -0.6931472)


def test_what_falls_behind_by_the_margin_is_given_up() -> None:
    # Without any margin only the likeliest subword of each place is left, however wide the beam;
    # with none at all the beam finds something better.
    wide = replace(CONFIG, beam_width=6, max_length_ratio=2.0)
    differ = 0
    for seed in range(4):
        model = model_of(seed)
        source = SOURCE[:1]
        ((strict,),) = search(model, source, replace(wide, score_margin=0.0))
        ((free,),) = search(model, source, wide)
        with torch.no_grad():
            logits = model(source, torch.tensor([[START, *strict.ids]])).logits[0]
        logits[:, [PAD, START]] = -torch.inf
        likeliest = logits.argmax(dim=1).tolist()
        assert likeliest[:-1] == strict.ids
        # It ends where an end is likeliest, or at the limit of twice five subwords.
        assert likeliest[-1] == END or len(strict.ids) + 1 == 10
        differ += strict.ids != free.ids
    assert differ
