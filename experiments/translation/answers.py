"""Translations of held-out text, and their scores overall and per kind of text."""

import logging
from collections.abc import Callable, Sequence

import pandas as pd
from sacrebleu.metrics.bleu import BLEU
from sacremoses import MosesTokenizer

from experiments.text.encoded import Encoded, collate, rows_of
from experiments.text.pairs import Pair
from experiments.text.subwords import Subwords
from experiments.translation.beam import Hypothesis, search
from experiments.translation.evaluation import ALL
from experiments.translation.settings import DecodingConfig
from experiments.translation.translator import Translator

_NUM_BOOTSTRAP = 1000

Row = dict[str, str | float]


def bleu(
    answers: Sequence[str], references: Sequence[str], languages: Sequence[str] = ()
) -> list[Row]:
    """Corpus BLEU by both conventions, in percent, with 95 % bootstrap intervals.

    `sacrebleu`: tokenised by 13a, its default. `tokenised`: by the Moses tokeniser and
    without smoothing, which is what Moses' multi-bleu.pl computes (Shazeer et al. 2017, section
    5.3).

    Args:
        answers: plain text, one per sentence.
        references: the same sentences by people.
        languages: of the sentences; French where there are none.

    Returns:
        A row per convention: metric, value, low, high, num_sentences, signature.
    """
    if not answers:
        return []
    languages = languages or ["fr"] * len(answers)
    moses = {language: MosesTokenizer(lang=language) for language in set(languages)}
    tokenised = [[moses[language].tokenize(text, return_str=True, escape=False)
                  for text, language in zip(side, languages, strict=True)]
                 for side in (answers, references)]  # fmt: skip
    plain = BLEU()
    # `force` silences a warning that the text looks tokenised: it is.
    as_published = BLEU(tokenize="none", smooth_method="none", force=True)
    return [
        _row("sacrebleu", plain, answers, references),
        _row("tokenised", as_published, *tokenised),
    ]


def sentence_bleu(answer: str, reference: str) -> float:
    """sacreBLEU's BLEU of one sentence, in percent: to compare two models sentence by sentence."""
    return float(BLEU(effective_order=True).sentence_score(answer, [reference]).score)


def _row(name: str, metric: BLEU, answers: Sequence[str], references: Sequence[str]) -> Row:
    found = metric.corpus_score(list(answers), [list(references)], n_bootstrap=_NUM_BOOTSTRAP)
    # The interval is the bootstrap's own, about its mean, which lies near the score and is not it.
    middle, half = found._mean, found._ci
    return {
        "metric": name,
        "value": found.score,
        "low": max(0.0, middle - half),
        "high": middle + half,
        "num_sentences": len(answers),
        "signature": str(metric.get_signature()),
    }


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
    """A row per sentence.

    Columns: domain, language, source, reference, answer, bleu (sacreBLEU's for single sentences, in
    percent), score, log_probability.
    """
    found = translate(model, list(encoded.source), config, report)
    texts = [subwords.decode(best.ids) for best, *_ in found]
    return pd.DataFrame(
        {
            "domain": [pair.domain for pair in pairs],
            "language": [pair.language for pair in pairs],
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
    """BLEU over all sentences, per kind of text and per language.

    Columns of `bleu`, domain and language; either is `all` where it is not what is told apart.
    """
    parts: list[tuple[Row, pd.DataFrame]] = [({}, given)]
    for key in ("domain", "language"):
        if given[key].nunique() > 1:
            parts += [({key: str(name)}, part) for name, part in given.groupby(key, sort=False)]
    return pd.DataFrame(
        {"domain": ALL, "language": ALL, **what, **row}
        for what, part in parts
        for row in bleu(
            part["answer"].tolist(),
            part["reference"].tolist(),
            [language for language in part["language"] if language],
        )
    )
