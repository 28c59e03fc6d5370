"""Text of the translation study: Bible verses, files, subwords, batches."""

import gzip
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from experiments.errors import UserError
from experiments.translation import bible, pairs
from experiments.translation.batches import collate, order
from experiments.translation.encoded import Encoded, encode
from experiments.translation.settings_corpus import CorpusConfig, CorpusName
from experiments.translation.subwords import END, PAD, START, learn

LINES = [
    f"the {word} sees a house of stone number {n}" for n in range(40) for word in ("cat", "ox")
]


def test_no_chapter_is_in_two_splits_and_every_verse_is_in_one() -> None:
    texts = pairs.load(CorpusConfig(max_words=10_000, max_ratio=1e9))
    sizes = [len(list(texts.train)), len(texts.valid), len(texts.test)]
    assert sum(sizes) == bible.NUM_VERSES
    found = bible.verses(["4"], ["l"])
    chapter_of = {(verse.english, verse.french): verse.document for verse in found}
    chapters = [{chapter_of[pair[:2]] for pair in part} for part in (texts.valid, texts.test)]
    # Verses that occur word for word in several chapters would hide nothing: compare the others.
    assert len(chapters[0] & chapters[1]) <= 2
    assert texts.counts["kept_train"] == sizes[0]


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("(6:4) Bonjour à tous", "Bonjour à tous"),
        ("He [is] `good'", "He is 'good'"),
        ("Et il dit [Jean 3:16] ceci", "Et il dit ceci"),
    ],
)
def test_verses_are_cleaned(text: str, cleaned: str) -> None:
    assert bible.clean(text) == cleaned


def files(folder: Path, source: bytes, target: bytes, suffix: str = "") -> CorpusConfig:
    config = CorpusConfig(corpus=CorpusName.files)
    for split in pairs.SPLITS:
        for side, text in (("source", source), ("target", target)):
            path = folder / f"{split}.{side}{suffix}"
            path.write_bytes(gzip.compress(text) if suffix else text)
            config = replace(config, **{f"{split}_{side}": str(path)})
    return config


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_bad_lines_are_counted_and_good_ones_stay_together(tmp_path: Path, suffix: str) -> None:
    source = b"one\n\ntwo \xff\nthree\n" + b"w " * 90 + b"\na b c d e f g h i j\n"
    target = b"un\nvide\ndeux\ntrois\nmots\nseul\n"
    texts = pairs.load(files(tmp_path, source, target, suffix))
    assert list(texts.train) == [("one", "un", ""), ("three", "trois", "")]
    assert texts.counts["dropped_not_utf8"] == 3
    assert texts.counts["dropped_empty"] == 3
    assert texts.counts["dropped_too_long"] == 3
    assert texts.counts["dropped_unlike_lengths"] == 3


def test_files_of_unequal_length_are_refused_with_the_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ends at line 1, but the other file goes on"):
        pairs.load(files(tmp_path, b"one\ntwo\n", b"un\n"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    config = replace(files(tmp_path, b"a\n", b"b\n"), valid_target=str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"study\.valid_target: there is no file"):
        pairs.load(config)


def test_subwords_come_back_as_text_and_from_the_cache_alike(tmp_path: Path) -> None:
    subwords = learn(lambda: LINES, 30, tmp_path)
    assert subwords.decode([START, *subwords.encode(LINES[3]), END, PAD]) == LINES[3]
    file = next(tmp_path.glob("subwords-*.model"))
    assert learn(lambda: LINES, 30, tmp_path).digest == subwords.digest
    file.write_bytes(b"damaged" + file.read_bytes()[7:])
    assert learn(lambda: LINES, 30, tmp_path).digest == subwords.digest


def test_too_many_subwords_for_a_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be learnt"):
        learn(lambda: LINES, 5000, tmp_path)


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    subwords = learn(lambda: LINES, 30, tmp_path_factory.mktemp("cache"))
    given = [pairs.Pair(line, line[: 5 + place]) for place, line in enumerate(LINES)]
    return encode(given, subwords, tmp_path_factory.mktemp("ids"))


def test_every_pair_is_in_one_batch_of_an_epoch_and_no_batch_is_too_large(encoded: Encoded) -> None:
    batches = list(order(encoded, 200, seed=0, epoch=3))
    assert sorted(chain.from_iterable(batches)) == list(range(len(encoded)))
    for chosen in batches:
        batch = collate(encoded, chosen)
        assert max(batch.source_BS.numel(), batch.target_in_BT.numel()) <= 200


def test_the_order_follows_seed_and_epoch_alone(encoded: Encoded) -> None:
    first, again, next_epoch, other_seed = (
        list(order(encoded, 200, seed, epoch)) for seed, epoch in ((0, 1), (0, 1), (0, 2), (1, 1))
    )
    assert first == again
    assert first != next_epoch
    assert first != other_seed


def test_targets_are_shifted_by_one_and_end(encoded: Encoded) -> None:
    batch = collate(encoded, [0, 7])
    assert (batch.target_in_BT[:, 0] == START).all()
    for row, place in enumerate((0, 7)):
        length = len(encoded.target[place])
        assert batch.target_in_BT[row, 1 : length + 1].tolist() == encoded.target[place]
        assert batch.target_out_BT[row, : length + 1].tolist() == [*encoded.target[place], END]
    assert batch.num_target_tokens == sum(len(encoded.target[place]) + 1 for place in (0, 7))


def test_rows_on_disk_are_what_was_encoded(tmp_path: Path) -> None:
    subwords = learn(lambda: LINES, 30, tmp_path)
    given = [pairs.Pair(line, "", "kind") for line in LINES]
    encoded = encode(given, subwords, tmp_path / "ids")
    assert list(encoded.source) == [subwords.encode(line) for line in LINES]
    assert list(encoded.target) == [[] for _ in LINES]
    assert list(encoded.first(3).source) == list(encoded.source)[:3]
    assert encoded.domain == ["kind"] * len(LINES)
    assert not list((tmp_path / "ids").iterdir())


def test_only_the_kinds_of_book_asked_for_are_there() -> None:
    texts = pairs.load(CorpusConfig(kinds=["poetry", "law"], max_train_pairs=50))
    assert {pair.domain for pair in [*texts.valid, *texts.test]} == {"poetry", "law"}
    # The first so many are from everywhere.
    assert {pair.domain for pair in texts.train} == {"poetry", "law"}
    assert len(list(texts.train)) == 50


def test_an_unknown_kind_of_book_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="no kind of text gospel"):
        pairs.load(CorpusConfig(kinds=["gospel"]))
