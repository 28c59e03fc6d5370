"""The translation study's evidence: on runs in which a claim holds, and in which it fails."""

from reproductions.translation.evidence import FORMS
from reproductions.verdicts.evidence import OrderEvidence
from tests.reproductions.evidence_cases import Synthetic, counted


def loads(name: str, *late: float) -> Synthetic:
    """A run with uneven loads in the first half of training, and these after it."""
    half = len(late)
    values = [9.0] * half + list(late)
    steps = [100 * place for place in range(1, 2 * half + 1)]
    return Synthetic(name, {"curves": {"step": steps, "encoder_max_over_mean_load": values}})


def experts(**columns: list[float]) -> Synthetic:
    """A run of four experts, of which the last has too few assignments to be judged."""
    return Synthetic(tables={"experts": {"num_assignments": [20, 30, 500, 19], **columns}})


def test_loads_are_counted_in_the_second_half_up_to_the_limit() -> None:
    run = loads("run", 1.5, 2.0, 2.5)
    assert counted(FORMS["largest_load_within"](run, times_mean=2)) == (2, 3)


def test_loads_without_losses_come_first() -> None:
    found = FORMS["larger_largest_load"](loads("without", 4.0, 5.0), loads("with", 1.0, 2.0))
    assert found == OrderEvidence((4.0, 5.0), (1.0, 2.0), ("without", "with"), paired=True)


def test_less_varied_is_below_the_entropy_of_chance_and_equal_is_not() -> None:
    run = experts(
        piece_entropy=[1.0, 2.0, 3.0, 0.0],
        piece_entropy_chance=[2.0, 2.0, 2.0, 2.0],
        domain_entropy=[1.0, 1.0, 1.0, 9.0],
        domain_entropy_chance=[2.0, 2.0, 2.0, 2.0],
    )
    assert counted(FORMS["less_varied_than_chance"](run, of="piece")) == (1, 3)
    assert counted(FORMS["less_varied_than_chance"](run, of="domain")) == (3, 3)


def test_one_word_is_at_least_its_share_of_experts_with_enough_assignments() -> None:
    run = experts(top_piece_share=[0.9, 0.95, 0.5, 1.0])
    assert counted(FORMS["one_word"](run, share=0.9)) == (2, 3)
