"""The language model's evidence: on runs in which a claim holds, and in which it fails."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from reproductions.language_model.evidence import FORMS, why_not_comparable
from reproductions.report import study_of
from reproductions.verdicts.claims import Claim, Published
from reproductions.verdicts.evidence import OrderEvidence
from tests.reproductions.evidence_cases import Synthetic, by_seed


def run_of(name: str, *perplexity: float) -> Synthetic:
    """A run with these perplexities on the test text, and others everywhere else."""
    seeds = range(len(perplexity))
    rows = [
        (seed, split, kind, value if (split, kind) == ("test", "all") else 7.0)
        for seed, value in zip(seeds, perplexity, strict=True)
        for split in ("valid", "test")
        for kind in ("all", "English")
    ]
    columns = dict(
        zip(("seed", "split", "kind", "perplexity"), zip(*rows, strict=True), strict=True)
    )
    return Synthetic(name, {"metrics": columns})


def test_published_numbers_are_of_another_corpus_and_orders_are_judged() -> None:
    number = Claim("v", "s", "p", "value", Published(34.1), 1.0)
    assert str(why_not_comparable(number, [])).startswith("Another corpus")
    assert why_not_comparable(Claim("o", "s", "p", "order", better="lower"), []) is None


def test_a_gain_is_the_log_of_wide_over_experts_training_by_training() -> None:
    wide, many = run_of("wide", 40, 42), run_of("many", 20, 21)
    equal = [run_of(name, 30, 31) for name in ("other wide", "other many")]
    found = FORMS["gain"](wide, many, *equal)
    assert isinstance(found, OrderEvidence)
    np.testing.assert_allclose(found.first, [math.log(2)] * 2)
    assert found.second == (0, 0)
    assert found.runs == ("wide", "many", "other wide", "other many")
    assert not found.paired


def timed(name: str, seconds: float) -> Synthetic:
    """Two trainings whose perplexity halves every so many seconds of a core."""
    table = by_seed([0, 1, 2], "perplexity", [[80.0, 40.0, 20.0], [160.0, 80.0, 40.0]])
    own = [0.0, seconds, 2 * seconds] * 2
    return Synthetic(
        name, {"evaluations": {**table, "core_seconds": own, "seconds": [0.0, 900.0, 1800.0] * 2}}
    )


def test_equal_seconds_are_those_of_the_fastest_training() -> None:
    found = FORMS["after_equal_seconds"](timed("slow", 20.0), timed("fast", 10.0))
    assert isinstance(found, OrderEvidence)
    # After 20 seconds the fast one stands at its end, the slow one halfway.
    np.testing.assert_allclose(found.first, [40, 80])
    np.testing.assert_allclose(found.second, [20, 40])


@pytest.mark.parametrize(("cpu", "is_told"), [("one", True), ("another", False)])
def test_seconds_of_different_machines_are_not_compared(cpu: str, is_told: bool) -> None:
    def on(cpu: str, run: Synthetic) -> Any:
        manifest = {"platform": "p", "cpu": cpu, "num_cores": 2, "gpu": None}
        finished = SimpleNamespace(manifest=manifest)
        return SimpleNamespace(name=run.name, table=run.table, finished=finished)

    found = FORMS["after_equal_seconds"](on("one", timed("a", 20.0)), on(cpu, timed("b", 10.0)))
    assert isinstance(found, OrderEvidence)
    assert (found.not_comparable is None) == is_told


def test_a_stranger_is_held_against_a_sibling_in_the_same_training() -> None:
    table = {
        "seed": [0, 0, 0, 1, 1, 1],
        "change": ["stranger", "sibling", "removed"] * 2,
        "rise": [0.3, 0.1, 9.0, 0.4, 0.2, 9.0],
    }
    found = FORMS["stranger_over_sibling"](Synthetic("run", {"worth": table}))
    assert found == OrderEvidence((0.3, 0.4), (0.1, 0.2), ("run",), paired=True)


def test_loads_are_medians_of_the_second_half_of_each_training() -> None:
    steps = [1, 2, 3, 4]
    even = by_seed(steps, "max_over_mean_load", [[9, 9, 1, 3], [9, 9, 2, 4]])
    uneven = by_seed(steps, "max_over_mean_load", [[1, 1, 5, 5], [1, 1, 6, 8]])
    runs = [Synthetic(name, {"curves": own}) for name, own in (("even", even), ("not", uneven))]
    found = FORMS["late_load"](*runs)
    assert found == OrderEvidence((2.0, 3.0), (5.0, 7.0), ("even", "not"))


@pytest.mark.parametrize(
    "suite", ["language_model", "language_model_all", "language_model_domains"]
)
def test_its_suites_are_the_studys_own(suite: str) -> None:

    assert study_of(suite) == "language_model"
    assert study_of("translation_all") == "translation"
    assert study_of("nothing_known") == "nothing"
