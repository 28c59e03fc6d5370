"""Laws of the house style: marks can be seen on the page, and legends name each thing once."""

import pytest
from matplotlib.figure import Figure

from reproductions.drawing import COLOURS, figure_style, key_line, key_mark, legend_below
from reproductions.vowel.figure2 import _BIT_COLOURS, EXPERT_COLOURS

# The page's own background, light and dark: see templates/study.css.
LIGHT, DARK = "#fcfbf8", "#15171b"


def luminance(colour: str) -> float:
    """Relative luminance of a colour, by WCAG 2.1."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours, by WCAG 2.1."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def tinted(page: str, colour: str, share: float) -> str:
    """A page's background under a transparent layer of a colour."""
    pairs = [(int(page[i : i + 2], 16), int(colour[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round((1 - share) * low + share * top):02x}" for low, top in pairs)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("page", [LIGHT, DARK])
@pytest.mark.parametrize("colour", COLOURS.values())
def test_marks_can_be_seen_on_light_and_dark_pages(colour: str, page: str) -> None:
    assert contrast(colour, page) >= 3


@pytest.mark.parametrize("page", [LIGHT, DARK])
@pytest.mark.parametrize("expert", EXPERT_COLOURS[:3])
def test_vowels_can_be_seen_on_the_tint_of_an_expert(expert: str, page: str) -> None:
    # The tint of a gate that is certain.
    assert contrast(_BIT_COLOURS[0], tinted(page, expert, 0.2)) >= 3


def test_a_legend_names_each_thing_once_and_in_order() -> None:
    with figure_style():
        figure = Figure()
        legend_below(figure, [key_mark("seed", "o"), key_line("mean"), key_mark("seed", "x")])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["seed", "mean"]


def test_a_legend_never_is_wider_than_its_figure() -> None:
    entries = [key_line(f"line {n}, which needs a long sentence") for n in range(3)]
    with figure_style():
        figure = Figure(figsize=(6, 3), layout="constrained")
        legend_below(figure, entries, num_columns=3)
        figure.draw_without_rendering()
    (legend,) = figure.legends
    assert legend.get_window_extent().width <= figure.bbox.width
