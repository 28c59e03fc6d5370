"""Translate with a finished run: `python -m experiments.translation.translate < english.txt`.

Standard output holds the translations and nothing else, in UTF-8: for every line of the text (up to
a line feed) one line, empty for an empty one. News, errors and what show=words says go to standard
error. Lines of more than max_source_subwords are translated up to there, which is told.

Settings, all optional:
  language=fr     of the answer, by its code, where the model has several languages (default: French
                  if the model knows it, else its first language)
  run=DIGEST      a folder of runs/translation, or its first characters (default: the newest)
  runs_dir=PATH   where runs are kept (default: runs)
  file=PATH       text in UTF-8, plain or gzip, a sentence per line (default: standard input; on a
                  terminal, type lines)
  show=words      also which experts every subword of the source went to, and where attention
                  looked for every subword of the answer
  num_best=3      so many translations per line, a line each: number of the line, score and
                  translation, with tabs between
  beam_width=4    and any other setting of the search: length_penalty, coverage_penalty,
                  score_margin, max_length_ratio, max_source_subwords
"""

import glob
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.command_line import errors_for_people, messages, plain_arguments
from experiments.run_folder import read_finished
from experiments.runner.errors import UserError, shown
from experiments.runner.schema import faults
from experiments.text import text_files
from experiments.text.settings import CorpusName, marks
from experiments.text.subwords import Subwords
from experiments.translation import answers
from experiments.translation.beam import Hypothesis
from experiments.translation.settings import DecodingConfig, TranslationConfig
from experiments.translation.translator import Translator
from moe.plan import token_of_assignments
from moe.routing import NO_EXPERT

_OWN = {"run": "", "runs_dir": "runs", "file": "", "show": "", "num_best": "1", "language": ""}
_MOST_BEST = 1000

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """A model of a finished run, ready to translate."""

    model: Translator
    subwords: Subwords
    config: TranslationConfig
    language: str = ""

    def encode(self, text: str) -> list[int]:
        """Subwords of a source, which names the answer's language where the model has several."""
        return [*self.subwords.mark(self.language), *self.subwords.encode(text)]


def load(path: Path, changes: Sequence[str] = (), language: str = "") -> Trained:
    """Read the model of a finished run.

    Args:
        path: the run's folder.
        changes: settings of the search as `key=value`.
        language: of the answers; empty takes French, or the model's first language.

    Raises:
        UserError: the run is not finished or damaged, a setting is wrong, or the model does not
            know the language.
    """
    finished = read_finished(path)
    try:
        own = OmegaConf.merge(OmegaConf.structured(TranslationConfig), finished.config)
    except OmegaConfBaseException as error:
        raise UserError(
            f"The run {path} is of another version: {str(error).splitlines()[0]}",
            "Train it again, or translate with the version that trained it.",
        ) from error
    try:
        given = OmegaConf.merge(own, OmegaConf.from_dotlist(list(changes)))
        config: Any = OmegaConf.to_object(given)
    except OmegaConfBaseException as error:
        raise UserError(f"A setting is wrong: {str(error).splitlines()[0]}", _allowed()) from error
    for _, fault in faults(config):
        raise fault
    subwords = Subwords(finished.arrays("subwords")["model"].tobytes())
    model = Translator(config, len(subwords), config.seed)
    weights = {name: torch.from_numpy(array) for name, array in finished.arrays("weights").items()}
    model.load_state_dict(weights)
    return Trained(model.eval(), subwords, config, _language(config, language))


def _language(config: TranslationConfig, asked: str) -> str:
    """The language that a source must name; empty where the model has one."""
    known = marks(config)
    # Of a corpus of one's own, or of several domains, the language has no code.
    only = config.languages if config.corpus is CorpusName.bible else []
    if asked and asked not in (known or only):
        listed = ", ".join(known or only)
        raise UserError(
            f"This model does not translate into language={asked}.",
            f"Choose from: {listed}." if listed else "Leave language= out: it has one language.",
        )
    if not known:
        return ""
    return asked or ("fr" if "fr" in known else known[0])


def newest(runs_dir: Path, name: str) -> Path:
    """The finished run whose digest begins with `name`; of several the newest.

    Raises:
        UserError: there is none.
    """
    pattern = f"{glob.escape(name)}*/manifest.json"
    manifests = list(Path(runs_dir, "translation").expanduser().glob(pattern))
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
    if own["num_best"] not in map(str, range(1, _MOST_BEST + 1)):
        raise UserError(
            f"num_best={own['num_best']} is no number from 1 to {_MOST_BEST:,}.",
            "Write num_best=3.",
        )
    if own["show"] not in ("", "words"):
        raise UserError(f"show={own['show']} is unknown.", "Write show=words, or leave it out.")
    return own, search_settings


def _allowed() -> str:
    return f"Allowed: {', '.join([*_OWN, *(item.name for item in fields(DecodingConfig))])}."


def lines(file: str) -> Iterator[str]:
    """Lines of a file, or of standard input as they come.

    Raises:
        UserError: the file cannot be read, or is not UTF-8.
    """
    name = file or "standard input"
    found = (
        text_files.lines(Path(file).expanduser(), "file", is_read_once=True)
        if file
        else text_files.lines_of(sys.stdin.buffer, name)
    )
    for number, line in enumerate(found, start=1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise text_files.not_utf8(name, number, line) from error


def answer(
    trained: Trained, text: str, num_best: int, name: str = "the sentence"
) -> list[Hypothesis]:
    """The best translations of a sentence; that of an empty one is empty.

    Args:
        trained: the model.
        text: the sentence.
        num_best: translations, at most.
        name: of the sentence, for the warning that it is too long.
    """
    ids, model, config = _source(trained, text), trained.model, trained.config
    most = config.max_source_subwords
    if len(ids) > most:
        message = "%s has %d subwords and is translated up to max_source_subwords=%d"
        _LOGGER.warning(message, name, len(ids), most)
    (found,) = answers.translate(model, [ids[:most]], config, lambda stage, share: None, num_best)
    return found


def _source(trained: Trained, text: str) -> list[int]:
    """Subwords of a sentence with its language; none of an empty one, whose answer is empty."""
    return trained.encode(text) if trained.subwords.encode(text) else []


def write(number: int, found: Sequence[Hypothesis], trained: Trained, num_best: int) -> None:
    """Write the translations of a line to standard output, at once."""
    for each in found:
        text = trained.subwords.decode(each.ids).replace("\n", " ")
        if sys.stdout.isatty():
            text = shown(text)
        before = f"{number}\t{each.score:.3f}\t" if num_best > 1 else ""
        sys.stdout.buffer.write(f"{before}{text}\n".encode())
    sys.stdout.buffer.flush()


def show_words(trained: Trained, text: str, best: Hypothesis) -> None:
    """Tell the experts of every source subword, and the source of every subword of the answer."""
    ids = _source(trained, text)[: trained.config.max_source_subwords]
    if not ids:
        return
    source = [trained.subwords.piece(number) for number in ids]
    experts: list[list[str]] = [[] for _ in source]
    with torch.no_grad():
        moe = trained.model.encode(torch.tensor([ids])).moe
    if "encoder" in moe:
        routing = moe["encoder"].routing
        token_A = token_of_assignments(routing).tolist()
        for token, expert, gate in zip(
            token_A, routing.expert_A.tolist(), routing.weight_A.tolist(), strict=True
        ):
            if expert != NO_EXPERT:
                experts[token].append(f"{expert} ({gate:.2f})")
    for piece, named in zip(source, experts, strict=True):
        messages.print(f"    {piece:<16}{'experts ' + ', '.join(named) if named else ''}")
    for number, place in zip(best.ids, best.looked_at, strict=False):
        messages.print(f"    {trained.subwords.piece(number):<16}from {source[place]}")


def main() -> None:
    """Translate line by line."""
    with errors_for_people():
        own, changes = settings(plain_arguments(str(__doc__)))
        path = newest(Path(own["runs_dir"]), own["run"])
        trained, num_best = load(path, changes, own["language"]), int(own["num_best"])
        for number, text in enumerate(lines(own["file"]), start=1):
            found = answer(trained, text, num_best, f"line {number}")
            write(number, found, trained, num_best)
            if own["show"]:
                show_words(trained, text, found[0])


if __name__ == "__main__":
    main()
