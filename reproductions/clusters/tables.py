"""The report's tables: the paper's beside ours, from code to text, and what else was run."""

from collections.abc import Sequence

import pandas as pd

from reproductions.clusters.suite import (
    ACTIVATION_DATA,
    ACTIVATIONS,
    KINDS,
    SETTINGS,
    SWEEP,
    WIDTHS,
    agreement_of_maps,
    labelled,
    ladder_labels,
    metric,
    setting_of,
)
from reproductions.runs import NamedRun, Runs, distinct
from reproductions.verdicts.claims import Claim
from reproductions.verdicts.intervals import mean_estimate
from reproductions.verdicts.judge import Judged
from reproductions.verdicts.verdict_text import SYMBOLS, verdict_word

_DASH = "–"
# With a space at which no line is broken.
_ACCURACY = "accuracy\u00a0%"


def table_1(runs: Runs, judged: Sequence[Judged]) -> pd.DataFrame:
    """Accuracy and entropy of every published system: the paper's, ours and the verdict."""
    by_id = {claim.id: (claim, verdict) for claim, _, verdict in judged}
    systems = [item for setting in SETTINGS for item in _systems(setting)]
    kept = {run.name for run in distinct(runs.get(name) for *_, name in systems)}
    rows = []
    for label, measure, claim_id, name in systems:
        run = runs.get(name)
        if run is not None and name not in kept:
            continue
        claim, verdict = by_id[claim_id]
        column, factor, decimals = _column(measure)
        word = verdict_word(verdict)
        rows.append(
            {
                "system": label if run is None else _system(run),
                "measure": measure,
                "published": _published(claim, decimals)
                if run is None or run.is_as_named
                else _DASH,
                "ours": mean_text(run, column, factor, decimals),
                "median": median_text(run, column, factor, decimals),
                "95 % interval": interval_text(run, column, factor, decimals),
                "verdict": f"{SYMBOLS[word]} {word}",
                "seeds": _num_seeds(run),
            }
        )
    return pd.DataFrame(rows)


def _systems(setting: int) -> list[tuple[str, str, str, str]]:
    """Label, measure, claim and run of each number of one setting."""
    rows = [
        (
            f"setting {setting}: single {kind}",
            _ACCURACY,
            f"single-{setting}-{kind}",
            f"single_{setting}_{kind}_80",
        )
        for kind in reversed(KINDS)
    ]
    for kind in reversed(KINDS):
        run, label = f"coded_{setting}_{kind}", f"setting {setting}: MoE {kind}"
        rows.append((label, _ACCURACY, f"accuracy-{setting}-{kind}", run))
        rows.append((label, "entropy", f"entropy-{setting}-{kind}", run))
    return rows


def _system(run: NamedRun) -> str:
    """A model of Table 1 by its settings."""
    study = run.study
    kind = "single" if study.model.name == "single" else "MoE"
    return f"setting {setting_of(study)}: {kind} {study.activation.name}"


def filters_in_words(runs: Runs) -> str:
    """How wide the single networks of Table 1 are."""
    names = [f"single_{setting}_{kind}_80" for setting in SETTINGS for kind in KINDS]
    widths = {f"{runs[name].study.num_filters:,}" for name in names if name in runs}
    return f"{' and '.join(sorted(widths)) or '80'} filters"


def _column(measure: str) -> tuple[str, float, int]:
    return ("entropy", 1.0, 3) if measure == "entropy" else ("test_accuracy", 100.0, 2)


def mean_text(run: NamedRun | None, column: str, factor: float, decimals: int) -> str:
    """Mean and standard deviation over seeds of a column of a run's metrics."""
    values = pd.Series(dtype=float) if run is None else metric(run, column, factor)
    if not len(values):
        return _DASH
    spread = f" (SD {values.std():.{decimals}f})" if len(values) > 1 else ""
    return f"{values.mean():.{decimals}f}{spread}"


def median_text(run: NamedRun | None, column: str, factor: float, decimals: int) -> str:
    """The median over seeds: accuracies and entropies are skewed."""
    values = pd.Series(dtype=float) if run is None else metric(run, column, factor)
    return f"{values.median():.{decimals}f}" if len(values) else _DASH


def interval_text(run: NamedRun | None, column: str, factor: float, decimals: int) -> str:
    """The 95 % Student-t interval of that mean."""
    values = [] if run is None else metric(run, column, factor).tolist()
    if len(values) < 2:
        return _DASH
    low, high = mean_estimate(values).interval(0.95)
    return f"{low:.{decimals}f} to {high:.{decimals}f}"


def _published(claim: Claim, decimals: int) -> str:
    assert claim.published is not None
    spread = claim.published.spread
    text = f"{claim.published.value:.{decimals}f}"
    return text if spread is None else f"{text} (SD {spread:.{decimals}f})"


def _num_seeds(run: NamedRun | None) -> str:
    return _DASH if run is None else str(len(run.table("metrics")))


def _measures(run: NamedRun) -> dict[str, str]:
    return {
        "accuracy %": mean_text(run, "test_accuracy", 100, 2),
        "95 % interval": interval_text(run, "test_accuracy", 100, 2),
        "median": median_text(run, "test_accuracy", 100, 2),
        "entropy": mean_text(run, "entropy", 1, 3),
        "steps": f"{metric(run, 'steps').mean():.0f}",
        "seeds": _num_seeds(run),
    }


def ladder_table(runs: Runs) -> pd.DataFrame:
    """From the code to the text: every row adds one difference."""
    labels = ladder_labels(reversed(KINDS))
    return pd.DataFrame(
        [
            {"change": label, "experts": run.study.activation.name, **_measures(run)}
            for label, run in labelled(labels, runs)
        ]
    )


def written_table(runs: Runs) -> pd.DataFrame:
    """The text in all settings, with 8 experts, and with 4 in setting 1."""
    names = [f"written_{setting}_{kind}" for setting in SETTINGS for kind in KINDS]
    names += [f"four_{kind}" for kind in KINDS]
    return pd.DataFrame(
        [
            {"experts": _experts(run), **_measures(run), "one to one": _share(run, "one_to_one")}
            for run in distinct(runs.get(name) for name in names)
        ]
    )


def _experts(run: NamedRun) -> str:
    study = run.study
    return f"setting {setting_of(study)}, {study.num_experts} {study.activation.name}"


def _share(run: NamedRun, column: str) -> str:
    flags = run.table("metrics")[column].astype(bool)
    return f"{flags.sum()} of {len(flags)}"


def single_table(runs: Runs) -> pd.DataFrame:
    """Single networks by width, and tuned ones with ten times the data."""
    labels = {
        f"single_{setting}_{kind}_{width}": f"{kind}, {width} filters"
        for setting in SETTINGS
        for kind in KINDS
        for width in WIDTHS
    }
    labels |= {
        f"tuned_{setting}_{kind}": f"{kind}, tuned"
        for setting in SETTINGS
        for kind in ("cubic", "gelu")
    }
    return pd.DataFrame(
        [
            {
                "network": label,
                "setting": setting_of(run.study),
                "test %": mean_text(run, "test_accuracy", 100, 2),
                "training %": mean_text(run, "train_accuracy", 100, 2),
                "seeds": _num_seeds(run),
            }
            for label, run in labelled(labels, runs)
        ]
    )


def activation_table(runs: Runs) -> pd.DataFrame:
    """Test accuracy of single networks with other activations, of runs that are as named."""
    signals = {"alpha", "beta", "gamma", "patch_noise", "activation"}
    named = {name: run for name, run in runs.items() if not signals & run.changed.keys()}
    rows = []
    for activation in ACTIVATIONS:
        found = {
            label: mean_text(named.get(f"activations_{data}_{activation}"), "test_accuracy", 100, 2)
            for data, label in ACTIVATION_DATA.items()
        }
        if any(text != _DASH for text in found.values()):
            rows.append({"activation": activation, **found})
    return pd.DataFrame(rows)


def sweep_table(runs: Runs) -> pd.DataFrame:
    """One setting at a time."""
    return pd.DataFrame(
        [
            {"change": label, **_measures(run), "live experts": _live(run)}
            for label, run in labelled(SWEEP, runs)
        ]
    )


def _live(run: NamedRun) -> str:
    return f"{metric(run, 'num_live_experts').mean():.1f}"


MAP_RUNS = {
    "four_cubic": "own start, own noise",
    "same_init": "one start, many noises",
    "same_noise": "one noise, many starts",
}


def map_experts(runs: Runs) -> str:
    """What experts these runs have."""
    for name in MAP_RUNS:
        if name in runs and not runs[name].is_as_named:
            return f"{runs[name].study.num_experts} {runs[name].study.activation.name} experts"
    return "four cubic experts"


def map_table(runs: Runs) -> pd.DataFrame:
    """How much two seeds agree on which expert gets which cluster; uniform maps: 25 %."""
    rows = []
    for label, run in labelled(MAP_RUNS, runs):
        if len(agreement := 100 * agreement_of_maps(run)) < 2:
            continue
        low, high = mean_estimate(agreement.tolist()).interval(0.95)
        rows.append(
            {
                "seeds differ in": label,
                "same expert %": f"{agreement.mean():.0f}",
                "95 % interval": f"{low:.0f} to {high:.0f}",
                "clusters whose expert saw them best at first": mean_text(
                    run, "init_predicts", 1, 1
                ),
                "seeds": _num_seeds(run),
            }
        )
    return pd.DataFrame(rows)
