"""What the experts of a model are worth to the words that the gate sends them.

Shapes: T words of a stretch, K experts of a word, S subwords of B streams.
"""

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from experiments.language_model.evaluation import losses
from experiments.language_model.model import LanguageModel
from experiments.language_model.text import Encoded, Window, windows
from experiments.text.subwords import Subwords
from moe.routing import Routing

# A stretch long enough that most subwords occur in it several times.
_NUM_STREAMS, _NUM_UNROLLED = 32, 256
# Running text for the token explorer, of every kind.
_NUM_SHOWN = 1500


class Change(Enum):
    """What is done to the expert of a word's largest weight, to see what it is worth."""

    nothing = "nothing"
    removed = "removed"
    sibling = "sibling"
    stranger = "stranger"


class ChangedGate(nn.Module):
    """A gate whose choice of the first expert is changed; all else stays as it is.

    `removed` takes its answer away. `sibling` asks the first expert of another occurrence of the
    same subword instead, `stranger` that of any other word: both draw experts as often as the gate
    does. If experts do not differ, neither exchange changes the loss.
    """

    def __init__(self, gate: nn.Module, change: Change, place_T: Tensor) -> None:
        """Change a gate for one stretch.

        Args:
            gate: the model's own.
            change: what to do.
            place_T: the word of the stretch whose first expert each word gets, int64.
        """
        super().__init__()
        self.gate, self.change, self.place_T = gate, change, place_T

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Routing:
        """Route as the gate does, but for the first expert."""
        found: Routing = self.gate(tokens, mask)
        weight_TK = found.weight_A.view(len(self.place_T), -1)
        expert_TK = found.expert_A.view_as(weight_TK)
        # Only the largest of the k weights: the others stay, so that a word keeps most of its
        # answer.
        first_T1 = weight_TK.argmax(dim=1, keepdim=True)
        if self.change is Change.removed:
            weight_TK = weight_TK.scatter(1, first_T1, 0.0)
        elif self.change is not Change.nothing:
            expert_T1 = expert_TK.gather(1, first_T1)[self.place_T]
            expert_TK = expert_TK.scatter(1, first_T1, expert_T1)
        return replace(found, weight_A=weight_TK.flatten(), expert_A=expert_TK.flatten())


def siblings(word_T: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """Another place of the same word for every place, drawn at random; its own where it is alone.

    Within every word the places are a cycle, so that each is drawn once.
    """
    order_T = np.lexsort((random.random(len(word_T)), word_T))
    _, start_W, count_W = np.unique(word_T[order_T], return_index=True, return_counts=True)
    next_T = np.arange(1, len(word_T) + 1)
    next_T[start_W + count_W - 1] = start_W
    place_T = np.empty_like(order_T)
    place_T[order_T] = order_T[next_T]
    return place_T


@torch.no_grad()
def worth(model: LanguageModel, text: Encoded, most: int, seed: int) -> pd.DataFrame:
    """What a word loses when its first expert is taken away or exchanged.

    Only words count that occur again in their stretch: the same ones for every change.

    Args:
        model: with a mixture; put into evaluation for as long as this lasts.
        text: a split.
        most: subwords to read, about.
        seed: of the exchanges.

    Returns:
        A row per change: change, num_subwords, loss in nats, rise over `nothing`.
    """
    mixture = model.mixture
    assert mixture is not None
    gate, was_training = mixture.gate, model.training
    total, count = dict.fromkeys(Change, 0.0), 0
    model.eval()
    for window in _stretches(text, model.config.device.value, most):
        random = np.random.default_rng([seed, count])
        word_T = window.inputs_SB.flatten().cpu().numpy()
        sibling_T = siblings(word_T, random)
        stranger_T = siblings(np.zeros_like(word_T), random)
        # A word that occurs once has no sibling, and an exchange with itself would show nothing.
        counted_T = torch.from_numpy(sibling_T != np.arange(len(word_T)))
        count += int(counted_T.sum())
        for change in Change:
            # Exchanges within a stretch leave every expert its load, so that rare experts stay
            # rare.
            chosen_T = stranger_T if change is Change.stranger else sibling_T
            place_T = torch.from_numpy(chosen_T).to(window.inputs_SB.device)
            mixture.gate = ChangedGate(gate, change, place_T)
            try:
                loss_SB = losses(model(window.inputs_SB), window.targets_SB)
            finally:
                mixture.gate = gate
            total[change] += float(loss_SB.flatten().cpu()[counted_T].double().sum())
    model.train(was_training)
    loss = {change: total[change] / max(1, count) for change in Change}
    return pd.DataFrame(
        {
            "change": change.name,
            "num_subwords": count,
            "loss": loss[change],
            "rise": loss[change] - loss[Change.nothing],
        }
        for change in Change
    )


def _stretches(text: Encoded, device: str, most: int) -> Iterator[Window]:
    num_streams = min(_NUM_STREAMS, max(1, (len(text) - 1) // 64))
    num_unrolled = min(_NUM_UNROLLED, (len(text) - 1) // num_streams)
    # Documents stand in the order of their Bibles, so a part of the split needs to be mixed.
    every = windows(text, num_streams, num_unrolled, device, np.random.default_rng(0))
    for number, window in enumerate(every):
        if number and number * num_streams * num_unrolled >= most:
            return
        yield window


@torch.no_grad()
def shown_text(model: LanguageModel, text: Encoded, subwords: Subwords) -> pd.DataFrame:
    """Running text of every kind with each subword's experts, for the token explorer.

    Returns:
        A row per subword: kind, place, piece, and `expert_1` with `weight_1` and so on, the largest
        weight first.
    """
    was_training = model.training
    model.eval()
    parts = [
        _shown(model, text, kind, subwords) for kind in range(len(text.kinds)) if kind in text.kind
    ]
    model.train(was_training)
    return pd.concat(parts, ignore_index=True)


def _shown(model: LanguageModel, text: Encoded, kind: int, subwords: Subwords) -> pd.DataFrame:
    # Documents in their order, so that the explorer shows running text.
    own = np.flatnonzero(text.kind == kind)
    ids = text.in_order(own)[0][:_NUM_SHOWN].astype(np.int64)
    output = model(torch.from_numpy(ids).to(model.config.device.value).unsqueeze(1))
    assert output.moe is not None
    routing = output.moe.routing
    weight_TK = routing.weight_A.view(len(ids), -1).cpu()
    order_TK = weight_TK.argsort(dim=1, descending=True, stable=True)
    expert_TK = routing.expert_A.view(len(ids), -1).cpu().gather(1, order_TK)
    columns: dict[str, Any] = {
        "kind": text.kinds[kind],
        "place": np.arange(len(ids)),
        "piece": [subwords.piece(int(number)) for number in ids],
    }
    for number, (expert_T, weight_T) in enumerate(
        zip(expert_TK.T, weight_TK.gather(1, order_TK).T, strict=True), start=1
    ):
        columns[f"expert_{number}"] = expert_T.numpy()
        columns[f"weight_{number}"] = weight_T.numpy().round(4)
    return pd.DataFrame(columns)
