"""The clusters player shows what the runs found, moves in a browser and stands still without."""

import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from reproductions import html
from reproductions.explorers import clusters_player
from reproductions.explorers.clusters_player import DARK, DATA, LIGHT

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
NODE = shutil.which("node")
# The page's background, light and dark, of study.css.
BACKGROUNDS = {"#fcfbf8": LIGHT, "#15171b": DARK}


@pytest.fixture(scope="module")
def page() -> str:
    return clusters_player.page()


@pytest.fixture(scope="module")
def trainings() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DATA.read_text("utf-8"))
    return found


def marks(text: str) -> list[Counter[str]]:
    """How many examples each expert has, panel by panel."""
    panels = text.split("data-kind=")[1:]
    return [Counter(re.findall(r'<use href="#m\d"[^>]* class="e(\d)"', each)) for each in panels]


def test_the_still_picture_is_the_end_of_both_trainings(
    page: str, trainings: list[dict[str, Any]]
) -> None:
    assert marks(page) == [Counter(training["choices"][-1]) for training in trainings]
    assert not re.search("https?://", page.replace("http://www.w3.org", ""))


def test_every_colour_is_three_to_one_on_its_page() -> None:
    style = Path(html.__file__).with_name("templates") / "study.css"
    for background, colours in BACKGROUNDS.items():
        assert f"--paper: {background}" in style.read_text("utf-8")
        for colour in colours:
            assert contrast(colour, background) >= 3


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, as the WCAG defines it."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """The relative luminance of a colour such as #0072b2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(w * part for w, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.skipif(NODE is None, reason="node is not on the PATH")
def test_a_training_that_has_ended_keeps_its_end() -> None:
    script = """
    const { choicesAt, entropyAt, lastStep } = require(process.argv[1]);
    const short = { steps: [0, 10], choices: ["00", "01"], entropy_steps: [0, 5], entropy: [2, 1] };
    const long = { ...short, steps: [0, 30] };
    process.stdout.write(JSON.stringify([lastStep([short, long]), choicesAt(short, 9),
      choicesAt(short, 10), choicesAt(short, 30), entropyAt(short, 4), entropyAt(short, 30)]));
    """
    code = Path(html.__file__).with_name("templates") / "clusters_player.js"
    command = [str(NODE), "-e", script, str(code)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert json.loads(shown) == [30, "00", "01", "01", 2, 1]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH")
def test_a_browser_plays_both_trainings_at_once(
    page: str, trainings: list[dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "player.html"
    path.write_text(page, "utf-8")
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += ["--virtual-time-budget=2000", f"file://{path}#playing"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    found = re.search(r"step (\d+) of 462</output>", shown)
    assert found is not None
    step = int(found.group(1))
    assert 0 < step < 462
    assert ">Pause</button>" in shown
    for counted, training in zip(marks(shown), trainings, strict=True):
        assert counted == Counter(training["choices"][training["steps"].index(step)])
