"""The translation study on an NVIDIA GPU: near the CPU's answer, and trains in mixed precision."""

from dataclasses import replace

import pytest
import torch

from experiments.runner.schema import Precision
from experiments.text.encoded import collate
from experiments.translation.beam import search
from experiments.translation.evaluation import balance, cross_entropy
from experiments.translation.stepping import run
from experiments.translation.training import optimisers_of
from experiments.translation.translator import Translator
from tests.experiments.translation.translation_cases import NUM_SUBWORDS, PAIRS, TINY
from tests.gpu import DEVICE, at_toy_size, needs_gpu

pytestmark = needs_gpu


@pytest.fixture(autouse=True)
def in_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    # By default cuDNN rounds the operands of recurrent layers to 19 bits.
    monkeypatch.setattr(torch.backends.cudnn.rnn, "fp32_precision", "ieee")


def test_it_says_the_same_as_on_the_cpu() -> None:
    model = Translator(TINY, NUM_SUBWORDS, 0).eval()
    batch = collate(PAIRS, [0, 5, 7, 11])
    wanted = model(batch.source_BS, batch.target_in_BT).logits
    there = batch.to(DEVICE)
    found = model.to(DEVICE)(there.source_BS, there.target_in_BT).logits
    torch.testing.assert_close(found.cpu(), wanted, rtol=1e-3, atol=1e-4)


def test_it_searches_as_on_the_cpu() -> None:
    model = Translator(TINY, NUM_SUBWORDS, 0).eval()
    batch = collate(PAIRS, [0, 5, 7])
    wanted = search(model, batch.source_BS, TINY)
    found = search(model.to(DEVICE), batch.source_BS.to(DEVICE), TINY)
    assert [best.ids for best, *_ in found] == [best.ids for best, *_ in wanted]


@pytest.mark.parametrize("precision", list(Precision))
def test_it_learns_a_batch_by_heart(precision: Precision) -> None:
    config = replace(TINY, precision=precision, dropout=0.0)
    model = Translator(config, NUM_SUBWORDS, 0).to(DEVICE)
    optimisers = optimisers_of(model, config)
    batch = collate(PAIRS, [0, 1, 2, 3]).to(DEVICE)
    losses = []
    for _ in range(at_toy_size(60, 40)):
        optimisers.begin(0.02)
        output = model(batch.source_BS, batch.target_in_BT)
        loss = cross_entropy(output, batch)
        torch.autograd.backward(loss + balance(output, config))
        optimisers.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_recurrent_layers_of_mixed_precision_answer_in_bfloat16_and_their_gradients_live() -> None:
    config = replace(TINY, precision=Precision.bfloat16, dropout=0.0)
    model = Translator(config, NUM_SUBWORDS, 0).to(DEVICE)
    batch = collate(PAIRS, [0, 5, 7, 11]).to(DEVICE)
    with model._precision():
        answered, cells = run(model.top, model.embedding(batch.source_BS))
    assert {part.dtype for part in (answered, *cells)} == {torch.bfloat16}
    loss = cross_entropy(model(batch.source_BS, batch.target_in_BT), batch)
    torch.autograd.backward(1e-6 * loss)
    for name, weight in model.named_parameters():
        if "weight_hh" in name:
            # In float16 all of them would have become zero.
            assert float((weight.grad != 0).float().mean()) > 0.9, name
