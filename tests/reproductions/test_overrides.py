"""What overrides do to a report: its folder, what its runs are called, what it is held against."""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.clusters.settings import Loss
from experiments.overrides import options
from experiments.suite import suite_runs
from experiments.vowel.settings import System
from reproductions.clusters import tables as clusters_table
from reproductions.clusters.suite import SWEEP, labelled, ladder_labels, setting_of
from reproductions.report import changes, page_of
from reproductions.runs import NamedRun, distinct, named_run, suite_settings, why_not_comparable
from reproductions.translation.tables import label
from reproductions.verdicts.claims import Claim
from reproductions.verdicts.evidence import RateEvidence
from reproductions.verdicts.judge import judge_all
from reproductions.vowel.suite import cost_runs, table_1_rows

WORDS = ["study.num_experts=8", "study.num_seeds=100", "study.cost=expected_error", "runs_dir=/r"]


@cache
def studies_of(suite: str) -> dict[str, Any]:
    return suite_runs([f"suite={suite}"])[1]


def runs_of(suite: str, **overrides: Any) -> dict[str, NamedRun]:
    """The suite's runs as if they were finished; equal settings share a folder."""
    runs = {}
    for name, study in studies_of(suite).items():
        known = {item.name for item in fields(study)}
        mine = replace(study, **{key: overrides[key] for key in overrides if key in known})
        finished: Any = SimpleNamespace(path=Path(str(mine)))
        runs[name] = named_run(name, mine, finished, suite)
    return runs


SMOKE = [name for name in options("suite") if name.endswith("_smoke")]


@pytest.mark.parametrize("suite", SMOKE)
def test_toy_sizes_that_a_suite_holds_depart_from_what_its_runs_are_named_for(suite: str) -> None:
    # The standard classifiers of the vowels have no size, and no seeds.
    sized = [run for run in runs_of(suite).values() if hasattr(run.study, "num_seeds")]
    assert sized
    assert all(run.changed for run in sized)
    why = why_not_comparable(runs_of(suite).values(), ())
    assert why is not None
    assert "depart" in why


# Folders


def test_a_plain_report_has_the_suites_folder() -> None:
    assert page_of("vowel", ["suite=vowel"]) == Path("reports/vowel/index.html")
    same = ["suite=vowel", "num_workers=1", "force=true", "runs_dir=./runs"]
    assert page_of("vowel", same) == Path("reports/vowel/index.html")
    assert page_of("", []) == Path("reports/index.html")


def test_a_report_with_overrides_tells_them_in_its_folder() -> None:
    page = page_of("vowel", ["suite=vowel", *WORDS[:2]])
    assert re.fullmatch(
        r"reports/vowel-num_experts-8-num_seeds-100-[0-9a-f]{8}/index.html", str(page)
    )


@given(st.permutations(WORDS))
def test_the_order_of_overrides_does_not_matter_and_the_last_of_a_key_counts(
    words: list[str],
) -> None:
    assert page_of("vowel", words) == page_of("vowel", WORDS)
    assert changes(["study.num_experts=2", *words]) == changes(WORDS)


@given(st.lists(st.text(max_size=300), min_size=1, max_size=4), st.text(max_size=20))
def test_no_override_leaves_the_reports_folder_or_takes_the_plain_report(
    values: list[str], other: str
) -> None:
    words = [f"study.key_{place}={value}" for place, value in enumerate(values)]
    page = page_of("vowel", words)
    assert page.parts[0] == "reports"
    assert len(page.parts) == 3
    assert re.fullmatch(r"[A-Za-z0-9._-]+", page.parts[1])
    assert len(page.parts[1]) < 100
    assert page != page_of("vowel", [])
    assert (page == page_of("vowel", [*words[:-1], f"study.key_{len(words) - 1}={other}"])) == (
        other == values[-1]
    )


# Names


@pytest.mark.parametrize("suite", ["vowel", "scaling", "translation_all", "questions"])
def test_in_the_suite_as_it_is_every_run_is_what_its_name_says(suite: str) -> None:
    for run in runs_of(suite).values():
        assert run.called("words") == "words"
        assert not run.changed


def test_a_run_is_called_by_its_settings_where_its_name_is_untrue() -> None:
    runs = runs_of("vowel", num_experts=8, num_seeds=3)
    assert runs["experts_4"].called("4 experts") == "mixture, 8 experts, cost mixture_likelihood"
    assert runs["experts_8"].called("8 experts") == "8 experts"
    assert runs["backprop_6"].is_as_named
    # How many seeds there are is no part of any name.
    assert runs["line_X"].departures(runs["line_X"].own) == ["num_experts is 8 instead of 1"]
    assert runs["experts_8"].is_as_named


def labels_of_table_1(**overrides: Any) -> list[str]:
    return [row.label for row, _ in table_1_rows(runs_of("vowel", **overrides))]


def test_each_run_stands_once_under_a_name_that_is_true() -> None:
    nets = ["BP, 6 hidden units", "BP, 12 hidden units"]
    assert labels_of_table_1() == ["4 experts", "8 experts", *nets]
    assert labels_of_table_1(num_experts=8) == ["8 experts", *nets]
    assert labels_of_table_1(num_experts=16) == ["16 experts", *nets]
    assert labels_of_table_1(system=System.backprop) == [nets[0], *nets]
    assert not runs_of("vowel", system=System.backprop)["experts_4"].is_as_named
    assert not cost_runs(runs_of("vowel", system=System.backprop))
    eight = runs_of("vowel", num_experts=8)
    assert [run.name for run in distinct([eight["experts_4"], None, eight["experts_8"]])] == [
        "experts_8"
    ]
    assert [run.study.num_experts for run in cost_runs(eight)] == [8, 8, 8]


def test_one_setting_at_a_time_is_named_by_what_it_is() -> None:
    plain = labelled(SWEEP, runs_of("clusters_all"))
    assert [name for name, _ in plain] == list(SWEEP.values())
    changed = runs_of("clusters_all", gate_step=0.5, num_seeds=6)
    shown = labelled(SWEEP, changed)
    assert not [name for name, _ in shown if name.startswith("gate step")]
    assert len({run.finished.path for _, run in shown}) == len(shown)
    ladder = labelled(ladder_labels(["cubic"]), runs_of("clusters_all", loss=Loss.logistic))
    names = [name for name, _ in ladder]
    assert names[0] == "cubic, loss logistic"
    assert not {"0: as coded", "2: logistic loss"} & set(names)


def test_the_setting_of_clusters_is_that_of_its_data() -> None:
    runs = runs_of("clusters_all")
    assert [setting_of(runs[f"coded_{number}_cubic"].study) for number in (1, 2, 3, 4)] == [
        "1",
        "2",
        "3",
        "4",
    ]
    other = runs_of("clusters_all", gamma=[0.0, 1.0], num_filters=8)
    assert setting_of(other["coded_2_cubic"].study) == "of gamma 0 to 1, patch noise 2"
    assert clusters_table.filters_in_words(other) == "8 filters"
    assert clusters_table.filters_in_words(runs) == "80 filters"


def labels_of_translation(**overrides: Any) -> dict[str, str]:
    runs = runs_of("translation_all", **overrides)
    return {name: label(runs[name], runs) for name in ("wide", "experts_2048", "none", "constant")}


def test_translation_models_are_called_by_their_numbers_of_experts() -> None:
    assert labels_of_translation() == {
        "wide": "1 expert, 4 times as wide",
        "experts_2048": "2,048 experts",
        "none": "no experts",
        "constant": "the constant alone",
    }
    changed = labels_of_translation(num_experts=64, num_groups=8, constant="false")
    assert changed["experts_2048"].startswith("64 experts, gate hierarchical")
    assert changed["wide"].startswith("64 experts, expert units 128, k 1")
    assert len({changed["wide"], changed["experts_2048"], changed["none"]}) == 3


# Claims


def verdict_of(run: NamedRun) -> Any:
    claim = Claim("shape", "It saturates.", "Figure 2", "shape", at_least=0.5)
    evidence: Mapping[str, RateEvidence] = {"shape": RateEvidence(25, 25, (run.name,))}
    return judge_all([claim], evidence, {run.name: run})[0][2]


def test_a_claim_is_not_judged_by_a_run_that_it_does_not_speak_of() -> None:
    assert verdict_of(runs_of("vowel")["experts_4"]).word == "matches"
    assert verdict_of(runs_of("vowel", num_seeds=9)["experts_4"]).word == "matches"
    verdict = verdict_of(runs_of("vowel", num_experts=8)["experts_4"])
    assert (verdict.word, verdict.estimate, verdict.interval) == ("not comparable", None, None)
    assert "num_experts is 8 instead of 4" in verdict.explanation


def test_departures_are_named_but_for_the_free_ones() -> None:
    runs = runs_of("scaling", k=2, num_rounds=1)
    assert why_not_comparable(runs.values(), {"num_rounds"}) == (
        "These runs depart from the published ones: k is 2 instead of 4."
    )
    assert why_not_comparable(runs_of("scaling").values(), ()) is None


def test_a_suite_knows_the_settings_that_make_its_runs() -> None:
    settings, own = suite_settings("vowel")["backprop_6"]
    assert (settings["system"], settings["num_hidden"]) == ("backprop", 6)
    assert own == {"system", "num_hidden"}
