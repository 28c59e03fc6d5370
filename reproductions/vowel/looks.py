"""How vowels and experts look in every figure of the study."""

from functools import cache

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

from reproductions.drawing import COLOURS, INK

IPA = {"iy": "i", "ih": "ɪ", "aa": "ɑ", "ah": "ʌ"}
# A colour for each of the experts that are in use at the stop, in the order of their numbers.
EXPERT_COLOURS = (
    COLOURS["blue"],
    COLOURS["vermillion"],
    COLOURS["green"],
    COLOURS["purple"],
    COLOURS["orange"],
    COLOURS["sky"],
)
UNUSED_ALPHA = 0.35
_FONT = FontProperties(family="DejaVu Sans", weight="bold")


def vowel_symbol(vowel: str) -> str:
    """The vowel's sign in the International Phonetic Alphabet, or its name."""
    return IPA.get(vowel, vowel)


@cache
def vowel_marker(vowel: str) -> Path:
    """The vowel's sign as a marker: an outline, so that no reader's font can change it."""
    sign = TextPath((0, 0), vowel_symbol(vowel), size=1, prop=_FONT)
    extents = sign.get_extents()
    middle = np.array([extents.x0 + extents.x1, extents.y0 + extents.y1]) / 2
    return Path(np.asarray(sign.vertices) - middle, sign.codes)


def expert_colours(live_E: NDArray[np.bool_]) -> list[str]:
    """A colour per expert: INK for those that are not in use at the stop."""
    colours = [INK] * len(live_E)
    for position, expert in enumerate(np.flatnonzero(live_E)):
        colours[expert] = EXPERT_COLOURS[position % len(EXPERT_COLOURS)]
    return colours


def frame_positions(num_snapshots: int, num_frames: int = 40) -> list[int]:
    """Which snapshots a slider shows: the first, the last, and ever wider apart between."""
    if num_snapshots <= num_frames:
        return list(range(num_snapshots))
    # Early positions coincide when rounded, so more are asked for than come out.
    for asked in range(num_frames, 4 * num_frames):
        spaced = np.geomspace(1, num_snapshots - 1, asked - 1).round().astype(int)
        positions = [0, *np.unique(spaced).tolist()]
        if len(positions) >= num_frames:
            break
    return positions


def listed(experts: NDArray[np.int64]) -> str:
    """Numbers of experts, counted from 1, in words."""
    names = [str(number + 1) for number in experts.tolist()]
    if not names:
        return "none"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
