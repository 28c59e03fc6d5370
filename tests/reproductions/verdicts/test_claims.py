"""What a claims file may say, and what it is told when it says something else."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml

from experiments.runner.errors import UserError
from reproductions.verdicts.claims import Claim, Published, Recipe, load_claims
from reproductions.verdicts.evidence import (
    COMMON_FORMS,
    ValueEvidence,
    check_recipes,
    order,
    rate,
    read_evidence,
    trained_over_untrained,
    value,
)

VALUE = {
    "id": "epochs-four-experts",
    "sentence": "Four experts need 1,124 epochs.",
    "place": "Table 1",
    "source": "printed",
    "kind": "value",
    "published": {"value": 1124, "spread": 23, "spread_is": "standard deviation", "n": 25},
    "margin": 60,
    "rule": "vowel-mean",
}
COMMON = {"place": "p. 1", "source": "sentence"}
ORDER = {**COMMON, "id": "a", "sentence": "A beats B.", "kind": "order", "better": "lower"}
RATE = {**COMMON, "id": "b", "sentence": "All succeed.", "kind": "rate"}
RATE = {**RATE, "at_least": 0.86, "rule": "most"}


def write(path: Path, data: object) -> Path:
    file = path / "claims.yaml"
    file.write_text(yaml.safe_dump(data))
    return file


def problem(path: Path, data: object) -> UserError:
    with pytest.raises(UserError) as caught:
        load_claims(write(path, data))
    return caught.value


def test_every_kind_is_read_in_the_order_of_the_file(tmp_path: Path) -> None:
    shape = {**RATE, "id": "c", "kind": "shape", "question": 3}
    claims = load_claims(write(tmp_path, [VALUE, ORDER, RATE, shape]))
    assert [claim.kind for claim in claims] == ["value", "order", "rate", "shape"]
    assert claims[0] == Claim(
        id="epochs-four-experts",
        sentence="Four experts need 1,124 epochs.",
        place="Table 1",
        kind="value",
        published=Published(1124, 23, "standard deviation", 25),
        margin=60,
        rule="vowel-mean",
        source="printed",
    )
    assert (claims[1].better, claims[2].at_least, claims[3].question) == ("lower", 0.86, 3)


def test_a_rule_that_does_not_stand_in_the_list_of_rules_is_refused(tmp_path: Path) -> None:
    assert "Did you mean 'vowel-mean'?" in problem(tmp_path, [{**VALUE, "rule": "vowel-maen"}]).fix


def test_bounds_are_two_numbers_in_order(tmp_path: Path) -> None:
    published = {"value": 1.3, "unit": "nats", "bounds": [0, 1.4]}
    (claim,) = load_claims(write(tmp_path, [{**VALUE, "published": published}]))
    assert claim.bounds == (0, 1.4)
    for wrong in ([1, 0], [0], "0 to 1", [0, "1"]):
        entry = {**VALUE, "published": {**published, "bounds": wrong}}
        assert "two numbers" in problem(tmp_path, [entry]).fix


def test_every_claim_says_what_it_goes_back_to(tmp_path: Path) -> None:
    without = {key: ORDER[key] for key in ORDER if key != "source"}
    assert "lacks the key 'source'" in problem(tmp_path, [without]).problem
    unknown = problem(tmp_path, [{**ORDER, "source": "prnted"}])
    assert "Did you mean 'printed'?" in unknown.fix


def test_an_unknown_key_is_answered_with_the_nearest_known_one(tmp_path: Path) -> None:
    error = problem(tmp_path, [{**VALUE, "margin_raeson": "typo"}])
    assert "claim 'epochs-four-experts'" in error.problem
    assert "'margin_raeson'" in error.problem
    assert "Did you mean 'margin_reason'?" in error.fix


def test_an_unknown_kind_is_answered_with_the_nearest_known_one(tmp_path: Path) -> None:
    assert "Did you mean 'value'?" in problem(tmp_path, [{**VALUE, "kind": "values"}]).fix


def test_an_unknown_key_of_the_published_number_is_refused(tmp_path: Path) -> None:
    error = problem(tmp_path, [{**VALUE, "published": {"value": 1, "units": "epochs"}}])
    assert "Did you mean 'unit'?" in error.fix


@pytest.mark.parametrize("key", sorted(VALUE))
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    error = problem(tmp_path, [{name: entry for name, entry in VALUE.items() if name != key}])
    assert f"lacks the key '{key}'" in error.problem


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    assert "unknown key 'margin'" in problem(tmp_path, [{**RATE, "margin": 1}]).problem


def test_what_is_no_claim_is_named_by_its_place_in_the_list(tmp_path: Path) -> None:
    assert "claim 2 is not a mapping" in problem(tmp_path, [ORDER, "no claim"]).problem


def test_an_id_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    assert "'a'" in problem(tmp_path, [ORDER, RATE, ORDER]).problem


@pytest.mark.parametrize(
    ("entry", "key", "wrong"),
    [
        (VALUE, "margin", 0),
        (VALUE, "margin", -1),
        (VALUE, "margin", "5 %"),
        (VALUE, "margin", True),
        (VALUE, "margin", float("nan")),
        (VALUE, "sentence", ""),
        (VALUE, "id", "Not an Anchor"),
        (VALUE, "published", 1124),
        (ORDER, "better", "smaller"),
        (RATE, "at_least", 1),
        (RATE, "at_least", 86),
        (RATE, "question", 1.5),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(
    tmp_path: Path, entry: dict[str, object], key: str, wrong: object
) -> None:
    assert key in problem(tmp_path, [{**entry, key: wrong}]).problem


def test_a_spread_must_say_what_it_is(tmp_path: Path) -> None:
    error = problem(tmp_path, [{**VALUE, "published": {"value": 1124, "spread": 23}}])
    assert "spread_is" in error.problem


@pytest.mark.parametrize("text", ["", "[]", "id: x", "- just a sentence", "- {id: [", "a: b: c"])
def test_a_file_that_is_no_list_of_claims_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "claims.yaml"
    file.write_text(text)
    with pytest.raises(UserError):
        load_claims(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_claims(tmp_path / "absent.yaml")
    assert "absent.yaml" in caught.value.problem


def test_yaml_cannot_run_code(tmp_path: Path) -> None:
    file = tmp_path / "claims.yaml"
    file.write_text("- !!python/object/apply:os.getcwd []")
    with pytest.raises(UserError):
        load_claims(file)


# Evidence


def recipe(form: str, **options: object) -> dict[str, object]:
    return {"evidence": {form: {"runs": ["first", "second"], **options}}}


def test_a_claim_says_how_its_evidence_is_read(tmp_path: Path) -> None:
    claims = load_claims(write(tmp_path, [{**ORDER, **recipe("order", column="loss")}]))
    assert claims[0].evidence == Recipe("order", ("first", "second"), {"column": "loss"})
    check_recipes(claims, COMMON_FORMS, "claims.yaml")


@pytest.mark.parametrize("evidence", ["order", {"order": ["a"]}, {"order": {"column": "loss"}}])
def test_evidence_without_a_form_and_runs_is_refused(tmp_path: Path, evidence: object) -> None:
    error = problem(tmp_path, [{**ORDER, "evidence": evidence}])
    assert "claim 'a', evidence does not name one form" in error.problem


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "lacks the key 'evidence'"),
        (recipe("ordr", column="loss"), "unknown form 'ordr'"),
        (recipe("order", column="loss", tabel="x"), "unexpected keyword argument 'tabel'"),
        (recipe("order"), "missing a required argument: 'column'"),
        (recipe("value", column="loss"), "too many positional arguments"),
        (recipe("rate", column="loss"), "needs one test"),
        (recipe("rate", column="loss", at_least=1, below=2), "needs one test"),
        (recipe("rate", column="loss", atleast=1), "needs one test"),
    ],
)
def test_evidence_that_no_form_can_read_is_refused(
    tmp_path: Path, entry: dict[str, object], words: str
) -> None:
    claims = load_claims(write(tmp_path, [{**ORDER, **entry}]))
    with pytest.raises(UserError, match=words) as caught:
        check_recipes(claims, COMMON_FORMS, "claims.yaml")
    assert "claim 'a'" in caught.value.problem


class Table:
    """A run that is its metrics."""

    name = "first"

    def __init__(self, **columns: list[float]) -> None:
        self.metrics = pd.DataFrame(columns)

    def table(self, name: str) -> pd.DataFrame:
        """All that there is."""
        return self.metrics


def test_values_and_rates_are_of_the_rows_that_are_asked_for() -> None:
    run = Table(step=[0, 5, 5, 5], loss=[9.0, 1.0, float("nan"), 3.0])
    last = {"step": "last"}
    assert value(run, column="loss", where=last, scale=2).samples == (2, 6)
    for test, shown in (("at_least", 2), ("above", 1), ("at_most", 1), ("below", 0), ("equals", 1)):
        found = rate(run, column="loss", where=last, **{test: 1})
        assert (found.successes, found.n) == (shown, 3)
    assert rate(run, run, column="loss", where=last, one_of=[1, 3]).successes == 4


def test_orders_are_paired_by_seed_where_both_have_a_number() -> None:
    first = Table(seed=[3, 1, 2], a=[30, 10, 20], b=[3, 1, 2])
    second = Table(seed=[1, 2, 3], a=[1.0, float("nan"), 3.0])
    found = order(first, second, column="a", paired=True)
    assert (found.first, found.second, found.paired) == ((10, 30), (1, 3), True)
    alone = order(first, column=["a", "b"], paired=True)
    assert (alone.first, alone.second) == ((10, 20, 30), (1, 2, 3))


def test_orders_without_pairs_take_all_rows_that_have_a_number() -> None:
    first = Table(seed=[3, 1, 2], a=[30, 10, 20])
    second = Table(seed=[1, 2, 3, 4], a=[1.0, float("nan"), 3.0, 4.0])
    found = order(first, second, column="a", scale=2)
    assert (found.first, found.second, found.paired) == ((60, 20, 40), (2, 6, 8), False)


def test_a_margin_of_an_order_is_whole(tmp_path: Path) -> None:
    margin = {"margin": 1.05, "margin_is": "ratio", "rule": "goal"}
    claims = load_claims(write(tmp_path, [{**ORDER, "asks": "no worse", **margin}]))
    assert (claims[0].asks, claims[0].margin, claims[0].margin_is) == ("no worse", 1.05, "ratio")
    for key in margin:
        partial = {name: margin[name] for name in margin if name != key}
        assert f"lacks the key '{key}'" in problem(tmp_path, [{**ORDER, **partial}]).problem
    assert "lacks the key" in problem(tmp_path, [{**ORDER, "asks": "equal"}]).problem
    below = problem(tmp_path, [{**ORDER, **margin, "margin": 0.95}])
    assert "a ratio above 1" in below.fix
    at_all = load_claims(write(tmp_path, [{**ORDER, **margin, "margin": 1}]))
    assert at_all[0].margin == 1
    assert (
        "a ratio above 1"
        in problem(tmp_path, [{**ORDER, **margin, "margin": 1, "asks": "no worse"}]).fix
    )
    unknown = problem(tmp_path, [{**ORDER, **margin, "asks": "no wors"}])
    assert "Did you mean 'no worse'?" in unknown.fix


class Trained(Table):
    """A run that knows how long it was trained."""

    def __init__(self, max_steps: int, **columns: list[float]) -> None:
        super().__init__(**columns)
        self.study = SimpleNamespace(max_steps=max_steps)


def test_trained_nets_are_held_against_nets_of_zero_steps() -> None:
    trained, untrained = Trained(100, a=[5, 6, 7]), Trained(0, a=[1, 2])
    found = trained_over_untrained(trained, untrained, column="a", scale=2)
    assert (found.first, found.second, found.paired) == ((10, 12, 14), (2, 4), False)
    # Runs without such a setting, as the tests have them, were not trained.
    assert trained_over_untrained(trained, Table(a=[1, 2]), column="a").second == (1, 2)
    longer = Trained(200, a=[1, 2])
    longer.name = "longer"
    for runs, name in (((trained, longer), "longer"), ((trained,), trained.name)):
        with pytest.raises(UserError, match=f"The run {name} was trained, so it is no untrained"):
            trained_over_untrained(*runs, column="a")


def test_trained_nets_are_held_against_their_own_start_or_that_of_others() -> None:
    run = Table(step=[0, 0, 9, 9], seed=[1, 2, 1, 2], a=[0.1, 0.2, 0.8, 0.9])
    other = Table(step=[0, 0, 9, 9], seed=[1, 2, 1, 2], a=[0.3, 0.4, 0.5, 0.6])
    found = trained_over_untrained(run, column="a")
    assert (found.first, found.second) == ((0.8, 0.9), (0.1, 0.2))
    crossed = trained_over_untrained(run, other, column="a")
    assert (crossed.first, crossed.second) == ((0.8, 0.9), (0.3, 0.4))


def test_an_untrained_measure_may_be_a_column_of_its_own() -> None:
    run = Table(seed=[1, 2], a=[0.8, 0.9], a_untrained=[0.5, 0.6])
    found = trained_over_untrained(run, column=["a", "a_untrained"])
    assert (found.first, found.second) == ((0.8, 0.9), (0.5, 0.6))


def test_a_claim_is_read_from_its_own_runs_among_others(tmp_path: Path) -> None:
    (claim,) = load_claims(
        write(tmp_path, [{**VALUE, "evidence": {"value": {"runs": ["a"], "column": "loss"}}}])
    )
    run: Any = Table(loss=[1.0, 2.0])
    run.is_as_named = True
    for runs, is_read in (({"a": run, "b": run}, True), ({"a": run}, True), ({"b": run}, False)):
        (found,) = read_evidence([claim], runs, COMMON_FORMS, lambda *_: None).values()
        assert isinstance(found, ValueEvidence) == is_read
    # A run that is not what its name says is no evidence, and is named.
    run.is_as_named = False
    assert read_evidence([claim], {"a": run}, COMMON_FORMS, lambda *_: None) == {claim.id: ("a",)}


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="has no column 'lss'"):
        value(Table(loss=[1.0]), column="lss")
