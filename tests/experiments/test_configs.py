"""The config files: complete, in step with the schemas, and within their ranges."""

from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml

from experiments.compose import composed, typed
from experiments.overrides import CONFIG_DIR, options
from experiments.runner.errors import UserError
from experiments.runner.schema import Config, Suite, faults
from experiments.studies import STUDIES
from experiments.suite import pooled_runs, suite_runs

FILES = sorted(CONFIG_DIR.rglob("*.yaml"))


def content(path: Path) -> dict[str, Any]:
    """What a config file itself says, its defaults list left out."""
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(said, dict)
    return {key: value for key, value in said.items() if key != "defaults"}


def inherited(name: str) -> Any:
    """The settings that a study's file departs from: those of its schema, or of another file."""
    path = CONFIG_DIR / "study" / f"{name}.yaml"
    base, own = yaml.safe_load(path.read_text(encoding="utf-8"))["defaults"]
    assert own == "_self_"
    if base.startswith("base_"):
        return STUDIES[base.removeprefix("base_")].schema()
    return typed(composed([f"study={base}"])).study


@pytest.mark.parametrize("name", options("study"))
def test_a_studys_file_says_nothing_that_holds_without_it(name: str) -> None:
    before, after = inherited(name), typed(composed([f"study={name}"])).study
    said = content(CONFIG_DIR / "study" / f"{name}.yaml")
    assert [key for key in said if getattr(before, key) == getattr(after, key)] == []


@pytest.mark.parametrize("study", options("study"))
def test_every_study_file_composes_to_a_checked_config(study: str) -> None:
    config = typed(composed([f"study={study}"])).study
    assert type(config) is STUDIES[config.name].schema


# What users get by a study's name is what its schema says; other files are variants.
@pytest.mark.parametrize(
    "name",
    sorted({*options("study")} & {*STUDIES} - {"clusters_start", "translation_start"}),
)
def test_a_studys_file_and_its_schema_have_the_same_defaults(name: str) -> None:
    assert typed(composed([f"study={name}"])).study == STUDIES[name].schema()


@pytest.mark.parametrize("name", list(STUDIES))
def test_every_setting_says_what_it_is_for(name: str) -> None:
    silent = [
        item.name
        for item in fields(STUDIES[name].schema)
        if item.name != "name" and not item.metadata.get("about")
    ]
    assert silent == []


@pytest.mark.parametrize("name", list(STUDIES))
def test_every_number_has_a_lowest_and_a_highest_value(name: str) -> None:
    hints = get_type_hints(STUDIES[name].schema)
    for item in fields(STUDIES[name].schema):
        if {int, float} & {hints[item.name], *get_args(hints[item.name])}:
            allowed = item.metadata["allowed"]
            assert None not in (allowed.at_least, allowed.at_most) or (
                {allowed.at_least, allowed.above} != {None}
                and {allowed.at_most, allowed.below} != {None}
            ), item.name


ON_A_GPU = {"translation_gpu", "language_model_gpu", "language_model_paper"}


@pytest.mark.parametrize("suite", sorted(ON_A_GPU))
def test_a_gpus_experts_see_words_enough_to_learn(suite: str) -> None:
    regimes = [
        STUDIES[study.name].estimate(study).regime
        for study in suite_runs([f"suite={suite}"])[1].values()
    ]
    seen = [regime for regime in regimes if regime is not None]
    assert seen
    assert all(regime.per_step >= 128 and regime.per_weight >= 0.6 for regime in seen)


@pytest.mark.parametrize("suite", ["translation_gpu", "language_model_gpu"])
def test_what_is_meant_for_one_gpu_fits_into_80_gb_and_an_hour(suite: str) -> None:
    for name, study in suite_runs([f"suite={suite}"])[1].items():
        taken = STUDIES[study.name].estimate(study)
        assert taken.num_bytes < 76e9, (name, taken.num_bytes)
        assert taken.seconds < 3600, (name, taken.seconds)


@pytest.mark.parametrize("suite", [name for name in options("suite") if name not in ON_A_GPU])
def test_every_published_run_is_one_of_a_laptop(suite: str) -> None:
    for name, study in suite_runs([f"suite={suite}"])[1].items():
        taken = STUDIES[study.name].estimate(study)
        assert taken.num_bytes < 8e9, name
        assert taken.seconds < 2 * 3600, name


@pytest.mark.parametrize("name", list(STUDIES))
def test_what_makes_a_run_smaller_or_has_no_effect_is_a_setting(name: str) -> None:
    names = {item.name for item in fields(STUDIES[name].schema)}
    config = STUDIES[name].schema()
    assert {lever.lstrip("+") for lever in STUDIES[name].estimate(config).levers} <= names
    assert STUDIES[name].idle(config).keys() <= names - {"name"}


@pytest.mark.parametrize("suite", options("suite"))
def test_a_suite_has_a_title_a_sound_duration_and_runs_of_its_own_names(suite: str) -> None:
    config, runs = suite_runs([f"suite={suite}"])
    assert config.suite.title
    known = {item.name for item in fields(Suite)}
    checked = Suite(**{key: config.suite[key] for key in known if key != "runs"})
    assert list(faults(checked)) == []
    assert list(runs) == list(config.suite.runs)


def test_the_whole_suite_contains_its_parts() -> None:
    _, whole = suite_runs(["suite=vowel"])
    for part in ("table1", "costs", "figure3", "tuned", "references"):
        _, runs = suite_runs([f"suite=vowel_{part}"])
        assert runs.items() <= whole.items()


def test_the_root_file_agrees_with_its_schema() -> None:
    root = content(CONFIG_DIR / "config.yaml")
    settings = {key: value for key, value in root.items() if key != "hydra"}
    defaults = {item.name: item.default for item in fields(Config)}
    assert settings == {key: defaults[key] for key in settings}
    assert settings.keys() == defaults.keys() - {"study", "suite"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_config_file_opens_with_what_it_is_for(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")


def test_runs_keep_the_order_and_the_settings_of_their_file() -> None:
    _, runs = suite_runs(["suite=vowel_table1"])
    sizes = [
        (study.system.name, study.num_hidden if "backprop" in name else study.num_experts)
        for name, study in runs.items()
    ]
    assert sizes == [("mixture", 4), ("mixture", 8), ("backprop", 6), ("backprop", 12)]


def test_a_typed_config_survives_its_own_overrides() -> None:
    study = typed(composed(["study=vowel", "study.num_seeds=3", "study.unit=linear"])).study
    assert (study.num_seeds, study.unit.name) == (3, "linear")


def test_what_a_suite_overrides_wins_over_its_runs_and_the_users_own_wins_over_it() -> None:
    # In the suite that this one is made of, these runs have 1 and 2,048 experts.
    runs = suite_runs(["suite=translation_smoke"])[1]
    assert {study.num_experts for study in runs.values()} == {64}
    runs = suite_runs(["suite=translation_smoke", "study.num_experts=128"])[1]
    assert {study.num_experts for study in runs.values()} == {128}
    # Each suite has its own, whoever stands beside it.
    _, pooled = pooled_runs(["suite=vowel_smoke,language_model_smoke"])
    seeds = {name: study.num_seeds for name, study in pooled.items() if hasattr(study, "num_seeds")}
    assert seeds == {name: 3 if name.startswith("vowel") else 2 for name in seeds}


def test_suites_side_by_side_train_the_runs_of_each_in_their_order() -> None:
    names = ["translation", "clusters", "questions"]
    _, pooled = pooled_runs([f"suite={','.join(names)}"])
    each = {name: suite_runs([f"suite={name}"])[1] for name in names}
    assert list(pooled) == [f"{name}.{run}" for name in names for run in each[name]]
    assert list(pooled.values()) == [study for name in names for study in each[name].values()]


def test_one_suite_is_what_it_is_alone() -> None:
    assert pooled_runs(["suite=vowel"]) == suite_runs(["suite=vowel"])


def test_a_suite_that_runs_one_at_a_time_does_so_beside_others() -> None:
    config, _ = pooled_runs(["suite=clusters,scaling"])
    assert config.suite.num_workers == 1


def test_suites_side_by_side_take_only_settings_of_them_all() -> None:
    _, runs = pooled_runs(["suite=vowel_table1,vowel_costs", "study.num_seeds=3"])
    assert {study.num_seeds for study in runs.values()} == {3}
    with pytest.raises(UserError, match=r"study\.num_epochs|study\.max_epochs"):
        pooled_runs(["suite=translation,vowel", "study.max_epochs=3"])
    with pytest.raises(UserError, match="Did you mean vowel"):
        pooled_runs(["suite=translation,vowl"])
