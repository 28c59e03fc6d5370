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
import sys
from importlib import import_module
from multiprocessing import parent_process

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
from experiments.compose import first_line, register, tell_without_effect, typed
from experiments.overrides import CONFIG_DIR
from experiments.runner.errors import UserError
from experiments.runner.stopping import Stopped, listen, listening


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
    console.print(f"results: {outcome.path / 'metrics.csv'}")


def main() -> None:
    """Check the command line, then hand over to Hydra."""
    register()
    with errors_for_people():
        checked_arguments(str(__doc__))
        # Errors come back here: Hydra would print them in its own way.
        os.environ["HYDRA_FULL_ERROR"] = "1"
        try:
            with listening():
                _job()
        except CompactHydraException as error:
            if isinstance(error.__cause__, UserError):
                sys.exit(1)  # It was printed by the job.
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
