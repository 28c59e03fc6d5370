"""The translation study's report, put together from finished runs."""

from collections.abc import Sequence
from pathlib import Path

from reproductions.runs import Runs, Source, SuiteRuns
from reproductions.study_report import Parts, Study, Table
from reproductions.translation import SHAZEER_2017, SHAZEER_2017_URL
from reproductions.translation.equal_cost import (
    in_every_training,
    label,
    seeds_table,
    short_runs_table,
    why_many_lose,
    why_more_lose,
)
from reproductions.translation.evidence import FORMS, why_not_comparable
from reproductions.translation.experts import chosen_experts_table, cosine_table, write_expert_page
from reproductions.translation.figures import loads, perplexity_curves, variety
from reproductions.translation.tables import (
    balance_table,
    domains_table,
    examples_table,
    results_table,
    specialisation_table,
    use_table,
    why_uneven,
)
from reproductions.verdicts.judge import Judged


def _parts(found: SuiteRuns, judged: Sequence[Judged], source: Source) -> Parts:
    runs = found.runs
    return Parts([perplexity_curves(runs), variety(runs), loads(runs)], _tables(runs))


def _tables(runs: Runs) -> list[Table]:
    # The terminal prints the first five, the page has all.
    printed = [
        (
            "Test chapters; intervals are 95 % over sentences of one training. Published numbers "
            "are of WMT'14 and a larger model.",
            results_table(runs),
        ),
        ("Evenly spaced test sentences.", examples_table(runs)),
    ]
    if "experts_2048" in runs:
        run = runs["experts_2048"]
        printed += [
            (
                f"What an assignment's expert tells, {label(run, runs)}.",
                specialisation_table(run),
            ),
            (
                "Distance in embedding space: words of an expert's largest gates, two and two.",
                cosine_table(run),
            ),
            (
                "Experts of the three kinds of Table 9, found by rule, and a random sample. The "
                "expert's own subword stands between asterisks.",
                chosen_experts_table(run),
            ),
        ]
    others = [
        ("By kind of book, test chapters.", domains_table(runs)),
        ("Use of the encoder's experts on the test chapters.", use_table(runs)),
        (
            "What holds many experts back: held-out perplexity, one training each.",
            short_runs_table(runs),
        ),
        (
            "Both models of equal cost from several seeds, test chapters. Intervals are 95 %, of a "
            "perplexity over sentences, of the mean ratio over seeds.",
            seeds_table(runs),
        ),
        (
            "Table 6 beside ours: medians over the second half of training.",
            balance_table(runs),
        ),
    ]
    return [*printed, *others]


def _why_it_loses(runs: Runs) -> str:
    """The causes that runs tell of, and whether other seeds end so."""
    return "; ".join(part for part in (in_every_training(runs), why_many_lose(runs)) if part)


STUDY = Study(
    name="translation",
    title="Outrageously large neural networks: the translation study",
    citation=SHAZEER_2017,
    citation_url=SHAZEER_2017_URL,
    folder=Path(__file__).parent,
    forms=FORMS,
    why_not_comparable=why_not_comparable,
    parts=_parts,
    reasons={
        "equal-cost-perplexity": _why_it_loses,
        "perplexity-order-": why_more_lose,
        "balance": why_uneven,
    },
    target="reproduce-translation",
    about="A network translates English into French. In its middle a gate picks a few of up to "
    "2,048 small experts for every word. The paper found that experts specialise in kinds "
    "of words, though nobody told them to.",
    shown_suite="translation_all",
    next_steps=(
        "python -m experiments.translation.translate show=words   type English, see French",
        "python -m experiments.suite suite=translation_all   0 to 2,048 experts, and Table 6",
    ),
    num_printed=5,
    pages_beside=(("experts_2048", "experts.html", write_expert_page),),
)
