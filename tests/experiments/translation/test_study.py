"""The translation study on real text at toy size: from the command to the report and the pages."""

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.execute import Outcome, execute
from experiments.run_folder import claimed, read_finished
from experiments.runner.errors import UserError
from experiments.suite import run_suite, suite_runs
from experiments.translation.settings import TranslationConfig
from experiments.translation.study import of_seed, run
from experiments.translation.translate import answer, load, newest
from reproductions.page import write_page
from reproductions.report import print_report
from reproductions.runs import SuiteRuns, find_runs, in_folder
from reproductions.tables import spread
from reproductions.translation.experts import (
    chosen_experts,
    expert_page,
    mean_cosine,
    pointwise_information,
    write_expert_page,
)
from reproductions.translation.report import STUDY
from reproductions.translation.tables import chance, search_table

TOY = (
    "max_train_pairs=300 num_subwords=300 width=12 num_units=16 expert_units=6 max_steps=4 "
    "num_translated=4 num_experts=16 num_groups=4 attention_units=6 beam_width=2 "
    "tokens_per_batch=2000 report_every=1 valid_share=0.003 test_share=0.005 num_threads=1 "
    "languages=[fr,de] num_seeds=2"
)


class _Killed(Exception):
    pass


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
CLAIMS = STUDY.claims


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def found(runs_dir: Path) -> SuiteRuns:
    settings = [f"study.{item}" for item in TOY.split()]
    config, studies = suite_runs(["suite=translation_smoke", f"runs_dir={runs_dir}", *settings])
    outcomes: list[tuple[str, Outcome]] = list(run_suite(config, studies))
    assert len(outcomes) == 2
    return find_runs(studies, str(runs_dir), "translation_smoke")


@pytest.fixture(scope="module")
def named(found: SuiteRuns) -> SuiteRuns:
    """The same runs, taken for those that their names stand for."""
    return replace(found, runs={name: replace(run, changed={}) for name, run in found.runs.items()})


def test_what_has_sixteen_experts_is_nowhere_called_otherwise(
    found: SuiteRuns, runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, _ = STUDY.build(found, in_folder(str(runs_dir)), "command")
    print_report(report)
    said = [
        capsys.readouterr().out,
        *(text for caption, frame in report.tables for text in (caption, frame.to_string())),
        *(text for each in report.figures for text in (each.title, each.caption, each.alt)),
        *(each.base_svg or "" for each in report.figures),
    ]
    assert not [text for text in said if "2,048" in text or "as wide" in text]
    assert any("16 experts" in text for text in said)
    # Where the paper has no number there is a dash, as on the page.
    assert not re.search(r"\bnan\b", said[0])
    # One of the two chooses one expert and the other four, so that it costs less.
    (told,) = [text for text in said if "the same operations per word." in text]
    assert "All models but 16 experts," in told
    assert "k 1, gate noisy_top_k, learning rate 0.016 cost the same" in told
    # The two models have one number of experts here, and still names of their own.
    model = report.tables[0][1]["model"]
    assert model.nunique() == len(model) == 2


def test_the_search_shows_the_last_perplexity_of_every_point() -> None:
    rows = pd.DataFrame({"seed": 0, "step": [200, 100], "perplexity": [40.0, 50.0]})
    run: Any = SimpleNamespace(table=lambda _: rows)
    table = search_table(lambda *_: SuiteRuns({"wide_008": run}, ()))
    first, *others = table["held-out perplexity"]
    assert first == spread(pd.Series([40.0]))
    assert set(others) == {"not finished"}
    assert set(table["model"]) == {
        *("no experts", "the constant alone", "1 expert, 4 times as wide"),
        *("32 experts", "512 experts", "2,048 experts"),
    }


def test_a_run_says_what_it_measured(found: SuiteRuns) -> None:
    run = found.runs["experts_2048"].finished
    scores = run.table("bleu")
    assert set(scores["metric"]) == {"sacrebleu", "tokenised"}
    assert ((scores["low"] <= scores["value"]) | (scores["value"] == 0)).all()
    sentences = run.table("sentences")
    metrics = run.table("metrics").set_index(["seed", "split", "language"])
    answers = run.table("answers")
    for seed in (0, 1):
        own = sentences[sentences["seed"] == seed]
        assert own["num_tokens"].sum() == metrics.loc[(seed, "test", "all"), "num_tokens"]
        for language in ("fr", "de"):
            part = own[own["language"] == language]
            loss = np.average(part["loss"], weights=part["num_tokens"])
            found = metrics.loc[(seed, "test", language), "perplexity"]
            assert np.exp(loss) == pytest.approx(found, rel=1e-9)
        # Equally many of each language.
        of_seed = answers[answers["seed"] == seed]
        assert of_seed["language"].value_counts().to_dict() == {"fr": 2, "de": 2}
    # Each language is scored on its own, and all of them together.
    assert set(scores["language"]) == {"all", "fr", "de"}
    assert set(scores[scores["language"] != "all"]["domain"]) == {"all"}
    assert run.manifest["counts"]["train"]["kept"] == 300


def test_the_report_has_every_claim_and_none_is_won_at_toy_size(
    found: SuiteRuns, tmp_path: Path
) -> None:
    by_claim = STUDY.evidence(found.runs)
    assert set(by_claim) == {claim.id for claim in CLAIMS}
    assert all(any(claim.id.startswith(group.prefix) for group in STUDY.groups) for claim in CLAIMS)
    report, pictures = STUDY.build(found, in_folder("runs"), "command")
    assert len(pictures) == 4
    words = {verdict.word for _, _, verdict in report.judged if verdict is not None}
    assert words <= {"not comparable", "inconclusive"}
    page = tmp_path / "index.html"
    write_page(report, page)
    assert "Table 9" in page.read_text(encoding="utf-8")


def test_experts_are_chosen_by_rule_and_each_has_its_words(found: SuiteRuns) -> None:
    run = found.runs["experts_2048"]
    kinds = chosen_experts(run)
    assert len(kinds["chosen at random"]) == 5
    words: pd.DataFrame = run.finished.table("expert_words")
    assert {expert for chosen in kinds.values() for expert in chosen} <= set(words["expert"])


def test_an_experts_information_is_bounded_by_its_share(found: SuiteRuns) -> None:
    run = found.runs["experts_2048"]
    counts = run.finished.table("expert_pieces")
    share = counts.groupby("expert")["count"].sum() / counts["count"].sum()
    # p(subword | expert) / p(subword) is largest where no other expert has the subword.
    assert (pointwise_information(run) <= -np.log(share) + 1e-9).all()
    assert counts["count"].sum() == run.finished.table("experts")["num_assignments"].sum()


def test_equal_chances_spread_loads_as_the_binomial_says() -> None:
    study = TranslationConfig(num_experts=256, k=4, tokens_per_batch=1024)
    (variation, _, _), (largest, _, _) = chance(study)
    # Variance n p (1 - p) over the mean n p, squared.
    assert variation == pytest.approx(((1 - 1 / 256) / 16) ** 0.5, rel=0.02)
    assert largest > 1 + 2 * variation


def test_words_lie_as_near_as_their_vectors() -> None:
    vectors = {name: np.array(xy, np.float32) for name, xy in (("a", (1, 0)), ("b", (0, 1)))}
    assert mean_cosine(vectors, ["a", "a"]) == 1.0
    assert mean_cosine(vectors, ["a", "b", "a", "b"]) == pytest.approx(1 / 3)
    assert np.isnan(mean_cosine(vectors, ["a"]))


def test_the_page_of_experts_has_every_used_expert_and_no_markup_of_the_text(
    found: SuiteRuns,
) -> None:
    run = found.runs["experts_2048"]
    table = run.finished.table("experts")
    page = expert_page(run)
    numbers = set(map(int, re.findall(r"<b>Expert (\d+)</b>", page)))
    assert numbers == set(table.loc[table["num_assignments"] > 0, "expert"])
    assert page.count("<script") == 1
    assert not re.search("https?://", page)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on the PATH")
def test_a_browser_finds_the_experts_of_a_word(found: SuiteRuns, tmp_path: Path) -> None:
    run = found.runs["experts_2048"]
    page = tmp_path / "experts.html"
    write_expert_page(run, page)
    pieces = run.finished.table("expert_pieces").dropna()
    plain = pieces["piece"].str.replace("▁", " ").str.strip().str.lower()
    word = plain[plain.str.fullmatch("[a-z]{2,}")].mode()[0]
    wanted = pieces[plain.str.startswith(word)]["expert"].nunique()
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    shown = subprocess.run(
        [*command, f"file://{page}#{word}"], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    experts = re.findall(r'<details class="expert"[^>]*>', shown)
    assert sum(' hidden=""' not in tag for tag in experts) == wanted
    assert f"{wanted} of {len(experts)} experts</output>" in shown


def test_a_process_answers_line_by_line_until_nobody_reads(
    found: SuiteRuns, runs_dir: Path
) -> None:
    command = [sys.executable, "-m", "experiments.translation.translate", f"runs_dir={runs_dir}"]
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        answers = []
        for line in ("In the beginning", "", "Aménophis"):
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()
            answers.append(process.stdout.readline().decode("utf-8"))
        process.stdout.close()
        process.stdin.write(b"Amen\n" * 3)
        process.stdin.close()
        told = process.stderr.read().decode()
        assert process.wait(timeout=120) == 128 + signal.SIGPIPE
    trained = load(newest(runs_dir, ""))
    for text, line in zip(("In the beginning", "", "Aménophis"), answers, strict=True):
        assert line == f"{trained.subwords.decode(answer(trained, text, 1)[0].ids)}\n"
    assert "backend" in told
    assert "Traceback" not in told
    assert "Broken" not in told


def test_a_run_killed_in_its_second_training_ends_with_the_same_tables(
    found: SuiteRuns, tmp_path: Path
) -> None:
    whole = found.runs["experts_2048"]
    config = replace(whole.study, checkpoint_seconds=0.0)

    def killed(stage: str, share: float) -> None:
        if stage.startswith("training") and share > 0.5:
            raise _Killed

    with claimed(tmp_path / "run", {"test": 1}) as folder:
        with pytest.raises(_Killed):
            run(config, folder, killed)
        assert len(of_seed(folder).done) == 1
        run(config, folder, lambda *_: None)
    for name in ("metrics", "bleu", "gate", "sentences"):
        again = pd.read_csv(tmp_path / "run" / f"{name}.csv")
        pd.testing.assert_frame_equal(again, whole.finished.table(name))


def test_an_answer_is_in_the_language_that_was_asked_for(found: SuiteRuns, runs_dir: Path) -> None:
    path = found.runs["experts_2048"].finished.path
    german, french = load(path, language="de"), load(path)
    assert (german.language, french.language) == ("de", "fr")
    first = [model.encode("In the beginning")[0] for model in (german, french)]
    assert first == [german.subwords.mark(one)[0] for one in ("de", "fr")]
    with pytest.raises(UserError, match="language=es") as refused:
        load(path, language="es")
    assert "fr, de" in refused.value.fix


def test_a_run_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="no finished run zz"):
        newest(Path("runs"), "zz")


def test_a_toy_run_is_done_once(found: SuiteRuns, runs_dir: Path) -> None:
    run = found.runs["wide"]
    assert execute(run.study, str(runs_dir)).was_done
    assert read_finished(run.finished.path).manifest == run.finished.manifest
