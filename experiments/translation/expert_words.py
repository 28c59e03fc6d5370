"""What each expert of the encoder is given: the paper's Table 9, and how far chance explains it.

A token is one subword at one place of a held-out sentence; an assignment is a token and one of the
experts that answer for it, with its gate value.
"""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from experiments.text.encoded import Encoded, collate, order
from experiments.text.subwords import Subwords
from experiments.translation.translator import Translator
from moe.plan import token_of_assignments
from moe.routing import NO_EXPERT

_CLOSED = {
    "determiner": "the a an this that these those every each all some any no both such another",
    "pronoun": "i you he she it we they me him her us them thou thee ye who whom which what my "
    "your his its our their mine yours hers ours theirs himself herself itself themselves myself "
    "yourself yourselves ourselves one thy thine whoever whose",
    "preposition": "of in to for with on at by from into upon out against among before after over "
    "under between through as about without toward towards within until down up off above like "
    "beside near across behind beyond except according because concerning throughout",
    "conjunction": "and or but nor for so yet if when while though although since than lest "
    "therefore because where",
    "auxiliary": "is was be are were been am being has have had having do does did shall will "
    "would should may might can could must let don't didn't won't can't isn't shan't doesn't",
    "negation": "not never neither none nothing nobody",
    "number word": "one two three four five six seven eight nine ten hundred thousand first second "
    "third fourth fifth sixth seventh tenth twelve twenty thirty forty fifty",
}
_BY_WORD = {word: name for name, words in _CLOSED.items() for word in words.split()}
_BY_ENDING = (("ing", "-ing"), ("ed", "-ed"), ("ly", "-ly"), ("s", "-s"))


def word_class(word: str, is_first: bool = False) -> str:
    """The class of an English word.

    Args:
        word: with its capitals, without spaces.
        is_first: of its sentence, where a capital says nothing.
    """
    plain = word.strip(".,;:!?\"'()“”‘’").lower()
    if not plain:
        return "punctuation"
    if plain[0].isdigit():
        return "number word"
    if plain in _BY_WORD:
        return _BY_WORD[plain]
    if word.lstrip("\"'(“‘")[:1].isupper() and not is_first:
        return "name"
    return next((name for end, name in _BY_ENDING if plain.endswith(end)), "other")


KEYS = ("piece", "word_class", "domain")
NUM_SHOWN = 10
_CONTEXT = 3
_NUM_SHUFFLES = 20
_MARK = "▁"


@torch.no_grad()
def assignments(model: Translator, pairs: Encoded, tokens_per_batch: int) -> pd.DataFrame:
    """Every assignment of the encoder's mixture: columns pair, place, expert, gate."""
    model.eval()
    parts = []
    for chosen in order(pairs, tokens_per_batch, 0, None):
        batch = collate(pairs, chosen).to(model.device)
        routing = model.encode(batch.source_BS).moe["encoder"].routing
        num_positions = batch.source_BS.shape[1]
        token_A = token_of_assignments(routing)
        # Of a sentence without subwords the encoder reads one place of padding.
        is_real_A = batch.source_mask_BS.flatten()[token_A] & (routing.expert_A != NO_EXPERT)
        token_A = token_A[is_real_A]
        parts.append(
            pd.DataFrame(
                {
                    "pair": batch.pair_B[token_A // num_positions].cpu(),
                    "place": (token_A % num_positions).cpu(),
                    "expert": routing.expert_A[is_real_A].cpu(),
                    "gate": routing.weight_A[is_real_A].cpu(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def tokens(pairs: Encoded, subwords: Subwords) -> pd.DataFrame:
    """Every source token: columns pair, place, piece, word_class, domain."""
    rows = []
    domain = pairs.domain or [""] * len(pairs)
    for pair, ids in enumerate(pairs.source):
        pieces = [subwords.piece(number) for number in ids]
        classes = _classes(pieces)
        for place, (piece, found) in enumerate(zip(pieces, classes, strict=True)):
            rows.append((pair, place, piece, found, domain[pair]))
    return pd.DataFrame(rows, columns=["pair", "place", "piece", "word_class", "domain"])


def _classes(pieces: list[str]) -> list[str]:
    """The class of the word that each piece belongs to."""
    # A word begins with the mark, so that the marks so far number the words.
    number = np.cumsum([piece.startswith(_MARK) for piece in pieces])
    words: dict[int, str] = {}
    for word, piece in zip(number.tolist(), pieces, strict=True):
        words[word] = words.get(word, "") + piece.replace(_MARK, "")
    first = min(words, default=0)
    classes = {word: word_class(text, word == first) for word, text in words.items()}
    return [classes[word] for word in number.tolist()]


def expert_words(found: pd.DataFrame, pairs: Encoded, subwords: Subwords) -> pd.DataFrame:
    """Each expert's tokens of the largest gate value, with the words around them.

    Columns: expert, rank, gate, pair, place, left, piece, right. Source: Shazeer et al. (2017),
    appendix E, Table 9.
    """
    # Table 9 sorts an expert's inputs by G(x)_i; equal ones stand by place, so as to be repeatable.
    by_gate = found.sort_values(
        ["expert", "gate", "pair", "place"], ascending=[True, False] + [True] * 2
    )
    # The paper prints ten per expert, from one training batch; here it is all held-out text.
    best = by_gate.groupby("expert").head(NUM_SHOWN).copy()
    best["rank"] = best.groupby("expert").cumcount() + 1
    around = [
        _around(pairs.source[pair], place, subwords)
        for pair, place in zip(best["pair"], best["place"], strict=True)
    ]
    # A gate by thresholds may have sent no token to any expert.
    texts = pd.DataFrame(around, columns=["left", "piece", "right"], index=best.index)
    best[texts.columns] = texts
    columns = ["expert", "rank", "gate", "pair", "place", "left", "piece", "right"]
    return best[columns].reset_index(drop=True)


def expert_pieces(found: pd.DataFrame, every_token: pd.DataFrame) -> pd.DataFrame:
    """What each expert answers for: columns expert, piece, count, its commonest first."""
    joined = found.merge(every_token, on=["pair", "place"])
    counts = _counts(joined["expert"], joined["piece"])
    order = ["expert", "count", "piece"]
    return counts.sort_values(order, ascending=[True, False, True], ignore_index=True)


def _around(ids: list[int], place: int, subwords: Subwords) -> tuple[str, str, str]:
    left, right = ids[max(0, place - _CONTEXT) : place], ids[place + 1 : place + 1 + _CONTEXT]
    left_text, right_text = ("".join(map(subwords.piece, side)) for side in (left, right))
    return left_text, subwords.piece(ids[place]), right_text


def experts(
    found: pd.DataFrame, every_token: pd.DataFrame, num_experts: int, seed: int = 0
) -> pd.DataFrame:
    """A row per expert: assignments, gate sum, and its commonest piece, class and domain.

    Shares of the commonest and entropies (nats) are over the expert's assignments; `_chance` is the
    lowest entropy in 20 deals of all assignments to experts with the same loads. Experts without
    any are there with zeros and empty cells.
    """
    joined = found.merge(every_token, on=["pair", "place"])
    groups = joined.groupby("expert")
    table = pd.DataFrame({"num_assignments": groups.size(), "importance": groups["gate"].sum()})
    for key in KEYS:
        counts = _counts(joined["expert"], joined[key])
        top = counts.sort_values(["count", key], ascending=[False, True]).drop_duplicates("expert")
        top = top.set_index("expert")
        table[f"top_{key}"] = top[key]
        table[f"top_{key}_share"] = top["count"] / table["num_assignments"]
        table[f"{key}_entropy"] = _entropies(counts)
        table[f"{key}_entropy_chance"] = _lowest_by_chance(joined, key, seed)
    table = table.reindex(range(num_experts))
    table[["num_assignments", "importance"]] = table[["num_assignments", "importance"]].fillna(0)
    return table.rename_axis("expert").reset_index()


def _counts(expert: "pd.Series[int]", key: "pd.Series[str]") -> pd.DataFrame:
    counted = pd.DataFrame({"expert": expert.to_numpy(), key.name: key.to_numpy()}).value_counts()
    return counted.rename("count").reset_index()


def _entropies(counts: pd.DataFrame) -> "pd.Series[float]":
    # H(X | expert e) = -sum_x p(x | e) log p(x | e)
    share = counts["count"] / counts.groupby("expert")["count"].transform("sum")
    entropy: pd.Series[float] = -(share * np.log(share)).groupby(counts["expert"]).sum()
    return entropy.clip(lower=0)


def _lowest_by_chance(joined: pd.DataFrame, key: str, seed: int) -> "pd.Series[float]":
    random = np.random.default_rng(seed)
    expert_A = joined["expert"].to_numpy(copy=True)
    dealt = [
        _entropies(_counts(pd.Series(random.permutation(expert_A)), joined[key]))
        for _ in range(_NUM_SHUFFLES)
    ]
    # The lowest of 20 deals: an expert below it is purer than chance makes it in 20 trials.
    return pd.concat(dealt, axis=1).min(axis=1)


def specialisation(found: pd.DataFrame, every_token: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """How much an assignment's expert tells of its piece, word class and domain, in nats.

    Mutual information over assignments; beside it the same with experts dealt out anew (loads
    kept), which shows what chance gives at these counts. Columns: of, information, chance,
    chance_sd, entropy, num_assignments.
    """
    joined = found.merge(every_token, on=["pair", "place"])
    random = np.random.default_rng(seed)
    expert_A = joined["expert"].to_numpy(copy=True)
    rows = []
    for key in KEYS:
        # Plug-in estimates of information are too high where counts are few. The same estimate over
        # dealt experts, whose true information is zero, shows by how much.
        class_A = pd.factorize(joined[key])[0]
        dealt = [_information(random.permutation(expert_A), class_A) for _ in range(_NUM_SHUFFLES)]
        rows.append(
            {
                "of": key,
                "information": _information(expert_A, class_A),
                "chance": float(np.mean(dealt)),
                "chance_sd": float(np.std(dealt, ddof=1)),
                "entropy": _entropy(class_A),
                "num_assignments": len(joined),
            }
        )
    return pd.DataFrame(rows)


def _information(first_A: NDArray[np.int64], second_A: NDArray[np.int64]) -> float:
    # A number for every pair of values, so that the joint entropy is that of one variable.
    pair_A = first_A.astype(np.int64) * (int(second_A.max(initial=0)) + 1) + second_A
    # I(X; Y) = H(X) + H(Y) - H(X, Y), never negative but for rounding.
    return max(0.0, _entropy(first_A) + _entropy(second_A) - _entropy(pair_A))


def _entropy(class_A: NDArray[np.int64]) -> float:
    share = np.unique(class_A, return_counts=True)[1] / max(1, len(class_A))
    # H = -sum p log p. Plus 0.0 turns a negative zero into a zero.
    return float(-(share * np.log(share)).sum()) + 0.0
