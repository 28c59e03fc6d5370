"""The vowel study's evidence: on runs in which a claim holds, and in which it fails."""

from types import SimpleNamespace

import numpy as np
import pytest

from reproductions.verdicts.evidence import ValueEvidence
from reproductions.vowel import evidence
from reproductions.vowel.decision_lines import Frame
from reproductions.vowel.evidence import FORMS
from tests.reproductions.evidence_cases import Synthetic, counted


def trained(name: str, epochs: list[int], *status: str) -> Synthetic:
    """A run whose seeds ended after so many epochs, converged unless said otherwise."""
    ends = [*status, *["converged"] * (len(epochs) - len(status))]
    return Synthetic(name, {"metrics": {"epochs": epochs, "status": ends}})


def test_epochs_of_seeds_that_never_converged_are_bounds() -> None:
    run = trained("run", [10, 20, 30], "exhausted", "diverged")
    found = FORMS["epochs"](run)
    assert found == ValueEvidence((10.0, 20.0, 30.0), ("run",), num_censored=2)
    assert FORMS["epochs"](trained("run", [10])) == ValueEvidence((10.0,), ("run",))


def test_the_ratio_of_epochs_is_that_of_the_rival_over_the_experts() -> None:
    experts = trained("experts", [10, 20, 30], "exhausted")
    rival = trained("rival", [40, 60], "exhausted", "diverged")
    assert FORMS["epoch_ratio"](experts, rival) == ValueEvidence(
        (10.0, 20.0, 30.0),
        ("experts", "rival"),
        baseline_samples=(40.0, 60.0),
        num_censored=1,
        num_censored_baseline=2,
    )


def test_a_spread_needs_three_seeds() -> None:
    assert FORMS["epochs_spread"](trained("run", [10, 20])) is None
    assert FORMS["epochs_spread"](trained("run", [10, 20, 30])) is not None


def test_experts_are_counted_on_both_pairs_in_one_seed() -> None:
    on_pairs = {"experts_on_aa_ah": [2, 2, 2, 1, 1], "experts_on_iy_ih": [1, 2, 2, 1, 2]}
    run = Synthetic(tables={"metrics": on_pairs})
    assert counted(FORMS["experts_on_pairs"](run, on_a=2, on_i=1)) == (1, 5)
    assert counted(FORMS["experts_on_pairs"](run, on_a=3, on_i=1)) == (0, 5)
    lacking = Synthetic(tables={"metrics": {"experts_on_aa_ah": [2]}})
    assert FORMS["experts_on_pairs"](lacking, on_a=2, on_i=1) is None


def test_the_story_is_of_the_lines_before_the_stop_and_at_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near, far = np.array([[1.0, 0.0, 0.0]] * 2), np.array([[0.0, 1.0, 5.0]] * 2)
    every, none = np.ones(2, bool), np.zeros(2, bool)
    # A seed that tells it, one that parts never, one that meets only at the stop, and one whose
    # experts had cases of their own before the stop alone.
    paths = [
        SimpleNamespace(lines_SE3=np.stack(lines), live_SE=np.stack(live))
        for lines, live in [
            ([far, near, far], [every, every, every]),
            ([far, near, near], [every, every, every]),
            ([far, far, near], [every, every, every]),
            ([far, near, far], [every, every, none]),
        ]
    ]
    frame = Frame(reference=near[0], centre=np.zeros(2), spread=1.0)
    monkeypatch.setattr(evidence, "trajectories", lambda run: iter(paths))
    monkeypatch.setattr(evidence, "num_paths", lambda run: len(paths))
    monkeypatch.setattr(evidence, "lone_line", lambda run: near[0])
    monkeypatch.setattr(evidence, "formants", lambda run: np.zeros((2, 2)))
    monkeypatch.setattr(evidence.decision_lines, "frame_of", lambda line, cases: frame)
    has_lines = {"experts": True, "lone": True}
    monkeypatch.setattr(evidence, "has_lines", lambda run: has_lines[run.name])
    runs = (trained("experts", [1, 2, 3, 4]), trained("lone", [1]))
    found = FORMS["together_then_apart"](*runs)
    assert counted(found) == (1, 4)
    assert found is not None
    assert found.not_comparable is None
    # All that meet before the stop arrive, whether they part later or not.
    assert counted(FORMS["arriving"](*runs)) == (3, 4)
    for name in has_lines:
        has_lines.update({"experts": True, "lone": True, name: False})
        other = FORMS["together_then_apart"](*runs)
        assert other is not None
        assert other.not_comparable is not None


def test_a_seed_heads_for_the_line_when_each_of_its_experts_turns_towards_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line, across = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
    between = np.array([1.0, 1.0, 0.0])
    frame = Frame(reference=line, centre=np.zeros(2), spread=1.0)
    epochs = np.array([0, 100, 500])
    # One whose two experts turn at once, one where a single expert does, and one that turns late.
    paths = [
        SimpleNamespace(epochs=epochs, lines_SE3=np.stack([[across] * 2, *later]))
        for later in (
            [[between, between], [across, across]],
            [[between, across], [between, between]],
            [[across, across], [between, between]],
        )
    ]
    monkeypatch.setattr(evidence, "trajectories", lambda run: iter(paths))
    monkeypatch.setattr(evidence, "num_paths", lambda run: len(paths))
    monkeypatch.setattr(evidence, "lone_line", lambda run: line)
    monkeypatch.setattr(evidence, "formants", lambda run: np.zeros((2, 2)))
    monkeypatch.setattr(evidence.decision_lines, "frame_of", lambda line, cases: frame)
    monkeypatch.setattr(evidence, "has_lines", lambda run: True)
    runs = (trained("experts", [500, 500, 500]), trained("lone", [1]))
    assert counted(FORMS["heading"](*runs, epochs=100)) == (1, 3)
    assert counted(FORMS["heading"](*runs, epochs=500)) == (2, 3)
    assert evidence.share_heading(*runs, epochs=100) == 3 / 6
