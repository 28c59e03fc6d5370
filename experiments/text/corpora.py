"""The corpora that are divided into documents, by their names."""

from collections.abc import Callable
from dataclasses import dataclass

from experiments.runner.errors import UserError
from experiments.text import bible, domains
from experiments.text.settings import CorpusConfig, CorpusName, marks
from experiments.text.text_files import Passage


@dataclass(frozen=True)
class _Corpus:
    """A corpus.

    Attributes:
        kinds: the kinds of text it has.
        read: its passages.
        identity: what stands for its content.
    """

    kinds: tuple[str, ...]
    read: Callable[[CorpusConfig], list[Passage]]
    identity: Callable[[CorpusConfig], dict[str, object]]


def _verses(config: CorpusConfig) -> list[Passage]:
    if several := marks(config):
        return bible.verses_into(config.english, config.french, several)
    verses = bible.verses_into(config.english, config.french, config.languages)
    # With one language there is nothing to name.
    return [verse._replace(language="") for verse in verses]


_CORPORA = {
    CorpusName.bible: _Corpus(
        bible.KINDS,
        _verses,
        lambda config: {"bible": bible.digest()},
    ),
    CorpusName.domains: _Corpus(domains.KINDS, domains.passages, domains.identity),
}


def passages(config: CorpusConfig) -> list[Passage]:
    """All passages, also those of kinds that the config leaves out.

    Raises:
        UserError: the text is missing or damaged, or there is no such kind.
    """
    corpus = _CORPORA[config.corpus]
    # Kinds are known only once the corpus is.
    if unknown := sorted(set(config.kinds) - set(corpus.kinds)):
        raise UserError(
            f"study.kinds: study.corpus={config.corpus.value} has no kind of text "
            f"{', '.join(unknown)}.",
            f"Choose from: {', '.join(corpus.kinds)}.",
        )
    return corpus.read(config)


def identity(config: CorpusConfig) -> dict[str, object]:
    """What tells a corpus's content from any other: checksums of what it is read from."""
    return _CORPORA[config.corpus].identity(config)
