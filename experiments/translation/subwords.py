"""Subwords that both languages share, learnt from the training pairs and kept by their content."""

import io
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import sentencepiece

from experiments.atomic import write_atomically
from experiments.errors import UserError

PAD, UNKNOWN, START, END = range(4)
# Of a larger text a random sample; sentencepiece holds its lines in memory.
_MOST_LINES = 4_000_000


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

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; padding, start and end are left out."""
        plain = [int(number) for number in ids if number not in (PAD, START, END)]
        return str(self.processor.decode(plain))

    def piece(self, number: int) -> str:
        """One subword as it is written; a word begins with the mark of sentencepiece."""
        return str(self.processor.id_to_piece(int(number)))


def learn(lines: Callable[[], Iterable[str]], num_subwords: int, cache: Path) -> Subwords:
    """Learn a shared vocabulary, or take the one learnt from the same lines before.

    Args:
        lines: gives those of both languages; called up to twice, so that they need not all be in
            memory.
        num_subwords: with the four special ones.
        cache: folder; the model's name is the digest of lines and size.

    Raises:
        UserError: the text is too small for so many subwords.
    """
    digest = sha256(f"{num_subwords}\n{sentencepiece.__version__}".encode())
    num_lines = 0
    for line in lines():
        digest.update(f"\n{line}".encode())
        num_lines += 1
    file = cache / f"subwords-{digest.hexdigest()[:16]}.model"
    if file.exists():
        stored, check = file.read_bytes()[:-32], file.read_bytes()[-32:]
        if sha256(stored).digest() == check:
            return Subwords(stored)
    model = _train(lines(), num_lines, num_subwords)
    cache.mkdir(parents=True, exist_ok=True)
    write_atomically(file, model + sha256(model).digest())
    return Subwords(model)


def _train(lines: Iterable[str], num_lines: int, num_subwords: int) -> bytes:
    buffer = io.BytesIO()
    sample: dict[str, Any] = {}
    if num_lines > _MOST_LINES:
        sentencepiece.set_random_generator_seed(0)
        sample = {"input_sentence_size": _MOST_LINES, "shuffle_input_sentence": True}
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=buffer,
            vocab_size=num_subwords,
            model_type="unigram",
            character_coverage=1.0,
            pad_id=PAD,
            unk_id=UNKNOWN,
            bos_id=START,
            eos_id=END,
            num_threads=1,
            minloglevel=2,
            **sample,
        )
    except RuntimeError as error:
        raise UserError(
            f"{num_subwords:,} subwords cannot be learnt from this text: {error}.",
            "Take a smaller study.num_subwords, or more text.",
        ) from error
    return buffer.getvalue()
