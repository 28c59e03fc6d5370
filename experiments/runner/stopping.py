"""SIGTERM, which Slurm sends before it kills: leave at the next checkpoint.

The first SIGTERM is noted, and passed on to the processes that this one has started. Training
loops then find a checkpoint due, and writing it ends the process with code 143. Where none is due
within the grace that is usual before a kill, the process leaves without one.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import active_children
from types import FrameType

from experiments.runner.errors import UserError

# Slurm waits for 30 s between SIGTERM and SIGKILL.
GRACE_SECONDS = 20.0
_reminder: threading.Timer | None = None


class Stopped(SystemExit):
    """The process was asked to stop; the same command goes on from the last checkpoint."""

    def __init__(self, code: int = 128 + signal.SIGTERM) -> None:
        super().__init__(code)


def is_asked() -> bool:
    """Whether a SIGTERM came."""
    return _reminder is not None


def leave_if_asked() -> None:
    """Leave where nothing would be lost.

    Raises:
        Stopped: a SIGTERM came.
    """
    if is_asked():
        raise Stopped


def listen() -> None:
    """Note a SIGTERM from now on; without effect outside the main thread, which alone hears it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _note)


@contextmanager
def listening() -> Iterator[None]:
    """Note a SIGTERM within the block, and leave at its end if one came.

    Raises:
        Stopped: a SIGTERM came; also in place of an error after it, such as that a process which
            was asked as well is gone. What a user can mend is told all the same.
    """
    leave_if_asked()
    before = signal.getsignal(signal.SIGTERM)
    listen()
    try:
        yield
        leave_if_asked()
    except UserError:
        raise
    except Exception as error:
        if is_asked():
            raise Stopped from error
        raise
    finally:
        if threading.current_thread() is threading.main_thread() and before is not _note:
            _forget()
            # None stands for a handler that only C knows, and cannot be given back.
            signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def _note(number: int, frame: FrameType | None) -> None:
    global _reminder
    # Slurm asks every process of a job, so that a worker hears it twice; only the reminder counts.
    if _reminder is not None:
        if _reminder.finished.is_set():
            raise Stopped
        return
    _reminder = threading.Timer(GRACE_SECONDS, _remind)
    _reminder.daemon = True
    _reminder.start()
    for child in active_children():
        child.terminate()


def _remind() -> None:
    assert _reminder is not None
    _reminder.finished.set()
    os.kill(os.getpid(), signal.SIGTERM)


def _forget() -> None:
    global _reminder
    if _reminder is not None:
        _reminder.cancel()
    _reminder = None
