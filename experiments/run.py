"""Train one study config: `python -m experiments.run study=vowel study.num_experts=8`.

Hydra's flags work: --multirun for sweeps, hydra/launcher=cores for several cores,
hydra/launcher=slurm for a cluster, --cfg job to print the config without running. Only those that
read other config files do not.

Examples:
  python -m experiments.run study=vowel study.num_experts=8 study.num_seeds=100
  python -m experiments.run study=vowel --multirun study.num_experts=2,4,8
  python -m experiments.suite suite=vowel
"""

import os
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from experiments.command_line import (
    checked_arguments,
    console,
    errors_for_people,
    print_error,
    progress_bar,
)
from experiments.compose import (
    composed,
    expanded,
    first_line,
    register,
    tell_without_effect,
    typed,
)
from experiments.overrides import CONFIG_DIR, is_hydras
from experiments.runner.errors import UserError
from experiments.runner.stopping import Stopped, listen, listening
from experiments.studies import STUDIES

if TYPE_CHECKING:
    from experiments.run_folder import FinishedRun


@hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name="config")
def _job(config: DictConfig) -> None:
    # A sweep goes on with its other jobs; Hydra leaves with code 1 at its end.
    if HydraConfig.get().mode is RunMode.MULTIRUN:
        listen()
        try:
            _run(config)
        except Stopped:
            # In a pool an error would end the others before they have written their checkpoints.
            if parent_process() is None:
                raise
        except UserError as error:
            print_error(error)
            raise CompactHydraException(str(error)) from error
        return
    with errors_for_people():
        _run(config)


def _run(config: DictConfig) -> None:
    # Imported late, with torch: what is wrong with the command line is said before.
    from experiments.execute import execute, folder_of
    from experiments.run_folder import read_finished

    settings = typed(config)
    if settings.suite is not None:
        raise UserError(
            "A suite is more than one run.", "Use python -m experiments.suite, or leave out suite=."
        )
    tell_without_effect([settings.study], HydraConfig.get().overrides.task)
    path = folder_of(settings.study, settings.runs_dir)
    console.print(f"study {settings.study.name}, folder {path}")
    with progress_bar() as report:
        outcome = execute(
            settings.study,
            settings.runs_dir,
            settings.force,
            report,
            any_size=settings.any_size,
        )
    if outcome.was_done:
        console.print("already done; add force=true to compute it again")
    else:
        console.print(f"done in {outcome.seconds:.1f} s")
    # The runs of a sweep are told together, at its end.
    if HydraConfig.get().mode is not RunMode.MULTIRUN:
        _tell([read_finished(outcome.path)], shlex.quote(str(outcome.path)))


def _tell(runs: Sequence["FinishedRun"], words: str) -> None:
    """Print the runs' measures, and the command that draws them."""
    from experiments.outcome_table import remarks, study_of, table_of

    for study in dict.fromkeys(map(study_of, runs)):
        own = [run for run in runs if study_of(run) == study]
        if STUDIES[study].measures:
            console.print()
            console.print(table_of(own, console.width))
            for remark in remarks(own):
                console.print(remark)
        else:
            console.print(f"results: {', '.join(str(run.path / 'metrics.csv') for run in own)}")
    if any(STUDIES[study_of(run)].measures for run in runs):
        console.print(f"\nnext: python -m reproductions.plot {words}")


def _tell_sweep(overrides: Sequence[str]) -> None:
    """Print the runs of a sweep that are finished."""
    from experiments.execute import folder_of

    own = [item for item in overrides if not is_hydras(item.lstrip("+").partition("=")[0])]
    configs = [typed(composed(each)) for each in expanded(own)]
    paths = dict.fromkeys(folder_of(each.study, each.runs_dir) for each in configs)
    finished = [run for path in paths if (run := _readable(path)) is not None]
    if finished:
        _tell(finished, " ".join(map(shlex.quote, _drawn(own))))
    if len(finished) < len(paths):
        missing = len(paths) - len(finished)
        console.print(f"not finished, or damaged: {missing} of {len(paths)} runs")


def _readable(path: Path) -> "FinishedRun | None":
    """A finished run; None for one that is not, of which its job has told why."""
    from experiments.run_folder import read_finished

    try:
        return read_finished(path)
    except UserError:
        return None


def _drawn(overrides: Sequence[str]) -> list[str]:
    """Those overrides that say which runs they are."""
    how = ("force", "any_size", "num_workers")
    return [item for item in overrides if item.lstrip("+").partition("=")[0] not in how]


def _is_sweep() -> bool:
    return bool({"--multirun", "-m"} & set(sys.argv[1:]))


def main() -> None:
    """Check the command line, then hand over to Hydra."""
    register()
    with errors_for_people():
        overrides = checked_arguments(str(__doc__))
        # Errors come back here: Hydra would print them in its own way.
        os.environ["HYDRA_FULL_ERROR"] = "1"
        try:
            with listening():
                _job()
            if _is_sweep():
                _tell_sweep(overrides)
        except CompactHydraException as error:
            if isinstance(error.__cause__, UserError):
                # It was printed by the job; the other jobs of a sweep went on.
                if _is_sweep():
                    _tell_sweep(overrides)
                sys.exit(1)
            raise
        except Exception as error:
            # What launchers raise where a process of theirs dies; they may not be installed.
            if type(error).__module__.startswith(("joblib.", "submitit.")):
                raise UserError(
                    f"A process of the sweep ended before its run did: {first_line(error)}.",
                    "Give the same command again: finished runs are kept, the others go on from "
                    "their last checkpoints. If memory ran out, run fewer at once "
                    "(hydra.launcher.n_jobs=1).",
                ) from error
            raise


# Workers of a launcher import this module and compose nothing, but unpickle typed configs.
register()

if __name__ == "__main__":
    # Launchers can send the job to their workers only under the module's own name.
    import_module("experiments.run").main()
