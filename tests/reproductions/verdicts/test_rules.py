"""Margins are what their rules say: computed again from what the papers print."""

import math

import pytest
from scipy import stats

from reproductions.report import STUDIES
from reproductions.verdicts.claims import Claim
from reproductions.verdicts.rules import rules

CLAIMS = [claim for study in STUDIES.values() for claim in study.claims]
LEAST = {"%": 1.0, "nats": 0.05}


def of_rule(name: str) -> list[Claim]:
    found = [claim for claim in CLAIMS if claim.rule == name]
    assert found
    return found


def rounded_alike(margin: float | None, wanted: float) -> bool:
    """Whether a margin is the wanted one to the digits that it is written with."""
    assert margin is not None
    digits = len(str(margin).partition(".")[2])
    return abs(margin - wanted) <= 0.51 * 10**-digits


@pytest.mark.parametrize("claim", of_rule("vowel-mean"), ids=lambda claim: claim.id)
def test_a_mean_of_25_has_five_percent_or_the_prediction_interval(claim: Claim) -> None:
    assert claim.published is not None
    spread = claim.published.spread or 0.0
    half = float(stats.t.ppf(0.975, 24)) * spread * math.sqrt(2 / 25)
    assert rounded_alike(claim.margin, max(0.05 * claim.published.value, half))


@pytest.mark.parametrize("claim", of_rule("cluster-mean"), ids=lambda claim: claim.id)
def test_a_mean_of_10_has_the_prediction_interval_or_the_least_margin(claim: Claim) -> None:
    published = claim.published
    assert published is not None
    assert published.spread is not None
    half = float(stats.t.ppf(0.975, 9)) * published.spread
    half *= math.sqrt(10 / 9) * math.sqrt(1 / 10 + 1 / 25)
    assert rounded_alike(claim.margin, max(LEAST[str(published.unit)], half))


@pytest.mark.parametrize("claim", of_rule("cluster-curve"), ids=lambda claim: claim.id)
def test_a_curves_margin_follows_from_the_interval_drawn_at_its_end(claim: Claim) -> None:
    drawn = {"1-cubic": 0.061, "1-linear": 0.033, "2-cubic": 0.063, "2-linear": 0.050}
    spread = drawn[claim.id.removeprefix("curve-").rpartition("-")[0]] * math.sqrt(10) / 1.96
    half = float(stats.t.ppf(0.975, 9)) * spread * math.sqrt(1 / 10 + 1 / 25)
    assert rounded_alike(claim.margin, max(0.05, half))


@pytest.mark.parametrize(
    ("rule", "margin"), [("no-spread", 2), ("about-half", 0.5), ("equal-digits", 1)]
)
def test_a_fixed_margin_is_the_same_in_every_claim(rule: str, margin: float) -> None:
    assert {claim.margin for claim in of_rule(rule)} == {margin}


@pytest.mark.parametrize(("rule", "share"), [("most", 0.5), ("all-of-25", 0.86)])
def test_a_fixed_share_is_the_same_in_every_claim(rule: str, share: float) -> None:
    assert {claim.at_least for claim in of_rule(rule)} == {share}


def test_about_half_is_two_for_both_systems() -> None:
    assert {claim.published and claim.published.value for claim in of_rule("about-half")} == {2}


def test_every_rule_is_used_and_has_its_reason() -> None:
    used = {claim.rule for claim in CLAIMS if claim.rule}
    assert used == set(rules())
    assert all(rule.says and rule.why for rule in rules().values())
