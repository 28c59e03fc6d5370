"""Table 1 and its extensions as points: every seed beside the published mean and spread."""

from collections.abc import Mapping, Sequence

from reproductions.claims import Claim
from reproductions.clusters.figures.seeds import Row, draw_rows
from reproductions.clusters.rows import (
    KIND_COLOURS,
    KINDS,
    SETTINGS,
    SWEEP,
    labelled,
    ladder_labels,
    setting_of,
    settings_in_words,
)
from reproductions.pictures import Picture, still
from reproductions.runs import NamedRun, distinct

Runs = Mapping[str, NamedRun]


def published(runs: Runs, claims: Sequence[Claim]) -> Picture | None:
    """The mixtures in all settings that were run."""
    numbers = {claim.id: claim.published for claim in claims}
    named = {f"coded_{setting}_{kind}": (setting, kind) for setting in SETTINGS for kind in KINDS}
    rows = []
    for run in distinct(runs.get(name) for name in named):
        label = f"{setting_of(run.study)}: {run.study.activation.name}"
        setting, kind = named[run.name]
        beside = _numbers(numbers, setting, kind) if run.is_as_named else ()
        rows.append(Row(label, run, KIND_COLOURS[kind], *beside))
    if not rows:
        return None
    ids = [
        f"{measure}-{setting}-{kind}"
        for measure in ("accuracy", "entropy")
        for setting in SETTINGS
        for kind in KINDS
    ]
    return still(
        draw_rows(rows),
        id="published",
        title="Table 1 and its extensions, every seed",
        caption="A point is one seed by the authors' recipe, the bar among them their median. The "
        "diamond above is the published mean with one standard deviation. The dotted line is the "
        f"largest possible entropy, log {rows[0].run.study.num_clusters}.",
        alt="Accuracy and dispatch entropy of every seed with the published means, by setting.",
        claim_ids=ids,
        runs=[row.run for row in rows],
    )


def _numbers(numbers: Mapping[str, object], setting: int, kind: str) -> list[tuple[float, float]]:
    found = [numbers[f"{name}-{setting}-{kind}"] for name in ("accuracy", "entropy")]
    return [(item.value, item.spread) for item in found]  # type: ignore[attr-defined]


def ladder(runs: Runs) -> Picture | None:
    """From the authors' code to the paper's text, one difference after the other."""
    rows = [
        Row(label, run, KIND_COLOURS[run.name.rpartition("_")[2]])
        for label, run in labelled(ladder_labels(KINDS), runs)
    ]
    if not rows:
        return None
    return still(
        draw_rows(rows),
        id="ladder",
        title="From the code to the text, one difference at a time",
        caption=f"Setting {settings_in_words(ladder_labels(KINDS), runs)}. "
        "Every row keeps the changes above it: row 0 is the authors' code, row "
        "6 the paper's text. Circles are cubic experts, triangles linear ones.",
        alt="Accuracy and entropy of cubic and linear mixtures at seven steps from code to text.",
        claim_ids=("written-linear", "written-linear-entropy"),
        runs=[row.run for row in rows],
    )


def sweep(runs: Runs) -> Picture | None:
    """One setting at a time."""
    rows = [Row(label, run, "blue") for label, run in labelled(SWEEP, runs)]
    if len(rows) < 2:
        return None
    return still(
        draw_rows(rows),
        id="sweep",
        title="What the division of labour depends on",
        caption=f"Cubic experts by the authors' recipe, setting {settings_in_words(SWEEP, runs)}, "
        "with one setting changed; in "
        "brackets the usual value.",
        alt="Accuracy and entropy of cubic mixtures with one setting changed at a time.",
        runs=[row.run for row in rows],
    )
