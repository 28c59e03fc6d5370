"""Draw the gate as it forms, a picture that moves: `python -m reproductions.vowel.gate`.

Reads the finished run of four experts (make reproduce-vowel) and writes
reproductions/figures/vowel/gate.gif: one frame per snapshot of the first seed, as in Figure 2 of
the page. Settings: runs_dir=PATH. Trains nothing.
"""

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure as Drawing
from PIL import Image

from experiments.command_line import console, errors_for_people, plain_arguments
from experiments.runner.errors import UserError
from experiments.runner.schema import Config
from experiments.runner.storage import write_atomically
from experiments.suite import suite_runs
from reproductions.drawing import figure_style
from reproductions.runs import NamedRun, in_folder
from reproductions.vowel.decision_lines import trajectory
from reproductions.vowel.figure2 import frame_positions, state_at

OUT = Path(__file__).parents[1] / "figures" / "vowel" / "gate.gif"
RUN = "experts_4"
_MILLISECONDS, _AT_THE_STOP = 160, 3500
_DOTS_PER_INCH = 100
# Enough for the experts' colours and their tints; every further one makes the file larger.
_NUM_COLOURS = 96


def moving_gate(run: NamedRun) -> bytes:
    """The GIF of the first seed: every snapshot that the page's slider shows, and a rest at last.

    Args:
        run: of experts with one output each, with its snapshots.
    """
    path = trajectory(run)
    with figure_style():
        frames = [_image(state_at(run, path, at)) for at in frame_positions(len(path.epochs))]
    # One palette for all frames: a palette of its own each would make the colours flicker.
    palette = _strip(frames[::4] + frames[-1:]).quantize(_NUM_COLOURS)
    first, *others = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    buffer = io.BytesIO()
    pauses = [*[_MILLISECONDS] * len(others), _AT_THE_STOP]
    first.save(
        buffer, "GIF", save_all=True, append_images=others, duration=pauses, loop=0, optimize=True
    )
    return buffer.getvalue()


def _image(drawing: Drawing) -> Image.Image:
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=_DOTS_PER_INCH, facecolor="white")
    return Image.open(buffer).convert("RGB")


def _strip(images: Sequence[Image.Image]) -> Image.Image:
    strip = Image.new("RGB", (sum(image.width for image in images), images[0].height))
    for place, image in enumerate(images):
        strip.paste(image, (place * image.width, 0))
    return strip


def finished_run(runs_dir: str) -> NamedRun:
    """The run of four experts in a folder of runs.

    Raises:
        UserError: it is not finished.
    """
    _, studies = suite_runs(["suite=vowel", f"runs_dir={runs_dir}"])
    runs = in_folder(runs_dir)({RUN: studies[RUN]}, "vowel").runs
    if RUN not in runs:
        raise UserError(f"The run {RUN} is not finished.", "Train it: make reproduce-vowel")
    return runs[RUN]


def _runs_dir(arguments: Sequence[str]) -> str:
    unknown = [item for item in arguments if not item.startswith("runs_dir=")]
    if unknown:
        raise UserError(f"There is no setting {unknown[0]} here.", "Allowed: runs_dir=PATH.")
    return arguments[-1].removeprefix("runs_dir=") if arguments else Config.runs_dir


def main() -> None:
    """Draw it from a finished run."""
    with errors_for_people():
        data = moving_gate(finished_run(_runs_dir(plain_arguments(str(__doc__)))))
        write_atomically(OUT, data)
        console.print(f"moving picture: {OUT} ({len(data) / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
