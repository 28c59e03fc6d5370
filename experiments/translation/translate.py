"""Translate with a finished run: `python -m experiments.translation.translate < english.txt`.

Settings, all optional:
  run=DIGEST      a folder of runs/translation, or its first characters (default: the newest)
  runs_dir=PATH   where runs are kept (default: runs)
  file=PATH       text, a sentence per line (default: standard input; on a terminal, type lines)
  show=words      also which experts every subword of the source went to, and where attention
                  looked for every subword of the answer
  num_best=3      so many answers per sentence, each with its score
  beam_width=4    and any other setting of the search: length_penalty, coverage_penalty,
                  score_margin, max_length_ratio
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.command_line import console, errors_for_people, plain_arguments
from experiments.errors import UserError
from experiments.run_folder import read_finished
from experiments.translation.beam import Hypothesis, search
from experiments.translation.settings import TranslationConfig
from experiments.translation.settings_decoding import DecodingConfig
from experiments.translation.subwords import Subwords
from experiments.translation.translator import Memory, Translator
from moe.plan import token_of_assignments
from moe.routing import NO_EXPERT

_OWN = {"run": "", "runs_dir": "runs", "file": "", "show": "", "num_best": "1"}


@dataclass(frozen=True)
class Trained:
    """A model of a finished run, ready to translate."""

    model: Translator
    subwords: Subwords
    config: TranslationConfig


def load(path: Path, changes: Sequence[str] = ()) -> Trained:
    """Read the model of a finished run.

    Args:
        path: the run's folder.
        changes: settings of the search as `key=value`.

    Raises:
        UserError: the run is not finished or damaged, or a setting is wrong.
    """
    finished = read_finished(path)
    try:
        given = OmegaConf.merge(
            OmegaConf.structured(TranslationConfig),
            finished.config,
            OmegaConf.from_dotlist(list(changes)),
        )
        config: Any = OmegaConf.to_object(given)
    except OmegaConfBaseException as error:
        raise UserError(f"A setting is wrong: {str(error).splitlines()[0]}", _allowed()) from error
    subwords = Subwords(finished.arrays("subwords")["model"].tobytes())
    model = Translator(config, len(subwords), config.seed)
    weights = {name: torch.from_numpy(array) for name, array in finished.arrays("weights").items()}
    model.load_state_dict(weights)
    return Trained(model.eval(), subwords, config)


def newest(runs_dir: Path, name: str) -> Path:
    """The finished run whose digest begins with `name`; of several the newest.

    Raises:
        UserError: there is none.
    """
    manifests = list(Path(runs_dir, "translation").glob(f"{name}*/manifest.json"))
    if not manifests:
        raise UserError(
            f"There is no finished run {name or 'of the translation study'} in {runs_dir}.",
            "Train one first: make reproduce-translation",
        )
    return max(manifests, key=lambda file: file.stat().st_mtime).parent


def settings(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The command's own settings, and those of the search.

    Raises:
        UserError: a setting that does not exist, or one without a value.
    """
    own, search_settings = dict(_OWN), []
    known = {item.name for item in fields(DecodingConfig)}
    for argument in arguments:
        key, sign, value = argument.partition("=")
        if not sign or (key not in own and key not in known):
            raise UserError(f"There is no setting {argument}.", _allowed())
        if key in own:
            own[key] = value
        else:
            search_settings.append(argument)
    if not own["num_best"].isdigit() or own["num_best"] == "0":
        raise UserError(f"num_best={own['num_best']} is no number above 0.", "Write num_best=3.")
    if own["show"] not in ("", "words"):
        raise UserError(f"show={own['show']} is unknown.", "Write show=words, or leave it out.")
    return own, search_settings


def _allowed() -> str:
    return f"Allowed: {', '.join([*_OWN, *(item.name for item in fields(DecodingConfig))])}."


def lines_of(file: str) -> Iterator[str]:
    """Lines of a file, or of standard input as they come.

    Raises:
        UserError: the file cannot be read, or is not UTF-8.
    """
    try:
        with open(file, encoding="utf-8") if file else sys.stdin as source:  # noqa: PTH123
            for line in source:
                yield line.strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{file or 'The text'} cannot be read: {error}.", "Give UTF-8 text."
        ) from error


def answer(trained: Trained, text: str, num_best: int) -> tuple[list[Hypothesis], Memory | None]:
    """The best translations of a sentence, and its encoding; an empty line stays empty."""
    ids = trained.subwords.encode(text)
    if not ids:
        return [Hypothesis([], 0.0, 0.0, [])], None
    source_1S = torch.tensor([ids])
    with torch.no_grad():
        memory = trained.model.encode(source_1S)
    return search(trained.model, source_1S, trained.config, num_best)[0], memory


def show_words(trained: Trained, text: str, best: Hypothesis, memory: Memory) -> None:
    """Print experts of every source subword, and the source of every subword of the answer."""
    source = [trained.subwords.piece(number) for number in trained.subwords.encode(text)]
    experts: list[list[str]] = [[] for _ in source]
    if "encoder" in memory.moe:
        routing = memory.moe["encoder"].routing
        token_A = token_of_assignments(routing).tolist()
        for token, expert, gate in zip(
            token_A, routing.expert_A.tolist(), routing.weight_A.tolist(), strict=True
        ):
            if expert != NO_EXPERT:
                experts[token].append(f"{expert} ({gate:.2f})")
    for piece, named in zip(source, experts, strict=True):
        console.print(f"    {piece:<16}{'experts ' + ', '.join(named) if named else ''}")
    for number, place in zip(best.ids, best.looked_at, strict=False):
        console.print(f"    {trained.subwords.piece(number):<16}from {source[place]}")


def main() -> None:
    """Translate line by line."""
    with errors_for_people():
        own, changes = settings(plain_arguments(str(__doc__)))
        path = newest(Path(own["runs_dir"]), own["run"])
        trained = load(path, changes)
        for text in lines_of(own["file"]):
            found, memory = answer(trained, text, int(own["num_best"]))
            for each in found:
                score = f"{each.score:8.3f}  " if len(found) > 1 else ""
                console.print(f"{score}{trained.subwords.decode(each.ids)}")
            if own["show"] and memory is not None:
                show_words(trained, text, found[0], memory)


if __name__ == "__main__":
    main()
