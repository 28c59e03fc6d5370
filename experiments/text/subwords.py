"""Subwords that all languages share, learnt from the training pairs and kept by their content."""

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import sentencepiece

from experiments.runner.errors import UserError
from experiments.runner.storage import write_atomically
from experiments.text.settings import FEWEST_SUBWORDS

PAD, UNKNOWN, START, END = range(4)
# Of a larger text a random sample; sentencepiece holds its lines in memory.
_MOST_LINES = 4_000_000
_OPTIONS: dict[str, Any] = {
    "model_type": "unigram",
    "character_coverage": 1.0,
    "pad_id": PAD,
    "unk_id": UNKNOWN,
    "bos_id": START,
    "eos_id": END,
    "num_threads": 1,
}
# What sentencepiece says of a size that does not fit.
_TOO_FEW = re.compile(r"smaller than required_chars\. \d+ vs (\d+)")
_TOO_MANY = re.compile(r"too high \(\d+\)\. Please set it to a value <= (\d+)")


class Subwords:
    """A sentencepiece model; ids 0 to 3 are padding, unknown, start and end."""

    def __init__(self, model: bytes) -> None:
        """Read a model from its bytes."""
        self.model = model
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.digest = sha256(model).hexdigest()

    def __len__(self) -> int:
        """The number of subwords."""
        return int(self.processor.vocab_size())

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without start and end."""
        return list(self.processor.encode(text))

    def mark(self, language: str) -> list[int]:
        """What a source begins with to name its target's language; nothing for an empty one."""
        return [int(self.processor.piece_to_id(mark_of(language)))] if language else []

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; padding, start and end are left out."""
        plain = [int(number) for number in ids if number not in (PAD, START, END)]
        return str(self.processor.decode(plain))

    def piece(self, number: int) -> str:
        """One subword as it is written; a word begins with the mark of sentencepiece."""
        return str(self.processor.id_to_piece(int(number)))


def mark_of(language: str) -> str:
    """The subword that names a target language; no text is cut into it by chance."""
    return f"<{language}>"


def learn(
    lines: Callable[[], Iterable[str]],
    num_subwords: int,
    cache: Path,
    languages: Sequence[str] = (),
) -> Subwords:
    """Learn a shared vocabulary, or take the one learnt from the same lines before.

    Args:
        lines: gives those of both languages; called up to twice, so that they need not all be in
            memory.
        num_subwords: with the four special ones.
        languages: whose marks are subwords of their own.
        cache: folder; the model's name is the digest of lines, options and version.

    Raises:
        UserError: the text is too small for so many subwords, or has more characters than these.
    """
    options = _OPTIONS | {"vocab_size": num_subwords}
    if languages:
        # Control symbols: text that happens to hold such a mark is not read as one.
        options["control_symbols"] = [mark_of(language) for language in languages]
    # By options, version and every line: equal text has one model, learnt once.
    digest = sha256(f"{sorted(options.items())}\n{sentencepiece.__version__}".encode())
    num_lines = 0
    for line in lines():
        digest.update(f"\n{line}".encode())
        num_lines += 1
    file = cache / f"subwords-{digest.hexdigest()[:16]}.model"
    if file.exists():
        # The file ends with its own SHA-256: a damaged one is learnt anew.
        stored, check = file.read_bytes()[:-32], file.read_bytes()[-32:]
        if sha256(stored).digest() == check:
            return Subwords(stored)
    model = _train(lines(), num_lines, options)
    cache.mkdir(parents=True, exist_ok=True)
    write_atomically(file, model + sha256(model).digest())
    return Subwords(model)


def _train(lines: Iterable[str], num_lines: int, options: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    sample: dict[str, Any] = {}
    if num_lines > _MOST_LINES:
        # A sample must be the same in every run.
        sentencepiece.set_random_generator_seed(0)
        sample = {"input_sentence_size": _MOST_LINES, "shuffle_input_sentence": True}
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=buffer,
            minloglevel=2,
            **options,
            **sample,
        )
    except RuntimeError as error:
        raise _refusal(options["vocab_size"], str(error)) from error
    return buffer.getvalue()


def _refusal(num_subwords: int, message: str) -> UserError:
    problem = f"{num_subwords:,} subwords cannot be learnt from this text"
    if needed := _TOO_FEW.search(message):
        return UserError(
            f"{problem}: its characters alone are more.",
            f"Take a larger study.num_subwords, at least {needed[1]}; or leave out what is in "
            "other scripts.",
        )
    if allowed := _TOO_MANY.search(message):
        fits = int(allowed[1]) >= FEWEST_SUBWORDS
        return UserError(
            f"{problem}: it is too small for more than {int(allowed[1]):,}.",
            f"Take {f'study.num_subwords={allowed[1]} or smaller, or ' * fits}more text.",
        )
    return UserError(
        f"{problem}: {message}.", "Look at the text, and at what the filters leave of it."
    )
