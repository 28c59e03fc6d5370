"""What every command shares: its streams, its progress bar, its help, and errors for people.

Results go to standard output; news, the progress bar and errors go to standard error.
"""

import errno
import io
import logging
import math
import os
import shutil
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import yaml
from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.segment import Segment, Segments
from rich.style import Style

from experiments.compose import (
    Setting,
    composed,
    does_not_compose,
    explain,
    nearest_setting,
    settings_of,
    sweep_settings,
    typed,
)
from experiments.overrides import CONFIG_DIR, options, quoted
from experiments.runner.errors import UserError, memory_error, shown
from experiments.runner.stopping import Stopped
from experiments.runner.storage import storage_error, storage_errors, write_atomically

INTERRUPTED = 130
_READER_GONE = 128 + 13  # as a shell says of a program that SIGPIPE ended


class _Console(Console):
    """Prints text to the letter: rich would replace tabs and :names:, and let control codes act."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does, changing nothing of a text but what would act in a terminal."""
        if all(isinstance(item, str) for item in objects):
            text = shown(" ".join(objects))
            objects = (Segments([Segment(text + options.pop("end", "\n"))]),)
        super().print(*objects, **options)

    def on_broken_pipe(self) -> NoReturn:
        """Leave the reaction to `errors_for_people`."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


console = _Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
messages = _Console(highlight=False, soft_wrap=True, markup=False, emoji=False, stderr=True)


def checked_arguments(usage: str = "") -> list[str]:
    """This process's overrides, after every error in them that can be seen before running.

    With --help, prints the usage and what may be chosen, and ends the process.

    Raises:
        UserError: naming the key, what is allowed, and the nearest match.
    """
    parser = get_args_parser()
    parser.error = _refuse_line  # type: ignore[method-assign]
    parsed, unknown = parser.parse_known_intermixed_args()
    overrides = list(parsed.overrides)
    if parsed.help:
        _print_help(usage, overrides)
    _refuse_flags(parser, parsed, unknown, overrides)
    # Hydra's own reading of the line takes no overrides on both sides of a flag.
    flags = [item for item in sys.argv[1:] if item not in overrides]
    sys.argv[1:] = [*map(quoted, overrides), *flags]
    if parsed.multirun and (parsed.cfg or parsed.info):
        raise UserError(
            "--multirun cannot be given with --cfg or --info: these print one config.",
            "Leave out --multirun, and give each setting one value.",
        )
    if parsed.info:
        # Hydra logs the information, on a stream of its own.
        logging.getLogger().handlers.clear()
    if not any((parsed.hydra_help, parsed.cfg, parsed.info, parsed.shell_completion)):
        # The combinations of a sweep are composed one by one, each checked by its own job.
        if parsed.multirun:
            explain(overrides)
            _check_sweep(overrides)
        else:
            typed(composed(overrides))
    return overrides


def _refuse_line(message: str) -> NoReturn:
    raise UserError(
        f"The command line cannot be read: {message}.", "--help says what can be given."
    )


# They would read other config files than those whose settings are checked here.
_OTHER_FILES = ("config_path", "config_name", "config_dir", "experimental_rerun")


def _refuse_flags(
    parser: ArgumentParser, parsed: Any, unknown: Sequence[str], overrides: Sequence[str]
) -> None:
    if unknown:
        flags = [flag for action in parser._actions for flag in action.option_strings]
        raise _no_flag(unknown[0], flags, overrides)
    for name in _OTHER_FILES:
        if getattr(parsed, name) is not None:
            raise UserError(
                f"--{name.replace('_', '-')} is not supported: it would read settings that are "
                "not checked.",
                f"Put a file of your own into {CONFIG_DIR / 'study'} and choose it by its name, "
                "study=NAME; or give the settings as key=value.",
            )


def _no_flag(flag: str, flags: Sequence[str], overrides: Sequence[str]) -> UserError:
    word, _, value = flag.lstrip("-").partition("=")
    key = nearest_setting(word.replace("-", "_"), overrides)
    value = value or _word_after(flag)
    given = f"Settings have no dashes: write {key or 'key'}={value or 'value'}."
    return UserError(f"There is no flag {flag}.", f"{given} The flags are {', '.join(flags)}.")


def _word_after(flag: str) -> str:
    """What follows a flag on the command line and may be its value; empty where nothing does."""
    # Settings and other flags follow it, too, but are no values.
    rest = sys.argv[sys.argv.index(flag) + 1 :] if flag in sys.argv else []
    return rest[0] if rest and "=" not in rest[0] and not rest[0].startswith("-") else ""


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


def plain_arguments(usage: str, has_settings: bool = False) -> list[str]:
    """This process's overrides, for a command without Hydra's flags; --help prints its usage.

    Args:
        usage: what the command is for.
        has_settings: whether the help also lists suites, studies and their settings.

    Raises:
        UserError: a flag other than --help.
    """
    flags = [item for item in sys.argv[1:] if item.startswith("-")]
    overrides = [item for item in sys.argv[1:] if item not in flags]
    if {"-h", "--help"} & set(flags):
        if has_settings:
            _print_help(usage, overrides)
        console.print(usage)
        sys.exit(0)
    if flags:
        raise _no_flag(flags[0], ["--help"], overrides)
    return overrides


def _print_help(usage: str, overrides: Sequence[str]) -> NoReturn:
    """Print what may be chosen, and every setting of what the overrides choose; then leave."""
    chosen = composed(overrides)
    named = " or ".join(item for item in overrides if item.startswith(("suite=", "study=")))
    console.print(f"{usage.strip()}\n\nStudies, study=NAME:\n  {', '.join(options('study'))}")
    console.print("\nSuites, suite=NAME for experiments.suite and reproductions.report:")
    for name in options("suite"):
        about = yaml.safe_load((CONFIG_DIR / "suite" / f"{name}.yaml").read_text("utf-8"))
        console.print(f"  {name:<24} {about.get('title', '')}")
    console.print("\nSettings of every command, key=value, with their defaults:")
    _print_settings(settings_of(chosen, ""))
    console.print(f"\nSettings of {named or 'study=vowel'} (study=NAME --help shows another's):")
    _print_settings(settings_of(chosen, "study"))
    sys.exit(0)


def _print_settings(settings: Sequence[Setting]) -> None:
    for each in settings:
        console.print(f"  {each.key}={each.default}\n      {each.about}; {each.allowed}")


def print_error(error: UserError) -> None:
    """Print what is wrong and the way out."""
    parts = []
    for word, sentence in (("error:", error.problem), ("fix:", error.fix)):
        parts += [Segment(word, Style(bold=True)), Segment(f" {shown(sentence)}\n")]
    # At once: other processes write to the same terminal.
    messages.print(Segments(parts))


class _Messages(logging.Handler):
    """Prints warnings and news where errors go."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        text = self.format(record)
        messages.print(f"warning: {text}" if record.levelno > logging.INFO else text)


def log_to_console(before: str = "", pause: float = 0.0, again: bool = False) -> None:
    """Print what modules log.

    Args:
        before: what every message begins with.
        again: also where something takes the messages already.
        pause: seconds after news in which further news is not printed; warnings always are.
    """
    handler = _Messages()
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
    """Print what a user or the machine caused as problem and fix, and leave with code 1.

    Ctrl-C leaves with 130, SIGTERM with 143. Where nobody reads the output any more, the command
    ends in silence.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _usable_streams()
    log_to_console()
    try:
        yield
        console.file.flush()
    except (KeyboardInterrupt, Stopped) as stop:
        messages.print("stopped; the same command continues from the last checkpoint")
        sys.exit(stop.code if isinstance(stop, Stopped) else INTERRUPTED)
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None:
            # Python would complain once more when it closes the stream.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            sys.exit(_READER_GONE)
        explained = _explained(error)
        if explained is None:
            raise
        print_error(explained)
        sys.exit(1)


def _usable_streams() -> None:
    """Streams for whatever has to be printed, wherever the command was started."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # A closed stream's number would go to the next file that is opened, a result perhaps.
            setattr(sys, name, Path(os.devnull).open("w" if number else "r"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a character shows a question mark for it.
            stream.reconfigure(errors="replace")


def _explained(error: Exception) -> UserError | None:
    if isinstance(error, UserError):
        return error
    if isinstance(error, HydraException | OmegaConfBaseException):
        return does_not_compose(error)
    if isinstance(error, OSError) and memory_error(error) is None:
        return storage_error(Path(error.filename or "standard output"), error)
    return memory_error(error)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float], None]]:
    """A bar on the terminal; yields a function that takes a stage and the share done of it.

    What follows a colon in a stage is news of the same stage, such as "training: loss 3.2".
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    hidden = not messages.is_terminal
    with Progress(*columns, console=messages, transient=True, disable=hidden) as progress:
        tasks: dict[str, int] = {}

        def report(stage: str, share: float) -> None:
            name = stage.partition(":")[0]
            if name not in tasks:
                tasks[name] = progress.add_task(stage, total=1.0)
            progress.update(tasks[name], completed=share, description=stage)  # type: ignore[arg-type]

        yield report
