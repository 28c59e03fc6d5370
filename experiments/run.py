"""Train one study config: `python -m experiments.run study=vowel study.num_experts=8`.

Every Hydra flag works: --multirun for sweeps, hydra/launcher=cores for several cores,
hydra/launcher=slurm for a cluster, --cfg job to print the config without running.
"""

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from experiments.command_line import checked_arguments, console, errors_for_people, progress_bar
from experiments.compose import CONFIG_DIR, register, typed
from experiments.errors import UserError
from experiments.execute import execute, folder_of


@hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name="config")
def _job(config: DictConfig) -> None:
    # In a sweep Hydra itself says which jobs failed, after the others have run.
    if HydraConfig.get().mode is RunMode.MULTIRUN:
        try:
            _run(config)
        except UserError as error:
            raise RuntimeError(str(error)) from error
        return
    with errors_for_people():
        _run(config)


def _run(config: DictConfig) -> None:
    settings = typed(config)
    path = folder_of(settings.study, settings.runs_dir)
    console.print(f"study {settings.study.name}, folder {path}")
    with progress_bar() as report:
        outcome = execute(settings.study, settings.runs_dir, settings.force, report)
    if outcome.was_done:
        console.print("already done; add force=true to compute it again")
    else:
        console.print(f"done in {outcome.seconds:.1f} s")
    console.print(f"results: {outcome.path / 'metrics.csv'}")


def main() -> None:
    """Check the command line, then hand over to Hydra."""
    with errors_for_people():
        checked_arguments()
    register()
    _job()


# Workers of a launcher import this module and compose nothing, but unpickle typed configs.
register()

if __name__ == "__main__":
    main()
