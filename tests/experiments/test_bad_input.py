"""Every setting of every study, given wrongly: the error names the key and the way out.

The cases are made from the schemas, so that a new setting is tested as soon as it is declared.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import Enum
from functools import cache
from typing import Any, get_args, get_type_hints

import pytest

from experiments import compose
from experiments.compose import composed, explain, tell_without_effect, typed
from experiments.overrides import options
from experiments.runner.errors import UserError
from experiments.runner.schema import Config, Range
from experiments.studies import STUDIES
from experiments.suite import suite_runs
from experiments.vowel.settings import System


@dataclass(frozen=True)
class Setting:
    """A setting as the command line knows it."""

    study: str
    key: str
    hint: Any
    allowed: Range | None

    @property
    def is_optional(self) -> bool:
        return type(None) in get_args(self.hint)

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The types that the setting takes, those of a list's items for a list."""
        kinds = get_args(self.hint) or (self.hint,)
        return tuple(kind for kind in kinds if kind is not type(None))

    @property
    def is_list(self) -> bool:
        return getattr(self.hint, "__origin__", None) is list

    def overrides(self, value: object) -> list[str]:
        written = f"[{value}]" if self.is_list else value
        return [f"study={self.study}", f"{self.key}={written}"]


def schema_of(study: str) -> Any:
    return STUDIES[compose._compose([f"study={study}"]).study.name].schema


def settings_of(schema: Any, study: str, prefix: str) -> Iterator[Setting]:
    hints = get_type_hints(schema)
    for item in fields(schema):
        if item.name not in ("name", "study", "suite"):
            allowed = item.metadata.get("allowed")
            yield Setting(study, prefix + item.name, hints[item.name], allowed)


# Of the configs that share a schema the first stands for all: settings are checked by the schema.
SCHEMAS = {schema_of(study): study for study in reversed(options("study"))}
SETTINGS = [
    *settings_of(Config, "vowel", ""),
    *(
        setting
        for schema, study in SCHEMAS.items()
        for setting in settings_of(schema, study, "study.")
    ),
]
every_setting = pytest.mark.parametrize(
    "setting", SETTINGS, ids=[f"{setting.study}:{setting.key}" for setting in SETTINGS]
)
every_choice = pytest.mark.parametrize(
    ("setting", "choice"),
    [
        pytest.param(setting, member.name, id=f"{setting.study}:{setting.key}={member.name}")
        for setting in SETTINGS
        for kind in setting.kinds
        if isinstance(kind, type) and issubclass(kind, Enum)
        for member in kind
    ],
)


@pytest.fixture(autouse=True, scope="module")
def composed_once() -> Iterator[None]:
    """Compose each base config once: Hydra takes a tenth of a second, and there are hundreds."""
    plain = compose._compose
    kept = cache(lambda overrides: plain(overrides))
    patch = pytest.MonkeyPatch()
    patch.setattr(compose, "_compose", lambda overrides: kept(tuple(overrides)))
    yield
    patch.undo()


def refusal(overrides: list[str]) -> UserError:
    with pytest.raises(UserError) as caught:
        explain(overrides)
    assert caught.value.problem.endswith((".", "?"))
    assert caught.value.fix.endswith(".")
    return caught.value


@every_setting
def test_a_misspelt_key_is_refused_with_the_nearest_one(setting: Setting) -> None:
    for sign in ("", "+", "++"):
        error = refusal([f"study={setting.study}", f"{sign}{setting.key}x=1"])
        assert f"There is no setting {setting.key}x." in error.problem
        assert f"Did you mean {setting.key}?" in error.problem
        assert setting.key in error.fix


@every_setting
def test_a_setting_cannot_be_removed(setting: Setting) -> None:
    error = refusal([f"study={setting.study}", f"~{setting.key}"])
    assert f"~{setting.key}" in error.problem


def wrong_values(setting: Setting) -> list[str]:
    """Values of a wrong type; text takes any scalar."""
    if setting.is_list:
        return ["3", "abc", "{a:1}"]
    if setting.kinds == (str,):
        return ["[a]", "{a:1}", *([] if setting.is_optional else ["null"])]
    return ["abc", "[1]", "{a:1}", *(["1.5"] if int in setting.kinds else [])]


@every_setting
def test_a_value_of_the_wrong_type_is_refused_with_what_is_allowed(setting: Setting) -> None:
    for value in wrong_values(setting):
        error = refusal([f"study={setting.study}", f"{setting.key}={value}"])
        assert error.problem.startswith(f"{setting.key}=")
        assert error.fix.startswith("Allowed: ")


def values_outside(setting: Setting) -> list[object]:
    allowed = setting.allowed
    assert allowed is not None
    step = 1 if int in setting.kinds else 0.001
    found: list[object] = []
    if allowed.at_least is not None:
        found.append(allowed.at_least - step)
    if allowed.at_most is not None:
        found.append(allowed.at_most + step)
    found += [bound for bound in (allowed.above, allowed.below) if bound is not None]
    return [*found, *(["nan", "inf", "-inf"] if float in setting.kinds else [])]


@pytest.mark.parametrize(
    "setting",
    [setting for setting in SETTINGS if setting.allowed],
    ids=lambda setting: f"{setting.study}:{setting.key}",
)
def test_a_value_out_of_range_is_refused_with_the_range(setting: Setting) -> None:
    outside = values_outside(setting)
    assert outside
    for value in outside:
        written = int(value) if setting.kinds[0] is int and isinstance(value, float) else value
        error = refusal(setting.overrides(written))
        assert error.problem.startswith(f"{setting.key}=")
        assert error.problem.endswith("is out of range.")
        assert str(setting.allowed) in error.fix


@every_choice
def test_a_misspelt_choice_is_refused_with_the_choices(setting: Setting, choice: str) -> None:
    error = refusal(setting.overrides(f"{choice}x"))
    assert setting.key in error.problem
    assert choice in error.fix
    if not setting.is_list:
        assert f"Did you mean {choice}?" in error.problem


@every_choice
def test_a_choice_is_accepted_by_its_name(setting: Setting, choice: str) -> None:
    explain(setting.overrides(choice))


@pytest.mark.parametrize("group", ["study", "suite"])
@pytest.mark.parametrize("sign", ["", "+"])
def test_an_unknown_study_or_suite_is_refused_with_the_nearest(group: str, sign: str) -> None:
    error = refusal([f"{sign}{group}=vowl_reference"])
    assert f"{group}=vowl_reference does not exist. Did you mean vowel_reference" in error.problem
    assert all(name in error.fix for name in options(group))


@pytest.mark.parametrize("study", ["study=vowel", "suite=vowel"])
@pytest.mark.parametrize("sign", ["", "+"])
def test_a_setting_without_its_prefix_is_written_out_in_full(study: str, sign: str) -> None:
    fix = refusal([study, f"{sign}num_experts=8"]).fix
    assert fix.startswith("Write study.num_experts=8:")
    assert "The settings are:" in refusal([study, "nothing_like_it=8"]).fix


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["study=null"], "study=None"),
        (["~study"], "~study"),
        (["~suite"], "~suite"),
        (["study={num_experts:3}"], "num_experts"),
        (["study.name=vowel_reference"], "study.name"),
        (["study.num_experts.deep=1"], "Did you mean study.num_experts?"),
        (["elsewhere.num_experts=1"], "elsewhere.num_experts"),
        (["study"], "The override study cannot be read"),
        (["study.vowels=[iy"], "The override study.vowels=[iy cannot be read"),
        (["study=vowel_reference", "study.num_experts=4"], "study.num_experts"),
        (["num_experts=4"], "Did you mean study.num_experts?"),
        (["study=clusters", "num_filter=4"], "Did you mean study.num_filters?"),
        (["num_worker=4"], "Did you mean num_workers?"),
        (["3"], "The override 3 cannot be read"),
        ([f"study.num_seeds={'9' * 5000}"], "cannot be read"),
        (["study.num_seeds=８"], "study.num_seeds=８"),
        (["study.numéro=8"], "study.numéro=8"),
        (["runs_dir=a\x1b[31m"], "runs_dir="),
        (["suite=none"], "suite=none"),
        (["suite=vowel", "study=vowel"], "suite=vowel and study=vowel contradict"),
        (["study=${oc.env:HOME}"], "study="),
    ],
)
def test_other_slips_are_named(overrides: list[str], named: str) -> None:
    assert named in refusal(overrides).problem


def test_no_suite_at_all_may_be_chosen() -> None:
    explain(["suite=null"])


def test_a_sweep_is_checked_value_by_value() -> None:
    explain(["study.num_experts=2,4", "study.cost=blend_error,expected_error"])
    assert "num_experts=0" in refusal(["study.num_experts=2,0"]).problem
    assert "study=vowl" in refusal(["study=vowel,vowl"]).problem


@pytest.mark.parametrize(
    "override",
    ["study.num_experts=2,4", "study=vowel,vowel_backprop", "study.num_seeds=range(1,3)"],
)
def test_a_sweep_without_multirun_says_how_to_sweep(override: str) -> None:
    with pytest.raises(UserError, match="several values") as caught:
        composed([override])
    assert override in caught.value.problem
    assert "--multirun" in caught.value.fix


@pytest.mark.parametrize(
    "setting",
    [setting for setting in SETTINGS if setting.is_list],
    ids=lambda setting: f"{setting.study}:{setting.key}",
)
def test_a_list_holds_single_values_each_once(setting: Setting) -> None:
    allowed = setting.allowed or Range(at_least=1)
    member = setting.kinds[0]
    is_choice = isinstance(member, type) and issubclass(member, Enum)
    value = next(iter(member)).name if is_choice else allowed.at_most or "4"
    for written in (f"{value},{value},{value}", f"[{value}]", f"{{a:{value}}}"):
        error = refusal(setting.overrides(written))
        assert error.problem.startswith(f"{setting.key}=")


CONTRADICTIONS = {
    "vowel": [
        "vowels=[iy,ae]",
        "vowels=[iy,ah]",
        "unit=softmax",
        "first_seed=999999",
        "num_train_speakers=75",
    ],
    "vowel_reference": ["num_train_speakers=1", "num_train_speakers=2 num_neighbours=400"],
    "vowel_multiverse": ["units=[softmax]", "units=[logistic,softmax]"],
    "clusters": [
        "alpha=[2,1]",
        "beta=[1]",
        "num_clusters=30",
        "num_filters=5 num_heads=2",
        "batch_size=20000",
        "batch_size=20 keep_picture=true",
        "model=single",
    ],
    "scaling": ["num_features=7", "num_hidden=9", "k=8", "num_experts=[]", "num_experts=[16,16]"],
    "translation": [
        "width=256",
        "kinds=[poetry] corpus=files",
        "num_experts=2",
        "num_experts=2 gate=hierarchical",
        "num_experts=16 gate=hierarchical",
        "num_experts=16 gate=hierarchical num_groups=1",
        "num_experts=16 gate=hierarchical num_groups=5",
        "num_experts=16 gate=hierarchical num_groups=4 k=3",
        "num_experts=7 gate=hierarchical num_groups=7",
    ],
    "vowel_start": ["system=backprop"],
    "clusters_start": ["model=single", "num_experts=1", "gate_start=collapsed beta=[0,0]"],
    "translation_start": [
        "gate_start=collapsed collapse_at=100000",
        "gate_start=collapsed max_steps=1",
        "gate=balanced",
        "num_experts=1 k=1",
        "num_experts=1",
    ],
}


@pytest.mark.parametrize(
    ("study", "words"), [(study, words) for study, all_ in CONTRADICTIONS.items() for words in all_]
)
def test_contradictions_are_refused_and_the_fix_mends_them(study: str, words: str) -> None:
    given = dict(word.split("=", 1) for word in words.split())
    with pytest.raises(UserError) as caught:
        typed(composed([f"study={study}", *written(given)]))
    assert "study." in caught.value.problem
    fixed = follow(caught.value.fix, given)
    assert fixed != given
    typed(composed([f"study={study}", *written(fixed)]))


def written(settings: dict[str, str]) -> list[str]:
    return [f"study.{name}={value}" for name, value in settings.items()]


def follow(fix: str, given: dict[str, str]) -> dict[str, str]:
    """The settings after the first thing that a fix says is done."""
    first = re.split(r",? or ", fix)[0]
    taken = dict(re.findall(r"study\.(\w+)=(\[[^]]*\]|[\w.]*\w)", first))
    left_out = re.findall(r"Leave study\.(\w+) out", first)
    return {name: value for name, value in (given | taken).items() if name not in left_out}


@pytest.mark.parametrize("override", ["study.vowels=[iy,xx]", "study.vowels=[iy]"])
def test_vowels_that_are_not_there_are_refused_with_those_that_are(override: str) -> None:
    with pytest.raises(UserError, match=r"study\.vowels") as caught:
        typed(composed([override]))
    assert "iy, ih, eh" in caught.value.fix


def test_a_given_setting_without_effect_is_told(caplog: pytest.LogCaptureFixture) -> None:
    given = ["study.num_hidden=7", "study.num_experts=3"]
    study = typed(composed(given)).study
    tell_without_effect([study], given)
    assert "study.num_hidden has no effect here: study.system=mixture" in caplog.text
    assert "num_experts" not in caplog.text
    caplog.clear()
    # In a suite it may have one in another run.
    tell_without_effect([study, replace(study, system=System.backprop)], given)
    assert not caplog.text


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("runs_dir=", "runs_dir is empty"),
        ("study.num_hidden=${nowhere}", "nowhere"),
        ("study.num_hidden=${oc.env:NO_SUCH_VARIABLE}", "NO_SUCH_VARIABLE"),
        ("study.num_hidden=${study.num_hidden}", "study.num_hidden"),
        ("study.num_hidden=${study.coding}", "num_hidden"),
        ("study.num_hidden=${study.first_seed}", "study.num_hidden=0"),
        ('runs_dir="~nobody.of.this.name/x"', "~nobody.of.this.name"),
        ('runs_dir="a\nb"', "cannot be seen"),
        ('runs_dir="a\x1b[31mb"', "cannot be seen"),
        ('runs_dir="a\x00b"', "cannot be seen"),
    ],
)
def test_what_stands_for_no_value_is_refused(override: str, named: str) -> None:
    with pytest.raises(UserError) as caught:
        typed(composed([override]))
    assert named in caught.value.problem


def test_a_setting_may_refer_to_another_and_to_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCRATCH", "/somewhere")
    given = ["study.num_hidden=${study.num_experts}", "runs_dir=${oc.env:SCRATCH}/runs"]
    config = typed(composed([*given, "study.num_experts=7"]))
    assert (config.study.num_hidden, config.runs_dir) == (7, "/somewhere/runs")


@pytest.mark.parametrize("word", ["~/x", '"~/x"', "'~/x'"])
def test_the_home_folder_is_meant_by_its_sign_in_every_path(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    given = [f"runs_dir={word}", f"study.train_source={word}"]
    config = typed(composed(["study=translation", *given]))
    assert config.runs_dir == config.study.train_source == "/home/somebody/x"
    _, runs = suite_runs(["suite=translation_smoke", *given])
    assert {study.train_source for study in runs.values()} == {"/home/somebody/x"}


def test_a_key_that_is_there_cannot_be_added_again() -> None:
    with pytest.raises(UserError, match=r"study\.num_experts"):
        composed(["+study.num_experts=3"])


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ([], "No suite was named"),
        (["suite=vowel_tabel1"], "Did you mean vowel_table1"),
        (["suite=vowel_table1", "study.num_expert=3"], "Did you mean study.num_experts"),
        (["suite=vowel_table1", "+study.num_expert=3"], "Did you mean study.num_experts"),
        (["suite=vowel_multiverse", "study.codngs=[one_hot]"], "Did you mean study.codings"),
        (["suite=vowel_table1", "study.num_experts=0"], "study.num_experts=0"),
        (["suite=vowel_table1", "study.num_seeds=2,3"], "several values"),
        (["suite=vowel_table1", "num_workers=-1"], "num_workers=-1"),
    ],
)
def test_a_suites_slips_are_named_before_anything_runs(overrides: list[str], named: str) -> None:
    with pytest.raises(UserError) as caught:
        suite_runs(overrides)
    assert named in caught.value.problem


def test_a_suite_takes_overrides_with_either_sign() -> None:
    _, runs = suite_runs(["suite=vowel_table1", "++study.num_seeds=3"])
    assert {study.num_seeds for study in runs.values()} == {3}
