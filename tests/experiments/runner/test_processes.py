"""Work in processes of its own: answers, errors, deaths, and an end together with the parent."""

import multiprocessing
import os
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest

from experiments.runner.errors import UserError
from experiments.runner.processes import each_in_a_process

processes = multiprocessing.get_context("forkserver")


def answer(word: str, seconds: float = 0.0) -> str:
    time.sleep(seconds)
    if word == "wrong":
        raise UserError("It is wrong.", "Mend it.")
    if word == "broken":
        raise ZeroDivisionError("nothing is left")
    if word == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{word}, done"


def all_of(*words: str, num_processes: int = 2) -> dict[str, str | UserError]:
    calls = {word: (word,) for word in words}
    return dict(each_in_a_process(answer, calls, num_processes))


def test_each_call_answers_under_its_name_as_it_ends() -> None:
    calls = {"slow": ("first", 1.0), "quick": ("second",), "next": ("third",)}
    found = list(each_in_a_process(answer, calls, 2))
    assert found[-1] == ("slow", "first, done")
    assert dict(found[:2]) == {"quick": "second, done", "next": "third, done"}
    assert list(each_in_a_process(answer, {}, 2)) == []


def test_an_error_for_people_comes_in_the_place_of_an_answer() -> None:
    found = all_of("wrong", "right")
    assert found["right"] == "right, done"
    assert str(found["wrong"]) == "It is wrong. Mend it."


def test_a_killed_process_is_named_and_the_others_go_on() -> None:
    found = all_of("killed", "one", "two", "three")
    assert [found[word] for word in ("one", "two", "three")] == [
        f"{word}, done" for word in ("one", "two", "three")
    ]
    error = found["killed"]
    assert isinstance(error, UserError)
    assert "The process of killed was ended by SIGKILL" in error.problem
    assert "memory" in error.problem
    assert "same command again" in error.fix


def test_an_error_of_the_program_is_raised_with_its_origin() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        all_of("broken", "one")
    assert any("in answer" in note for note in caught.value.__notes__)


def wait_for_ever(folder: Path, name: str) -> bool:
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    (folder / name).write_text(f"{os.getpid()} {signal.SIGINT in blocked}")
    time.sleep(600)
    return True


def wait_in_processes(folder: Path) -> None:
    calls = {name: (folder, name) for name in ("one", "two")}
    for _ in each_in_a_process(wait_for_ever, calls, 2):
        pass


def written(folder: Path) -> dict[int, str]:
    """The processes that wait, and whether they hear Ctrl-C."""
    while len(texts := [file.read_text().split() for file in folder.iterdir()]) < 2 or [] in texts:
        time.sleep(0.01)
    return {int(number): blocked for number, blocked in texts}


def lives(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def assert_end(numbers: list[int]) -> None:
    deadline = time.monotonic() + 20.0
    while any(map(lives, numbers)):
        assert time.monotonic() < deadline, "a process outlived its parent"
        time.sleep(0.01)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_a_killed_parent_takes_its_processes_with_it(tmp_path: Path) -> None:
    parent = processes.Process(target=wait_in_processes, args=(tmp_path,))
    parent.start()
    numbers = written(tmp_path)
    parent.kill()
    parent.join()
    assert_end(list(numbers))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_processes_leave_ctrl_c_to_the_parent_and_end_with_the_iteration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # These take no notice of being asked.
    monkeypatch.setattr("experiments.runner.processes._SECONDS_TO_END", 0.2)
    calls = {"quick": (tmp_path, "quick"), "one": (tmp_path, "one"), "two": (tmp_path, "two")}
    with closing(each_in_a_process(wait_or_answer, calls, 3)) as found:
        assert next(found) == ("quick", True)
        numbers = written(tmp_path)
        assert set(numbers.values()) == {"True"}
    assert not any(map(lives, numbers))


def wait_or_answer(folder: Path, name: str) -> bool:
    return name == "quick" or wait_for_ever(folder, name)


class _Finalised:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_a_finaliser_swallows_ends_the_processes_all_the_same() -> None:
    # A shell's background jobs inherit that interrupts are ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        answers = each_in_a_process(answer, {"quick": ("first",), "endless": ("second", 99.0)}, 2)
        assert next(answers) == ("quick", "first, done")
        _Finalised()
        with pytest.raises(KeyboardInterrupt):
            next(answers)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not multiprocessing.active_children()
