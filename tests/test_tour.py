"""The notebook runs from top to bottom, in a folder that holds nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

TOUR = Path(__file__).resolve().parents[1] / "docs" / "tour.ipynb"


def test_the_tour_runs_and_shows_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = json.loads(TOUR.read_text("utf-8"))
    cells = ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]
    assert len(cells) == 3
    # No output is kept: it would be stale one day.
    assert not any(cell.get("outputs") for cell in content["cells"])
    names: dict[str, Any] = {}
    for place, cell in enumerate(cells):
        exec(compile(cell, f"{TOUR.name}, cell {place + 1}", "exec"), names)
    assert len(names["printed"]) > 0
    assert names["figure"].axes[0].get_xlabel() == "number of experts"
    assert names["losses"][-1] < 0.5 * names["losses"][0]
