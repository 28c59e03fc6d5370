"""What `make benchmark-core` runs, at toy size; and that docs/speed.md shows its saved times."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import core, speed_table
from benchmarks.peers import peers
from experiments.scaling.timing import Cell, Problem

TOY = Cell(12, 5, num_features=8, num_hidden=16, k=2)


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(core, "CELLS", [TOY])
    monkeypatch.setattr(core, "ON_ONE_THREAD", TOY)
    monkeypatch.setattr(core.step, "contenders", lambda size: {"toy": lambda: None})
    # Memory that this process keeps would stay so for the tests after this one.
    monkeypatch.setattr(core, "keep_memory", lambda: True)
    threads = torch.get_num_threads()
    core.main(["--rounds", "2", "--threads", "1", "--save", str(tmp_path / "core.json")])
    torch.set_num_threads(threads)
    return tmp_path / "core.json"


def test_other_ways_to_write_the_layer_give_its_gradients() -> None:
    problem = Problem(TOY)
    tensors = (problem.tokens_TD, *problem.weights)
    found: dict[str, list[torch.Tensor]] = {}
    for name, work in {**problem.contenders(with_limits=False), **peers(problem)}.items():
        work()
        found[name] = [tensor.grad.clone() for tensor in tensors if tensor.grad is not None]
    expected = found["ours, padded"]
    assert {"padded bmm", "sort, split, cat", "dispatcher of 2017"} < set(found)
    for gradients in found.values():
        torch.testing.assert_close(gradients, expected)


def test_padding_that_would_fill_the_memory_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.peers.MOST_PADDED_BYTES", 1000)
    assert "padded bmm" not in peers(Problem(TOY))


def test_every_time_is_kept_and_a_table_written_of_it(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records = json.loads(saved.read_text())["records"]
    assert [len(times) for times in records[0]["seconds"].values()] == [2] * len(
        records[0]["seconds"]
    )
    assert {"dense", "traffic", "ours, padded", "padded bmm"} <= set(records[0]["seconds"])
    monkeypatch.setattr(speed_table, "PUBLISHED", tmp_path / "published.json")
    monkeypatch.setattr(speed_table, "PAGE", tmp_path / "speed.md")
    speed_table.PAGE.write_text(f"above\n{speed_table.BEGIN}\nold\n{speed_table.END}\nbelow\n")
    speed_table.main([str(saved)])
    page = speed_table.PAGE.read_text()
    assert page.startswith("above\n")
    assert page.endswith("\nbelow\n")
    assert "old" not in page
    assert "| 12 tokens, 5 experts | 1 | padded bmm |" in page


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ([1.0, 1.1, 1.0], [1.0, 1.05, 5.0], ""),
        ([1.0, 1.0, 1.0], [1.4, 1.4, 1.4], "1.4 times as long"),
        # Slow before and after, but another size of the run shows how fast it can be.
        ([3.0, 3.0, 3.0], [3.0, 3.0, 3.0], "3.0 times as long"),
    ],
)
def test_a_busy_machine_shows_in_the_control(
    before: list[float], after: list[float], reason: str
) -> None:
    seconds = {"dense": [1.0], "traffic": [1.0]}
    record = {"name": "a", "threads": 2, "seconds": seconds, "before": before, "after": after}
    quiet = {**record, "before": [1.0], "after": [1.0]}
    # The control takes longer on one thread, which says nothing about two.
    other = {**quiet, "threads": 1, "before": [0.1], "after": [0.1]}
    records = [record, quiet, other]
    told = core.doubt(record, records)
    assert reason in told
    assert bool(told) == bool(reason)
    text = speed_table.markdown({"machine": "", "torch": "", "date": ""}, records)
    assert ("not to be believed" in text) == bool(reason)


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="put them where the table goes"):
        speed_table.page_with("no marks", "text")


def test_the_published_table_is_that_of_the_saved_times() -> None:
    stale = "the table is stale: python -m benchmarks.speed_table writes it"
    assert speed_table.published_page() == speed_table.PAGE.read_text("utf-8"), stale
