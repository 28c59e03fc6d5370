"""The playground's arithmetic is that of the study: both run from the same start."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.vowel import data
from experiments.vowel.settings import Cost, Precision, StopMeasure, VowelConfig
from experiments.vowel.systems import build
from experiments.vowel.training import Batch, Criterion, Schedule, train
from reproductions import html
from reproductions.explorers import playground

NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
STOP = 0.08
_ASKED = (
    "const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
    "const done = Mixture.train(given.weights, given.cases, given.cost, given.step, given.stop,"
    " given.most);"
    "console.log(JSON.stringify({...done, weights: given.weights}));"
)


def in_python(cost: Cost, step: float, most: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The start of seed 0, and where it ends after training with a cost."""
    config = replace(VowelConfig(), precision=Precision.float64, cost=cost, gate_step=1.0)
    cases = data.load(config).train
    net = build(config, num_outputs=1)
    first = net.init(0)
    batch = Batch(
        {name: value.unsqueeze(0) for name, value in first.items()},
        {name: torch.full((1,), step, dtype=torch.float64) for name in first},
    )
    schedule = Schedule([Criterion(StopMeasure.blend, STOP)], most, segment_epochs=100)
    ended = train(net, cases.inputs_DN, cases.targets_ON, batch, schedule)
    start = {"experts": first["experts"][:, 0].tolist(), "gate": first["gate"].tolist()}
    epochs = int(ended.epochs[0, 0])
    weights = ended.stopped if epochs >= 0 else ended.params
    shape = (0, 0) if epochs >= 0 else (0,)
    end = {
        "epochs": epochs if epochs >= 0 else None,
        "experts": weights["experts"][shape][:, 0].tolist(),
        "gate": weights["gate"][shape].tolist(),
    }
    return start, end


def in_javascript(start: dict[str, Any], cost: Cost, step: float, most: int) -> dict[str, Any]:
    """The same by mixture.js."""
    assert NODE is not None
    given = {"weights": start, "cases": exact_cases(), "cost": cost.name}
    given |= {"step": step, "stop": STOP, "most": most}
    result = subprocess.run(
        [NODE, "-e", html._read("mixture.js") + _ASKED],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def exact_cases() -> list[dict[str, Any]]:
    """The training cases in float64, as the study has them."""
    train_cases = data.load(replace(VowelConfig(), precision=Precision.float64)).train
    inputs, targets = train_cases.inputs_DN.T.tolist(), train_cases.targets_ON[0].tolist()
    return [{"x": x, "target": target} for x, target in zip(inputs, targets, strict=True)]


@pytest.mark.skipif(NODE is None, reason="no node here")
@pytest.mark.parametrize("cost", list(Cost))
def test_both_reach_the_same_weights(cost: Cost) -> None:
    start, end = in_python(cost, step=4.0, most=200)
    found = in_javascript(start, cost, step=4.0, most=200)
    for name in ("experts", "gate"):
        torch.testing.assert_close(
            torch.tensor(found["weights"][name], dtype=torch.float64),
            torch.tensor(end[name], dtype=torch.float64),
            rtol=1e-8,
            atol=1e-9,
        )


@pytest.mark.skipif(NODE is None, reason="no node here")
def test_both_stop_at_the_same_epoch() -> None:
    start, end = in_python(Cost.mixture_likelihood, step=16.0, most=3_000)
    found = in_javascript(start, Cost.mixture_likelihood, step=16.0, most=3_000)
    assert end["epochs"] is not None
    # 1,554 in both. Processors round differently, and a bend on the way magnifies that.
    assert found["epochs"] == pytest.approx(end["epochs"], rel=0.01)
    assert found["errors"][-1] <= STOP < found["errors"][-2]


def test_the_page_has_all_recordings_and_no_request() -> None:
    page = playground.page()
    assert page.count('"target"') == 400
    assert not re.search(r'(src|href)="(?!#|data:|index\.html|vowel\.html)', page)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_it_plays_in_a_browser(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    (tmp_path / "playground.html").write_text(playground.page(), "utf-8")
    result = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=3000",
            "--dump-dom",
            (tmp_path / "playground.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    epoch = re.search(r'data-epoch="(\d+)"', result.stdout)
    assert epoch is not None
    assert int(epoch[1]) > 0
    assert result.stdout.count('class="track"') == 4
