"""The token explorer: running text, each subword coloured by the expert that answers it.

Two models stand side by side: 2,048 trained experts, and the control whose gate is random and that
has learnt nothing. `python -m reproductions.explorers.tokens` writes the data anew from finished
runs of suite=language_model. Settings: runs_dir=FOLDER, by default runs.
"""

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from experiments.command_line import console, errors_for_people, plain_arguments
from experiments.runner.errors import UserError
from experiments.runner.storage import write_atomically
from experiments.suite import suite_runs
from reproductions.html import render
from reproductions.runs import NamedRun, in_folder

DATA = Path(__file__).with_name("tokens.json")
SCRIPTS = ("tokens.js", "tokens_page.js")
# Runs of suite=language_model: the words for each, and the sentence under its heading.
MODELS = {
    "experts_2048": (
        "2,048 trained experts",
        "The gate and the experts have learnt from {million:.1f} million subwords.",
    ),
    "untrained_2048": (
        "2,048 experts, nothing learnt",
        "The control: a random gate over random experts, before any training.",
    ),
}
_SUITE = "language_model"
# In the list that needs no script: experts of each language, and words of each expert.
_NUM_LISTED, _NUM_WORDS = 4, 8


def data_of(runs: Mapping[str, NamedRun]) -> dict[str, Any]:
    """What the page shows of two finished runs, compact.

    Args:
        runs: by the names of `MODELS`, each with the table `shown`.

    Returns:
        `pieces`, a list; `kinds`, each with its first place; `words`, numbers of pieces; and per
        model its experts, k for each word, the largest weight first. Words and experts are 16 bit
        numbers and weights whole percent of 8 bit, all little-endian in base64.

    Raises:
        UserError: the two runs show different text.
    """
    tables = [runs[name].table("shown") for name in MODELS]
    first = tables[0]
    if not all(table[["kind", "piece"]].equals(first[["kind", "piece"]]) for table in tables):
        raise UserError(
            "The trained run and its control show different text.",
            "Train both of the same text: make reproduce-language-model.",
        )
    words, pieces = pd.factorize(first["piece"])
    starts = first.index[first["kind"] != first["kind"].shift()]
    return {
        "pieces": [str(piece) for piece in pieces],
        "kinds": [{"name": first["kind"][place], "start": int(place)} for place in starts],
        "words": _packed(words, "<u2"),
        "chance": chances(first),
        "models": [_model(runs[name], table) for name, table in zip(MODELS, tables, strict=True)],
    }


def _model(run: NamedRun, table: pd.DataFrame) -> dict[str, Any]:
    expert_TK, weight_TK = (
        table.filter(regex=f"^{name}_").to_numpy() for name in ("expert", "weight")
    )
    study, (words, sentence) = run.study, MODELS[run.name]
    num_words = study.max_steps * study.num_streams * study.num_unrolled
    return {
        "name": words,
        "sentence": sentence.format(million=num_words / 1e6),
        "run": run.finished.path.name,
        "num_experts": study.num_experts,
        "k": expert_TK.shape[1],
        "experts": _packed(expert_TK, "<u2"),
        "weights": _packed(np.round(100 * weight_TK), "u1"),
        "same": {
            "subword": pair_share(table["expert_1"], table["piece"]),
            "language": pair_share(table["expert_1"], table["kind"]),
        },
    }


def pair_share(group: "Sequence[Any] | pd.Series[Any]", trait: "pd.Series[Any]") -> float:
    """Of all pairs of words in one group, the share that has the trait in common."""
    table = pd.crosstab(np.asarray(group), trait.to_numpy())
    counts = table.to_numpy(np.int64)
    sizes = counts.sum(axis=1)
    # n (n - 1) ordered pairs of different places among n.
    return float((counts * (counts - 1)).sum() / max(1, (sizes * (sizes - 1)).sum()))


def chances(table: pd.DataFrame) -> dict[str, float]:
    """The same of any two words of the text."""
    everyone = np.zeros(len(table), np.int64)
    return {
        "subword": pair_share(everyone.tolist(), table["piece"]),
        "language": pair_share(everyone.tolist(), table["kind"]),
    }


def _packed(numbers: NDArray[Any], kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(numbers).astype(kind).tobytes()).decode()


def _unpacked(text: str, kind: str) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), kind)


def commonest(data: Mapping[str, Any], model: Mapping[str, Any]) -> dict[int, Counter[str]]:
    """How often each expert of a model answers for each subword, among its k."""
    words = _unpacked(data["words"], "<u2")
    expert_TK = _unpacked(model["experts"], "<u2").reshape(len(words), -1)
    found: dict[int, Counter[str]] = {}
    for word, experts in zip(words.tolist(), expert_TK.tolist(), strict=True):
        for expert in experts:
            found.setdefault(expert, Counter())[data["pieces"][word]] += 1
    return found


def _listed(data: Mapping[str, Any], model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The busiest experts of each language: those that have more words of it than of any other."""
    found, tongues = commonest(data, model), _languages(data, model)
    main = {expert: counts.most_common(1)[0] for expert, counts in tongues.items()}
    busiest = sorted(found, key=lambda expert: (-found[expert].total(), expert))
    listed = [
        expert
        for kind in data["kinds"]
        for expert in [each for each in busiest if main[each][0] == kind["name"]][:_NUM_LISTED]
    ]
    return [
        {
            "expert": expert,
            "num": found[expert].total(),
            "language": main[expert][0],
            "share": main[expert][1] / found[expert].total(),
            "words": [
                (_plain(piece), count) for piece, count in found[expert].most_common(_NUM_WORDS)
            ],
            "rest": max(0, len(found[expert]) - _NUM_WORDS),
        }
        for expert in listed
    ]


def _languages(data: Mapping[str, Any], model: Mapping[str, Any]) -> dict[int, Counter[str]]:
    experts = _unpacked(model["experts"], "<u2").reshape(-1, model["k"])
    ends = [*(kind["start"] for kind in data["kinds"][1:]), len(experts)]
    found: dict[int, Counter[str]] = {}
    for kind, end in zip(data["kinds"], ends, strict=True):
        for expert, count in Counter(experts[kind["start"] : end].ravel().tolist()).items():
            found.setdefault(expert, Counter())[kind["name"]] += count
    return found


def _plain(piece: str) -> str:
    return piece.replace("▁", " ").strip() or "(space)"


def page() -> str:
    """The page's HTML.

    Raises:
        UserError: the data cannot be read.
    """
    data = _read()
    # Text of a corpus must not end the element that holds it.
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    lists = [{**model, "experts": _listed(data, model)} for model in data["models"]]
    return render("tokens.html", SCRIPTS, data=Markup(text), models=lists, chance=data["chance"])


def _read() -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(DATA.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"The data of the token explorer, {DATA}, cannot be read.",
            f"Restore it: git checkout -- {DATA}",
        ) from error
    return found


def write_data(runs_dir: str, path: Path = DATA) -> int:
    """Write the data from the finished runs in a folder, and return its size in bytes.

    Raises:
        UserError: one of the two runs is not finished.
    """
    studies = suite_runs([f"suite={_SUITE}"])[1]
    wanted = {name: studies[name] for name in MODELS}
    found = in_folder(runs_dir)(wanted, _SUITE)
    if found.missing:
        raise UserError(
            f"These runs are not finished in {runs_dir}: {', '.join(found.missing)}.",
            "Train them first: make reproduce-language-model",
        )
    text = json.dumps(data_of(found.runs), ensure_ascii=False, indent=0, separators=(",", ":"))
    write_atomically(path, (text + "\n").encode())
    return len(text.encode())


def main() -> None:
    """Write the data and say how large it is."""
    with errors_for_people():
        given = plain_arguments(str(__doc__))
        if unknown := [item for item in given if not item.startswith("runs_dir=")]:
            raise UserError(f"There is no setting {unknown[0]} here.", "Allowed: runs_dir=FOLDER.")
        runs_dir = given[-1].removeprefix("runs_dir=") if given else "runs"
        console.print(f"tokens: {write_data(runs_dir) / 1000:.0f} kB in {DATA}")


if __name__ == "__main__":
    main()
