"""What the finished runs of the vowel study say about each of its claims."""

from collections.abc import Callable, Iterator, Mapping

import pandas as pd

from reproductions.claims import Claim
from reproductions.evidence import Evidence, OrderEvidence, RateEvidence, ValueEvidence
from reproductions.runs import NamedRun
from reproductions.vowel import lines
from reproductions.vowel.departures import why_not_comparable
from reproductions.vowel.rows import PAIRS, TABLE_1
from reproductions.vowel.trajectories import formants, has_lines, lone_line, trajectory

Names = tuple[str, ...]
# (metrics of the named runs, in that order; names; why they are not comparable) -> evidence
_Maker = Callable[[list[pd.DataFrame], Names, str | None], Evidence | None]
STORY = "first-together-then-apart"


def evidence(runs: Mapping[str, NamedRun]) -> dict[str, Evidence | None]:
    """Evidence by claim id; None where a run that the claim needs is not finished.

    Epochs of seeds that never reached the stop enter with the epoch limit, as lower bounds.
    Accuracies are percentages; diverged seeds have none. Runs that depart from what the paper
    states give evidence that is marked as not comparable.
    """
    tables = {name: run.finished.table("metrics") for name, run in runs.items()}
    found = {
        claim: _made(make, names, tables, why_not_comparable(_present(runs, names)))
        for claim, (make, names) in _RECIPES.items()
    }
    return {**found, STORY: _story(runs)}


def evidence_of(claim: Claim, tables: Mapping[str, pd.DataFrame]) -> Evidence | None:
    """Evidence from metrics alone, by run name; None where a run or one of its columns lacks.

    Raises KeyError for a claim that metrics alone cannot speak about.
    """
    make, names = _RECIPES[claim.id]
    return _made(make, names, tables, None)


def _present(runs: Mapping[str, NamedRun], names: Names) -> list[NamedRun]:
    return [runs[name] for name in names if name in runs]


def _made(
    make: _Maker, names: Names, tables: Mapping[str, pd.DataFrame], reason: str | None
) -> Evidence | None:
    if not set(names) <= set(tables):
        return None
    return make([tables[name] for name in names], names, reason)


def _recipes() -> Iterator[tuple[str, tuple[_Maker, Names]]]:
    for row in TABLE_1:
        yield f"epochs-{row.suffix}", (_epochs, (row.run,))
        yield f"train-accuracy-{row.suffix}", (_accuracy("train_accuracy"), (row.run,))
        yield f"test-accuracy-{row.suffix}", (_accuracy("test_accuracy"), (row.run,))
    for experts, backprop, sizes in PAIRS:
        yield f"experts-faster-{sizes}", (_epoch_order, (experts, backprop))
        yield f"half-the-epochs-{sizes}", (_epoch_ratio, (experts, backprop))
        yield f"equal-test-accuracy-{sizes}", (_accuracy_difference, (experts, backprop))
    yield "eight-faster-than-four", (_epoch_order, ("experts_8", "experts_4"))
    yield "backprop-12-slower", (_epoch_order, ("backprop_12", "backprop_6"))
    for size in (4, 8):
        experts = f"experts_{size}"
        yield f"two-or-three-live-{size}", (_two_or_three_live, (experts,))
        yield f"two-experts-on-a-{size}", (_two_experts_on_a, (experts,))
        rivals = (experts, f"expected_error_{size}")
        yield f"likelihood-beats-expected-error-{size}", (_epoch_order, rivals)


def _epochs_of(metrics: pd.DataFrame) -> tuple[tuple[float, ...], int]:
    """Epochs per seed, and how many of them are only lower bounds."""
    return tuple(metrics["epochs"].astype(float)), int((metrics["status"] != "converged").sum())


def _epochs(tables: list[pd.DataFrame], names: Names, reason: str | None) -> Evidence:
    epochs, num_censored = _epochs_of(tables[0])
    return ValueEvidence(epochs, names, num_censored=num_censored, not_comparable=reason)


def _accuracy(column: str) -> _Maker:
    def make(tables: list[pd.DataFrame], names: Names, reason: str | None) -> Evidence:
        shares = tables[0][column].dropna()
        return ValueEvidence(tuple(100 * shares), names, not_comparable=reason)

    return make


def _paired(tables: list[pd.DataFrame], column: str) -> pd.DataFrame:
    """The column of both runs, for the seeds that both have."""
    columns = [table.set_index("seed")[column].astype(float) for table in tables]
    return pd.concat(columns, axis=1, join="inner", keys=["first", "second"]).dropna()


def _epoch_order(tables: list[pd.DataFrame], names: Names, reason: str | None) -> Evidence:
    paired = _paired(tables, "epochs")
    return OrderEvidence(
        tuple(paired["first"]), tuple(paired["second"]), names, not_comparable=reason
    )


def _epoch_ratio(tables: list[pd.DataFrame], names: Names, reason: str | None) -> Evidence | None:
    (samples, num_censored), (baseline, num_censored_baseline) = map(_epochs_of, tables)
    if not (any(samples) and any(baseline)):
        # A mean of no epochs at all has no ratio.
        return None
    return ValueEvidence(
        samples,
        names,
        baseline_samples=baseline,
        num_censored=num_censored,
        num_censored_baseline=num_censored_baseline,
        not_comparable=reason,
    )


def _accuracy_difference(tables: list[pd.DataFrame], names: Names, reason: str | None) -> Evidence:
    paired = _paired(tables, "test_accuracy")
    differences = 100 * (paired["first"] - paired["second"])
    return ValueEvidence(tuple(differences), names, not_comparable=reason)


def _two_or_three_live(
    tables: list[pd.DataFrame], names: Names, reason: str | None
) -> Evidence | None:
    if "live_experts" not in tables[0]:
        return None
    shown = tables[0]["live_experts"].isin([2, 3])
    return RateEvidence(int(shown.sum()), len(shown), names, not_comparable=reason)


def _two_experts_on_a(
    tables: list[pd.DataFrame], names: Names, reason: str | None
) -> Evidence | None:
    metrics = tables[0]
    if not {"experts_on_aa_ah", "experts_on_iy_ih"} <= set(metrics):
        return None
    shown = (metrics["experts_on_aa_ah"] == 2) & (metrics["experts_on_iy_ih"] == 1)
    return RateEvidence(int(shown.sum()), len(shown), names, not_comparable=reason)


def _story(runs: Mapping[str, NamedRun]) -> Evidence | None:
    """Figure 3: counts the seeds in which all experts first go together, then part."""
    names = ("experts_8", "line_X")
    if not set(names) <= set(runs):
        return None
    experts, lone = (runs[name] for name in names)
    num_seeds = len(experts.finished.table("metrics"))
    if not (has_lines(experts) and has_lines(lone)):
        reason = "Experts with several outputs have no single decision line."
        return RateEvidence(0, num_seeds, names, not_comparable=reason)
    frame = lines.frame_of(lone_line(lone), formants(experts))
    shown = sum(_shows_the_story(experts, position, frame) for position in range(num_seeds))
    return RateEvidence(shown, num_seeds, names, not_comparable=why_not_comparable([experts, lone]))


def _shows_the_story(experts: NamedRun, position: int, frame: lines.Frame) -> bool:
    path = trajectory(experts, position)
    stop = path.lines_SE3[-1]
    return lines.together_then_apart(path.lines_SE3[:-1], stop, path.live_SE[-1], frame)


_RECIPES = dict(_recipes())
