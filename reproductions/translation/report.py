"""The translation study's report, put together from finished runs."""

from collections.abc import Sequence
from pathlib import Path

from reproductions.runs import NamedRun, Runs, Source, SuiteRuns
from reproductions.study_report import Parts, Study, Table
from reproductions.translation import SHAZEER_2017, SHAZEER_2017_URL
from reproductions.translation.evidence import FORMS, why_not_comparable
from reproductions.translation.experts import chosen_experts_table, cosine_table, write_expert_page
from reproductions.translation.figures import (
    by_model,
    information,
    loads,
    perplexity_curves,
)
from reproductions.translation.tables import (
    balance_table,
    equal_time_table,
    examples_table,
    gate_table,
    label,
    languages_table,
    pair_table,
    regime_table,
    results_table,
    search_table,
    specialisation_table,
    use_table,
    why_uneven,
    why_worse,
)
from reproductions.verdicts.judge import Judged


def _parts(found: SuiteRuns, judged: Sequence[Judged], source: Source) -> Parts:
    runs = found.runs
    pictures = [by_model(runs), perplexity_curves(runs), information(runs), loads(runs)]
    search = (
        "The search for learning rates: perplexity of validation text after a full training, one "
        "training a point, the same rates for all models. A point that is not finished blew up, "
        "or was not run.",
        search_table(source),
    )
    return Parts(pictures, [*_tables(runs), search])


def _tables(runs: Runs) -> list[Table]:
    # The terminal prints the first five, the page has all.
    printed = [
        (
            "Test chapters, all languages together and English to French on its own. Intervals are "
            "95 %, over trainings. Published numbers are of WMT'14 and a larger model. Tokenised "
            "BLEU is not smoothed: without any run of four right words it is 0, where sacreBLEU "
            "counts a little. Seconds are told of models that the same machine trained.",
            results_table(runs),
        ),
        (
            "By language, test chapters. Table 5 of the paper has production data and larger "
            "models: its mixture and the multilingual GNMT.",
            languages_table(runs),
        ),
        (
            "What an expert sees, and the share of a gate's choices that its noise leaves as they "
            "are. In the paper an expert sees about two thousand words in a step.",
            regime_table(runs),
        ),
        (
            "At equal time: held-out perplexity when the fastest training of the wide expert ends, "
            "of models that the same machine trained.",
            equal_time_table(runs),
        ),
        ("English to French alone, two Bibles on either side.", pair_table(runs)),
    ]
    others = _of_experts(runs["experts_2048"], runs) if "experts_2048" in runs else []
    others += [
        ("Evenly spaced test sentences, the first training.", examples_table(runs)),
        ("Use of the encoder's experts on the test chapters, the first training.", use_table(runs)),
        ("Table 6 beside ours: medians over the second half of training.", balance_table(runs)),
    ]
    return [*printed, *others]


def _of_experts(run: NamedRun, runs: Runs) -> list[Table]:
    return [
        (
            f"What the choice of experts tells, {label(run, runs)}: adjusted mutual information "
            "with the expert of the largest weight, 0 by chance. Beside it an untrained model with "
            "a random gate.",
            gate_table(run),
        ),
        (
            f"What an assignment's expert tells in the encoder, {label(run, runs)}, the first "
            "training.",
            specialisation_table(run),
        ),
        (
            "Distance in embedding space: words of an expert's largest gates, two and two.",
            cosine_table(run),
        ),
        (
            "Experts of the three kinds of Table 9, found by rule, and a random sample. The "
            "expert's own subword stands between asterisks. The same rules find such experts where "
            "nothing was learnt too.",
            chosen_experts_table(run),
        ),
    ]


STUDY = Study(
    name="translation",
    title="Outrageously large neural networks: the translation study",
    citation=SHAZEER_2017,
    citation_url=SHAZEER_2017_URL,
    folder=Path(__file__).parent,
    forms=FORMS,
    why_not_comparable=why_not_comparable,
    parts=_parts,
    reasons={"balance": why_uneven, "losses-": why_worse},
    target="reproduce-translation",
    about="A network translates English into nine languages. In its middle a gate picks a few of "
    "up to 2,048 small experts for every word, so that a larger model costs no more per word. The "
    "paper found that more experts translate better, and that they specialise in kinds of words.",
    shown_suite="translation_all",
    next_steps=(
        "python -m experiments.translation.translate language=fr show=words   English to French",
        "python -m experiments.suite suite=translation_search   the search for learning rates",
        "python -m experiments.suite suite=translation_all   0 to 2,048 experts, and controls",
    ),
    num_printed=5,
    pages_beside=(("experts_2048", "experts.html", write_expert_page),),
)
