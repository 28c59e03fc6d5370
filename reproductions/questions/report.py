"""The report of the five questions, put together from finished runs of other starts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reproductions.questions.curves import collapse, groups, identity
from reproductions.questions.evidence import FORMS, FREE, SETTLED, STARTS, at_end, steps_to_leave
from reproductions.questions.gains import agreement, gains
from reproductions.runs import NamedRun, Runs, Source, SuiteRuns
from reproductions.study_report import Parts, Study, departures_except
from reproductions.verdicts.judge import Judged
from reproductions.verdicts.number_text import number


def _parts(found: SuiteRuns, judged: Sequence[Judged], source: Source) -> Parts:
    runs = found.runs
    pictures = [gains(runs), collapse(runs), identity(runs), agreement(runs), groups(runs)]
    tables = [
        (
            "Where each start ends: means over seeds, with standard deviations. The loss is each "
            "study's own, in nats but for the vowels; the cosine is that of two experts' weights.",
            starts_table(runs),
        ),
        (
            "Adjusted mutual information with the true groups at the end, and of standard "
            "clusterings of the gate's inputs.",
            references_table(runs),
        ),
    ]
    return Parts(pictures, tables)


_COLUMNS = {
    "loss": "loss",
    "effective_experts": "effective experts",
    "largest_share": "largest share",
    "similarity": "mean cosine",
}
# What the parts of a run's name mean.
_WORDS = {
    "all": "all kinds of book",
    "back": "[a] and [A]",
    "balanced": "with a balance loss",
    "bible": "the Bible alone",
    "blend": "cost of equation 1.1",
    "both": "both pairs",
    "collapsed": "gate collapsed at first",
    "domains": "translation",
    "four": "four kinds of text",
    "front": "[i] and [I]",
    "frozen": "gate never learns",
    "help": "office help alone",
    "identical": "experts alike at first",
    "manuals": "manual pages alone",
    "noise": "but for a little noise",
    "one": "one kind of book",
    "outputs": "one expert with four outputs",
    "packages": "package descriptions alone",
    "published": "as in its study",
    "quiet": "no noise in the routing",
    "single": "one expert",
    "text": "translation",
    "unbalanced": "no balance losses",
    "vowel": "vowels",
    "wide": "one wide layer",
}


def starts_table(runs: Runs) -> pd.DataFrame:
    """A row per run with a measured start: means over seeds at the last step."""
    return pd.DataFrame(
        [_row(name, run) for name, run in runs.items() if hasattr(run.study, "gate_start")]
    )


def _row(name: str, run: NamedRun) -> dict[str, str]:
    label = run.called(_in_words(name), STARTS)
    cells = {"run": label, "seeds": str(len(at_end(run, "loss")))}
    for column, words in _COLUMNS.items():
        values = at_end(run, column)
        # One expert is like no other.
        is_told = len(values) > 1 and not (column == "similarity" and run.study.num_experts == 1)
        cells[words] = _mean(values) if is_told else "–"
    is_collapsed = run.study.gate_start.name == "collapsed"
    cells["steps to leave"] = _left(run) if is_collapsed else "–"
    return cells


def _in_words(name: str) -> str:
    parts = name.replace("four_outputs", "outputs").split("_")
    return ", ".join(_WORDS.get(part, part) for part in parts)


def _mean(values: NDArray[np.float64]) -> str:
    return f"{number(values.mean(), 3)} (SD {number(values.std(ddof=1), 2)})"


def _left(run: NamedRun) -> str:
    is_text = run.study.name == "translation_start"
    # As the claims have it: 1.5 effective experts, and in translation half of all.
    least = run.study.num_experts / 2 if is_text else SETTLED
    found = steps_to_leave(run, least, run.study.collapse_at if is_text else 0)
    if np.isnan(found).all():
        return "never"
    # Seeds that never leave have no step: they are counted beside the median, not left out in
    # silence.
    stayed = int(np.isnan(found).sum())
    return f"{np.nanmedian(found):.0f}" + (f" ({stayed} seeds never)" if stayed else "")


def references_table(runs: Runs) -> pd.DataFrame:
    """Adjusted mutual information with the true groups: the gate's, and standard clusterings'."""
    rows = []
    for name in ("vowel_published", "clusters_published", "text_published", "domains_four"):
        if name not in runs:
            continue
        table = runs[name].table("references")
        for of, own in table.groupby("of"):
            means = own.groupby("method")["agreement"].mean()
            gate = at_end(runs[name], f"agreement_{of}")
            label = runs[name].called(_in_words(name), STARTS)
            cells = {"run": label, "groups": str(of)}
            rows.append(
                cells
                | {"gate": f"{gate.mean():.3f}"}
                | {str(m): f"{v:.3f}" for m, v in means.items()}
            )
    return pd.DataFrame(rows)


STUDY = Study(
    name="questions",
    title="Five questions: the three studies from other starts",
    citation="Interventions of our own on the three studies; no paper has them as such.",
    citation_url=None,
    folder=Path(__file__).parent,
    forms=FORMS,
    why_not_comparable=departures_except(FREE),
    parts=_parts,
    target="questions",
    about="The three studies answer five questions about mixtures of experts. Here the same "
    "models start from other places: a gate that sends everything to one expert, identical "
    "experts, data with more or fewer clusters.",
    shown_suite="questions_domains",
    next_steps=(
        "make front   the front page of all studies: reports/index.html",
        "make fetch-texts questions-domains   four kinds of text (Debian or Ubuntu)",
    ),
)
