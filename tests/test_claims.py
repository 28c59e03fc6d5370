"""What a claims file may say, and what it is told when it says something else."""

from pathlib import Path

import pytest
import yaml

from experiments.errors import UserError
from reproductions.verdicts.claims import Claim, Published, load_claims

VALUE = {
    "id": "epochs-four-experts",
    "sentence": "Four experts need 1,124 epochs.",
    "place": "Table 1",
    "kind": "value",
    "published": {"value": 1124, "spread": 23, "spread_is": "standard deviation", "n": 25},
    "margin": 60,
    "margin_reason": "Five percent.",
}
ORDER = {"id": "a", "sentence": "A beats B.", "place": "p. 1", "kind": "order", "better": "lower"}
RATE = {"id": "b", "sentence": "All succeed.", "place": "p. 2", "kind": "rate", "at_least": 0.86}


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
        margin_reason="Five percent.",
    )
    assert (claims[1].better, claims[2].at_least, claims[3].question) == ("lower", 0.86, 3)


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


def test_an_id_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    assert "'a'" in problem(tmp_path, [ORDER, RATE, ORDER]).problem


@pytest.mark.parametrize(
    ("entry", "key", "wrong"),
    [
        (VALUE, "margin", 0),
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
