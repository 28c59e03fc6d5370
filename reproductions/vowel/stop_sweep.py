"""The sweep of the stop error around the published 0.08: its table, its figure, its sentence."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing

from reproductions.drawing import COLOURS, INK, figure_style
from reproductions.runs import NamedRun
from reproductions.study_report import Picture, as_picture
from reproductions.vowel.multiverse import CLAIM_IDS, shown_choice

# By the reading of the stop: the error that it is.
_ERRORS = {"later": 0.07, "blend": 0.08} | {
    f"at_{hundredths:02d}": hundredths / 100 for hundredths in (6, 9, 10, 11, 12)
}


def _by_error(swept: pd.DataFrame) -> pd.DataFrame:
    errors = swept["stop_rule"].map(_ERRORS)
    return swept.assign(stop_error=errors).sort_values(["coding", "init_range", "stop_error"])


def sweep_table(swept: pd.DataFrame) -> pd.DataFrame:
    """Accuracies and factors by coding, start and stop error."""
    percent = {
        f"{what} %, {name}": (100 * _by_error(swept)[f"{column}_accuracy_{size}"]).map(
            "{:.1f}".format
        )
        for what, column in (("training", "train"), ("test", "test"))
        for name, size in (("4 experts", 4), ("BP 6", 6))
    }
    found = _by_error(swept)
    return pd.DataFrame(
        {
            "coding": found["coding"].map(shown_choice),
            "init": found["init_range"].map("{:g}".format),
            "stop error": found["stop_error"].map("{:.2f}".format),
            **percent,
            "BP 6 / 4 experts": found["ratio_4"].map("{:.2f}".format),
            "BP 12 / 8 experts": found["ratio_8"].map("{:.2f}".format),
            "arrived %": (100 * found["arrived"]).map("{:.0f}".format),
            f"matching of {len(CLAIM_IDS)}": found["num_matches"],
        }
    ).reset_index(drop=True)


def sweep_sentence(swept: pd.DataFrame) -> str:
    """What the stop error does to the accuracy in training."""
    found = _by_error(swept)
    late, plain = found[found["stop_error"] >= 0.1], found[found["stop_error"] == 0.08]
    texts = [_percent(group["train_accuracy_4"]) for group in (late, plain)]
    return (
        f"With a stop error of 0.10 to 0.12 in the place of 0.08, 4 experts classify {texts[0]} of "
        f"the training cases correctly, at 0.08 {texts[1]} (over codings and starts; the paper has "
        "88)."
    )


def _percent(shares: pd.Series) -> str:
    """The lowest and the highest share, or one number where they read the same."""
    low, high = (f"{100 * share:.0f}" for share in (shares.min(), shares.max()))
    return f"{low} %" if low == high else f"{low} to {high} %"


def stop_picture(swept: pd.DataFrame, run: NamedRun) -> Picture:
    """Accuracy in training, in the test, and the factor of epochs against the stop error."""
    return as_picture(
        stop_curves(swept),
        id="multiverse-stop",
        title="What another stop error would do",
        caption="4 experts (solid) and back-propagation with 6 hidden units (dashed) by the error "
        "at which training stops (paper: 0.08), for two codings and two initial ranges. Thin lines "
        "are the published values. Right: epochs of back-propagation over those of the experts.",
        alt="Accuracies and the factor of epochs against the stop error.",
        claim_ids=("train-accuracy-4-experts", "test-accuracy-4-experts", "half-the-epochs-4-6"),
        runs=[run],
    )


def stop_curves(swept: pd.DataFrame) -> Drawing:
    """Draw the sweep of the stop error in three panels."""
    found = _by_error(swept)
    with figure_style():
        figure = Drawing(figsize=(8.4, 3.6))
        panels = figure.subplots(1, 3)
        for (key, own), colour, marker in zip(
            found.groupby(["coding", "init_range"]), COLOURS.values(), "osD^v<", strict=False
        ):
            label = f"{shown_choice(key[0])}, init {key[1]:g}"
            style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4}
            for axes, column in zip(panels, ("train", "test"), strict=False):
                for size, line in ((4, "-"), (6, "--")):
                    shown = 100 * own[f"{column}_accuracy_{size}"]
                    axes.plot(own["stop_error"], shown, line, **style)
            panels[2].plot(own["stop_error"], own["ratio_4"], label=label, **style)
        for axes, title, published in zip(
            panels, ("training %", "test %", "factor of epochs"), (88, 90, 1.97), strict=True
        ):
            axes.axhline(published, color=INK, linewidth=0.8)
            axes.set(title=title, xlabel="stop error")
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure
