"""The report's tables: the paper's beside ours, from code to text, and what else was run."""

from collections.abc import Sequence

import pandas as pd

from reproductions.clusters.suite import (
    ACTIVATION_DATA,
    ACTIVATIONS,
    EXPERT_KINDS,
    SETTINGS,
    SWEEP,
    WIDTHS,
    agreement_of_maps,
    labelled,
    ladder_labels,
    setting_of,
)
from reproductions.runs import NamedRun, Runs, distinct, metric
from reproductions.tables import DASH, PERCENT, blown_up_text, interval_text, mean_text
from reproductions.verdicts.claims import Claim
from reproductions.verdicts.judge import Judged
from reproductions.verdicts.verdict_text import SYMBOLS, verdict_word

# With a space at which no line is broken.
_ACCURACY = "accuracy\u00a0%"


def table_1(runs: Runs, judged: Sequence[Judged]) -> pd.DataFrame:
    """Accuracy and entropy of every published system: the paper's, ours and the verdict."""
    by_id = {claim.id: (claim, verdict) for claim, _, verdict in judged}
    systems = [item for setting in SETTINGS for item in _systems(setting)]
    # One row for each run, though an override may have given it several names.
    kept = {run.name for run in distinct(runs.get(name) for *_, name in systems)}
    rows = []
    for label, measure, claim_id, name in systems:
        run = runs.get(name)
        if run is not None and name not in kept:
            continue
        claim, verdict = by_id[claim_id]
        values, decimals = _values(run, measure)
        word = verdict_word(verdict)
        rows.append(
            {
                "system": label if run is None else _system(run),
                "measure": measure,
                "published": _published(claim, decimals)
                if run is None or run.is_as_named
                else DASH,
                "ours": mean_text(values, decimals),
                # Accuracies and entropies are skewed, so a mean alone would mislead.
                "median": _median(values, decimals),
                "95 % interval": interval_text(values, decimals, claim.bounds),
                "verdict": f"{SYMBOLS[word]} {word}",
                "seeds": _num_seeds(run),
                "blew up": DASH if run is None else blown_up_text(run.finished.manifest),
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
        for kind in reversed(EXPERT_KINDS)
    ]
    for kind in reversed(EXPERT_KINDS):
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
    names = [f"single_{setting}_{kind}_80" for setting in SETTINGS for kind in EXPERT_KINDS]
    widths = {f"{runs[name].study.num_filters:,}" for name in names if name in runs}
    return f"{' and '.join(sorted(widths)) or '80'} filters"


def _values(run: NamedRun | None, measure: str) -> tuple[pd.Series, int]:
    """The measure of every seed, and with how many decimals it is written."""
    if measure == "entropy":
        return metric(run, "entropy"), 3
    return metric(run, "test_accuracy", 100), 2


def _median(values: pd.Series, decimals: int) -> str:
    return f"{values.median():.{decimals}f}" if len(values) else DASH


def _accuracy_text(run: NamedRun | None, column: str = "test_accuracy") -> str:
    return mean_text(metric(run, column, 100), 2)


def _published(claim: Claim, decimals: int) -> str:
    assert claim.published is not None
    spread = claim.published.spread
    text = f"{claim.published.value:.{decimals}f}"
    return text if spread is None else f"{text} (SD {spread:.{decimals}f})"


def _num_seeds(run: NamedRun | None) -> str:
    return DASH if run is None else str(len(run.table("metrics")))


def _measures(run: NamedRun) -> dict[str, str]:
    accuracy = metric(run, "test_accuracy", 100)
    return {
        "accuracy %": mean_text(accuracy, 2),
        "95 % interval": interval_text(accuracy, 2, PERCENT),
        "median": _median(accuracy, 2),
        "entropy": mean_text(metric(run, "entropy"), 3),
        "steps": f"{metric(run, 'steps').mean():.0f}",
        "seeds": _num_seeds(run),
        # What is measured at the end is then no state that was learnt.
        "blew up": blown_up_text(run.finished.manifest),
    }


def ladder_table(runs: Runs) -> pd.DataFrame:
    """Set code and text side by side: every row adds one difference."""
    labels = ladder_labels(reversed(EXPERT_KINDS))
    return pd.DataFrame(
        [
            {"change": label, "experts": run.study.activation.name, **_measures(run)}
            for label, run in labelled(labels, runs)
        ]
    )


def written_table(runs: Runs) -> pd.DataFrame:
    """The text in all settings, with 8 experts, and with 4 in setting 1."""
    names = [f"written_{setting}_{kind}" for setting in SETTINGS for kind in EXPERT_KINDS]
    # Figure 1 of the paper has four experts.
    names += [f"four_{kind}" for kind in EXPERT_KINDS]
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
        for kind in EXPERT_KINDS
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
                "test %": _accuracy_text(run),
                "training %": _accuracy_text(run, "train_accuracy"),
                "seeds": _num_seeds(run),
            }
            for label, run in labelled(labels, runs)
        ]
    )


def activation_table(runs: Runs) -> pd.DataFrame:
    """Test accuracy of single networks with other activations, of runs that are as named."""
    # A cell is found by its column's signals, so a run with others has no place.
    signals = {"alpha", "beta", "gamma", "patch_noise", "activation"}
    named = {name: run for name, run in runs.items() if not signals & run.changed.keys()}
    rows = []
    for activation in ACTIVATIONS:
        found = {
            label: _accuracy_text(named.get(f"activations_{data}_{activation}"))
            for data, label in ACTIVATION_DATA.items()
        }
        if any(text != DASH for text in found.values()):
            rows.append({"activation": activation, **found})
    return pd.DataFrame(rows)


def sweep_table(runs: Runs) -> pd.DataFrame:
    """Show the runs that have one setting changed, a row each."""
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
    """Tell what experts the runs of the map table have."""
    for name in MAP_RUNS:
        if name in runs and not runs[name].is_as_named:
            return f"{runs[name].study.num_experts} {runs[name].study.activation.name} experts"
    return "four cubic experts"


def map_table(runs: Runs) -> pd.DataFrame:
    """How much two seeds agree on which expert gets which cluster; uniform maps: 25 %."""
    rows = []
    for label, run in labelled(MAP_RUNS, runs):
        # Uniform maps agree in one of as many clusters as there are experts.
        agreement = pd.Series(100 * agreement_of_maps(run))
        if len(agreement) < 2:
            continue
        rows.append(
            {
                "seeds differ in": label,
                "same expert %": f"{agreement.mean():.0f}",
                "95 % interval": interval_text(agreement, 0, PERCENT),
                "clusters whose expert saw them best at first": mean_text(
                    metric(run, "init_predicts"), 1
                ),
                "seeds": _num_seeds(run),
            }
        )
    return pd.DataFrame(rows)
