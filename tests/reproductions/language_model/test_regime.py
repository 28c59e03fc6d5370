"""The regime map: runs pair by their settings, and a line's lowest point is where it turns."""

from pathlib import Path
from typing import Any

import pytest

from experiments.language_model.settings import Block, Gate, LanguageModelConfig
from reproductions.language_model.regime import (
    PUBLISHED,
    own_lines,
    published_points,
    regime_map,
    turns_table,
)
from reproductions.runs import NamedRun
from tests.reproductions.language_model.test_evidence import run_of


class Finished:
    """A finished run with perplexities alone."""

    def __init__(self, name: str, perplexity: tuple[float, ...]) -> None:
        self.path = Path(name)
        self.manifest: dict[str, Any] = {"digest": name}
        self.config: dict[str, Any] = {}
        self.tables = run_of(name, *perplexity)

    def table(self, name: str) -> Any:
        return self.tables.table(name)


def named(name: str, *perplexity: float, **settings: Any) -> NamedRun:
    study = LanguageModelConfig(**settings)
    return NamedRun(name, study, Finished(name, perplexity))  # type: ignore[arg-type]


MANY = {"num_experts": 2048, "gate": Gate.hierarchical, "num_groups": 64}
# The names say nothing: only settings may pair runs.
RUNS = {
    run.name: run
    for run in (
        named("a", 40, 42, block=Block.wide),
        named("b", 36, 37.8, num_experts=32),
        named("c", 30, 31.5, **MANY),
        named("d", 35, 36, num_experts=4096, gate=Gate.hierarchical, num_groups=64),
        named("e", 40, 42, block=Block.wide, num_streams=32, max_steps=4000),
        named("f", 38, 39.9, num_streams=32, max_steps=4000, **MANY),
        named("g", 30, 31, block=Block.wide, max_steps=3000),
        named("h", 18, 18.6, max_steps=3000, **MANY),
        # No partner, another gate, and a block that is none of the paper's: none of these counts.
        named("i", 1, 1, num_streams=512, max_steps=250, **MANY),
        named("j", 1, 1, **{**MANY, "gate": Gate.hash_word}),
        named("k", 1, 1, sigmoid=False, **MANY),
        named("l", 1, 1, num_experts=256, importance_weight=0.0),
    )
}


def test_runs_pair_by_their_settings() -> None:
    lines = own_lines(RUNS)
    assert list(lines) == [
        "ours, by number of experts",
        "ours, 2,048 experts, by words in a step",
        "ours, 2,048 experts, by length of training",
    ]
    by_size, by_step, by_length = lines.values()
    assert [point.num_experts for point in by_size] == [32, 2048, 4096]
    assert [point.per_step for point in by_size] == [512, 8, 4]
    assert [point.ratio for point in by_step] == pytest.approx([0.75, 0.95])
    assert [point.per_step for point in by_step] == [8, 2]
    assert [point.ratio for point in by_length] == pytest.approx([0.6, 0.75])
    assert by_length[0].per_weight == 3 * by_length[1].per_weight
    # Both trainings have the same ratio, so the interval has no width.
    assert by_step[1].interval == pytest.approx((0.95, 0.95))


def test_published_points_have_the_papers_words_per_expert() -> None:
    table_7, tenth, whole = map(published_points, PUBLISHED)
    assert [round(point.per_step) for point in table_7] == [300_000, 37_500, 4_688, 1_172, 293]
    assert table_7[-1].per_weight == pytest.approx(7.7, rel=0.03)
    assert (round(tenth[-1].per_step), round(tenth[-1].per_weight, 2)) == (76, 0.29)
    assert whole[-1].per_weight == pytest.approx(2.9, rel=0.01)


def test_a_line_turns_after_its_lowest_point() -> None:
    table = turns_table(RUNS).set_index("line")
    ours = table.loc["ours, by number of experts"]
    assert ours["lowest with"] == "2,048 experts"
    assert "with 4,096 experts, 4 words a step" in ours["next, fewer words"]
    # Two of the paper's sizes are equally good: the turn comes after the larger one.
    tenth = table.loc["published, Table 8, 10 billion words"]
    assert tenth["lowest with"] == "65,536 experts"
    assert table.loc["published, Table 7"]["next, fewer words"] == "none: no turn seen"


def test_the_map_names_every_line_and_is_left_out_without_runs() -> None:
    picture = regime_map(RUNS)
    assert picture is not None
    figure, _ = picture
    assert figure.base_svg is not None
    for words in [*own_lines(RUNS), *(line.words for line in PUBLISHED)]:
        assert words in figure.base_svg
    assert regime_map({"a": RUNS["a"]}) is None
    assert turns_table({"a": RUNS["a"]}).empty
