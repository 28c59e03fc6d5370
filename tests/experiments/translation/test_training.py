"""Laws of a training step of the translation study: several batches, mixed precision, resuming."""

from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from unittest import mock

import pytest
import torch

from experiments.run_folder import RunFolder, claimed
from experiments.runner.schema import Precision
from experiments.text.encoded import collate, order
from experiments.translation.counts import memory
from experiments.translation.evaluation import balance, cross_entropy
from experiments.translation.settings import TranslationConfig
from experiments.translation.training import Training, learning_rate, optimisers_of, weights
from experiments.translation.translator import Translator
from moe.optimisers import FactoredAdam
from tests.experiments.translation.translation_cases import NUM_SUBWORDS, PAIRS, TINY, train

SEVERAL = replace(TINY, batches_per_step=3)
MIXED = replace(TINY, precision=Precision.bfloat16)


@pytest.mark.parametrize("config", [SEVERAL, MIXED], ids=["several batches", "mixed precision"])
@pytest.mark.parametrize("kill_at", [1, 7])
def test_it_goes_on_bit_for_bit(config: TranslationConfig, tmp_path: Path, kill_at: int) -> None:
    config = replace(config, checkpoint_seconds=0.0)
    whole, curves = train(config, tmp_path / "whole", None)
    train(config, tmp_path / "broken", kill_at)
    again, curves_again = train(config, tmp_path / "broken", None)
    assert curves == curves_again
    assert all(torch.equal(whole[name], again[name]) for name in whole)  # type: ignore[attr-defined,index]


def test_it_is_measured_at_every_so_many_steps_and_at_the_last(tmp_path: Path) -> None:
    config = replace(
        TINY, max_steps=8, evaluate_every=3, report_every=2, patience=100, warm_up_steps=8
    )
    _, (curves, evaluations) = train(config, tmp_path / "run", None)  # type: ignore[misc]
    assert [row["step"] for row in evaluations] == [3, 6, 8]
    for row in evaluations:
        assert 0 <= row["encoder_clean_share_kept"] <= 1
        assert 0 <= row["decoder_clean_share_kept"] <= 1
    assert [row["step"] for row in curves] == [1, 2, 4, 6, 8]
    # The rate that the step was taken with; the first step is step 0 of the rule.
    for row in curves:
        assert row["learning_rate"] == learning_rate(row["step"] - 1, config)


def begun(config: TranslationConfig, folder: RunFolder) -> Training:
    return Training(config, Translator(config, NUM_SUBWORDS, 0), folder)


def test_each_training_draws_noise_of_its_own(tmp_path: Path) -> None:
    streams = []
    for seed in range(3):
        with claimed(tmp_path / f"run{seed}", {"test": seed}) as folder:
            begun(replace(TINY, seed=seed), folder)
        streams.append(torch.rand(3).tolist())
    assert len({tuple(stream) for stream in streams}) == 3


def test_it_ends_when_the_perplexity_has_stopped_falling_for_so_long(tmp_path: Path) -> None:
    config = replace(TINY, max_steps=8, evaluate_every=1, patience=2)
    found = [(9.0, 1), (8.0, 1), (8.0, 1), (8.5, 1)]
    with (
        claimed(tmp_path / "run", {"test": 1}) as folder,
        mock.patch("experiments.translation.training.perplexity", side_effect=found),
    ):
        training = begun(config, folder)
        training.run(PAIRS, PAIRS, lambda *_: None)
    # 8.0 again is no fall, and 8.5 is the second of two.
    assert training.progress.step == 4


@pytest.mark.parametrize(
    ("seconds", "is_asked", "is_due"),
    [(59.0, False, True), (61.0, False, False), (61.0, True, True)],
)
def test_a_checkpoint_is_due_when_its_time_has_passed_or_it_is_asked_for(
    tmp_path: Path, seconds: float, is_asked: bool, is_due: bool
) -> None:
    with (
        claimed(tmp_path / "run", {"test": 1}) as folder,
        mock.patch("experiments.translation.training.is_asked", return_value=is_asked),
        mock.patch("time.perf_counter", return_value=5060.0),
    ):
        training = begun(replace(TINY, checkpoint_seconds=seconds), folder)
        assert training._is_due(5000.0) == is_due


def test_the_time_that_is_left_is_that_of_the_steps_to_come(tmp_path: Path) -> None:
    with claimed(tmp_path / "run", {"test": 1}) as folder:
        training = begun(replace(TINY, max_steps=8), folder)
        progress = training.progress
        progress.step, progress.num_tokens, progress.curves = (
            2,
            120_000,
            [{"loss": 9.0}, {"loss": 2.0}],
        )
        with mock.patch.object(training, "_speed", return_value=100.0):
            # Six steps of 60,000 tokens at 100 a second are an hour.
            assert training._stage(0.0, 0) == "training: loss 2.00, 100 tokens/s, 60 min left"


def test_the_speed_is_that_of_this_process_since_it_began(tmp_path: Path) -> None:
    with claimed(tmp_path / "run", {"test": 1}) as folder:
        training = begun(TINY, folder)
        training.progress.num_tokens = 5_000
        with mock.patch("time.perf_counter", return_value=30.0):
            # 4,000 tokens in twenty seconds; a thousand came before a stop.
            assert training._speed(10.0, 1_000) == 200.0


def test_tokens_and_the_cores_seconds_are_those_of_the_steps(tmp_path: Path) -> None:
    with claimed(tmp_path / "run", {"test": 1}) as folder:
        training = begun(replace(TINY, max_steps=2, evaluate_every=1), folder)
        num_tokens = [
            sum(batch.num_target_tokens for batch in batches)
            for batches in islice(begun(TINY, folder)._steps(PAIRS), 2)
        ]
        # Of a clock that goes on by three at every look; two looks a step.
        with mock.patch("time.process_time", side_effect=count(2, 3)):
            training.run(PAIRS, PAIRS, lambda *_: None)
    assert training.progress.num_tokens == sum(num_tokens)
    assert training.progress.core_seconds == 6


def test_balance_losses_count_alike_over_the_batches_of_a_step(tmp_path: Path) -> None:
    config = replace(
        TINY, dropout=0.0, clip_norm=1e9, batches_per_step=2, importance_weight=50.0, load_weight=0
    )
    batch = collate(PAIRS, [0, 1, 2])
    gradients = []
    for number in (1, 2):
        model = Translator(config, NUM_SUBWORDS, 0).double().eval()
        with claimed(tmp_path / f"run{number}", {"test": number}) as folder:
            Training(config, model, folder)._step([batch] * number)
        found = {
            name: weight.grad
            for name, weight in model.named_parameters()
            if weight.grad is not None
        }
        gradients.append(found)
    assert any("gate" in name and gradient.any() for name, gradient in gradients[0].items())
    # The same batch twice is a step of that batch: neither more balance nor less.
    torch.testing.assert_close(*gradients)


def test_a_text_that_is_read_to_its_end_is_begun_again_in_another_order(tmp_path: Path) -> None:
    with claimed(tmp_path / "run", {"test": 1}) as folder:
        training = begun(TINY, folder)
        num_batches = len(list(order(PAIRS, TINY.tokens_per_batch, TINY.seed, 0)))
        steps = training._steps(PAIRS)
        for _ in range(num_batches + 1):
            next(steps)
    assert (training.progress.epoch, training.progress.batch) == (1, 1)


def test_several_batches_have_the_gradient_of_their_mean_over_subwords(tmp_path: Path) -> None:
    config = replace(TINY, num_experts=0, dropout=0.0, batches_per_step=2, clip_norm=1e9)
    model = Translator(config, NUM_SUBWORDS, 0).double()
    batches = [collate(PAIRS, [0, 1, 2]), collate(PAIRS, [8, 9])]
    num_tokens = sum(batch.num_target_tokens for batch in batches)
    losses = [
        cross_entropy(model(batch.source_BS, batch.target_in_BT), batch) * batch.num_target_tokens
        for batch in batches
    ]
    wanted = torch.autograd.grad(torch.stack(losses).sum() / num_tokens, model.embedding.weight)
    with claimed(tmp_path / "run", {"test": 1}) as folder:
        training = Training(config, model, folder)
        _, noted = training._step(batches)
    assert noted == pytest.approx(float(torch.stack(losses).detach().sum()) / num_tokens)
    assert model.embedding.weight.grad is not None
    torch.testing.assert_close(model.embedding.weight.grad, wanted[0])


def test_mixed_precision_stays_near_full_precision() -> None:
    full, mixed = (
        Translator(replace(config, dropout=0.0, num_experts=1, k=1), NUM_SUBWORDS, 0).eval()
        for config in (TINY, MIXED)
    )
    mixed.load_state_dict(full.state_dict())
    batch = collate(PAIRS, [0, 5, 7])
    with torch.no_grad():
        ours, theirs = (
            model(batch.source_BS, batch.target_in_BT).logits for model in (mixed, full)
        )
    assert ours.dtype is torch.float32
    torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05 * float(theirs.abs().max()))
    assert not torch.equal(ours, theirs)


def test_experts_of_mixed_precision_are_kept_in_it_and_gates_are_not() -> None:
    model = Translator(MIXED, NUM_SUBWORDS, 0)
    for block in model.blocks():
        assert block.layer.stacks[0].weight.dtype is torch.bfloat16
        gates = list(block.layer.gate.parameters())
        assert gates
        assert all(weight.dtype is torch.float32 for weight in gates)
    assert all(array.dtype.kind == "f" for array in weights(model).values())


def test_saved_weights_hold_everything_once() -> None:
    saved = Translator(MIXED, NUM_SUBWORDS, 0).state_dict()
    assert len({tensor.data_ptr() for tensor in saved.values()}) == len(saved)


def test_the_memory_plan_knows_precision_and_kept_gradients() -> None:
    plain, mixed, kept = (
        memory(TINY, NUM_SUBWORDS),
        memory(MIXED, NUM_SUBWORDS),
        memory(TINY, NUM_SUBWORDS, batches_per_step=2),
    )
    num_expert_bytes = 4 * 2 * 2 * TINY.num_experts * TINY.width * TINY.expert_units
    assert plain.parameters - mixed.parameters == num_expert_bytes // 2
    assert kept.gradients - plain.gradients == num_expert_bytes


def test_balance_losses_of_all_mixtures_are_added_each_with_its_weight() -> None:
    config = replace(TINY, importance_weight=0.25, load_weight=0.5)
    model = Translator(config, NUM_SUBWORDS, 0)
    batch = collate(PAIRS, [0, 5, 7])
    with torch.no_grad():
        output = model(batch.source_BS, batch.target_in_BT)
    losses = [each.routing.losses for each in output.moe.values()]
    assert len(losses) > 1
    assert all(set(each) == {"importance", "load"} for each in losses)
    wanted = sum(0.25 * float(each["importance"]) + 0.5 * float(each["load"]) for each in losses)
    assert float(balance(output, config)) == pytest.approx(wanted)
    assert wanted > 0


def test_adam_moves_what_all_words_use_and_the_factored_moment_the_experts() -> None:
    model = Translator(TINY, NUM_SUBWORDS, 0)
    held = {id(stack.weight) for block in model.blocks() for stack in block.layer.stacks}
    adam, factored = optimisers_of(model, TINY).each
    assert isinstance(adam, torch.optim.Adam)
    assert isinstance(factored, FactoredAdam)
    moved = [
        {id(weight) for group in each.param_groups for weight in group["params"]}
        for each in (adam, factored)
    ]
    assert moved == [{id(weight) for weight in model.parameters()} - held, held]
    assert held


def test_gate_learns_at_its_share_of_the_rate_and_nothing_else_does() -> None:
    config = replace(TINY, gate_learning_rate=4.0)
    model = Translator(config, 40, seed=0)
    optimisers = optimisers_of(model, config)
    optimisers.begin(0.01)
    rates = {
        id(weight): group["lr"]
        for group in optimisers.each[0].param_groups
        for weight in group["params"]
    }
    gates = {id(each) for block in model.blocks() for each in block.layer.gate.parameters()}
    assert gates
    assert all(rates[number] == pytest.approx(0.04) for number in gates)
    assert {rate for number, rate in rates.items() if number not in gates} == {0.01}
