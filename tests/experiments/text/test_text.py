"""Text of the translation study: Bible verses, files, subwords, batches."""

import bz2
import gzip
import lzma
import os
import re
from dataclasses import replace
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from experiments.runner.errors import UserError
from experiments.text import bible, pairs, subwords
from experiments.text.encoded import Encoded, collate, encode, order
from experiments.text.settings import CorpusConfig, CorpusName
from experiments.text.subwords import END, PAD, START, Subwords, learn
from experiments.translation import study
from tests.experiments.translation.translation_cases import config_of, write_corpus

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
    assert texts.counts["train"]["kept"] == sizes[0]


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


def all_of(config: CorpusConfig) -> pairs.Texts:
    texts = pairs.load(config)
    list(texts.train)
    return texts


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_what_is_not_trained_on_is_counted_and_told_and_no_test_line_is_lost(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    long = b"w " * 90
    source = b"one\n\ntwo \xff\nthree\n" + long + b"\na b c d e f g h i j\n"
    target = b"un\nvide\ndeux\ntrois\nmots\nseul\n"
    texts = all_of(files(tmp_path, source, target, suffix))
    assert list(texts.train) == [pairs.Pair("one", "un"), pairs.Pair("three", "trois")]
    words = long.decode().strip()
    unlike = pairs.Pair("a b c d e f g h i j", "seul")
    assert texts.valid == [*texts.train, pairs.Pair(words, "mots"), unlike]
    read = pairs.Pair("", "vide"), pairs.Pair("two \ufffd", "deux")
    assert texts.test == [texts.valid[0], *read, *texts.valid[1:]]
    reasons = {"empty": 1, "not UTF-8": 1}
    filters = {"longer than study.max_words=80": 1, "of lengths beyond study.max_ratio=3": 1}
    assert texts.counts["train"].items() >= {"read": 6, "kept": 2, **reasons, **filters}.items()
    assert texts.counts["valid"].items() >= {"read": 6, "kept": 4, **reasons}.items()
    assert texts.counts["test"].items() >= {"read": 6, "kept": 6, **reasons}.items()
    told = {record.getMessage(): record.levelname for record in caplog.records}
    assert told["the validation set: 2 of 6 pairs are left out (1 empty, 1 not UTF-8)"] == "WARNING"
    assert any(
        "the test set: 2 of 6 pairs are scored as far as" in line and level == "WARNING"
        for line, level in told.items()
    )
    assert any("the training set: 4 of 6 pairs are left out" in line for line in told)


def test_the_test_set_that_we_draw_ourselves_is_filtered_and_that_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    texts = pairs.load(CorpusConfig())
    assert len(texts.test) == 968
    assert "the test set: 1 of 969 pairs are left out" in caplog.text


def test_files_of_unequal_length_are_refused_with_the_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ends at line 1, but the other file goes on"):
        pairs.load(files(tmp_path, b"one\ntwo\n", b"un\n"))


@pytest.mark.parametrize("split", pairs.SPLITS)
@pytest.mark.parametrize(
    ("text", "what"), [(b"", "0 read."), (b"\n \n\xe2\x80\x8b\n", "3 read, left out: 3 empty.")]
)
def test_a_split_of_which_nothing_is_left_is_named_before_training(
    tmp_path: Path, split: str, text: bytes, what: str
) -> None:
    config = files(tmp_path, b"one\n", b"un\n")
    for side in ("source", "target"):
        (tmp_path / f"{split}.{side}").write_bytes(text)
    with pytest.raises(UserError) as caught:
        all_of(config)
    assert f"(study.{split}_source, study.{split}_target): {what}" in caught.value.problem


def test_filters_that_leave_nothing_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        all_of(replace(files(tmp_path, b"one two\n", b"un deux\n"), max_words=1))
    assert "1 longer than study.max_words=1" in caught.value.problem
    assert "raise study.max_words" in caught.value.fix


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_file_without_line_feeds_is_named(tmp_path: Path, split: str) -> None:
    config = files(tmp_path, b"one\n", b"un\n")
    (tmp_path / f"{split}.target").write_bytes(b"un mot\r" * 3000)
    with pytest.raises(UserError, match=rf"Line 1 of .*study\.{split}_target.* 6,000 words"):
        pairs.load(config)


def test_too_small_a_share_of_documents_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    few = [bible.Passage("only", "law", "a word", "un mot")]
    monkeypatch.setattr(bible, "verses", lambda english, french: few)
    with pytest.raises(UserError, match=r"test set \(study\.test_share\)"):
        all_of(CorpusConfig())


@pytest.mark.parametrize("copied", ["source", "train"])
def test_sets_that_are_the_same_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, copied: str
) -> None:
    other = b"one\nfour\n" if copied == "source" else b"un\nquatre\n"
    config = files(tmp_path, b"one\nfour\n", other)
    for split in ("valid", "test"):
        (tmp_path / f"{split}.source").write_bytes(b"one\nthree\n")
        (tmp_path / f"{split}.target").write_bytes(b"un\ntrois\n")
    all_of(config)
    if copied == "source":
        assert "in the training set source and target are the same text in 2 of 2" in caplog.text
        assert "of the test set" not in caplog.text
    else:
        assert "1 of the 2 different pairs of the test set are in the training set" in caplog.text
        assert "1 of the 2 different pairs of the validation set" in caplog.text


@pytest.mark.parametrize(
    ("encoding", "named"),
    [
        ("cp1252", "Windows-1252"),
        ("latin-1", "Windows-1252 or Latin-1"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16LE"),
        ("utf-16-be", "UTF-16BE"),
        ("utf-32", "UTF-32"),
    ],
)
@pytest.mark.parametrize("split", pairs.SPLITS)
def test_files_in_another_encoding_are_named_with_the_fix(
    tmp_path: Path, encoding: str, named: str, split: str
) -> None:
    text = "".join(f"forêt {n}\n" if n % 2 else f"arbre {n}\n" for n in range(60))
    config = files(tmp_path, text.encode(), text.encode())
    (tmp_path / f"{split}.target").write_bytes(text.encode(encoding))
    with pytest.raises(UserError) as caught:
        all_of(config)
    assert f"study.{split}_target" in caught.value.problem
    assert f"looks like {named}" in caught.value.problem
    assert "iconv -f" in caught.value.fix


_MORNING = "this morning we saw a dog and a cat by the river"


@pytest.mark.parametrize(
    ("source", "target", "is_kept"),
    [
        ("我们今天早上在河边看见了一只狗和一只猫", _MORNING, True),
        ("私たちは今朝、川のほとりで犬と猫を見ました", _MORNING, True),
        ("เช้านี้เราเห็นสุนัขและแมวอยู่ริมแม่น้ำ", _MORNING, True),
        ("ព្រឹកនេះយើងបានឃើញឆ្កែនិងឆ្មានៅក្បែរទន្លេ", _MORNING, True),
        ("我们今天早上在河边看见了一只狗和一只猫", "yes", False),
        ("狗", _MORNING, False),
        (_MORNING, "oui", False),
    ],
)  # fmt: skip
def test_lengths_are_those_of_the_language(source: str, target: str, is_kept: bool) -> None:
    split = pairs.Split("train", lambda: [pairs.Pair(source, target)], CorpusConfig())
    assert (split._reason(pairs.Pair(source, target)) == "") == is_kept


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\x00\x1b", "\u2028\x85\u202e"])
def test_what_subwords_do_not_see_is_empty(text: str, tmp_path: Path) -> None:
    assert pairs.is_empty(text)
    assert not pairs.is_empty(f"{text}é")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    config = replace(files(tmp_path, b"a\n", b"b\n"), valid_target=str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"study\.valid_target: there is no file"):
        pairs.load(config)


def _spoil(path: Path, how: str) -> None:
    """Make what people give instead of a file."""
    text = path.read_bytes()
    if how == "folder":
        path.unlink()
        path.mkdir()
    elif how == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif how == "device":
        path.unlink()
        path.symlink_to("/dev/null")
    elif how == "loop":
        path.unlink()
        path.symlink_to(path)
    else:
        contents = {
            "cut": gzip.compress(text)[:-4],
            "fake": b"<html>not found</html>\n",
            "xz": lzma.compress(text),
            "bzip2": bz2.compress(text),
            "damaged": gzip.compress(text)[:-8] + bytes(8),
        }
        path.write_bytes(contents[how])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("folder", "is a folder"),
        ("pipe", "is a pipe"),
        ("device", "is a device"),
        ("loop", "cannot be read: Too many levels"),
        ("cut", "is cut short"),
        ("fake", "not compressed by gzip"),
        ("xz", "compressed by xz"),
        ("bzip2", "compressed by bzip2"),
        ("damaged", "is damaged"),
    ],
)
def test_what_is_no_readable_file_is_named(tmp_path: Path, how: str, words: str) -> None:
    config = files(tmp_path, b"one\n" * 9, b"un\n" * 9, ".gz")
    path = tmp_path / "test.source.gz"
    _spoil(path, how)
    with pytest.raises(UserError) as caught:
        pairs.load(config)
    assert caught.value.problem.startswith("study.test_source: ")
    assert str(path) in caught.value.problem
    assert words in caught.value.problem
    if how in ("folder", "pipe", "device", "loop"):
        with pytest.raises(UserError, match=re.escape(words)):
            pairs.identity(config)


def test_gzip_of_several_parts_is_read_whole_under_any_name(tmp_path: Path) -> None:
    config = files(tmp_path, b"one\ntwo\n", b"un\ndeux\n")
    (tmp_path / "test.source").write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    assert [pair.source for pair in pairs.load(config).test] == ["one", "two"]


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = files(tmp_path, b"one\n", b"un\n")
    at_home = replace(config, test_source="~/test.source")
    assert pairs.load(at_home).test == pairs.load(config).test
    with pytest.raises(UserError, match="no file ~nobody-there/x"):
        pairs.load(replace(config, test_source="~nobody-there/x"))


def test_lines_end_at_a_line_feed_alone(tmp_path: Path) -> None:
    line = "a\x0bb\x0cc\x1cd\x85e\u2028f\rg"
    config = files(tmp_path, f"\ufeff{line}\r\nlast".encode(), b"un\r\ndeux")
    assert pairs.load(config).test == [pairs.Pair(line, "un"), pairs.Pair("last", "deux")]


def test_text_is_known_by_its_content_alone(tmp_path: Path) -> None:
    config = files(tmp_path, b"one\n", b"un\n")
    path = tmp_path / "test.source"
    before, status = pairs.identity(config), path.stat()
    os.utime(path, (0, 0))
    assert pairs.identity(config) == before
    path.write_bytes(b"two\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert pairs.identity(config) != before
    assert before["train_source"] == sha256(b"one\n").hexdigest()


def test_the_bible_is_known_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "bible.db"
    monkeypatch.setattr(bible, "database", lambda: file)
    found = []
    for content in (b"one", b"two", b"one"):
        file.write_bytes(content)
        found.append(pairs.identity(CorpusConfig()))
    assert found[0] == found[2] != found[1]


def test_text_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text_files = write_corpus(tmp_path)
    config = config_of(text_files)
    monkeypatch.setattr(study, "CACHE", tmp_path / "cache")
    study.prepare(config)

    def learn_and_change(*given: Any) -> Subwords:
        text_files["test_source"].write_bytes(text_files["valid_source"].read_bytes())
        return learn(*given)

    monkeypatch.setattr(study, "learn", learn_and_change)
    with pytest.raises(UserError, match="changed while it was read"):
        study.prepare(config)


def test_subwords_come_back_as_text_and_from_the_cache_alike(tmp_path: Path) -> None:
    subwords = learn(lambda: LINES, 30, tmp_path)
    assert subwords.decode([START, *subwords.encode(LINES[3]), END, PAD]) == LINES[3]
    file = next(tmp_path.glob("subwords-*.model"))
    assert learn(lambda: LINES, 30, tmp_path).digest == subwords.digest
    file.write_bytes(b"damaged" + file.read_bytes()[7:])
    assert learn(lambda: LINES, 30, tmp_path).digest == subwords.digest


def test_subwords_of_other_options_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = learn(lambda: LINES, 30, tmp_path).digest
    monkeypatch.setitem(subwords._OPTIONS, "model_type", "bpe")
    assert learn(lambda: LINES, 30, tmp_path).digest != before


def test_too_many_subwords_for_a_text_are_refused_with_the_most_that_would_do(
    tmp_path: Path,
) -> None:
    lines = [f"{line} {word}" for line in LINES for word in ("bread", "river", "king", "apple")]
    with pytest.raises(UserError, match="cannot be learnt") as caught:
        learn(lambda: lines, 5000, tmp_path)
    assert "or smaller, or more text" in caught.value.fix
    most = int(re.findall(r"num_subwords=(\d+)", caught.value.fix)[0])
    assert len(learn(lambda: lines, most, tmp_path)) == most
    with pytest.raises(UserError) as caught:
        learn(lambda: LINES, 5000, tmp_path)
    assert caught.value.fix == "Take more text."


def test_too_few_subwords_for_the_characters_are_refused_with_the_least_that_would_do(
    tmp_path: Path,
) -> None:
    lines = ["".join(chr(0x4E00 + 7 * line + place) for place in range(20)) for line in range(60)]
    with pytest.raises(UserError, match="its characters alone are more") as caught:
        learn(lambda: lines, 300, tmp_path)
    assert "larger" in caught.value.fix
    assert "smaller" not in caught.value.fix
    least = int(re.findall(r"at least (\d+)", caught.value.fix)[0])
    assert len(learn(lambda: lines, least, tmp_path)) == least
    with pytest.raises(UserError, match="its characters alone are more"):
        learn(lambda: lines, least - 1, tmp_path)


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
    assert list(encoded.take(range(3)).source) == list(encoded.source)[:3]
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
