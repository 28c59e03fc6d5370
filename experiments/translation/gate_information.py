"""What the choice of experts tells of a word and of the target's language, trained and untrained.

Any function of a word tells something of it, a random gate's too: only what is above the untrained
model has been learnt.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.metrics import adjusted_mutual_info_score
from torch import nn

from experiments.text.encoded import Encoded, collate, order
from experiments.translation.settings import TranslationConfig
from experiments.translation.translator import Translator
from moe.measures import first_choices

Labels = dict[str, NDArray[np.int64]]
# Held-out subwords of either side that are looked at, about: enough for the estimate.
_NUM_SUBWORDS = 30_000


def gate_information(model: Translator, config: TranslationConfig, pairs: Encoded) -> pd.DataFrame:
    """Information of a word's first expert with the word and the language, on either side.

    Adjusted mutual information: zero where experts are dealt at random, one where either says the
    other (Vinh et al. 2010). Columns: side, of, ami, ami_untrained, the latter by a model of the
    same seed with a random gate that has learnt nothing.
    """
    some = spaced(pairs)
    trained = _first_experts(model, some, config)
    untrained = _first_experts(_untrained(model, config), some, config)
    rows = [
        {
            "side": side,
            "of": of,
            "ami": _information(label, trained[side]["expert"]),
            "ami_untrained": _information(label, untrained[side]["expert"]),
        }
        for side, labels in trained.items()
        for of, label in labels.items()
        if of != "expert"
    ]
    return pd.DataFrame(rows)


def spaced(pairs: Encoded) -> Encoded:
    """Pairs spaced evenly over the split, of about so many target subwords."""
    every = max(1, round(len(pairs.target.ids) / _NUM_SUBWORDS))
    # Evenly in the order of the split: first all verses of a language, then of the next.
    return pairs.take(range(0, len(pairs), every))


def _untrained(model: Translator, config: TranslationConfig) -> Translator:
    """The model as it was before its first step, but for a gate that is random and not zero."""
    fresh = Translator(config, model.embedding.num_embeddings, config.seed).to(model.device)
    for block in fresh.blocks():
        for weight in block.layer.gate.parameters():
            # With W_g = 0 all logits are equal, and every word would go to the same k experts.
            nn.init.normal_(weight, std=config.width**-0.5)
    return fresh


@torch.no_grad()
def _first_experts(
    model: Translator, pairs: Encoded, config: TranslationConfig
) -> Mapping[str, Labels]:
    """Subword, language and first expert of every token, by side."""
    was_training = model.training
    model.eval()
    languages = {name: place for place, name in enumerate(dict.fromkeys(pairs.language))}
    parts: dict[str, list[Labels]] = {"encoder": [], "decoder": []}
    for chosen in order(pairs, config.tokens_per_batch, 0, None):
        batch = collate(pairs, chosen).to(model.device)
        output = model(batch.source_BS, batch.target_in_BT)
        sides = (("encoder", batch.source_BS), ("decoder", batch.target_in_BT))
        for side, word_BX in sides:
            first_BX = first_choices(output.moe[side].routing).view(word_BX.shape)
            # Padding has no expert.
            is_token_BX = first_BX >= 0
            found = {"expert": first_BX[is_token_BX], "word": word_BX[is_token_BX]}
            if languages:
                own_B = torch.tensor([languages[pairs.language[pair]] for pair in chosen])
                own_BX = own_B.to(model.device)[:, None].expand(word_BX.shape)
                found["language"] = own_BX[is_token_BX]
            parts[side].append({name: each.cpu().numpy() for name, each in found.items()})
    model.train(was_training)
    return {
        side: {name: np.concatenate([each[name] for each in own]) for name in own[0]}
        for side, own in parts.items()
    }


def _information(label_T: NDArray[np.int64], expert_T: NDArray[np.int64]) -> float:
    return float(adjusted_mutual_info_score(label_T, expert_T))
