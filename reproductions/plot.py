"""Draw any runs: `python -m reproductions.plot RUN...` gives a table, and figures as PNG and SVG.

A RUN is a run's folder, a folder of runs, the beginning of a run's digest, or settings as they were
given to experiments.run or experiments.suite. What differs between the runs labels the figures.
Settings: out=FOLDER, by default reports/plots; runs_dir=FOLDER, by default runs. Trains nothing.

Examples:
  python -m reproductions.plot study=vowel study.num_experts=2,4,8
  python -m reproductions.plot runs/vowel/3f2a9c0d1b4e5f60 a3c9ac71
  python -m reproductions.plot suite=vowel_table1 out=figures
"""

import io
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import yaml
from matplotlib.figure import Figure

from experiments.command_line import console, errors_for_people, plain_arguments
from experiments.compose import composed, expanded, typed
from experiments.execute import folder_of
from experiments.outcome_table import (
    differing,
    remarks,
    study_of,
    table_of,
    value_text,
)
from experiments.run_folder import FinishedRun, RunFolder, read_finished
from experiments.runner.errors import UserError
from experiments.runner.schema import Config
from experiments.runner.storage import sha256, write_atomically
from experiments.studies import STUDIES
from experiments.suite import suite_runs
from reproductions.drawing import figure_style, to_png
from reproductions.report import REPORTS
from reproductions.run_figures import MOST_LINES, MOST_ROWS, figures_of

_DIGEST = re.compile(r"[0-9a-f]{4,16}")
_LONGEST_NAME = 60
_HOW = "Name a run: its folder, its digest, or settings such as study=vowel study.num_experts=8."


def runs_of(words: Sequence[str]) -> list[FinishedRun]:
    """The finished runs that words of a command line name, each once, in their order.

    Args:
        words: folders, digests and settings, `runs_dir=` among them.

    Raises:
        UserError: nothing is named, a name fits no run or several, or no run is finished.
    """
    settings = [word for word in words if "=" in word]
    names = [word for word in words if word not in settings]
    named = [each for word in names for each in _named(word, _runs_dir(settings))]
    paths = list(dict.fromkeys([*named, *_of_settings(settings)]))
    if not paths:
        raise UserError("No run was named.", _HOW)
    return [read_finished(path) for path in paths]


def _runs_dir(settings: Iterable[str]) -> str:
    given = [item.removeprefix("runs_dir=") for item in settings if item.startswith("runs_dir=")]
    return given[-1] if given else Config.runs_dir


def _named(word: str, runs_dir: str) -> list[Path]:
    folder = Path(word)
    if (folder / "multirun.yaml").is_file():
        return _of_sweep(folder / "multirun.yaml")
    if folder.is_dir():
        if RunFolder(folder).is_finished():
            return [folder]
        inside = sorted(_finished_below(folder))
        if not inside:
            raise UserError(
                f"There is no finished run in {folder}.",
                "Name the folder of a run, or one that holds runs, such as runs/vowel.",
            )
        return inside
    found = sorted(Path(runs_dir).glob(f"*/{word}*")) if _DIGEST.fullmatch(word) else []
    finished = [path for path in found if RunFolder(path).is_finished()]
    if len(finished) == 1:
        return finished
    if not finished:
        raise UserError(f"No finished run has the folder or the digest {word}.", _HOW)
    raise UserError(
        f"The digest {word} fits {len(finished)} runs: {', '.join(map(str, finished))}.",
        "Give more of its letters.",
    )


def _finished_below(folder: Path) -> Iterator[Path]:
    """Finished runs in a folder, or in the folders of studies in it; none that were replaced."""
    for manifest in [*folder.glob("*/manifest.json"), *folder.glob("*/*/manifest.json")]:
        if "superseded" not in manifest.parts:
            yield manifest.parent


def _of_sweep(record: Path) -> list[Path]:
    """The runs of the last sweep that Hydra left a record of."""
    try:
        task = yaml.safe_load(record.read_text("utf-8"))["hydra"]["overrides"]["task"]
        overrides = [str(item) for item in task]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UserError(
            f"{record} is no record of a sweep.",
            "Name the runs by their settings, such as study=vowel study.num_experts=2,4,8.",
        ) from error
    return _of_settings(overrides)


def _of_settings(settings: Sequence[str]) -> list[Path]:
    """Folders of the finished runs that settings name; the others are told."""
    if not any(item.lstrip("+").startswith(("study", "suite=")) for item in settings):
        return []
    if any(item.startswith("suite=") for item in settings):
        config, studies = suite_runs(settings)
        wanted = [(study, config.runs_dir) for study in studies.values()]
        trained = f"python -m experiments.suite {_quoted(settings)}"
    else:
        configs = [typed(composed(each)) for each in expanded(settings)]
        wanted = [(each.study, each.runs_dir) for each in configs]
        sweep = "--multirun " if len(configs) > 1 else ""
        trained = f"python -m experiments.run {sweep}{_quoted(settings)}"
    paths = list(dict.fromkeys(folder_of(study, runs_dir) for study, runs_dir in wanted))
    finished = [path for path in paths if RunFolder(path).is_finished()]
    if not finished:
        raise UserError("No run with these settings is finished.", f"Train it first: {trained}")
    if len(finished) < len(paths):
        missing = len(paths) - len(finished)
        console.print(f"{missing} of {len(paths)} runs are not finished, so left out: {trained}")
    return finished


def _quoted(words: Iterable[str]) -> str:
    return " ".join(map(shlex.quote, words))


def draw(runs: Sequence[FinishedRun], folder: Path) -> list[Path]:
    """Print a table of runs and draw their figures, for each study apart.

    Args:
        runs: finished ones.
        folder: of the figures; made if need be.

    Returns:
        The files.

    Raises:
        UserError: none of the runs' studies has measures or curves, or the folder is not writable.
    """
    files = []
    for study in dict.fromkeys(map(study_of, runs)):
        own = _in_order([run for run in runs if study_of(run) == study])
        if not (STUDIES[study].measures or STUDIES[study].curves):
            console.print(f"{study}: its runs have tables of their own, and no figure here")
            continue
        console.print(table_of(own, console.width))
        for remark in remarks(own):
            console.print(remark)
        if len(own) > MOST_LINES:
            console.print(f"no curves: {MOST_LINES} lines at most can be told apart")
        if len(own) > MOST_ROWS:
            console.print(f"no figure of settings: {MOST_ROWS} runs at most fit one")
        for word, figure in figures_of(own).items():
            files += _write(figure, folder / f"{_name(own)}-{word}")
    if not files:
        raise UserError(
            "These runs give no figure.",
            "python -m reproductions.report suite=NAME draws the figures of a study's suite.",
        )
    return files


def _in_order(runs: list[FinishedRun]) -> list[FinishedRun]:
    """By the numbers among the settings that differ, and else as they were named."""
    keys = differing([run.config for run in runs])
    numbers = [
        key for key in keys if all(type(run.config.get(key)) in (int, float) for run in runs)
    ]
    return sorted(runs, key=lambda run: [run.config[key] for key in numbers])


def _name(runs: Sequence[FinishedRun]) -> str:
    """A file's name from the settings that differ, and the digests."""
    words = [study_of(runs[0])]
    for key in differing([run.config for run in runs]):
        words += [key, *dict.fromkeys(value_text(run.config.get(key)) for run in runs)]
    digests = [run.path.name for run in runs]
    # The same settings of other code are other runs.
    digest = digests[0] if len(runs) == 1 else sha256("\n".join(digests).encode())
    told = re.sub(r"[^A-Za-z0-9._]+", "-", "-".join(words))[:_LONGEST_NAME].strip("-.")
    return f"{told}-{digest[:8]}"


def _write(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and as SVG, both on white."""
    image, drawing = path.with_name(f"{path.name}.png"), path.with_name(f"{path.name}.svg")
    to_png(figure, image)
    buffer = io.BytesIO()
    with figure_style():
        # No date: the same runs give the same file.
        figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None})
    write_atomically(drawing, buffer.getvalue())
    return [image, drawing]


def main() -> None:
    """Draw the runs of the command line."""
    with errors_for_people():
        words = plain_arguments(str(__doc__))
        out = [word.removeprefix("out=") for word in words if word.startswith("out=")]
        folder = Path(out[-1]) if out else REPORTS / "plots"
        runs = runs_of([word for word in words if not word.startswith("out=")])
        for file in draw(runs, folder):
            console.print(f"figure: {file}")


if __name__ == "__main__":
    main()
