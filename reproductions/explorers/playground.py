"""The vowel playground: the mixture of 1991 trains in the browser, on the real recordings."""

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from experiments.vowel import data
from experiments.vowel.settings import VowelConfig
from reproductions.drawing import COLOURS
from reproductions.html import image_address, render
from reproductions.vowel.figure2 import vowel_symbol

SCRIPTS = ("mixture.js", "playground.js")
# For those without scripts: the published picture of the end of a training.
_END = Path(__file__).parents[1] / "figures" / "vowel" / "figure2.png"
_END_ALT = (
    "Two tinted regions over a plane of vowels, and in each of them a straight line between vowels."
)


def cases() -> list[dict[str, Any]]:
    """The study's training cases: input (F1 and F2 in kHz, and one), target and vowel."""
    train = data.load(VowelConfig()).train
    rows = zip(
        train.inputs_DN.T.double().tolist(),
        train.targets_ON[0].tolist(),
        train.vowels_N.tolist(),
        strict=True,
    )
    return [
        {"x": [round(number, 6) for number in inputs], "target": int(target), "vowel": vowel}
        for inputs, target, vowel in rows
    ]


def page() -> str:
    """The page's HTML.

    Raises:
        UserError: the recordings or the published picture are missing or damaged.
    """
    shown = {
        "cases": cases(),
        "vowels": [vowel_symbol(vowel) for vowel in VowelConfig().vowels],
        "colours": list(COLOURS.values()),
    }
    # No text of it can end the element: "<" does not occur in JSON of numbers and vowel signs.
    return render(
        "playground.html",
        SCRIPTS,
        data=Markup(json.dumps(shown, ensure_ascii=False)),
        end=image_address(_END),
        end_alt=_END_ALT,
    )
