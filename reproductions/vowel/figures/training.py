"""Error and number of experts in use over the training, all seeds."""

from collections.abc import Mapping

from matplotlib.figure import Figure as Drawing

from reproductions.drawing import COLOURS, INK, figure_style
from reproductions.pictures import Picture, still
from reproductions.runs import NamedRun


def training(runs: Mapping[str, NamedRun]) -> Picture:
    """Curves of the mixtures of Table 1."""
    names = [name for name in ("experts_4", "experts_8") if name in runs]
    with figure_style():
        drawing = Drawing(figsize=(7.8, 4.8))
        panels = drawing.subplots(2, len(names), sharex=True, sharey="row", squeeze=False)
        for column, name in enumerate(names):
            curves = runs[name].finished.table("curves")
            for _, seed in curves.groupby("seed"):
                style = {"linewidth": 0.7, "alpha": 0.6}
                panels[0, column].plot(
                    seed["epoch"], seed["train_error"], color=COLOURS["blue"], **style
                )
                panels[1, column].plot(
                    seed["epoch"], seed["effective_experts"], color=COLOURS["green"], **style
                )
            panels[0, column].axhline(
                runs[name].study.stop_error, color=INK, linestyle=":", linewidth=0.9
            )
            panels[0, column].set_title(f"{runs[name].study.num_experts} experts")
            panels[1, column].set_xlabel("epoch")
        panels[0, 0].set_ylabel("training error")
        panels[1, 0].set_ylabel("effective experts")
    return still(
        drawing,
        id="training",
        title="Error and experts in use over the training",
        caption="Each line is a seed, up to its stop (dotted: the stop's error). Effective experts "
        "are the exponential of the entropy of the mean mixing proportions: the gate sits on the "
        "plateau of a single line with several experts, then two take over.",
        alt="Training error falls from a plateau while the effective number of experts drops.",
        claim_ids=("two-or-three-live-4", "two-or-three-live-8"),
        runs=[runs[name] for name in names],
    )
