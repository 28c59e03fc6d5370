"""Laws of the language model, and its whole path on real text at toy size."""

import re
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from experiments.execute import execute
from experiments.language_model import text
from experiments.language_model.counts import num_weights, operations_per_word, regime
from experiments.language_model.evaluation import (
    answers,
    clean_share_kept,
    information,
    losses,
    perplexity,
    routing,
)
from experiments.language_model.model import HashGate, LanguageModel
from experiments.language_model.search import points
from experiments.language_model.settings import (
    LEARNT_GATES,
    Block,
    Gate,
    LanguageModelConfig,
    SearchConfig,
    Text,
    check,
)
from experiments.language_model.training import Training, learning_rate
from experiments.run_folder import read_finished
from experiments.runner.errors import UserError

TOY = LanguageModelConfig(
    bibles=["k", "l"],
    num_subwords=300,
    width=8,
    expert_units=16,
    num_experts=16,
    num_groups=4,
    num_streams=8,
    num_unrolled=8,
    max_steps=6,
    num_seeds=2,
    evaluate_every=3,
    report_every=2,
    num_evaluated=2000,
    learning_rate=0.03,
    warm_up_steps=4,
)


# Of eight streams of eight subwords each, with one to be asked for.
SIX_WINDOWS = 6 * 64 + 8


def encoded(num: int = 4000, num_documents: int = 40, seed: int = 0) -> text.Encoded:
    """A text without sense: in documents of either kind all subwords are from one half."""
    random = np.random.default_rng(seed)
    kind = (np.arange(num_documents) % 2).astype(np.int32)
    start = np.linspace(0, num, num_documents + 1).astype(np.int64)
    halves = np.repeat(kind, np.diff(start))
    return text.Encoded(
        (4 + 148 * halves + random.integers(0, 148, num)).astype(np.int32), start, kind, ["a", "b"]
    )


def test_streams_go_through_the_text_once_and_ask_for_what_comes_next() -> None:
    found = encoded()
    every = list(text.windows(found, 5, 7, "cpu"))
    length = (len(found) - 1) // 5
    assert len(every) == length // 7
    inputs_B = torch.cat([window.inputs_SB for window in every]).T
    targets_B = torch.cat([window.targets_SB for window in every]).T
    for stream, (inputs, targets) in enumerate(zip(inputs_B, targets_B, strict=True)):
        own = found.ids[stream * length :][: len(inputs) + 1].tolist()
        assert (inputs.tolist(), targets.tolist()) == (own[:-1], own[1:])
    kinds = torch.cat([window.kind_SB for window in every])
    assert torch.equal(kinds, (torch.cat([window.inputs_SB for window in every]) >= 152).long())


def test_an_epoch_has_every_document_in_an_order_of_its_own() -> None:
    found = encoded()
    orders = [
        torch.cat([w.inputs_SB for w in text.windows(found, 1, 1, "cpu", np.random.default_rng(n))])
        for n in (0, 0, 1)
    ]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    counts = [torch.bincount(order.flatten(), minlength=300) for order in (orders[0], orders[2])]
    assert (counts[0] - counts[1]).abs().sum() <= 2  # The very last subword is only a target.


@pytest.mark.parametrize("block", list(Block))
def test_a_stretch_in_two_parts_is_the_stretch(block: Block) -> None:
    torch.manual_seed(0)
    model = LanguageModel(replace(TOY, block=block, gate=Gate.hash_two_words), 300).eval()
    inputs_SB = torch.randint(300, (10, 3))
    whole = model(inputs_SB).logits_SBV
    first = model(inputs_SB[:4])
    second = model(inputs_SB[4:], first.state, inputs_SB[3])
    torch.testing.assert_close(torch.cat([first.logits_SBV, second.logits_SBV]), whole)


@pytest.mark.parametrize("block", list(Block))
def test_operations_are_those_that_torch_counts(block: Block) -> None:
    config = replace(TOY, block=block, gate=Gate.hash_word)
    model, inputs_SB = LanguageModel(config, 300).eval(), torch.randint(300, (5, 7))
    with FlopCounterMode(display=False) as counter:
        model(inputs_SB)
    per_word = counter.get_total_flops() / 2 / inputs_SB.numel() - config.width * 300
    # Torch does not count the products of its LSTMs.
    num_in_lstms = 8 * config.width**2 * len(model.lstms)
    counted = per_word if per_word > operations_per_word(config) * 0.99 else per_word + num_in_lstms
    assert counted == operations_per_word(config)


def test_models_that_are_compared_cost_the_same_operations() -> None:
    equal = {
        operations_per_word(replace(TOY, block=block))
        for block in (Block.experts, Block.wide, Block.deep, Block.lstm)
    }
    assert len(equal) == 1
    assert operations_per_word(replace(TOY, num_experts=4096)) in equal
    assert operations_per_word(replace(TOY, block=Block.none)) == 2 * 8 * TOY.width**2
    # Table 7: 8.4 million at the published width, for four experts as for any one layer.
    paper = replace(TOY, width=512, expert_units=1024, num_experts=4)
    assert operations_per_word(paper) == 8_388_608


@pytest.mark.parametrize("gate", list(Gate))
@pytest.mark.parametrize("block", [Block.experts, Block.wide, Block.none])
def test_weights_are_counted_exactly(block: Block, gate: Gate) -> None:
    config = replace(TOY, block=block, gate=gate)
    model = LanguageModel(config, 300)
    learnt = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    counted = num_weights(config, 300)
    biases = sum(p.numel() for name, p in model.named_parameters() if "bias_" in name)
    gates = 0 if gate in (Gate.noisy_top_k, Gate.hierarchical) else counted["gate"]
    assert learnt == sum(counted.values()) - gates + biases


def test_the_constant_is_what_a_mixture_adds_before_it_learns() -> None:
    torch.manual_seed(0)
    mixture = LanguageModel(TOY, 300).eval()
    constant = LanguageModel(replace(TOY, block=Block.constant), 300).eval()
    constant.load_state_dict(mixture.state_dict(), strict=False)
    for stack in mixture.mixture.experts.children():  # type: ignore[union-attr]
        torch.nn.init.zeros_(stack.weight)  # type: ignore[arg-type]
    inputs_SB = torch.randint(300, (5, 3))
    torch.testing.assert_close(constant(inputs_SB).logits_SBV, mixture(inputs_SB).logits_SBV)


@pytest.mark.parametrize(("num_experts", "k"), [(16, 4), (7, 7), (5, 1), (2048, 4)])
def test_a_hash_gives_every_word_k_experts_of_its_own_and_all_are_used(
    num_experts: int, k: int
) -> None:
    gate, words = HashGate(num_experts, k), torch.arange(9000).view(100, 45, 2)
    found = gate(words)
    expert_TK = found.expert_A.view(-1, k)
    assert all(len(set(row)) == k for row in expert_TK.tolist())
    assert torch.equal(found.weight_A, torch.full_like(found.weight_A, 1 / k))
    assert torch.equal(gate(words).expert_A, found.expert_A)
    assert len(expert_TK.unique()) > 0.9 * num_experts
    # Another first word is another key, as is another second one.
    for changed in (words + torch.tensor([1, 0]), words + torch.tensor([0, 1])):
        same = (gate(changed).expert_A.view(-1, k)[:, 0] == expert_TK[:, 0]).float().mean()
        assert same < 3 / num_experts + 0.05


def test_a_control_of_one_word_routes_every_occurrence_alike() -> None:
    for gate in (Gate.hash_word, Gate.random_words):
        model = LanguageModel(replace(TOY, gate=gate), 300).eval()
        inputs_SB = torch.randint(300, (20, 6))
        found = model(inputs_SB).moe.routing.expert_A.view(-1, TOY.k)
        words = inputs_SB.flatten()
        for word in words.unique():
            assert len(found[words == word].unique(dim=0)) == 1


def test_gates_that_learn_nothing_have_no_gradient_and_no_optimiser() -> None:
    for gate in (Gate.hash_word, Gate.random_words, Gate.random_inputs):
        training = Training(replace(TOY, gate=gate), 300, 0, None)
        before = {name: value.clone() for name, value in training.model.named_parameters()}
        training.run(encoded(), encoded(1000), lambda *_: None, lambda: None)
        for name, value in training.model.named_parameters():
            is_gate = "gate" in name or "vectors" in name
            assert torch.equal(value, before[name]) == is_gate, name


def train(
    config: LanguageModelConfig,
    kept: dict | None = None,  # type: ignore[type-arg]
    num: int = 4000,
) -> Training:
    training = Training(config, 300, 0, kept)
    training.run(encoded(num), encoded(1000, seed=1), lambda *_: None, lambda: None)
    return training


def same(one: Training, other: Training) -> bool:
    pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("factored", [True, False])
@pytest.mark.parametrize("gate", [Gate.noisy_top_k, Gate.hierarchical])
def test_a_training_goes_on_to_the_same_bits(gate: Gate, factored: bool) -> None:
    config = replace(TOY, gate=gate, factored=factored, dropout=0.2, max_steps=8)
    whole = train(config, num=SIX_WINDOWS)
    # One kept state is of the first epoch, one of the second.
    for step in (3, 7):
        kept = train(replace(config, max_steps=step), num=SIX_WINDOWS).kept()
        assert same(train(config, kept, SIX_WINDOWS), whole)


@pytest.mark.parametrize("gate", list(Gate))
def test_balance_losses_reach_a_gate_that_learns_and_no_other(gate: Gate) -> None:
    config = replace(TOY, gate=gate, importance_weight=0.0, load_weight=0.0)
    without, with_losses = train(config), train(replace(config, importance_weight=1.0))
    # A fixed gate cannot follow them; the layers before it could, and must not be pulled either.
    assert same(without, with_losses) == (gate not in LEARNT_GATES)


def test_balance_losses_are_added_to_the_loss() -> None:
    training = Training(replace(TOY, importance_weight=0.5, load_weight=2.0), 300, 0, None)
    window = next(training._windows(encoded()))
    with mock.patch("torch.autograd.backward", wraps=torch.autograd.backward) as backward:
        output, loss = training._step(window)
    assert output.moe is not None
    found = output.moe.routing.losses
    added = float((0.5 * found["importance"] + 2.0 * found["load"]).detach())
    assert added > 0
    assert float(backward.call_args.args[0].detach()) == pytest.approx(loss + added)


def test_measuring_changes_nothing_that_is_trained() -> None:
    one = train(TOY)
    other = train(replace(TOY, report_every=1, evaluate_every=1))
    assert same(one, other)
    assert not same(one, train(replace(TOY, gate_learning_rate=3.0)))
    assert not same(one, train(replace(TOY, expert_learning_rate=0.5)))


@pytest.mark.parametrize(
    ("seconds", "is_asked", "num_saved"),
    [(0.0, False, TOY.max_steps), (1e9, False, 0), (1e9, True, TOY.max_steps)],
)
def test_a_checkpoint_is_kept_when_its_time_has_passed_or_it_is_asked_for(
    seconds: float, is_asked: bool, num_saved: int
) -> None:
    training, saved = Training(replace(TOY, checkpoint_seconds=seconds), 300, 0, None), []
    with mock.patch("experiments.language_model.training.is_asked", return_value=is_asked):
        training.run(encoded(), encoded(1000), lambda *_: None, lambda: saved.append(1))
    assert len(saved) == num_saved


def test_a_checkpoint_waits_for_its_time_after_the_last_one() -> None:
    training, saved = Training(replace(TOY, checkpoint_seconds=2.5), 300, 0, None), []
    # The clock says how many steps are done: a checkpoint after every third of them.
    with mock.patch("experiments.language_model.training.time") as clock:
        clock.process_time.return_value = 0.0
        clock.perf_counter.side_effect = lambda: 1000.0 + training.progress.step
        training.run(
            encoded(), encoded(1000), lambda *_: None, lambda: saved.append(training.progress.step)
        )
    assert saved == list(range(3, TOY.max_steps + 1, 3))


def test_what_a_training_notes_is_of_its_steps_and_of_its_model_then() -> None:
    config = replace(TOY, max_steps=8)
    began, began_core, shares = time.perf_counter(), time.process_time(), []
    training = Training(config, 300, 0, None)
    valid = encoded(1000, seed=1)
    training.run(encoded(), valid, lambda _, share: shares.append(share), lambda: None)
    progress = training.progress
    assert 0 < progress.seconds < time.perf_counter() - began
    assert 0 < progress.core_seconds < time.process_time() - began_core
    assert shares == [step / 8 for step in range(1, 9)]
    assert [row["step"] for row in progress.evaluations] == [0, 3, 6, 8]
    assert [row["step"] for row in progress.curves] == [1, 2, 4, 6, 8]
    for row in progress.curves:
        # The rate that the step was taken with; the first step is step 0 of the rule.
        assert row["learning_rate"] == learning_rate(row["step"] - 1, config)
    # Eight streams of eight subwords each.
    assert progress.curves[-1]["subwords_per_second"] == 8 * 64 / progress.seconds
    now = information(routing(training.model, valid, TOY.num_evaluated // 4))
    assert {name: progress.evaluations[-1][name] for name in now} == now


def test_the_word_before_a_window_is_the_last_one_of_the_window_before() -> None:
    training = Training(TOY, 300, 0, None)
    window = next(text.windows(encoded(), TOY.num_streams, TOY.num_unrolled, "cpu"))
    training._step(window)
    assert training.before_B is not None
    assert torch.equal(training.before_B, window.inputs_SB[-1])


def test_each_group_of_weights_has_its_share_of_the_rate() -> None:
    config = replace(TOY, gate_learning_rate=4.0, expert_learning_rate=0.5, factored=False)
    optimisers = Training(config, 300, 0, None).optimisers
    optimisers.begin(0.25)
    rates = {group["lr"] for each in optimisers.each for group in each.param_groups}
    assert rates == {0.25, 1.0, 0.125}


def test_a_text_that_is_read_to_its_end_is_begun_again_in_another_order() -> None:
    progress = train(replace(TOY, max_steps=8), num=SIX_WINDOWS).progress
    assert (progress.epoch, progress.window) == (1, 2)


def test_the_number_of_streams_that_is_advised_for_a_short_text_can_be_trained() -> None:
    with pytest.raises(UserError) as caught:
        Training(replace(TOY, num_streams=1000), 300, 0, None).run(
            encoded(), encoded(1000), lambda *_: None, lambda: None
        )
    advised = re.search(r"num_streams=(\d+)\.", str(caught.value.fix))
    assert advised
    assert int(advised[1]) > 1
    assert train(replace(TOY, num_streams=int(advised[1]))).progress.step == TOY.max_steps


def test_an_untrained_control_is_measured_as_it_began() -> None:
    control = train(replace(TOY, untrained=True))
    assert control.progress.step == 0
    assert [row["step"] for row in control.progress.evaluations] == [0]
    torch.manual_seed(0)
    begun = LanguageModel(TOY, 300)
    assert all(
        torch.equal(a, b)
        for a, b in zip(begun.parameters(), control.model.parameters(), strict=True)
    )


def test_perplexity_is_that_of_the_probabilities() -> None:
    torch.manual_seed(0)
    model, found = LanguageModel(TOY, 300), encoded(1500)
    total, count = 0.0, 0
    for window, output in answers(model, found):
        probability = output.logits_SBV.softmax(dim=-1)
        chosen = probability.gather(2, window.targets_SB.unsqueeze(2))
        total, count = total - float(chosen.log().sum()), count + chosen.numel()
        torch.testing.assert_close(-chosen.log().squeeze(2), losses(output, window.targets_SB))
    assert perplexity(model, found) == pytest.approx(np.exp(total / count), rel=1e-5)
    assert model.training
    assert count >= 0.9 * len(found)


def test_without_noise_every_clean_choice_is_kept_and_with_much_noise_chance_remains() -> None:
    torch.manual_seed(0)
    model = LanguageModel(replace(TOY, num_experts=16, k=4), 300)
    window = next(text.windows(encoded(), 30, 30, "cpu"))
    gate = model.mixture.gate  # type: ignore[union-attr]
    (weight,) = gate.parameters()
    with torch.no_grad():
        # All logits start at zero: what the noise chooses is chance, four of sixteen.
        weight.normal_(std=1e-6)
        assert clean_share_kept(model, window) == pytest.approx(4 / 16, abs=0.05)
        weight.normal_(std=1e5)
        assert clean_share_kept(model, window) > 0.5
    assert model.training


def test_information_is_zero_at_random_and_one_where_experts_are_kinds() -> None:
    random = np.random.default_rng(0)
    kind, word = random.integers(0, 5, 4000), random.integers(0, 300, 4000)
    dealt = {"kind": kind, "word": word, "expert": random.integers(0, 500, (4000, 2))}
    assert abs(information(dealt)["ami_kind"]) < 0.02
    assert abs(information(dealt)["ami_word"]) < 0.02
    own = {**dealt, "expert": np.stack([kind, kind], axis=1)}
    assert information(own)["ami_kind"] == pytest.approx(1.0)
    assert information({**own, "expert": word[:, None]})["ami_word"] == pytest.approx(1.0)


def test_the_expert_of_the_largest_weight_comes_first() -> None:
    torch.manual_seed(0)
    model = LanguageModel(replace(TOY, gate=Gate.random_inputs), 300)
    found = routing(model, encoded(1000))
    (_, output), *_ = answers(model, encoded(1000))
    weight_TK = output.moe.routing.weight_A.view(-1, TOY.k)  # type: ignore[union-attr]
    expert_TK = output.moe.routing.expert_A.view(-1, TOY.k)  # type: ignore[union-attr]
    best = expert_TK.gather(1, weight_TK.argmax(dim=1, keepdim=True)).squeeze(1)
    assert found["expert"][: len(best), 0].tolist() == best.tolist()


def test_the_rate_rises_in_a_line_and_falls_by_the_root() -> None:
    config = replace(TOY, warm_up_steps=10, learning_rate=2.0)
    assert learning_rate(4, config) == pytest.approx(1.0)
    assert learning_rate(9, config) == pytest.approx(2.0)
    assert learning_rate(39, config) == pytest.approx(1.0)
    assert learning_rate(89, config) == pytest.approx(2 / 3)


def test_the_regime_of_the_paper_is_counted_as_it_was() -> None:
    # Table 7, MoE-4096-h: 300,000 words a step give an expert 293, and 27,000 steps 7.7 a weight.
    paper = replace(
        TOY, width=512, expert_units=1024, num_experts=4096, num_streams=300, num_unrolled=1000,
        max_steps=27_000,
    )  # fmt: skip
    found = regime(paper)
    assert round(found["words_per_expert_and_step"]) == 293
    assert found["words_per_expert_weight"] == pytest.approx(7.5, abs=0.3)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache that all tests of this file share."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("cache")
    patch.setattr(text, "CACHE", folder)
    yield folder
    patch.undo()


def files(folder: Path) -> LanguageModelConfig:
    """The toy config on files of two languages."""
    found = {document.kind: document for document in text._bibles(replace(TOY, bibles=["k", "l"]))}
    paths = {}
    for split in text.SPLITS:
        path = folder / f"{split}.txt"
        lines = [line for each in found.values() for line in each.passages]
        part = lines if split == "train" else lines[split == "test" :: 2]
        path.write_text("\n".join(part), "utf-8")
        paths[f"{split}_files"] = [str(path)]
    return replace(TOY, text=Text.files, num_subwords=120, **paths)  # type: ignore[arg-type]


def test_a_chapter_is_in_one_split_in_all_languages(cache: Path) -> None:
    found = text.documents(replace(TOY, bibles=["k", "l", "e"]))
    names = {split: {document.name for document in own} for split, own in found.items()}
    assert not names["train"] & (names["valid"] | names["test"])
    assert not names["valid"] & names["test"]
    for own in found.values():
        assert {document.kind for document in own} == {"English", "French", "German"}


def test_the_whole_path_from_files_to_tables(cache: Path, tmp_path: Path) -> None:
    config = files(tmp_path)
    path = execute(config, str(tmp_path / "runs")).path
    run = read_finished(path)
    metrics = run.table("metrics")
    assert set(metrics["seed"]) == {0, 1}
    assert set(metrics["split"]) == {"valid", "test"}
    assert (metrics["perplexity"] > 1).all()
    assert metrics["perplexity"].nunique() >= 4
    assert set(run.table("gate")["seed"]) == {0, 1}
    assert run.table("worth").groupby("seed")["change"].nunique().to_dict() == {0: 4, 1: 4}
    assert run.table("shown")["piece"].str.len().min() > 0
    assert {"ami_kind", "perplexity"} <= set(run.table("evaluations"))
    assert {"clean_share_kept", "cv_load"} <= set(run.table("curves"))
    kept = list(cache.rglob("ids.npy"))
    assert len(kept) == 3
    again = execute(replace(config, first_seed=1, num_seeds=1), str(tmp_path / "runs")).path
    alone = read_finished(again).table("metrics")
    both = metrics[metrics["seed"] == 1].reset_index(drop=True)
    assert alone.equals(both)
    assert len(list(cache.rglob("ids.npy"))) == 3


def test_an_untrained_control_ends_as_a_run_without_curves(cache: Path, tmp_path: Path) -> None:
    config = replace(files(tmp_path), untrained=True, gate=Gate.random_inputs)
    run = read_finished(execute(config, str(tmp_path / "runs")).path)
    assert set(run.table("evaluations")["step"]) == {0}
    assert set(run.table("gate")["seed"]) == {0, 1}
    assert "curves.csv" not in run.manifest["files"]
    assert "blow_ups" not in run.manifest


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"k": 40}, "study.k=40 is more"),
        ({"gate": Gate.hierarchical, "k": 3}, "no whole root"),
        ({"gate": Gate.hierarchical, "num_groups": 5}, "must divide"),
        ({"gate": Gate.hierarchical, "num_groups": 16}, "have fewer"),
        ({"block": Block.lstm, "expert_units": 5}, "cannot cost as much"),
        ({"block": Block.deep, "expert_units": 9}, "cannot cost as much"),
        ({"text": Text.files}, "needs files"),
    ],
)
def test_contradictions_are_refused(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(UserError, match=named):
        check(replace(TOY, **wrong))  # type: ignore[arg-type]


def test_a_bible_that_is_not_free_is_refused_with_those_that_are() -> None:
    with pytest.raises(UserError, match="z is none of the free Bibles") as caught:
        text.documents(replace(TOY, bibles=["k", "z"]))
    assert "k (English, King James, 1769)" in caught.value.fix


def test_a_search_tries_every_point_and_names_the_best(cache: Path, tmp_path: Path) -> None:
    own = {item.name: getattr(files(tmp_path), item.name) for item in fields(LanguageModelConfig)}
    config = SearchConfig(**own | {"name": "language_model_search", "num_seeds": 1})
    config = replace(
        config,
        learning_rates=[0.02, 1000.0],
        gate_learning_rates=[1.0, 4.0],
        expert_learning_rates=[1.0],
    )
    run = read_finished(execute(config, str(tmp_path / "runs")).path)
    found = run.table("metrics")
    assert len(found) == 4
    best = found.loc[found["perplexity"].idxmin()]
    names = ("learning_rate", "gate_learning_rate", "expert_learning_rate")
    assert run.manifest["best"] == {name: best[name] for name in names}
    assert best["learning_rate"] == 0.02
    # A point is the training that the study itself would do.
    alone = replace(files(tmp_path), num_seeds=1, **{name: float(best[name]) for name in names})
    curve = read_finished(execute(alone, str(tmp_path / "runs")).path).table("evaluations")
    assert curve["perplexity"].iloc[-1] == best["perplexity"]


def test_without_a_gate_the_learning_rate_alone_is_searched() -> None:
    config = SearchConfig(block=Block.wide, learning_rates=[0.1, 0.2])
    assert [point["learning_rate"] for point in points(config)] == [0.1, 0.2]
    assert len(points(replace(config, block=Block.experts))) == 2 * 2 * 2


def test_a_search_does_not_take_what_cannot_be_trained_for_a_bad_rate(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {item.name: getattr(files(tmp_path), item.name) for item in fields(LanguageModelConfig)}
    config = SearchConfig(**own | {"name": "language_model_search", "num_seeds": 1})

    def too_short(*_: object) -> None:
        raise UserError("The training text is too short.", "Take more.")

    # No rate could mend that, so that it must not be counted as one that blows up.
    monkeypatch.setattr(Training, "run", too_short)
    with pytest.raises(UserError, match="too short"):
        execute(config, str(tmp_path / "runs"))
