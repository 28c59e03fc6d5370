"""The translation study's evidence: on runs in which a claim holds, and in which it fails."""

from types import SimpleNamespace
from typing import Any

import pytest

from reproductions.translation.evidence import (
    FORMS,
    _published,
    judged_experts,
    why_not_comparable,
)
from reproductions.translation.tables import why_worse
from reproductions.verdicts.claims import Claim, Published
from reproductions.verdicts.evidence import EstimateEvidence, OrderEvidence
from tests.reproductions.evidence_cases import Synthetic, by_seed, counted


def loads(name: str, *late_by_seed: list[float]) -> Synthetic:
    """A run with uneven loads in the first half of every training, and these after it."""
    half = len(late_by_seed[0])
    steps = [100 * place for place in range(1, 2 * half + 1)]
    values = [[9.0] * half + late for late in late_by_seed]
    table = by_seed(steps, "encoder_max_over_mean_load", values)
    # A training's rows stand one after another.
    return Synthetic(name, {"curves": table})


def test_the_published_sizes_are_those_of_the_published_settings() -> None:
    for of, printed, half in (
        ("parameters", 8.7, 0.05),
        ("operations", 85, 0.5),
        ("gnmt_operations", 214, 0.5),
    ):
        found = FORMS["published_count"](loads("experts_2048", [1.0]), of=of)
        assert isinstance(found, EstimateEvidence)
        assert abs(found.estimate.point - printed) <= half
        assert found.is_exact
    # Section 5.3 and appendix E.
    published = _published()
    assert (published.width, published.num_units, published.expert_units) == (512, 2048, 2048)
    assert (published.num_experts, published.k, published.gate.name) == (2048, 4, "hierarchical")
    # Wu et al. (2016) by hand: 17 LSTMs of 1,024 units, the second of the encoder and the decoder's
    # with 1,024 inputs more, and the softmax over 32,768.
    million = 1024**2 / 1e6
    by_hand = 17 * 4 * 2 * million + 9 * 4 * million + 32 * million
    found = FORMS["published_count"](loads("experts_2048", [1.0]), of="gnmt_operations")
    assert isinstance(found, EstimateEvidence)
    assert found.estimate.point == pytest.approx(by_hand)


@pytest.mark.parametrize(("steps", "is_judged"), [(299, False), (300, True), (600, True)])
def test_orders_of_runs_that_are_too_short_are_not_judged(steps: int, is_judged: bool) -> None:
    claim = Claim("o", "s", "p", "order", better="lower")
    run: Any = SimpleNamespace(study=SimpleNamespace(max_steps=steps))
    long: Any = SimpleNamespace(study=SimpleNamespace(max_steps=1000))
    assert (why_not_comparable(claim, [long, run]) is None) == is_judged
    # Published numbers are of another corpus, however long a run is.
    number = Claim("v", "s", "p", "value", Published(2.63), 0.13)
    assert str(why_not_comparable(number, [long])).startswith("Another corpus")


def test_loads_are_means_of_the_second_half_counted_by_training_up_to_the_limit() -> None:
    run = loads("a", [1.5, 2.0, 2.5], [2.0, 2.0, 2.5], [1.0, 1.0, 3.5])
    assert counted(FORMS["largest_load_within"](run, times_mean=2)) == (2, 3)


def test_loads_without_losses_come_first_one_number_for_each_training() -> None:
    without, with_losses = loads("w", [4.0, 5.0], [6.0, 6.0]), loads("l", [1.0, 2.0], [1.0, 1.0])
    found = FORMS["larger_largest_load"](without, with_losses)
    assert found == OrderEvidence((4.5, 6.0), (1.5, 1.0), ("w", "l"))


def scores(name: str, **by_language: list[float]) -> Synthetic:
    """A run's BLEU by language, a score for each training, and others that are not asked for."""
    rows = [
        (metric, domain, language, value if metric == "sacrebleu" and domain == "all" else -value)
        for language, values in {**by_language, "all": [99.0, 99.0]}.items()
        for value in values
        for metric, domain in (
            ("sacrebleu", "all"),
            ("tokenised", "all"),
            ("sacrebleu", "law"),
            ("sacrebleu", "Acts"),
        )
    ]
    columns = ("metric", "domain", "language", "value")
    return Synthetic(
        name, {"bleu": dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))}
    )


def test_languages_count_by_their_mean_over_trainings() -> None:
    first = scores("a", fr=[10.0, 20.0], de=[5.0, 5.0], ar=[7.0, 7.0], es=[3.0, 3.0])
    second = scores("b", fr=[14.0, 15.0], de=[1.0, 9.5], ar=[7.0, 7.0], es=[2.0, 2.0])
    # French 15 above 14.5, Spanish 3 above 2; German 5 below 5.25; equal in Arabic is not above.
    assert counted(FORMS["better_languages"](first, second)) == (2, 4)


def test_an_expert_is_judged_from_twenty_held_out_assignments_on() -> None:
    run: Any = Synthetic(tables={"experts": {"expert": [0, 1, 2], "num_assignments": [19, 20, 21]}})
    assert judged_experts(run)["expert"].tolist() == [1, 2]


def test_the_reason_of_the_losses_tells_what_noise_leaves_at_the_last_step_with_and_without() -> (
    None
):
    def run(name: str, *last: float) -> Any:
        values = [[0.9, share] for share in last]
        table = by_seed([300, 600], "encoder_clean_share_kept", values)
        return Synthetic(name, {"evaluations": table})

    balanced, rest = "importance_01_load_01", "importance_0_load_0"
    runs: Any = {balanced: run(balanced, 0.04, 0.16), rest: run(rest, 0.5, 0.5)}
    assert "leaves 8 % of the encoder's choices as they are with the losses, and 50 %" in why_worse(
        runs
    )
    # Without noise nothing is known of it.
    assert why_worse({balanced: runs[balanced]}) == ""
