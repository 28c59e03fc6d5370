"""Train all runs of a suite, several at once: `python -m experiments.suite suite=vowel`.

Overrides of study settings apply to every run whose study has the setting; runs that become equal
by them are trained once.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import torch
from joblib import Parallel, delayed
from omegaconf import OmegaConf

from experiments.command_line import checked_arguments, console, errors_for_people
from experiments.compose import composed, typed
from experiments.errors import UserError
from experiments.execute import Outcome, execute, folder_of
from experiments.schema import Config
from experiments.studies import STUDIES


def suite_runs(overrides: Sequence[str]) -> tuple[Config, dict[str, Any]]:
    """The runs of the suite that the overrides name.

    Args:
        overrides: as on the command line, with `suite=NAME`.

    Returns:
        The root config, and the study config of each run by name.

    Raises:
        UserError: no suite was named, or a config is wrong.
    """
    config = composed(overrides)
    if config.suite is None:
        raise UserError("No suite was named.", "Add suite=vowel, for example.")
    users = [item for item in overrides if item.startswith(("study=", "study."))]
    runs = {name: _study_of(config.suite, name, users) for name in config.suite.runs}
    return typed(config), runs


def _study_of(suite: Any, name: str, users: Sequence[str]) -> Any:
    own = dict(OmegaConf.to_container(suite.runs[name]))  # type: ignore[arg-type]
    study = own.pop("study", None)
    chosen = [item for item in users if item.startswith("study=")]
    base = [f"study={study}"] if study else chosen or [f"study={suite.study}"]
    known = {item.name for item in fields(STUDIES[composed(base).study.name].schema)}
    mine = [f"study.{key}={_written(value)}" for key, value in own.items()]
    given = [item for item in users if _setting(item) in known]
    return typed(composed([*base, *mine, *given])).study


def _setting(override: str) -> str:
    return override.partition("=")[0].removeprefix("study.")


def _written(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ",".join(map(str, value)) + "]"
    return "null" if value is None else str(value)


def _one(name: str, study: Any, config: Config, command: list[str]) -> tuple[str, Outcome]:
    torch.set_num_threads(1)
    return name, execute(study, config.runs_dir, config.force, command=command)


def run_suite(config: Config, runs: dict[str, Any]) -> Iterator[tuple[str, Outcome]]:
    """Carry out a suite's runs on `config.num_workers` processes, each as it is finished."""
    unique = {folder_of(study, config.runs_dir): name for name, study in reversed(runs.items())}
    num_workers = min(config.num_workers or os.cpu_count() or 1, len(unique))
    jobs = (
        delayed(_one)(name, runs[name], config, sys.orig_argv) for name in reversed(unique.values())
    )
    yield from Parallel(n_jobs=num_workers, return_as="generator_unordered")(jobs)


def main() -> None:
    """Run the suite of the command line."""
    with errors_for_people():
        config, runs = suite_runs(checked_arguments())
        title = f"{config.suite.title} (about {config.suite.minutes:g} min)"
        console.print(f"{title}: {len(runs)} runs into {config.runs_dir}/")
        for count, (name, outcome) in enumerate(run_suite(config, runs), start=1):
            what = "already done" if outcome.was_done else f"{outcome.seconds:.1f} s"
            console.print(f"  {count:3d}  {name:<20} {what:>12}  {outcome.path}")


if __name__ == "__main__":
    main()
