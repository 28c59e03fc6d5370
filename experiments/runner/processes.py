"""Work in processes of their own, several at once, of which each may die without the others."""

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import Any

from experiments.runner.errors import UserError
from experiments.runner.stopping import is_asked, listen

# From being asked to end until being ended: time for a checkpoint.
_SECONDS_TO_END = 5.0
# Between two looks at whether there was a Ctrl-C.
_SECONDS_TO_HEAR = 0.2
_STOPPED = object()


def each_in_a_process(
    work: Callable[..., Any],
    calls: Mapping[str, tuple[Any, ...]],
    num_processes: int,
    preload: Sequence[str] = (),
) -> Generator[tuple[str, Any], None, None]:
    """Call ``work`` once per entry, so many at a time, each in a process of its own.

    Whatever ends the iteration ends the processes; they also end if this process is killed. After
    a SIGTERM (`experiments.runner.stopping`), which they hear as well, no other process is started.

    Args:
        work: a function of an importable module; it and its arguments are sent to the process.
        calls: the arguments by name.
        num_processes: how many at once, at least 1.
        preload: modules that the work imports late; they are imported once for all processes, as
            that of the work is.

    Yields:
        A name and what its call returned, in the order of their ends; a UserError in its place
        where the call raised one, or where its process was killed. Other errors are raised.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([work.__module__, *preload])
    _start_server()
    waiting = list(calls.items())[::-1]
    running: dict[Connection, tuple[str, Any]] = {}
    try:
        with _noted_interrupts() as interrupts:
            while not interrupts and (running or (waiting and not is_asked())):
                while waiting and len(running) < num_processes and not is_asked():
                    name, arguments = waiting.pop()
                    receiver, sender = context.Pipe(duplex=False)
                    process = context.Process(target=_answer, args=(sender, work, arguments))
                    with _without_main():
                        process.start()
                    sender.close()
                    running[receiver] = (name, process)
                for ready in wait(list(running), _SECONDS_TO_HEAR):
                    assert isinstance(ready, Connection)
                    name, process = running[ready]
                    result = _result(name, process, ready)
                    del running[ready]
                    if result is not _STOPPED:
                        yield name, result
    finally:
        _end([process for _, process in running.values()])


@contextmanager
def _noted_interrupts() -> Iterator[list[int]]:
    """Note every Ctrl-C of the block, and raise it at the block's end.

    Raised at once it could come in the start of a process that nobody would then know of, or in a
    finaliser, where Python drops it.
    """
    noted: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield noted
        return
    signal.signal(signal.SIGINT, lambda number, frame: noted.append(number))
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)
        if noted:
            raise KeyboardInterrupt


@contextmanager
def _without_main() -> Iterator[None]:
    # A new process would run the file of the command once more, of which it needs nothing.
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _start_server() -> None:
    """Start the process that the others come from."""
    # Ctrl-C reaches every process of a terminal, and is this one's matter: the others inherit that
    # it is blocked, from their first instruction on.
    resource_tracker.ensure_running()  # It would unblock it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _answer(sender: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    listen()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer = work(*arguments)
    except Exception as error:
        error.add_note(f"In a process of its own:\n{traceback.format_exc()}")
        answer = error
    sender.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    # As a batch system would: a run that can writes a checkpoint.
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_SECONDS_TO_END)
    os._exit(1)


def _result(name: str, process: Any, receiver: Connection) -> Any:
    try:
        answer = receiver.recv()
    except EOFError:
        process.join()
        # One that was asked to end together with this one has not failed.
        return _STOPPED if is_asked() else _death(name, process.exitcode)
    process.join()
    if isinstance(answer, Exception) and not isinstance(answer, UserError):
        raise answer
    return answer


def _death(name: str, code: int) -> UserError:
    number = -code if code < 0 else code - 128
    is_signal = number in set(signal.Signals)
    how = f"was ended by {signal.Signals(number).name}" if is_signal else f"ended with code {code}"
    cause = ", most likely because memory ran out" if code == -signal.SIGKILL else ""
    return UserError(
        f"The process of {name} {how}{cause}. The others were kept.",
        "Give the same command again: it goes on from the last checkpoint. If memory ran out, run "
        "fewer at once (num_workers=1) or take smaller sizes.",
    )


def _end(processes: list[Any]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _SECONDS_TO_END
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        process.kill()
        process.join()
