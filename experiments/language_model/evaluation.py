"""What a model knows of held-out text, and what its gate does with it."""

from collections.abc import Iterator
from itertools import islice
from math import exp
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.metrics import adjusted_mutual_info_score
from torch import Tensor

from experiments.language_model.model import LanguageModel, Output
from experiments.language_model.text import Encoded, Window, windows
from moe.measures import coefficient_of_variation, max_over_mean

# Streams of held-out text: few enough that all are long.
_NUM_STREAMS = 64


@torch.no_grad()
def answers(
    model: LanguageModel, text: Encoded, most: int | None = None
) -> Iterator[tuple[Window, Output]]:
    """Stretch by stretch what the model says of a split, without dropout or noise.

    Args:
        model: put into evaluation for as long as this lasts.
        text: a split.
        most: subwords, about; None for all.
    """
    config = model.config
    # At least two stretches per stream, so that the state that is carried over counts for
    # something.
    num_streams = min(_NUM_STREAMS, max(1, (len(text) - 1) // (2 * config.num_unrolled)))
    every = windows(text, num_streams, config.num_unrolled, config.device.value, with_rest=True)
    step = num_streams * config.num_unrolled
    was_training, state, before_B = model.training, None, None
    model.eval()
    for window in islice(every, None if most is None else max(1, most // step)):
        # The state goes on from stretch to stretch, as in training: a stretch is no beginning of a
        # text.
        output = model(window.inputs_SB, state, before_B)
        state, before_B = output.state, window.inputs_SB[-1]
        yield window, output
    model.train(was_training)


def losses(output: Output, targets_SB: Tensor) -> Tensor:
    """Nats of every subword, `[S, B]`."""
    loss: Tensor = F.cross_entropy(
        output.logits_SBV.flatten(0, 1), targets_SB.flatten(), reduction="none"
    )
    return loss.view_as(targets_SB)


def perplexity(model: LanguageModel, text: Encoded, most: int | None = None) -> float:
    """Perplexity per subword, ends included."""
    total, count = 0.0, 0
    for window, output in answers(model, text, most):
        # Summed in float64: over millions of subwords float32 would lose digits.
        total += float(losses(output, window.targets_SB).double().sum())
        count += window.targets_SB.numel()
    # Perplexity is exp(-1/n sum_t log p(w_t | w_1 .. w_(t-1))). exp(700) is near the largest
    # float64.
    return exp(min(total / count, 700.0))


def by_kind(model: LanguageModel, text: Encoded) -> pd.DataFrame:
    """A row for the whole split and one per kind of text: kind, num_subwords, loss, perplexity."""
    num_kinds = len(text.kinds)
    total_K, count_K = np.zeros(num_kinds), np.zeros(num_kinds, np.int64)
    for window, output in answers(model, text):
        loss = losses(output, window.targets_SB).double().flatten().cpu().numpy()
        kind = window.kind_SB.flatten().cpu().numpy()
        total_K += np.bincount(kind, loss, num_kinds)
        count_K += np.bincount(kind, minlength=num_kinds)
    rows = [("all", int(count_K.sum()), total_K.sum() / count_K.sum())]
    rows += [
        (name, int(count), total / count)
        for name, total, count in zip(text.kinds, total_K, count_K, strict=True)
        if count
    ]
    table = pd.DataFrame(rows, columns=["kind", "num_subwords", "loss"])
    return table.assign(perplexity=np.exp(table["loss"].clip(upper=700.0)))


def clean_share_kept(model: LanguageModel, window: Window) -> float:
    """Share of the clean choices of experts that the gate's noise leaves as they are.

    Without it nothing shows whether the gate's logits have outgrown the noise that they start in.
    """
    mixture = model.mixture
    assert mixture is not None
    was_training = model.training
    model.eval()
    with torch.no_grad():
        clean_TK = _choices(model, window)
        # The gate alone: its noise is asked about, and dropout elsewhere would change what it sees.
        mixture.gate.train()
        noisy_TK = _choices(model, window)
    model.train(was_training)
    # Every clean choice against every noisy one: the order among the k does not matter.
    kept = (clean_TK.unsqueeze(2) == noisy_TK.unsqueeze(1)).any(dim=2)
    return float(kept.float().mean())


def _choices(model: LanguageModel, window: Window) -> Tensor:
    output = model(window.inputs_SB)
    assert output.moe is not None
    expert_TK: Tensor = output.moe.routing.expert_A.view(window.inputs_SB.numel(), -1)
    return expert_TK


def balance(output: Output) -> dict[str, float]:
    """Coefficients of variation of importance and load, largest over mean load, experts in use."""
    if output.moe is None:
        return {}
    # The true load, a count, while the loss of equation 11 is on the smooth one.
    count_E = output.moe.plan.counts_E.float()
    importance_E = output.moe.routing.importance_E.detach()
    return {
        "cv_importance": float(coefficient_of_variation(importance_E)),
        "cv_load": float(coefficient_of_variation(count_E)),
        "max_over_mean_load": float(max_over_mean(count_E)),
        "share_in_use": float((count_E > 0).float().mean()),
    }


def routing(model: LanguageModel, text: Encoded, most: int | None = None) -> dict[str, Any]:
    """Where held-out subwords go.

    Returns:
        Arrays over the subwords: `word`, `kind`, and `expert` `[n, k]` with the largest weight
        first.
    """
    parts: dict[str, list[NDArray[Any]]] = {"word": [], "kind": [], "expert": []}
    for window, output in answers(model, text, most):
        assert output.moe is not None
        found = output.moe.routing
        num = window.inputs_SB.numel()
        weight_TK, expert_TK = found.weight_A.view(num, -1), found.expert_A.view(num, -1)
        # Stable, since a hash gives all k experts the same weight: the first one hashed stays the
        # first.
        order_TK = weight_TK.argsort(dim=1, descending=True, stable=True)
        parts["expert"].append(expert_TK.gather(1, order_TK).cpu().numpy().astype(np.int32))
        parts["word"].append(window.inputs_SB.flatten().cpu().numpy().astype(np.int32))
        parts["kind"].append(window.kind_SB.flatten().cpu().numpy().astype(np.int32))
    return {name: np.concatenate(own) for name, own in parts.items()}


def information(found: dict[str, Any]) -> dict[str, float]:
    """Adjusted mutual information of the first expert with the text's kind and with the word.

    Zero where experts are dealt at random, one where either says the other. It is adjusted for
    chance, which with two thousand experts alone would give much (Vinh et al. 2010).
    """
    first = found["expert"][:, 0]
    return {
        "ami_kind": float(adjusted_mutual_info_score(found["kind"], first)),
        "ami_word": float(adjusted_mutual_info_score(found["word"], first)),
    }
