"""What the runs of suite=vowel are called: rows of Table 1, costs and reference lines."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reproductions.runs import NamedRun, Runs, distinct


@dataclass(frozen=True)
class Table1Row:
    """One row of Table 1: its run, its label, the end of its claims' ids, and how it is drawn."""

    run: str
    label: str
    suffix: str
    colour: str
    marker: str

    @property
    def tuned_run(self) -> str:
        """The same system with a step tuned towards the published epochs."""
        return f"tuned_{self.run}"


TABLE_1 = (
    Table1Row("experts_4", "4 experts", "4-experts", "blue", "o"),
    Table1Row("experts_8", "8 experts", "8-experts", "sky", "s"),
    Table1Row("backprop_6", "BP, 6 hidden units", "backprop-6", "vermillion", "^"),
    Table1Row("backprop_12", "BP, 12 hidden units", "backprop-12", "orange", "D"),
)


def table_1_rows(runs: Runs) -> list[tuple[Table1Row, NamedRun]]:
    """The rows that were run, each run once, called what it is."""
    # With study.num_experts=8 the row of 4 experts and that of 8 are one run.
    kept = [run.name for run in distinct(runs.get(row.run) for row in TABLE_1)]
    return [
        (replace(row, label=_system(runs[row.run])), runs[row.run])
        for row in TABLE_1
        if row.run in kept
    ]


def _system(run: NamedRun) -> str:
    study = run.study
    if study.system.name == "backprop":
        return f"BP, {study.num_hidden} hidden units"
    return f"{study.num_experts} experts" if study.num_experts > 1 else "1 expert"


_COSTS = {
    "mixture_likelihood": "equation 1.3 (likelihood)",
    "expected_error": "equation 1.2 (expected error)",
    "blend_error": "equation 1.1 (error of the blend)",
}


def cost_of(run: NamedRun) -> str:
    """The cost that a mixture was trained by, for readers."""
    return _COSTS[run.study.cost.name]


def cost_runs(runs: Runs) -> list[NamedRun]:
    """The mixtures by their cost; a run that serves several labels stands once."""
    names = [f"{cost}_{size}" for cost in ("experts", *list(_COSTS)[1:]) for size in (4, 8)]
    found = distinct(runs.get(name) for name in names)
    return [run for run in found if run.study.system.name == "mixture"]


def costs_in_words(runs: Sequence[NamedRun]) -> str:
    """How many costs these runs have, and where their steps come from."""
    num_costs = len({run.study.cost for run in runs})
    which = {1: "One cost", 2: "Two costs"}.get(num_costs, "The three costs")
    return f"{which}, {'each ' if num_costs > 1 else ''}{step_in_words(runs)}"


def step_in_words(runs: Sequence[NamedRun]) -> str:
    """Tell where the step sizes of runs come from."""
    is_found = all(run.study.step_size is None for run in runs)
    return "at half of its fastest step" if is_found else "at the step that was given"


LINES = {"line_X": "X", "line_T0": "T0", "line_T1": "T1"}
