"""Translations of held-out text, and their scores overall and per kind of text."""

import logging
from collections.abc import Callable, Sequence

import pandas as pd

from experiments.translation.batches import collate
from experiments.translation.beam import Hypothesis, search
from experiments.translation.encoded import Encoded, rows_of
from experiments.translation.pairs import Pair
from experiments.translation.scoring import bleu, sentence_bleu
from experiments.translation.settings_decoding import DecodingConfig
from experiments.translation.subwords import Subwords
from experiments.translation.translator import Translator

ALL = "all"

_LOGGER = logging.getLogger(__name__)


def translate(
    model: Translator,
    sources: Sequence[list[int]],
    config: DecodingConfig,
    report: Callable[[str, float], None],
    num_best: int = 1,
) -> list[list[Hypothesis]]:
    """The best translations of every source, in the order given.

    A source without subwords has an empty translation. One of more than `max_source_subwords` is
    translated up to there, which is logged.

    Args:
        model: is set to evaluation.
        sources: ids of every sentence.
        config: of the search.
        report: called with the share that is done.
        num_best: translations per sentence.
    """
    model.eval()
    most = config.max_source_subwords
    if num_cut := sum(len(ids) > most for ids in sources):
        message = "%d of %d sentences are translated up to max_source_subwords=%d"
        _LOGGER.warning(message, num_cut, len(sources), most)
        sources = [ids[:most] for ids in sources]
    found: list[list[Hypothesis]] = [[Hypothesis([], 0.0, 0.0, [])] for _ in sources]
    # Sentences of like length together, so that none waits for a longer one.
    by_length = sorted(
        (place for place, ids in enumerate(sources) if ids), key=lambda place: -len(sources[place])
    )
    pairs = Encoded(rows_of(sources), rows_of([[] for _ in sources]))
    for start in range(0, len(by_length), config.sentences_per_batch):
        chosen = by_length[start : start + config.sentences_per_batch]
        batch = collate(pairs, chosen).to(model.device)
        for place, answer in zip(
            chosen, search(model, batch.source_BS, config, num_best), strict=True
        ):
            found[place] = answer
        report("translating", start / len(by_length))
    return found


def answers(
    model: Translator,
    pairs: Sequence[Pair],
    encoded: Encoded,
    subwords: Subwords,
    config: DecodingConfig,
    report: Callable[[str, float], None],
) -> pd.DataFrame:
    """A row per sentence: domain, source, reference, answer, bleu, score, log_probability.

    `bleu` is sacreBLEU's for single sentences, in percent.
    """
    found = translate(model, list(encoded.source), config, report)
    texts = [subwords.decode(best.ids) for best, *_ in found]
    return pd.DataFrame(
        {
            "domain": [pair.domain for pair in pairs],
            "source": [pair.source for pair in pairs],
            "reference": [pair.target for pair in pairs],
            "answer": texts,
            "bleu": [
                sentence_bleu(text, pair.target) for text, pair in zip(texts, pairs, strict=True)
            ],
            "score": [best.score for best, *_ in found],
            "log_probability": [best.log_probability for best, *_ in found],
        }
    )


def bleu_table(given: pd.DataFrame) -> pd.DataFrame:
    """BLEU over all sentences and per kind of text; columns of `scoring.bleu` and domain."""
    parts = [(ALL, given)]
    if given["domain"].nunique() > 1:
        parts += [(str(name), part) for name, part in given.groupby("domain")]
    return pd.DataFrame(
        {"domain": name, **row}
        for name, part in parts
        for row in bleu(part["answer"].tolist(), part["reference"].tolist())
    )
