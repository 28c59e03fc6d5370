"""The chances that `make power` finds, and that what it wrote is not stale."""

import json

import pytest
from scipy import stats

from reproductions.power import (
    DOCS,
    case_of,
    digest,
    error_cases,
    error_table,
    power_table,
    rules_table,
    sizes_of,
    with_tables,
)
from reproductions.report import STUDIES
from reproductions.verdicts.claims import Claim, Published, Recipe
from reproductions.verdicts.power_text import FILE, is_low, power_text, powers
from reproductions.verdicts.simulation import Case, chances

CONTENT = json.loads(FILE.read_text("utf-8"))
VALUE = Claim("v", "s", "p", "value", Published(10.0), 1.0)


def test_what_make_power_wrote_is_of_the_claims_and_the_rule_as_they_are() -> None:
    assert CONTENT["digest"] == digest(), "stale: run make power"
    ids = [claim.id for study in STUDIES.values() for claim in study.claims]
    assert list(CONTENT["claims"]) == ids
    # Powers are found by the id alone.
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", list(STUDIES))
def test_the_numbers_of_seeds_are_those_of_the_suites(name: str) -> None:
    study = STUDIES[name]
    sizes = sizes_of(study)
    for claim in study.claims:
        case = case_of(claim, sizes(claim), None)
        found = CONTENT["claims"][claim.id]
        if isinstance(case, Case) and "sizes" in found:
            assert list(case.sizes) == found["sizes"], "stale: run make power"


def test_the_tables_of_the_page_are_what_was_found() -> None:
    text = DOCS.read_text("utf-8")
    tables = {"rules": rules_table(), "power": power_table(CONTENT["claims"])}
    assert with_tables(text, tables) == text, "stale: run make power"
    for name, _ in error_cases():
        assert text.count(f"| {name} |") == 1


@pytest.mark.parametrize("name", ["more than half of seeds, n = 10", "order, true pairs, n = 10"])
def test_exact_rows_of_the_error_table_come_out_again(name: str) -> None:
    (case,) = [case for each, case in error_cases() if each == name]
    words = [chances(case, distance) for distance in (0.0, 1.0, 2.0)]
    row = (
        words[1]["matches"],
        words[1]["differs"],
        words[0]["inconclusive"],
        words[2]["inconclusive"],
    )
    assert error_table([(name, row)]).splitlines()[-1] in DOCS.read_text("utf-8")


def test_the_chance_of_a_share_is_the_binomial_one() -> None:
    claim = Claim("r", "s", "p", "rate", at_least=0.5)
    words = chances(Case(claim, (6, 6)), 0.0)
    # Six of six alone match; 0.85 is what "right" means for a half.
    assert words["matches"] == pytest.approx(0.85**6)
    edge = chances(Case(claim, (6, 6)), 1.0)
    assert edge["matches"] == pytest.approx(0.5**6)


def test_the_chance_of_a_value_is_that_of_two_one_sided_tests() -> None:
    words = chances(Case(VALUE, (10, 10), 1.0), 1.0, num_draws=2000)
    assert words["matches"] == pytest.approx(0.05, abs=0.015)
    assert words["differs"] == pytest.approx(0.025, abs=0.012)
    right = chances(Case(VALUE, (10, 10), 0.2), 0.0, num_draws=200)
    wrong = chances(Case(VALUE, (10, 10), 0.2), 2.0, num_draws=200)
    assert (right["matches"], wrong["differs"]) == (1, 1)


@pytest.mark.parametrize("better", ["lower", "higher"])
@pytest.mark.parametrize("asks", ["better", "no worse", "equal"])
@pytest.mark.parametrize(("margin", "margin_is"), [(1.0, "difference"), (1.3, "ratio")])
def test_margins_are_right_at_no_distance_and_wrong_at_twice_the_margin(
    better: str, asks: str, margin: float, margin_is: str
) -> None:
    claim = Claim("o", "s", "p", "order", better=better, asks=asks, margin=margin)  # type: ignore[arg-type]
    claim = Claim(**{**claim.__dict__, "margin_is": margin_is})
    for is_paired in (False, True):
        case = Case(claim, (8, 8), 0.05, is_paired)
        assert chances(case, 0.0, 50)["matches"] == 1
        assert chances(case, 2.0, 50)["differs"] == 1


def test_orders_are_right_at_nine_tenths() -> None:
    claim = Claim("o", "s", "p", "order", better="lower")
    assert chances(Case(claim, (25, 25)), 0.0, 100)["matches"] > 0.95
    assert chances(Case(claim, (25, 25)), 2.0, 100)["differs"] > 0.95
    wins = chances(Case(claim, (6, 6), is_paired=True), 0.0)
    assert wins["matches"] == pytest.approx(float(stats.binom.pmf(6, 6, 0.9)))


def test_sizes_follow_from_the_form() -> None:
    sizes = {"a": 3, "b": 4, "c": 5, "d": 6}

    def of_form(form: str, *runs: str, **options: object) -> tuple[int, int]:
        recipe = Recipe(form, runs, options)
        claim = Claim("o", "s", "p", "order", better="lower", evidence=recipe)
        case = case_of(claim, sizes, None)
        assert isinstance(case, Case)
        assert case.is_paired == bool(options.get("paired"))
        return case.sizes

    assert of_form("order", "a", "b") == (3, 4)
    assert of_form("order", "a", "b", paired=True) == (3, 4)
    assert of_form("gains_more", "a", "b", "c", "d") == (3, 5)
    shape = Claim("r", "s", "p", "shape", at_least=0.5, evidence=Recipe("rate", ("a", "b")))
    found = case_of(shape, sizes, None)
    assert isinstance(found, Case)
    assert found.sizes == (7, 7)


def test_a_claim_of_low_power_says_so_and_another_does_not() -> None:
    low = [name for name, power in powers().items() if is_low(power)]
    assert low
    assert "Low power: runs of this size match in" in power_text(low[0])
    enough = [name for name, power in powers().items() if "sizes" in power and not is_low(power)]
    assert power_text(enough[0]) == ""
    assert power_text("no-such-claim") == ""
