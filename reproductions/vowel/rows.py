"""What the runs of suite=vowel are called: rows of Table 1, costs and reference lines."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One row of Table 1: its run, its label, the end of its claims' ids, and how it is drawn."""

    run: str
    label: str
    suffix: str
    colour: str
    marker: str

    @property
    def tuned_run(self) -> str:
        """The same system with a step tuned towards the published epochs."""
        return f"tuned_{self.run}"


TABLE_1 = (
    Row("experts_4", "4 experts", "4-experts", "blue", "o"),
    Row("experts_8", "8 experts", "8-experts", "sky", "s"),
    Row("backprop_6", "BP, 6 hidden units", "backprop-6", "vermillion", "^"),
    Row("backprop_12", "BP, 12 hidden units", "backprop-12", "orange", "D"),
)

# Rivals of about the same number of parameters.
PAIRS = (("experts_4", "backprop_6", "4-6"), ("experts_8", "backprop_12", "8-12"))

COSTS = (
    ("experts", "equation 1.3 (likelihood)"),
    ("expected_error", "equation 1.2 (expected error)"),
    ("blend_error", "equation 1.1 (error of the blend)"),
)
LINES = {"line_X": "X", "line_T0": "T0", "line_T1": "T1"}
