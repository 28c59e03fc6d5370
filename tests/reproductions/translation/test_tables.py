"""Laws of the translation study's tables."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from reproductions.translation.tables import shown


def run_of(name: str, num_parameters: int) -> Any:
    """What the tables ask of a finished run, to put it in its place."""
    finished = SimpleNamespace(path=Path(name), manifest={"num_parameters": num_parameters})
    return SimpleNamespace(name=name, finished=finished, is_as_named=True)


def test_models_stand_from_the_smallest_to_the_largest_and_others_elsewhere() -> None:
    sizes = {"wide": 3, "experts_2048": 9, "none": 1, "constant": 2, "pair_wide": 3}
    found = shown({name: run_of(name, size) for name, size in sizes.items()})
    assert [run.name for run in found] == ["none", "constant", "wide", "experts_2048"]
