"""A toy run on files of text that people give, with the lines that real files have."""

import gzip
import io
import os
import threading
from pathlib import Path

import pandas as pd
import pytest

from experiments.execute import execute
from experiments.run_folder import FinishedRun, read_finished
from experiments.runner.errors import UserError, shown
from experiments.translation import translate
from experiments.translation.answers import bleu
from reproductions.report import _print_table
from reproductions.tables import table_view
from tests.experiments.translation.translation_cases import config_of, write_corpus

ODD = [
    ("the dog\rsees the bread.", "le chien\rvoit le pain."),
    ('=1+1 "quoted", ""', '+"'),
    ("\u200b", "le pain."),
    ("a house.", ""),
    (":smile: [bold]a\tman[/bold]\x1b[31m", "\u202eun homme\x00"),
    ("- " + "an apple today " * 60, "- une pomme"),
    ("one line\u2028still\x85the same\x0cline", "@une ligne"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    files = write_corpus(tmp_path_factory.mktemp("corpus"))
    for side, key in enumerate(("test_source", "test_target")):
        with files[key].open("a", encoding="utf-8", newline="\n") as file:
            file.write("".join(f"{pair[side]}\n" for pair in ODD))
    with files["test_target"].open("ab") as file:
        file.write("la forêt est belle\n".encode("latin-1"))
    with files["test_source"].open("ab") as file:
        file.write(b"the forest is beautiful")
    return files


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(files: dict[str, Path], runs_dir: Path) -> FinishedRun:
    training = {"max_steps": 40, "warm_up_steps": 5, "learning_rate": 0.02, "dropout": 0.0}
    config = config_of(files, max_source_subwords=40, tokens_per_batch=300, **training)
    return read_finished(execute(config, str(runs_dir)).path)


def lines_of(file: Path) -> list[str]:
    return file.read_bytes().decode(errors="replace").removesuffix("\n").split("\n")


def answers_of(run: FinishedRun) -> pd.DataFrame:
    return run.table("answers")[["source", "reference", "answer"]].fillna("")


def test_every_line_of_a_test_file_is_scored(run: FinishedRun, files: dict[str, Path]) -> None:
    table = answers_of(run)
    assert table["source"].tolist() == [line.strip() for line in lines_of(files["test_source"])]
    assert table["reference"].tolist() == [line.strip() for line in lines_of(files["test_target"])]
    assert (run.table("bleu")["num_sentences"] == len(table)).all()
    assert len(run.table("sentences")) == len(table)
    assert run.manifest["counts"]["test"]["not UTF-8"] == 1
    assert run.manifest["counts"]["test"]["empty"] == 2
    assert table["answer"][table["source"] == "\u200b"].tolist() == [""]


def translated(
    text: bytes, runs_dir: Path, capfdbinary: pytest.CaptureFixture[bytes], *settings: str
) -> tuple[bytes, bytes]:
    """What the command writes to standard output and standard error."""
    patch = pytest.MonkeyPatch()
    patch.setattr("sys.argv", ["translate", f"runs_dir={runs_dir}", *settings])
    patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    try:
        translate.main()
    finally:
        patch.undo()
    written = capfdbinary.readouterr()
    return written.out, written.err


def test_translations_of_the_test_file_have_its_bleu(
    run: FinishedRun,
    files: dict[str, Path],
    runs_dir: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    out, _ = translated(files["test_source"].read_bytes(), runs_dir, capfdbinary)
    table = answers_of(run)
    assert out.decode("utf-8").split("\n") == [*table["answer"], ""]
    score = bleu(out.decode("utf-8").split("\n")[:-1], table["reference"].tolist())[0]["value"]
    assert score == run.table("bleu")["value"].iloc[0]
    assert score > 1


@pytest.mark.parametrize("setting", ["show=words", "num_best=2"])
def test_what_is_told_beside_the_translations(
    run: FinishedRun, runs_dir: Path, capfdbinary: pytest.CaptureFixture[bytes], setting: str
) -> None:
    text = b"\xef\xbb\xbfthe dog sees a house.\r\n\nthe dog sees a house."
    plain, _ = translated(text, runs_dir, capfdbinary)
    out, told = translated(text, runs_dir, capfdbinary, setting)
    assert plain.count(b"\n") == 3
    assert plain.split(b"\n")[0] == plain.split(b"\n")[2] != b""
    assert plain.split(b"\n")[1] == b""
    if setting == "show=words":
        assert out == plain
        assert b"experts " in told
        assert "from ▁".encode() in told
        return
    rows = [line.split(b"\t") for line in out.removesuffix(b"\n").split(b"\n")]
    assert [row[0] for row in rows] == [b"1", b"1", b"2", b"3", b"3"]
    assert [rows[0][2], rows[2][2], rows[3][2]] == plain.split(b"\n")[:3]
    assert float(rows[0][1]) > float(rows[1][1])


def test_a_line_too_long_is_cut_and_told(
    run: FinishedRun,
    runs_dir: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    text = b"the dog sees a house. " * 600
    out, _ = translated(text, runs_dir, capfdbinary, "max_source_subwords=30")
    assert out.count(b"\n") == 1
    assert "line 1 has 9000 subwords" in caplog.text
    assert "max_source_subwords=30" in caplog.text


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("le café\n".encode("latin-1"), "line 1 looks like Windows-1252"),
        ("a\nb\nle caf\xe9 dor\xe9\n".encode("latin-1"), "line 3 looks like Windows-1252"),
        ("ok\n".encode("utf-16"), "UTF-16"),
        ("ok\n".encode("utf-16-le"), "UTF-16LE"),
        ("ok\nthere".encode("utf-16-be"), "UTF-16BE"),
        ("ok\n".encode("utf-32"), "UTF-32"),
        ("привет".encode("cp1251"), "Windows-1251"),
        ("你好".encode("gb18030"), "GB18030"),
        ("les élèves de l’école".encode()[:-1] + b"\xc3", "damaged"),
        (bytes(range(256)), "binary"),
    ],
)
def test_text_in_another_encoding_is_named(
    text: bytes, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    with pytest.raises(UserError) as caught:
        list(translate.lines(""))
    assert "not UTF-8" in caught.value.problem
    assert named in caught.value.problem
    assert "iconv" in caught.value.fix or named == "binary"


@pytest.mark.parametrize("kind", ["plain", "gzip", "pipe"])
def test_text_to_translate_may_come_from_a_file_or_a_pipe(tmp_path: Path, kind: str) -> None:
    path, text = tmp_path / "text", "one\n\ntrois é".encode()
    content = gzip.compress(text) if kind == "gzip" else text
    if kind == "pipe":
        os.mkfifo(path)
        threading.Thread(target=path.write_bytes, args=[content], daemon=True).start()
    else:
        path.write_bytes(content)
    assert list(translate.lines(str(path))) == ["one", "", "trois é"]


def test_nothing_that_is_printed_acts() -> None:
    assert shown("\x1b[31m\u202e\x9b\r\tä漢\n") == "\\x1b[31m\\u202e\\x9b\\r\tä漢\n"


@pytest.mark.parametrize(
    "wrong",
    ["beam_width=0", "beam_width=1000000", "length_penalty=inf", "length_penalty=nan",
     "length_penalty=-1", "coverage_penalty=-0.1", "coverage_penalty=nan", "score_margin=0",
     "max_length_ratio=inf", "max_length_ratio=1e9", "max_source_subwords=0", "beam_width=nan"],
)  # fmt: skip
def test_settings_of_the_search_have_ranges(run: FinishedRun, wrong: str) -> None:
    with pytest.raises(UserError, match=wrong.partition("=")[0]):
        translate.load(run.path, [wrong])


def test_text_of_a_corpus_acts_on_no_page_and_in_no_terminal(
    run: FinishedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = answers_of(run)[["source", "reference"]].tail(8)
    texts = [cell for row in table_view(frame).rows for cell in row]
    assert "\\u202eun homme\\x00" in texts
    assert not any(set(text) & set("\x1b\u202e\x00\r") for text in texts)
    _print_table(frame, list(frame.columns))
    printed = capsys.readouterr().out
    assert "\\x1b[31m" in printed
    assert ":smile: [bold]a" in printed
    assert not set(printed) & set("\x1b\u202e\x00\r")
