"""Train all runs of a suite, several at once: `python -m experiments.suite suite=vowel`.

Overrides of study settings apply to every run whose study has the setting; runs that become equal
by them are trained once. Several suites, as in suite=vowel,clusters, share the processes, so that
none waits for the last run of another.
"""

import os
import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import fields, replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.command_line import (
    console,
    errors_for_people,
    log_to_console,
    plain_arguments,
    print_error,
    progress_bar,
)
from experiments.compose import composed, explain, tell_without_effect, typed
from experiments.overrides import options
from experiments.runner.errors import UserError
from experiments.runner.processes import each_in_a_process
from experiments.runner.resources import num_at_once
from experiments.runner.schema import Config, Suite
from experiments.runner.stopping import listening
from experiments.studies import STUDIES

# What carries out runs is imported late, with torch: what is wrong with the command line is said
# before.
if TYPE_CHECKING:
    from experiments.execute import Outcome

# Of a run that goes on beside others.
_SECONDS_BETWEEN_NEWS = 60.0


def suite_runs(
    overrides: Sequence[str], with_suites_own: bool = True
) -> tuple[Config, dict[str, Any]]:
    """The runs of the suite that the overrides name.

    Args:
        overrides: as on the command line, with `suite=NAME`.
        with_suites_own: whether overrides that the suite itself has, such as toy sizes, count.

    Returns:
        The root config, and the study config of each run by name.

    Raises:
        UserError: no suite was named, or a config is wrong.
    """
    config, runs = _suite_runs(tuple(overrides), with_suites_own)
    return config, dict(runs)


@cache
def _suite_runs(overrides: tuple[str, ...], with_suites_own: bool) -> tuple[Config, dict[str, Any]]:
    # A report asks for the same suite again, and each of a hundred runs takes a while.
    users = [item.lstrip("+") for item in overrides if item.lstrip("+").startswith("study.")]
    rest = [item for item in overrides if item.lstrip("+") not in users]
    config = composed(rest)
    if config.suite is None:
        raise UserError("No suite was named.", f"Choose suite= from {', '.join(options('suite'))}.")
    # The last of two for the same setting wins.
    users = [*(config.suite.overrides if with_suites_own else []), *users]
    runs = {name: _study_of(config.suite, name, users) for name in config.suite.runs}
    known = {item.name for study in runs.values() for item in fields(study)}
    # A setting that no run has is refused, with the nearest one that the suite's study has.
    unused = [item for item in users if _setting(item) not in known]
    explain([f"study={config.suite.study}", *unused])
    return typed(config), runs


def pooled_runs(overrides: Sequence[str]) -> tuple[Config, dict[str, Any]]:
    """The runs of every suite that the overrides name, in the order of their names.

    Args:
        overrides: as on the command line, with `suite=NAME` or `suite=NAME,NAME`.

    Returns:
        The root config, its suite standing for all of them, and the study config of each run,
        named `suite.run` where there are several suites.

    Raises:
        UserError: no suite was named, a config is wrong, or a suite lacks a given setting.
    """
    named = [item for item in overrides if item.startswith("suite=")]
    names = named[-1].removeprefix("suite=").split(",") if named else []
    if len(names) < 2:
        return suite_runs(overrides)
    rest = [item for item in overrides if item not in named]
    parts = {name: suite_runs([*rest, f"suite={name}"]) for name in names}
    suites = [config.suite for config, _ in parts.values()]
    root = next(iter(parts.values()))[0]
    whole = Suite(
        title=", ".join(names),
        minutes=sum(suite.minutes for suite in suites),
        study=suites[0].study,
        # A suite that must run alone is not disturbed by its neighbours either.
        num_workers=min((suite.num_workers for suite in suites if suite.num_workers), default=0),
    )
    runs = {
        f"{name}.{run}": study for name, (_, own) in parts.items() for run, study in own.items()
    }
    return replace(root, suite=whole), runs


def _study_of(suite: Any, name: str, users: Sequence[str]) -> Any:
    own = dict(OmegaConf.to_container(suite.runs[name]))  # type: ignore[arg-type]
    base = f"study={own.pop('study', suite.study)}"
    schema = STUDIES[_base(base).study.name].schema
    known = {item.name for item in fields(schema)}
    given = [item for item in users if _setting(item) in known]
    config = _base(base, *given).copy()
    # What the user gives wins over what the suite says of a run.
    mine = {key: value for key, value in own.items() if key not in map(_setting, given)}
    try:
        config.study = OmegaConf.merge(config.study, mine)
    except OmegaConfBaseException as error:
        raise UserError(
            f"Run {name} of the suite is wrong: {error}", "Correct it in configs/suite/."
        ) from error
    return typed(config).study


@cache
def _base(*overrides: str) -> DictConfig:
    return composed(overrides)


def _setting(override: str) -> str:
    return override.partition("=")[0].removeprefix("study.")


def _one(name: str, study: Any, config: Config, command: list[str]) -> "Outcome":
    # In a process of its own.
    from experiments.execute import execute

    log_to_console(f"{name}: ", pause=_SECONDS_BETWEEN_NEWS, again=True)
    return execute(study, config.runs_dir, config.force, command=command, any_size=config.any_size)


def run_suite(
    config: Config, runs: dict[str, Any]
) -> Generator[tuple[str, "Outcome | UserError"], None, None]:
    """Carry out a suite's runs on `config.num_workers` processes, each as it is finished.

    Runs that are finished already come first. A run that fails, or whose process is killed, yields
    the error; the others go on.
    """
    from experiments.execute import folder_of
    from experiments.run_folder import RunFolder

    unique = {folder_of(study, config.runs_dir): name for name, study in reversed(runs.items())}
    wanted = config.num_workers or config.suite.num_workers or os.cpu_count() or 1
    paths = {name: path for path, name in reversed(unique.items())}
    done = [n for n, path in paths.items() if RunFolder(path).is_finished() and not config.force]
    waiting = [name for name in paths if name not in done]
    # Looking at what is done takes less than starting a process for it.
    for name in done:
        yield name, _here(runs[name], config)
    estimates = [STUDIES[runs[name].name].estimate(runs[name]) for name in waiting]
    num_processes = num_at_once(min(wanted, len(waiting)), estimates)
    if num_processes == 1:
        for name in waiting:
            yield name, _here(runs[name], config)
        return
    calls = {name: (name, runs[name], config, sys.orig_argv) for name in waiting}
    studies = {STUDIES[runs[name].name].run.__module__ for name in waiting}
    with listening():
        preload = ["experiments.execute", *sorted(studies)]
        yield from each_in_a_process(_one, calls, num_processes, preload)


def _here(study: Any, config: Config) -> "Outcome | UserError":
    from experiments.execute import execute

    try:
        with progress_bar() as report:
            return execute(
                study, config.runs_dir, config.force, report, sys.orig_argv, config.any_size
            )
    except UserError as error:
        return error


def main() -> None:
    """Run the suite of the command line."""
    with errors_for_people():
        overrides = plain_arguments(str(__doc__), has_settings=True)
        config, runs = pooled_runs(overrides)
        # Of several suites' names only one is an override that Hydra can read.
        tell_without_effect(runs.values(), [each for each in overrides if "suite=" not in each])
        title = f"{config.suite.title} (about {config.suite.minutes:g} min)"
        console.print(f"{title}: {len(runs)} runs into {config.runs_dir}/")
        width = max(20, *map(len, runs))
        failed = []
        with closing(run_suite(config, runs)) as outcomes:
            for count, (name, outcome) in enumerate(outcomes, start=1):
                if isinstance(outcome, UserError):
                    print_error(outcome)
                    failed.append(name)
                    continue
                what = "already done" if outcome.was_done else f"{outcome.seconds:.1f} s"
                console.print(f"  {count:3d}  {name:<{width}} {what:>12}  {outcome.path}")
        if failed:
            raise UserError(
                f"{len(failed)} of {len(runs)} runs did not finish: {', '.join(failed)}.",
                "The others are kept. Mend what is said above of each, and give the same command "
                "again: it goes on with these.",
            )


if __name__ == "__main__":
    # Processes of its own find what they do under the module's own name.
    import_module("experiments.suite").main()
