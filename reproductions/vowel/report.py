"""The vowel study's report, put together from finished runs."""

from collections.abc import Callable, Sequence
from pathlib import Path

from reproductions.runs import Runs, Source, SuiteRuns, distinct
from reproductions.study_report import Parts, Picture, Study, Table, as_picture
from reproductions.verdicts.judge import Judged
from reproductions.verdicts.number_text import number
from reproductions.vowel import decision_lines
from reproductions.vowel.decision_lines import has_lines
from reproductions.vowel.evidence import FORMS, share_heading, why_not_comparable
from reproductions.vowel.figure2 import figure2
from reproductions.vowel.figure3 import figure3
from reproductions.vowel.figures import costs, interval_overview, seeds, training
from reproductions.vowel.multiverse_report import COMMAND, multiverse_part
from reproductions.vowel.step_sizes import steps
from reproductions.vowel.suite import LINES, cost_runs, costs_in_words, table_1_rows
from reproductions.vowel.tables import cost_table, reference_table, table_1, tuned_table


def _parts(found: SuiteRuns, judged: Sequence[Judged], source: Source) -> Parts:
    runs, claims = found.runs, [claim for claim, _, _ in judged]
    multiverse = multiverse_part(source, judged)
    mixtures = distinct(runs.get(name) for name in _MIXTURES)
    pictures = [
        _overview(found, judged),
        *(
            figure2(run, id="figure2" if run.name == "experts_4" else "figure2-8-experts")
            for run in mixtures
            if has_lines(run)
        ),
        _figure3(runs),
        training(runs),
        steps(runs, claims),
        seeds(runs, claims),
        costs(runs),
    ]
    tables = _tables(runs, judged)
    if multiverse is None:
        missing = f"Not run yet: every other reading of the paper ({COMMAND})."
        return Parts(pictures, tables, [missing])
    return Parts(
        [*pictures, *multiverse.pictures], [*tables, *multiverse.tables], multiverse.paragraphs
    )


def _figure3(runs: Runs) -> Picture | None:
    needed = {"experts_8", *LINES}
    if not needed <= set(runs) or not all(has_lines(runs[name]) for name in needed):
        return None
    # The lines are those of single experts, of all vowels and of two pairs.
    if any({"num_experts", "vowels"} & runs[name].changed.keys() for name in LINES):
        return None
    return figure3(runs["experts_8"], {name: runs[name] for name in LINES})


def _overview(found: SuiteRuns, judged: Sequence[Judged]) -> Picture | None:
    shown = [
        claim
        for claim, _, verdict in judged
        if verdict and verdict.estimate is not None and claim.kind == "value"
    ]
    if not any(claim.published and claim.published.value for claim in shown):
        return None
    return as_picture(
        interval_overview(judged),
        id="overview",
        title="Published values and margins against ours",
        caption="Every claim about a number, divided by the published value: the band is the "
        "margin, the mark our mean with its 95 % interval.",
        alt="Our means and 95 % intervals over the published values, with the margins.",
        claim_ids=[claim.id for claim in shown],
        runs=found.runs.values(),
    )


def _tables(runs: Runs, judged: Sequence[Judged]) -> list[Table]:
    """Captions and tables; Table 1 always comes first, the others where there are runs."""
    is_given = any(run.study.step_size is not None for _, run in table_1_rows(runs))
    step = "was given" if is_given else "the rule of the exploration takes"
    tables = [
        (
            "Table 1 of the paper beside ours: means over seeds, each system at the step that "
            f"{step}. BP is one network that learns by back-propagation.",
            table_1(runs, judged),
        ),
        (
            "The same systems with step sizes tuned towards the published epochs: a world in which "
            "those epochs can be looked for, and no evidence.",
            tuned_table(runs),
        ),
        (f"{costs_in_words(cost_runs(runs))}.", cost_table(runs)),
    ]
    if "references" in runs:
        caption = "Standard classifiers on the same recordings and split, not in the paper."
        tables.append((caption, reference_table(runs["references"])))
    return tables


_MIXTURES = ("experts_4", "experts_8")
# As the claim first-heading has it.
_FIRST_EPOCHS = 100


def _reference_scores(column: str) -> Callable[[Runs], str]:
    def why(runs: Runs) -> str:
        if "references" not in runs:
            return ""
        scores = 100 * runs["references"].table("metrics")[column]
        low, middle, high = (number(float(scores.quantile(part)), 3) for part in (0, 0.5, 1))
        return (
            f"standard classifiers score {middle} % on these recordings in the median, and "
            f"{low} to {high} % in all"
        )

    return why


def _one_for_each_pair(runs: Runs) -> str:
    mixtures = distinct(runs.get(name) for name in _MIXTURES)
    tables = [run.table("metrics") for run in mixtures]
    pairs = ["experts_on_iy_ih", "experts_on_aa_ah"]
    seeds = [bool(all_one) for table in tables for all_one in (table[pairs] == 1).all(axis=1)]
    if not seeds:
        return ""
    return f"in {sum(seeds)} of {len(seeds)} runs one expert answers for each pair of vowels"


def _strictness(runs: Runs) -> str:
    return (
        "we ask that all lines, used later or not, lie within "
        f"{decision_lines.ANGLE_TOLERANCE:g} degrees and half a standard deviation of X at one "
        "epoch"
    )


def _share_heading(runs: Runs) -> str:
    found = [runs.get(name) for name in ("experts_8", "line_X")]
    experts, lone = found
    if experts is None or lone is None or not (has_lines(experts) and has_lines(lone)):
        return ""
    share = share_heading(experts, lone, _FIRST_EPOCHS)
    return (
        f"{share:.0%} of all experts turn towards X in the first {_FIRST_EPOCHS} epochs, where "
        "chance is half"
    )


STUDY = Study(
    name="vowel",
    title="Adaptive mixtures of local experts: the vowel study",
    citation="Jacobs, R. A., Jordan, M. I., Nowlan, S. J. & Hinton, G. E. (1991). Adaptive "
    "mixtures of local experts. Neural Computation 3(1), 79-87.",
    citation_url="https://doi.org/10.1162/neco.1991.3.1.79",
    folder=Path(__file__).parent,
    forms=FORMS,
    why_not_comparable=why_not_comparable,
    parts=_parts,
    reasons={
        "train-accuracy": _reference_scores("train_accuracy"),
        "test-accuracy": _reference_scores("test_accuracy"),
        "two-experts-on-a": _one_for_each_pair,
        "first-heading": _share_heading,
        "first-arriving": _strictness,
        "first-together": _strictness,
    },
    target="reproduce-vowel",
    about="Four small experts learn to tell similar vowels apart by two numbers measured from "
    "each recording. A gate learns beside them which expert to ask: it cuts the plane into "
    "regions, and each expert draws its border only in the region that it is asked about.",
    next_steps=(
        f"{COMMAND}   which claims hold in which reading",
        'make reproduce-vowel ARGS="study.num_experts=16"',
    ),
)
