"""The report's tables: the paper's beside ours, from code to text, and what else was run."""

from collections.abc import Mapping

import pandas as pd

from reproductions.claims import Claim
from reproductions.clusters.measures import agreement_of_maps, metric
from reproductions.clusters.rows import (
    ACTIVATION_DATA,
    ACTIVATIONS,
    KINDS,
    LADDER,
    SETTINGS,
    SWEEP,
    WIDTHS,
)
from reproductions.intervals import mean_estimate
from reproductions.report_types import Judged
from reproductions.runs import NamedRun
from reproductions.wording import SYMBOLS, verdict_word

Runs = Mapping[str, NamedRun]
_DASH = "–"
# With a space at which no line is broken.
_ACCURACY = "accuracy\u00a0%"


def table_1(runs: Runs, judged: tuple[Judged, ...]) -> pd.DataFrame:
    """Accuracy and entropy of every published system: the paper's, ours and the verdict."""
    by_id = {claim.id: (claim, verdict) for claim, _, verdict in judged}
    rows = []
    for setting in SETTINGS:
        for label, measure, claim_id, name in _systems(setting):
            claim, verdict = by_id[claim_id]
            column, factor, decimals = _column(measure)
            word = verdict_word(verdict)
            rows.append(
                {
                    "system": f"setting {setting}: {label}",
                    "measure": measure,
                    "published": _published(claim, decimals),
                    "ours": mean_text(runs.get(name), column, factor, decimals),
                    "median": median_text(runs.get(name), column, factor, decimals),
                    "95 % interval": interval_text(runs.get(name), column, factor, decimals),
                    "verdict": f"{SYMBOLS[word]} {word}",
                    "seeds": _num_seeds(runs.get(name)),
                }
            )
    return pd.DataFrame(rows)


def _systems(setting: int) -> list[tuple[str, str, str, str]]:
    """Label, measure, claim and run of each number of one setting."""
    rows = [
        (
            f"single {kind}",
            "accuracy\u00a0%",
            f"single-{setting}-{kind}",
            f"single_{setting}_{kind}_80",
        )
        for kind in reversed(KINDS)
    ]
    for kind in reversed(KINDS):
        run = f"coded_{setting}_{kind}"
        rows.append((f"MoE {kind}", _ACCURACY, f"accuracy-{setting}-{kind}", run))
        rows.append((f"MoE {kind}", "entropy", f"entropy-{setting}-{kind}", run))
    return rows


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
    return _DASH if run is None else str(len(run.finished.table("metrics")))


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
    return pd.DataFrame(
        [
            {"change": f"{step}: {label}", "experts": kind, **_measures(run)}
            for kind in reversed(KINDS)
            for step, label in enumerate(LADDER)
            if (run := runs.get(f"ladder_{step}_{kind}")) is not None
        ]
    )


def written_table(runs: Runs) -> pd.DataFrame:
    """The text in all settings, with 8 experts, and with 4 in setting 1."""
    names = {
        **{f"written_{s}_{kind}": f"setting {s}, 8 {kind}" for s in SETTINGS for kind in KINDS},
        **{f"four_{kind}": f"setting 1, 4 {kind}" for kind in KINDS},
    }
    return pd.DataFrame(
        [
            {"experts": label, **_measures(run), "one to one": _share(run, "one_to_one")}
            for name, label in names.items()
            if (run := runs.get(name)) is not None
        ]
    )


def _share(run: NamedRun, column: str) -> str:
    flags = run.finished.table("metrics")[column].astype(bool)
    return f"{flags.sum()} of {len(flags)}"


def single_table(runs: Runs) -> pd.DataFrame:
    """Single networks by width, and tuned ones with ten times the data."""
    names = {
        f"single_{setting}_{kind}_{width}": (setting, f"{kind}, {width} filters")
        for setting in SETTINGS
        for kind in KINDS
        for width in WIDTHS
    }
    names |= {
        f"tuned_{setting}_{kind}": (setting, f"{kind}, tuned")
        for setting in SETTINGS
        for kind in ("cubic", "gelu")
    }
    return pd.DataFrame(
        [
            {
                "network": label,
                "setting": str(setting),
                "test %": mean_text(run, "test_accuracy", 100, 2),
                "training %": mean_text(run, "train_accuracy", 100, 2),
                "seeds": _num_seeds(run),
            }
            for name, (setting, label) in names.items()
            if (run := runs.get(name)) is not None
        ]
    )


def activation_table(runs: Runs) -> pd.DataFrame:
    """Test accuracy of single networks with other activations."""
    rows = []
    for activation in ACTIVATIONS:
        found = {
            label: mean_text(runs.get(f"activations_{data}_{activation}"), "test_accuracy", 100, 2)
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
            for name, label in SWEEP.items()
            if (run := runs.get(name)) is not None
        ]
    )


def _live(run: NamedRun) -> str:
    return f"{metric(run, 'num_live_experts').mean():.1f}"


MAP_RUNS = {
    "four_cubic": "own start, own noise",
    "same_init": "one start, many noises",
    "same_noise": "one noise, many starts",
}


def map_table(runs: Runs) -> pd.DataFrame:
    """How much two seeds agree on which expert gets which cluster; uniform maps: 25 %."""
    rows = []
    for name, label in MAP_RUNS.items():
        if name not in runs or len(agreement := 100 * agreement_of_maps(runs[name])) < 2:
            continue
        low, high = mean_estimate(agreement.tolist()).interval(0.95)
        rows.append(
            {
                "seeds differ in": label,
                "same expert %": f"{agreement.mean():.0f}",
                "95 % interval": f"{low:.0f} to {high:.0f}",
                "clusters whose expert saw them best at first": mean_text(
                    runs[name], "init_predicts", 1, 1
                ),
                "seeds": _num_seeds(runs[name]),
            }
        )
    return pd.DataFrame(rows)
