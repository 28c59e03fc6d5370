"""Several target languages: the mark that names one, and which sentences are translated."""

from pathlib import Path

from experiments.text.encoded import encode
from experiments.text.pairs import Pair
from experiments.text.subwords import learn
from experiments.translation.study import shown_places

LINES = [f"the {word} sees stone number {n}" for n in range(40) for word in ("cat", "ox")]


def test_a_source_begins_with_the_mark_of_its_language_and_no_text_holds_one(
    tmp_path: Path,
) -> None:
    subwords = learn(lambda: LINES, 34, tmp_path, ["fr", "de"])
    pairs = [Pair("the cat", "the ox", language="de"), Pair("the cat", "the ox", language="fr")]
    german, french = encode(pairs, subwords, tmp_path).source
    assert [subwords.piece(ids[0]) for ids in (german, french)] == ["<de>", "<fr>"]
    assert german[1:] == french[1:] == subwords.encode("the cat")
    assert subwords.mark("de")[0] not in subwords.encode("<de> the cat")
    assert subwords.decode(german) == "the cat"
    assert subwords.mark("") == []


def test_equally_many_sentences_of_each_language_are_translated_evenly_spaced() -> None:
    languages = ["fr"] * 100 + ["de"] * 100
    assert shown_places(languages, 6) == [0, 49, 99, 100, 149, 199]
    assert shown_places(languages, None) == list(range(200))
