"""The translation model: masks, steps, weights; and a training that is broken off."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments.runner.errors import UserError
from experiments.text.encoded import Batch, collate
from experiments.text.subwords import PAD
from experiments.translation.counts import (
    memory,
    num_expert_parameters,
    num_parameters,
    operations_per_timestep,
)
from experiments.translation.evaluation import balance, cross_entropy, learning_rate
from experiments.translation.settings import Attention, GateName, TranslationConfig, check
from experiments.translation.translator import Translator
from tests.experiments.translation.translation_cases import NUM_SUBWORDS, PAIRS, TINY, train

CASES = {
    "none": replace(TINY, num_experts=0),
    "flat": TINY,
    "hierarchical": replace(TINY, gate=GateName.hierarchical),
    "balanced": replace(TINY, gate=GateName.balanced),
    "forward": replace(TINY, bidirectional=False, attention=Attention.additive),
}


@pytest.fixture(params=CASES)
def config(request: pytest.FixtureRequest) -> TranslationConfig:
    return CASES[request.param]


def batch_of(*places: int) -> Batch:
    return collate(PAIRS, list(places))


def test_step_by_step_says_the_same_as_all_at_once(config: TranslationConfig) -> None:
    model = Translator(config, NUM_SUBWORDS, 0).eval()
    batch = batch_of(3, 4, 9)
    whole = model(batch.source_BS, batch.target_in_BT)
    memory = model.encode(batch.source_BS)
    state = model.start(memory)
    mask = batch.target_in_BT != PAD
    for place in range(batch.target_in_BT.shape[1]):
        here = slice(place, place + 1)
        step = model.decode(batch.target_in_BT[:, here], mask[:, here], memory, state)
        torch.testing.assert_close(step.logits[:, 0], whole.logits[:, place])
        torch.testing.assert_close(step.attention_BTS[:, 0], whole.attention_BTS[:, place])
        state = step.state


def test_padding_and_company_change_nothing(config: TranslationConfig) -> None:
    model = Translator(config, NUM_SUBWORDS, 0).eval()
    alone, among = batch_of(5), batch_of(5, 4, 11)
    assert among.source_BS.shape[1] > alone.source_BS.shape[1]
    length = alone.target_in_BT.shape[1]
    one = model(alone.source_BS, alone.target_in_BT).logits[0]
    many = model(among.source_BS, among.target_in_BT).logits[0, :length]
    torch.testing.assert_close(one, many)


def test_attention_looks_at_words_only(config: TranslationConfig) -> None:
    model = Translator(config, NUM_SUBWORDS, 0).eval()
    batch = batch_of(0, 4)
    weights = model(batch.source_BS, batch.target_in_BT).attention_BTS
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))
    assert not weights[0, :, 2:].any()


def test_a_beams_rows_can_be_exchanged(config: TranslationConfig) -> None:
    model = Translator(config, NUM_SUBWORDS, 0).eval()
    batch, index = batch_of(3, 4, 9), torch.tensor([2, 0, 0])
    memory = model.encode(batch.source_BS)
    first, second = batch.target_in_BT[:, :1], batch.target_in_BT[:, 1:2]
    mask = torch.ones_like(first, dtype=torch.bool)
    state = model.decode(first, mask, memory, model.start(memory)).state
    plain = model.decode(second, mask, memory, state).logits
    moved = model.decode(second[index], mask, memory.take(index), state.take(index)).logits
    torch.testing.assert_close(moved, plain[index])


def test_every_weight_learns(config: TranslationConfig) -> None:
    model = Translator(config, NUM_SUBWORDS, 0)
    batch = batch_of(*range(30))
    # The gates begin at zero and all losses reach them once they are not.
    for name, weight in model.named_parameters():
        if "gate" in name:
            torch.nn.init.normal_(weight, std=0.3)
    output = model(batch.source_BS, batch.target_in_BT)
    torch.autograd.backward(cross_entropy(output, batch) + balance(output, config))
    still = [name for name, w in model.named_parameters() if w.grad is None or not w.grad.any()]
    assert still == []


def test_the_learning_rate_rises_stays_and_falls() -> None:
    config = replace(TINY, warm_up_steps=10, constant_steps=20, learning_rate=1.0)
    rates = [learning_rate(step, config) for step in range(200)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:30] == [1.0] * 21
    assert rates[119] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k": 9}, "is more than"),
        ({"width": 12}, "must be smaller than"),
        ({"gate": GateName.hierarchical, "num_groups": 3}, "must divide"),
        ({"gate": GateName.hierarchical, "k": 2}, "no whole root"),
    ],
)
def test_contradicting_settings_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check(replace(TINY, **change))  # type: ignore[arg-type]


def test_parameters_are_counted_as_the_model_has_them(config: TranslationConfig) -> None:
    model = Translator(config, NUM_SUBWORDS, 0)
    assert num_parameters(config, NUM_SUBWORDS) == sum(w.numel() for w in model.parameters())


PAPER = TranslationConfig(
    width=512,
    num_units=2048,
    num_experts=2048,
    num_groups=64,
    expert_units=2048,
    attention_units=512,
    gate=GateName.hierarchical,
)


def test_the_published_sizes_come_out() -> None:
    num_subwords = 2**15
    # Table 2: 85 million operations and 8.7 billion parameters; GNMT's count leaves out biases,
    # gates and attention.
    assert operations_per_timestep(PAPER, num_subwords) == pytest.approx(84.9e6, rel=1e-3)
    without = replace(PAPER, num_experts=0)
    assert operations_per_timestep(without, num_subwords) == pytest.approx(68.2e6, rel=1e-3)
    assert num_expert_parameters(PAPER) == 2 * 2048 * 2_097_152
    assert num_parameters(PAPER, num_subwords) == pytest.approx(8.7e9, rel=5e-3)


def test_the_published_model_fits_one_gpu_of_80_gb() -> None:
    assert 34e9 < memory(PAPER, 2**15).total < 40e9


@pytest.mark.parametrize("kill_at", [1, 7])
def test_a_training_that_was_broken_off_ends_the_same_bit_for_bit(
    config: TranslationConfig, tmp_path: Path, kill_at: int
) -> None:
    # A checkpoint after every step.
    config = replace(config, checkpoint_seconds=0.0)
    whole, curves = train(config, tmp_path / "whole", None)
    train(config, tmp_path / "broken", kill_at)
    again, curves_again = train(config, tmp_path / "broken", None)
    assert curves == curves_again
    assert all(torch.equal(whole[name], again[name]) for name in whole)  # type: ignore[attr-defined,index]
