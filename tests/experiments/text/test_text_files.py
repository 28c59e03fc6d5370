"""Texts of other kinds than the Bible: how they are read, cleaned, kept and balanced."""

import gzip
from collections import Counter
from pathlib import Path

import pytest

from experiments.runner.errors import UserError
from experiments.text import debian, domains, fetch, pairs
from experiments.text.settings import CorpusConfig, CorpusName
from experiments.text.text_files import Passage

PAGE = r""".TH X 2
.SH NAME
x \- {name}
.SH DESCRIPTION
.BR x ()
{does}
.I file ,
and\ no more.
.nf
int skipped(void);
.fi
.TP
.B EACCES
{denied}
.SH {last}
.PP
{one}
{extra}
"""


def test_paragraphs_of_manual_pages_are_paired_where_the_macros_agree(tmp_path: Path) -> None:
    english = PAGE.format(
        name="open", does="opens a", denied="Denied.", last="NOTES", one="One.", extra=""
    )
    french = PAGE.format(
        name="ouvre", does="ouvre un", denied="Refus.", last="NOTES", one="Un.", extra=".PP\nDeux."
    )
    for place, text in (("man2", english), ("fr/man2", french)):
        page = tmp_path / "usr/share/man" / place / "x.2.gz"
        page.parent.mkdir(parents=True)
        page.write_bytes(gzip.compress(text.encode()))
    found = [passage[2:4] for passage in debian.manual_pages(tmp_path)]
    assert found == [
        ("x - open", "x - ouvre"),
        ("x() opens a file , and no more.", "x() ouvre un file , and no more."),
        ("EACCES", "EACCES"),
        ("Denied.", "Refus."),
    ]


def test_descriptions_meet_by_their_digest_and_need_equally_many_paragraphs(tmp_path: Path) -> None:
    english = (
        "Package: a\nDescription-md5: 1\nDescription-en: short\n first\n line\n .\n second\n\n"
        "Package: b\nDescription-md5: 2\nDescription-en: other\n one\n .\n two\n"
    )
    french = (
        "Package: a\nDescription-md5: 1\nDescription-fr: court\n premier\n .\n deuxième\n\n"
        "Package: b\nDescription-md5: 2\nDescription-fr: autre\n seul\n\n"
        "Package: c\nDescription-md5: 3\nDescription-fr: seul\n rien\n"
    )
    (tmp_path / "x_Translation-en").write_text(english, "utf-8")
    (tmp_path / "x_Translation-fr").write_text(french, "utf-8")
    found = list(debian.package_descriptions(tmp_path))
    assert [passage.document for passage in found] == ["a", "a", "a"]
    assert [(each.english, each.french) for each in found] == [
        ("short", "court"),
        ("first\nline", "premier"),
        ("second", "deuxième"),
    ]


def test_help_is_paired_by_identifier(tmp_path: Path) -> None:
    for language, blocks in (
        ("en-US", "<p id='1'>Save the <b>file</b></p><h1 id='2'>Print</h1><p id='4'>Only</p>"),
        ("fr", "<h1 id='2'>Imprimer</h1><p id='1'>Enregistrer</p><p>sans</p>"),
    ):
        page = tmp_path / "usr/share/libreoffice/help" / language / "text/a.html"
        page.parent.mkdir(parents=True)
        page.write_text(f"<html><p id='1'>menu</p><div id='DisplayArea'>{blocks}</div></html>")
    found = {(each.english, each.french) for each in debian.office_help(tmp_path)}
    assert found == {("Save the file", "Enregistrer"), ("Print", "Imprimer")}


def test_what_is_untranslated_wordless_or_twice_there_is_left_out() -> None:
    rows = [("a  b", "c d"), ("a b", "c d"), ("same", "same"), ("1 + 1", "1 + 2"), ("yes", "oui")]
    found = fetch.cleaned(Passage("x", "y", english, french) for english, french in rows)
    assert [(each.english, each.french) for each in found] == [("a b", "c d"), ("yes", "oui")]


def config(**changes: object) -> CorpusConfig:
    return CorpusConfig(corpus=CorpusName.domains, **changes)  # type: ignore[arg-type]


@pytest.fixture
def _fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domains, "CACHE", tmp_path)
    for size, kind in zip((30, 50, 40), domains.FETCHED, strict=True):
        rows = [Passage(f"d{n // 3}", kind, f"text {n}", f"texte {n}") for n in range(size)]
        domains.write(kind, rows)


@pytest.mark.usefixtures("_fetched")
def test_kinds_are_in_balance_and_documents_stay_whole() -> None:
    texts = pairs.load(config())
    parts = [list(texts.train), texts.valid, texts.test]
    assert set(Counter(pair.domain for part in parts for pair in part).values()) == {30}
    # Three passages to a document, none of which is in two parts.
    documents = [
        {(pair.domain, int(pair.source.split()[1]) // 3) for pair in part if "text" in pair.source}
        for part in ([p for p in part if p.domain != domains.BIBLE] for part in parts)
    ]
    assert not documents[0] & documents[1]
    assert not documents[1] & documents[2]
    few = pairs.load(config(pairs_per_domain=20, kinds=list(domains.FETCHED)))
    assert len(list(few.train)) + len(few.valid) + len(few.test) == 60


@pytest.mark.usefixtures("_fetched")
def test_a_damaged_table_is_named() -> None:
    domains.path_of("office help").write_bytes(b"no gzip")
    with pytest.raises(UserError, match=r"office_help\.tsv\.gz is damaged"):
        pairs.load(config())


def test_texts_that_were_not_fetched_are_named_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domains, "CACHE", tmp_path)
    with pytest.raises(UserError) as caught:
        pairs.load(config())
    assert "make fetch-texts" in caught.value.fix


def test_a_system_without_apt_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no apt-config"):
        fetch.prepare(tmp_path)
