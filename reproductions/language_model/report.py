"""The language model's report, put together from finished runs."""

from collections.abc import Sequence
from pathlib import Path

from reproductions.language_model.evidence import FORMS, why_not_comparable
from reproductions.language_model.figures import by_size, curves, information, languages
from reproductions.language_model.kinds import BIBLES, MODERN, kinds_table
from reproductions.language_model.regime import regime_map, turns_table
from reproductions.language_model.search import search_table
from reproductions.language_model.tables import (
    balance_table,
    controls_table,
    equal_time_table,
    regime_table,
    sizes_table,
    table_7,
    worth_table,
)
from reproductions.runs import Source, SuiteRuns
from reproductions.study_report import Parts, Study
from reproductions.translation import SHAZEER_2017, SHAZEER_2017_URL
from reproductions.verdicts.judge import Judged


def _parts(found: SuiteRuns, judged: Sequence[Judged], source: Source) -> Parts:
    runs = found.runs
    tables = [
        (
            "Table 7 beside ours: models of equal operations per word, test text. Intervals are "
            "95 %, over trainings. Weights are without embedding and softmax. Published numbers "
            "are of another text and far larger models, after ten epochs.",
            table_7(runs),
        ),
        (
            "What an expert sees. In the paper it sees 37,500 words in a step and 966 words per "
            "weight with 32 experts, 293 and 7.5 with 4,096.",
            sizes_table(runs),
        ),
        (
            "Where more experts stop helping, ours and the paper's Tables 7 and 8.",
            turns_table(runs),
        ),
        (
            "At equal time: held-out perplexity when the fastest training of the wide layer ends. "
            "Models that end sooner are left out.",
            equal_time_table(runs),
        ),
        (
            "What of the gain is the gate's: 2,048 experts behind other gates. Information is "
            "adjusted mutual information with the expert of the largest weight, 0 by chance.",
            controls_table(runs),
        ),
        (
            "What the loss rises by, in nats per subword, if the answer of a word's first expert "
            "is exchanged.",
            worth_table(runs),
        ),
        (
            "The three kinds of expert of the paper's Table 9, found by rule in Bibles: the two "
            "best of each kind, and experts chosen at random. A kind of text is a language here. "
            "Below stand those that the same rules find where nothing was learnt. A kind that no "
            "expert is of is left out.",
            kinds_table(runs, BIBLES),
        ),
        (
            "The same on modern text: package descriptions, office help and manual pages beside "
            "the Bible, in English and French; one training.",
            kinds_table(runs, MODERN),
        ),
        ("Table 6 beside ours: medians over the second half of training.", balance_table(runs)),
        ("The regime: where 2,048 experts gain.", regime_table(runs)),
        (
            "The search for learning rates: perplexity of validation text after 500 steps, one "
            "training a point, the same grid for every model. The report's runs take the best "
            "points of the second search, whose other perplexities were not kept.",
            search_table(source),
        ),
    ]
    pictures = [by_size(runs), regime_map(runs), curves(runs), information(runs), languages(runs)]
    return Parts(pictures, tables)


STUDY = Study(
    name="language_model",
    title="Outrageously large neural networks: the language model",
    citation=SHAZEER_2017,
    citation_url=SHAZEER_2017_URL,
    folder=Path(__file__).parent,
    forms=FORMS,
    why_not_comparable=why_not_comparable,
    parts=_parts,
    target="reproduce-language-model",
    about="A network reads text and guesses the next piece of a word. In its middle a gate picks "
    "four of up to 4,096 small experts for every word, so that a larger model costs no more"
    " per word. Perplexity says how many equally likely choices the guess amounts to: lower"
    " is better.",
    shown_suite="language_model_domains",
    next_steps=(
        "python -m experiments.run study=language_model study.num_experts=512   another size",
        "python -m experiments.suite suite=language_model_search   the search for learning rates",
        "python -m experiments.suite suite=language_model_all   all of Table 7, Table 6, controls",
        "python -m experiments.suite suite=language_model_domains   the same and modern text",
    ),
)
