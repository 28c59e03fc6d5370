"""BLEU of translations: sacreBLEU's, and the tokenised kind that the papers of 2017 print."""

from collections.abc import Sequence

from sacrebleu.metrics.bleu import BLEU
from sacremoses import MosesTokenizer

_NUM_BOOTSTRAP = 1000

Row = dict[str, str | float]


def bleu(answers: Sequence[str], references: Sequence[str]) -> list[Row]:
    """Corpus BLEU by both conventions, in percent, with 95 % bootstrap intervals.

    `sacrebleu`: tokenised by 13a, its default. `tokenised`: by the Moses tokeniser for French and
    without smoothing, which is what Moses' multi-bleu.pl computes (Shazeer et al. 2017, section
    5.3).

    Args:
        answers: plain text, one per sentence.
        references: the same sentences by people.

    Returns:
        A row per convention: metric, value, low, high, num_sentences, signature.
    """
    if not answers:
        return []
    moses = MosesTokenizer(lang="fr")
    tokenised = [[moses.tokenize(text, return_str=True, escape=False) for text in side]
                 for side in (answers, references)]  # fmt: skip
    plain = BLEU()
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
    middle, half = found._mean, found._ci
    return {
        "metric": name,
        "value": found.score,
        "low": max(0.0, middle - half),
        "high": middle + half,
        "num_sentences": len(answers),
        "signature": str(metric.get_signature()),
    }
