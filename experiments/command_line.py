"""What every command shares: its console, its progress bar, and errors written for people."""

import io
import logging
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra._internal.utils import get_args_parser
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from experiments.atomic import storage_errors, write_atomically
from experiments.compose import composed, explain, sweep_settings, typed
from experiments.errors import UserError

# Without markup: paths and values hold brackets of their own.
console = Console(highlight=False, soft_wrap=True, markup=False)
INTERRUPTED = 130


def checked_arguments() -> list[str]:
    """This process's overrides, after every error in them that can be seen before running.

    Raises:
        UserError: naming the key, what is allowed, and the nearest match.
    """
    parsed = get_args_parser().parse_intermixed_args()
    overrides = list(parsed.overrides)
    # Hydra's own reading of the line takes no overrides on both sides of a flag.
    sys.argv[1:] = [*overrides, *(item for item in sys.argv[1:] if item not in overrides)]
    if parsed.multirun and (parsed.cfg or parsed.info):
        raise UserError(
            "--multirun cannot be given with --cfg or --info: these print one config.",
            "Leave out --multirun, and give each setting one value.",
        )
    if not any((parsed.help, parsed.hydra_help, parsed.cfg, parsed.info)):
        # The combinations of a sweep are composed one by one, each checked by its own job.
        if parsed.multirun:
            explain(overrides)
            _check_sweep(overrides)
        else:
            typed(composed(overrides))
    return overrides


def _check_sweep(overrides: Sequence[str]) -> None:
    """Refuse a sweep that Hydra could not start, which it would say by a traceback.

    Raises:
        UserError: there is no Slurm for the launcher, or no room for the record of the sweep.
    """
    hydra = sweep_settings(overrides)
    if hydra.launcher._target_.endswith("SlurmLauncher") and shutil.which("srun") is None:
        raise UserError(
            "This launcher needs Slurm, and this machine has no srun.",
            "Give the command on the login node of a Slurm cluster, or use "
            "hydra/launcher=cores for the cores of this machine.",
        )
    folder = Path(hydra.sweep.dir)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # Hydra and its launchers leave records of a few KiB here.
        room = folder / "room"
        write_atomically(room, bytes(2**16))
        room.unlink()


def plain_arguments(usage: str) -> list[str]:
    """This process's overrides, for a command that has no Hydra flags; --help prints its usage.

    Raises:
        UserError: a flag other than --help.
    """
    flags = [item for item in sys.argv[1:] if item.startswith("-")]
    if {"-h", "--help"} & set(flags):
        console.print(usage)
        sys.exit(0)
    if flags:
        raise UserError(
            f"This command has no flag {flags[0]}.",
            "Give settings only, as key=value; Hydra's flags belong to experiments.run.",
        )
    return sys.argv[1:]


def print_error(error: UserError) -> None:
    """Print what is wrong and the way out."""
    console.print(Text.assemble(("error:", "bold"), f" {error.problem}"))
    console.print(Text.assemble(("fix:", "bold"), f" {error.fix}"))


def log_to_console(before: str = "", pause: float = 0.0, again: bool = False) -> None:
    """Print what modules log.

    Args:
        before: what every message begins with.
        again: also where something takes the messages already.
        pause: seconds after news in which further news is not printed; warnings always are.
    """
    handler = RichHandler(console=console, show_time=False, show_path=False)
    handler.addFilter(_after_pauses(pause))
    logging.basicConfig(
        level=logging.INFO, format=f"{before}%(message)s", handlers=[handler], force=again
    )


def _after_pauses(pause: float) -> Callable[[logging.LogRecord], bool]:
    printed = -math.inf

    def is_due(record: logging.LogRecord) -> bool:
        nonlocal printed
        if record.levelno > logging.INFO:
            return True
        if record.created - printed < pause:
            return False
        printed = record.created
        return True

    return is_due


@contextmanager
def errors_for_people() -> Iterator[None]:
    """Print a UserError as problem and fix and leave with code 1; Ctrl-C leaves with 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a character shows another instead of ending the command.
            stream.reconfigure(errors="replace")
    log_to_console()
    try:
        yield
    except UserError as error:
        print_error(error)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("stopped; the same command continues from the last checkpoint")
        sys.exit(INTERRUPTED)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float], None]]:
    """A bar on the terminal; yields a function that takes a stage and the share done of it.

    What follows a colon in a stage is news of the same stage, such as "training: loss 3.2".
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        tasks: dict[str, int] = {}

        def report(stage: str, share: float) -> None:
            name = stage.partition(":")[0]
            if name not in tasks:
                tasks[name] = progress.add_task(stage, total=1.0)
            progress.update(tasks[name], completed=share, description=stage)  # type: ignore[arg-type]

        yield report
