"""The clusters player: cubic beside linear experts, over their training, under one play button.

`python -m reproductions.explorers.clusters_player` reads the two runs of Figure 1 (make
reproduce-clusters) and writes what the page shows, reproductions/published/players/clusters.json.
Settings: those of suite=clusters_four, and runs_dir=PATH. Trains nothing.
Source: Chen et al. (2022), Figure 1.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from experiments.command_line import console, errors_for_people, plain_arguments
from experiments.runner.errors import UserError
from experiments.runner.storage import write_atomically
from experiments.suite import suite_runs
from reproductions.clusters.suite import EXPERT_KINDS, entropy_curves
from reproductions.html import render
from reproductions.runs import NamedRun, in_folder

DATA = Path(__file__).parents[1] / "published" / "players" / "clusters.json"
TITLE = "Clusters: cubic beside linear experts"
# Okabe and Ito's colours for colour-blind readers, dark or bright enough to be seen on the page.
LIGHT = ("#0072b2", "#c14f00", "#00805e", "#a8418a")
DARK = ("#56b4e9", "#ff8b3d", "#2fc79a", "#e88fc4")
# A shape for each cluster: circle, triangle, square, diamond.
_SHAPES = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "M0-5L5 4H-5z",
    "M-4-4H4V4H-4z",
    "M0-5.5L5.5 0 0 5.5-5.5 0z",
)
# As many as a phone's half width can show apart.
_NUM_EXAMPLES = 600
_PLANE = 1000  # width and height of a picture, in its own units
_LEFT, _TOP, _WIDTH, _HEIGHT = 50, 40, 600, 210  # of the entropy curve


def main() -> None:
    """Write the page's data from finished runs; see the module's docstring."""
    with errors_for_people():
        write(_pictures(plain_arguments(str(__doc__))), DATA)
        console.print(f"written: {DATA}")


def _pictures(overrides: Sequence[str]) -> list[NamedRun]:
    config, studies = suite_runs(["suite=clusters_four", *overrides])
    names = [f"picture_{kind}" for kind in EXPERT_KINDS]
    wanted = {name: studies[name] for name in names}
    found = in_folder(config.runs_dir)(wanted, "clusters_four")
    if found.missing:
        raise UserError(
            f"Not finished: {', '.join(found.missing)}.",
            "Train them: python -m experiments.suite suite=clusters_four",
        )
    return [found.runs[name] for name in names]


def write(runs: Sequence[NamedRun], path: Path) -> None:
    """Write what the page shows of these runs, and the folder above it if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(shown(run), separators=(",", ":")) for run in runs)
    write_atomically(path, f"[{lines}]\n".encode())


def shown(run: NamedRun) -> dict[str, Any]:
    """What the page shows of a run that kept its picture, first seed.

    Examples are every so-manieth, in their order. ``choices`` has a text per snapshot, whose digits
    are the experts that the examples go to, counted from 0.
    """
    picture = run.finished.arrays("picture")
    every = -(-len(picture["clusters"]) // _NUM_EXAMPLES)
    curve = entropy_curves(run)[int(run.table("metrics")["seed"].iloc[0])]
    positions = picture["positions"][::every]
    low, high = positions.min(axis=0), positions.max(axis=0)
    return {
        "kind": run.study.activation.name,
        "num_train": len(picture["clusters"]),
        "points": np.rint(_PLANE * (positions - low) / (high - low)).astype(int).tolist(),
        "clusters": _digits(picture["clusters"][::every]),
        "steps": picture["steps"].tolist(),
        "choices": [_digits(choice[::every]) for choice in picture["choices"]],
        "entropy_steps": curve.index.tolist(),
        "entropy": curve.round(4).tolist(),
    }


def _digits(numbers: Any) -> str:
    if max(numbers) >= len(LIGHT):
        raise UserError(
            f"The player has colours and shapes for {len(LIGHT)} experts and clusters.",
            "Leave study.num_experts and study.num_clusters as suite=clusters_four has them.",
        )
    return "".join(map(str, numbers))


def page() -> str:
    """The whole page, from the published data."""
    trainings = json.loads(DATA.read_text("utf-8"))
    # What the script reads: the points stand in the pictures already.
    kept = ("steps", "choices", "entropy_steps", "entropy")
    script = [{key: training[key] for key in kept} for training in trainings]
    return render(
        "clusters_player.html",
        "clusters_player.js",
        title=TITLE,
        light=LIGHT,
        dark=DARK,
        shapes=_SHAPES,
        last=max(training["steps"][-1] for training in trainings),
        every=trainings[0]["steps"][1],
        panels=[_panel(training) for training in trainings],
        curve=_curve(trainings),
        num_examples=len(trainings[0]["points"]),
        num_train=f"{trainings[0]['num_train']:,}",
        # Numbers and digits only: nothing in it can end the element.
        trainings=Markup(json.dumps(script, separators=(",", ":"))),
    )


def _panel(training: dict[str, Any]) -> dict[str, Any]:
    columns = (training["points"], training["clusters"], training["choices"][-1])
    marks = [
        {"x": x, "y": _PLANE - y, "cluster": cluster, "expert": expert}
        for (x, y), cluster, expert in zip(*columns, strict=True)
    ]
    return {
        "kind": training["kind"],
        "step": training["steps"][-1],
        "entropy": training["entropy"][-1],
        "marks": marks,
        "alt": f"Examples of four clusters, coloured by the one of four {training['kind']} experts "
        "that the gate chooses for each.",
    }


def _curve(trainings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    # The entropy where every expert gets all clusters alike, log K.
    most = float(np.log(len(_SHAPES)))
    last = max(training["steps"][-1] for training in trainings)
    ends = " and ".join(f"{each['entropy'][-1]:.2f} ({each['kind']})" for each in trainings)
    return {
        "left": _LEFT,
        "top": _TOP,
        "width": _WIDTH,
        "height": _HEIGHT,
        "most": most,
        "lines": [_line(training, last, most) for training in trainings],
        "alt": f"Entropy of the experts by step, in nats: at the end {ends}.",
    }


def _line(training: dict[str, Any], last: int, most: float) -> dict[str, Any]:
    points = [
        (round(_LEFT + _WIDTH * step / last, 1), round(_TOP + _HEIGHT * (1 - entropy / most), 1))
        for step, entropy in zip(training["entropy_steps"], training["entropy"], strict=True)
        if step <= training["steps"][-1]
    ]
    return {
        "kind": training["kind"],
        "points": " ".join(f"{x},{y}" for x, y in points),
        "end_x": points[-1][0],
        "end_y": points[-1][1],
    }


if __name__ == "__main__":
    main()
