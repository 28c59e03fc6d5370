"""The vowel study's figures: geometry, labels, and pictures of toy runs."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from PIL import Image

from experiments.execute import execute
from experiments.run_folder import read_finished
from experiments.runner.errors import UserError
from experiments.vowel.settings import Coding, VowelConfig
from reproductions.drawing import view_box
from reproductions.runs import NamedRun
from reproductions.verdicts.claims import load_claims
from reproductions.vowel import figure2 as drawn
from reproductions.vowel.decision_lines import has_lines, trajectory
from reproductions.vowel.figure2 import figure2
from reproductions.vowel.figure3 import figure3, spread_apart
from reproductions.vowel.figures import costs, seeds, training
from reproductions.vowel.gate import finished_run, moving_gate
from reproductions.vowel.step_sizes import steps

Array = NDArray[np.float64]
BOX = drawn.box((0.0, 2.0), (0.0, 3.0))
CLAIMS = load_claims(Path(drawn.__file__).with_name("claims.yaml"))

gates = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 6), st.just(3)), elements=st.floats(-4, 4)
)
points = st.tuples(st.floats(0.01, 1.99), st.floats(0.01, 2.99)).map(np.array)
places = st.lists(st.floats(-100, 100), min_size=1, max_size=8).map(sorted)


def area(polygon: Array) -> float:
    """Area of a polygon (shoelace formula)."""
    if not len(polygon):
        return 0.0
    following = np.roll(polygon, -1, axis=0)
    return 0.5 * abs(
        float(np.sum(polygon[:, 0] * following[:, 1] - polygon[:, 1] * following[:, 0]))
    )


# Geometry


@given(gate=gates, point=points)
def test_a_point_lies_in_the_region_of_the_expert_that_wins_it(gate: Array, point: Array) -> None:
    logits = np.sort(gate @ np.append(point, 1.0))
    assume(len(logits) == 1 or logits[-1] - logits[-2] > 1e-6)
    winner = int(np.argmax(gate @ np.append(point, 1.0)))
    found = drawn.winner_regions(gate, BOX)
    assert Outline(found[winner]).contains_point(point, radius=1e-9) or Outline(
        found[winner]
    ).contains_point(point, radius=-1e-9)


@given(gate=gates)
def test_regions_of_different_gates_fill_the_picture_once(gate: Array) -> None:
    # Two experts with the same gate share their region, which is then counted twice.
    differences = np.abs(gate[:, None] - gate[None]).max(axis=-1) + np.eye(len(gate))
    assume(differences.min() > 1e-3)
    total = sum(area(polygon) for polygon in drawn.winner_regions(gate, BOX))
    assert total == pytest.approx(area(BOX), rel=1e-6)


@given(line=arrays.arrays(np.float64, 3, elements=st.floats(-4, 4)))
def test_a_segment_lies_on_its_line_and_ends_on_the_border(line: Array) -> None:
    assume(np.abs(line[:2]).max() > 0.05)
    ends = drawn.segment(line, BOX)
    assert len(ends) in (0, 2)
    assert np.abs(ends @ line[:2] + line[2]) == pytest.approx(0, abs=1e-9)
    on_border = [np.isclose(x, [0, 2]).any() or np.isclose(y, [0, 3]).any() for x, y in ends]
    assert all(on_border)


# Labels and frames


@given(ordered=places, gap=st.floats(0.1, 10))
def test_labels_keep_their_order_and_never_overlap(ordered: list[float], gap: float) -> None:
    moved = spread_apart(ordered, gap)
    assert len(moved) == len(ordered)
    assert (np.diff(moved) >= gap * (1 - 1e-6)).all()


@given(ordered=places)
def test_labels_that_do_not_overlap_stay_where_they_are(ordered: list[float]) -> None:
    assume(len(ordered) == 1 or np.diff(ordered).min() > 0.01)
    assert spread_apart(ordered, 0.005) == pytest.approx(ordered)


@given(num_snapshots=st.integers(0, 2000))
def test_a_slider_begins_at_the_start_and_ends_at_the_stop(num_snapshots: int) -> None:
    chosen = drawn.frame_positions(num_snapshots)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(num_snapshots, 40)
    if num_snapshots:
        assert (chosen[0], chosen[-1]) == (0, num_snapshots - 1)


def test_only_experts_in_use_at_the_stop_have_a_colour() -> None:
    colours = drawn.expert_colours(np.array([False, True, False, True]))
    assert colours[0] == colours[2]
    assert len({colours[0], colours[1], colours[3]}) == 3


# Pictures of toy runs

QUICK = {
    "num_seeds": 2,
    "max_epochs": 120,
    "exploration_epochs": 60,
    "num_exploration_seeds": 2,
    "step_grid": [8.0, 22.6],
}


def run_of(name: str, folder: Path, **settings: object) -> NamedRun:
    """A real run at toy size."""
    study = VowelConfig(**{**QUICK, **settings})  # type: ignore[arg-type]
    return NamedRun(name, study, read_finished(execute(study, str(folder)).path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, NamedRun]:
    found = {
        # An error that is reached at once: these seeds stop before their limit.
        "experts_4": run_of("experts_4", folder, stop_error=0.24),
        "experts_8": run_of("experts_8", folder, num_experts=8),
        "line_X": run_of("line_X", folder, num_experts=1, stop_error=0.0, step_size=4.0),
    }
    assert found["experts_4"].finished.table("metrics")["status"].tolist() == ["converged"] * 2
    return found


def test_a_trajectory_ends_at_the_stop_or_at_the_limit(runs: dict[str, NamedRun]) -> None:
    for name in ("experts_4", "experts_8"):
        metrics = runs[name].finished.table("metrics")
        for position, row in metrics.iterrows():
            path = trajectory(runs[name], int(str(position)))
            assert path.epochs[0] == 0
            assert path.epochs[-1] == row["epochs"]
            assert (np.diff(path.epochs) > 0).all()
            assert path.proportions_SEN.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_the_stop_of_a_trajectory_has_the_error_of_the_metrics(runs: dict[str, NamedRun]) -> None:
    metrics = runs["experts_4"].finished.table("metrics")
    path = trajectory(runs["experts_4"])
    assert path.live_SE[-1].sum() == metrics["live_experts"][0]


def test_figure_2_follows_the_first_seed_from_the_start_to_the_stop(
    runs: dict[str, NamedRun],
) -> None:
    figure, drawing = figure2(runs["experts_4"])
    stop = int(runs["experts_4"].finished.table("metrics")["epochs"][0])
    assert figure.frames[0].label == "epoch 0"
    assert figure.frames[-1].label == f"epoch {stop} (stop)"
    assert figure.base_svg is not None
    assert {view_box(frame.svg) for frame in figure.frames} == {view_box(figure.base_svg)}
    assert "seed 0, the first one" in figure.caption
    assert drawing.axes


def test_the_gate_that_forms_has_a_frame_for_each_state_and_rests_at_the_stop(
    runs: dict[str, NamedRun],
) -> None:
    run = runs["experts_4"]
    moving = Image.open(BytesIO(moving_gate(run)))
    num_states = len(drawn.frame_positions(len(trajectory(run).epochs)))
    pauses = []
    for place in range(getattr(moving, "n_frames", 1)):
        moving.seek(place)
        pauses.append(moving.info["duration"])
    assert len(pauses) == num_states > 1
    # The reader has time to look at what was learnt before it begins again.
    assert pauses[-1] > 10 * max(pauses[:-1])


def test_a_moving_picture_without_its_run_names_the_fix(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make reproduce-vowel"):
        finished_run(str(tmp_path))


def test_a_run_that_never_stopped_is_not_said_to_have(runs: dict[str, NamedRun]) -> None:
    figure, _ = figure2(runs["experts_8"])
    assert figure.frames[-1].label == "epoch 120"


def test_figure_3_needs_only_the_line_x(runs: dict[str, NamedRun]) -> None:
    figure, drawing = figure3(runs["experts_8"], {"line_X": runs["line_X"]})
    assert len(drawing.axes) == 3
    assert len(figure.provenance) == 2


def test_an_expert_with_several_outputs_has_no_line(folder: Path) -> None:
    run = run_of("experts_4", folder, coding=Coding.two_bits, max_epochs=10)
    assert not has_lines(run)


def test_every_figure_is_drawn_from_the_runs_that_are_there(runs: dict[str, NamedRun]) -> None:
    for picture in (steps(runs, CLAIMS), seeds(runs, CLAIMS), training(runs)):
        assert picture is not None
        figure, _ = picture
        assert figure.base_svg is not None
        assert {record["run"] for record in figure.provenance} == {"experts_4", "experts_8"}


def test_figures_without_their_runs_are_left_out(runs: dict[str, NamedRun]) -> None:
    assert steps({"line_X": runs["line_X"]}, CLAIMS) is None
    assert seeds({}, CLAIMS) is None
    assert training({}) is None
    # One cost alone is no comparison.
    assert costs(runs) is None
