"""The token explorer: its data, its logic without a browser, and its page in Chromium."""

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.language_model.settings import LanguageModelConfig
from experiments.runner.errors import UserError
from reproductions.explorers import EXPLORERS, page_of
from reproductions.explorers.tokens import (
    DATA,
    MODELS,
    commonest,
    data_of,
    page,
    pair_share,
    write_data,
)
from reproductions.runs import NamedRun

TEMPLATES = Path(__file__).parents[2] / "reproductions" / "templates"
NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_node = pytest.mark.skipif(NODE is None, reason="no node here")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")

TABLE = pd.DataFrame(
    {
        "kind": ["English"] * 4 + ["Arabic"] * 3,
        "place": [0, 1, 2, 3, 0, 1, 2],
        "piece": ["▁a", "b", "▁a", "</s>", "▁a", "<c", "<c"],
        "expert_1": [1, 0, 1, 3, 1, 2, 2],
        "weight_1": [0.9, 0.6, 0.8, 0.7, 0.9, 0.5, 1.0],
        "expert_2": [0, 1, 3, 2, 2, 1, 300],
        "weight_2": [0.1, 0.4, 0.2, 0.3, 0.1, 0.5, 0.0],
    }
)


class Finished:
    """A finished run with its shown text alone."""

    def __init__(self, name: str, shown: pd.DataFrame) -> None:
        self.path, self.shown = Path(name), shown

    def table(self, name: str) -> pd.DataFrame:
        assert name == "shown"
        return self.shown


def runs_of(*tables: pd.DataFrame) -> dict[str, NamedRun]:
    study = LanguageModelConfig(num_experts=400, k=2)
    return {
        name: NamedRun(name, study, Finished(name, table))  # type: ignore[arg-type]
        for name, table in zip(MODELS, tables, strict=True)
    }


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    """Two models: the second one's experts are those of the first, one further on."""
    moved = TABLE.assign(expert_1=TABLE["expert_1"] + 1, expert_2=TABLE["expert_2"] + 1)
    return data_of(runs_of(TABLE, moved))


def asked(code: str, data: dict[str, Any]) -> Any:
    """What the logic answers; `text` is the opened data."""
    assert NODE is not None
    script = f"const T = require({json.dumps(str(TEMPLATES / 'tokens.js'))});"
    script += f"const text = T.open({json.dumps(data)}), m = text.models[0];"
    script += f"console.log(JSON.stringify({code}));"
    # On standard input: half a megabyte of data is more than an argument may have.
    found = subprocess.run([NODE, "-"], input=script, capture_output=True, text=True, check=True)
    return json.loads(found.stdout)


def test_pairs_in_one_group_are_counted_without_those_of_a_word_with_itself() -> None:
    trait = pd.Series(["x", "x", "y", "z"])
    assert pair_share([1, 1, 1, 2], trait) == pytest.approx(1 / 3)
    assert pair_share([1, 2, 3, 4], trait) == 0
    assert pair_share([1, 1, 2, 3], trait) == 1


def test_the_data_says_which_expert_answers_which_word(data: dict[str, Any]) -> None:
    assert data["pieces"] == ["▁a", "b", "</s>", "<c"]
    assert data["kinds"] == [{"name": "English", "start": 0}, {"name": "Arabic", "start": 4}]
    found = commonest(data, data["models"][0])
    assert found[1] == Counter({"▁a": 3, "b": 1, "<c": 1})
    assert found[300] == Counter({"<c": 1})
    assert commonest(data, data["models"][1])[301] == Counter({"<c": 1})
    # Expert 1 has three times the same subword; expert 2 twice one.
    assert data["models"][0]["same"]["subword"] == 1
    assert data["chance"]["subword"] == pytest.approx((3 * 2 + 2) / (7 * 6))


def test_models_must_show_the_same_text() -> None:
    with pytest.raises(UserError, match="different text"):
        data_of(runs_of(TABLE, TABLE.assign(piece="▁a")))


def test_runs_that_are_not_finished_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="experts_2048, untrained_2048"):
        write_data(str(tmp_path), tmp_path / "tokens.json")


@needs_node
def test_the_logic_reads_words_experts_and_weights(data: dict[str, Any]) -> None:
    assert asked("T.expertsOf(m, 1)", data) == [
        {"expert": 0, "weight": 60}, {"expert": 1, "weight": 40}
    ]  # fmt: skip
    # More than a byte holds.
    assert asked("T.expertsOf(m, 6)[1].expert", data) == 300
    assert asked("T.commonest(text, m, 1)", data) == [["▁a", 3], ["b", 1], ["<c", 1]]
    assert asked("T.languages(text, m, 1)", data) == [["English", 3], ["Arabic", 2]]
    assert asked("T.overall(text, '▁a')", data) == pytest.approx(3 / 7)


@needs_node
def test_context_and_pages_stay_within_a_language(data: dict[str, Any]) -> None:
    found = asked("[T.context(text, 2, 9), T.context(text, 4, 1)]", data)
    assert found[0] == {
        "place": 2, "kind": "English", "word": " a", "before": " ab", "after": " ¶"
    }  # fmt: skip
    assert (found[1]["before"], found[1]["word"], found[1]["after"]) == ("", " a", "<c")
    pages = asked("[-1, 0, 1, 9].map((n) => T.pageOf(text, 0, n, 3))", data)
    assert [(own["number"], own["from"], own["to"]) for own in pages] == [
        (0, 0, 3), (0, 0, 3), (1, 3, 4), (1, 3, 4)
    ]  # fmt: skip
    assert asked("T.spread([0, 1, 2, 3, 4, 5], 3)", data) == [0, 2, 4]
    assert asked("T.spread([0, 1], 3)", data) == [0, 1]


@needs_node
def test_script_and_command_count_the_same_on_the_real_text() -> None:
    data = json.loads(DATA.read_text("utf-8"))
    code = "text.models.map((m) => m.places.map((_, e) => Object.fromEntries("
    code += "T.commonest(text, m, e))))"
    for model, found in zip(data["models"], asked(code, data), strict=True):
        own = commonest(data, model)
        assert [Counter(each) for each in found] == [
            own.get(expert, Counter()) for expert in range(model["num_experts"])
        ]


def test_the_page_needs_nothing_beside_itself_and_reads_without_scripts() -> None:
    (explorer,) = [each for each in EXPLORERS if each.file == "tokens.html"]
    text = page_of(explorer)
    assert "src=" not in text
    assert "http://" not in text
    assert "https://" not in text
    before, _, _ = text.partition('<script type="application/json"')
    # Four of every language, of a trained model; a random gate has none for some.
    assert 40 <= before.count("<li><b>Expert") <= 80
    for words, _ in MODELS.values():
        assert words in before
    assert len(text.encode()) < 1_000_000


def test_the_data_is_of_a_trained_model_and_of_its_control() -> None:
    data = json.loads(DATA.read_text("utf-8"))
    trained, control = (model["same"] for model in data["models"])
    assert trained["language"] > control["language"] > data["chance"]["language"]
    assert np.isclose(data["chance"]["language"], 0.1, atol=0.01)


_PLAY = """
<script>{
const log = [];
const press = (element, key) => element.dispatchEvent(
  new KeyboardEvent("keydown", { key, bubbles: true }));
const columns = [...document.querySelectorAll(".column")];
const here = () => columns.map((c) => c.querySelector(".token.here").dataset.place).join();
const heads = () => columns.map((c) => c.querySelector(".chosen h3").textContent).join();
log.push(here());
columns[0].querySelectorAll(".token")[5].click();
log.push(here(), heads());
press(document.activeElement, "ArrowRight");
log.push(here());
press(document.activeElement, "Enter");
log.push(document.activeElement.className);
columns[1].querySelectorAll(".expert-button")[1].click();
log.push(columns[1].querySelector(".places h3").textContent.split(" ")[1]
  === columns[1].querySelectorAll(".expert-button")[1].dataset.expert);
document.querySelector("#language").value = 6;
document.querySelector("#language").dispatchEvent(new Event("change"));
log.push(columns[0].querySelector(".words").dir, here());
document.querySelector("#on").click();
log.push(document.querySelector("#position").value, here());
document.title = JSON.stringify(log);
}</script>
"""


@needs_chromium
def test_the_page_plays_by_mouse_and_by_keyboard(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    # The page's policy forbids a script that is not its own.
    text = page().replace('http-equiv="Content-Security-Policy"', "data-no-policy")
    (tmp_path / "page.html").write_text(text.replace("</body>", _PLAY + "</body>"), "utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"file://{tmp_path / 'page.html'}"]
    dump = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    log = json.loads(dump.split("<title>")[1].split("</title>")[0].replace("&quot;", '"'))
    assert log[:2] == ["0,0", "5,5"]
    assert log[2].count("Experts of") == 2
    assert log[3:6] == ["6,6", "expert-button", True]
    assert log[6:8] == ["rtl", "9000,9000"]
    assert log[8:] == ["page 2 of 11", "9140,9140"]
