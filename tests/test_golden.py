"""Same settings and seed, same results: today's code against the golden ones.

On the processor and with the libraries that made the golden results (tests/golden_results/
made_on.csv) every number and every array must be equal, bit for bit. Elsewhere sums are rounded in
another order, which training amplifies. There the first rows of the curves, before that has grown,
must agree to TOLERANCE, and all tables must have the same shape.
"""

from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from tests import golden

# Of a relative difference, and of an absolute one for what is close to zero. Measured on one
# machine between AVX2 and plain instructions (ATEN_CPU_CAPABILITY=default,
# MKL_CBWR=COMPATIBLE): at most 2e-6 over these rows, and 0.5 at the end of a training.
TOLERANCE = 1e-4
FIRST_ROWS = 3


def same_machine() -> bool:
    """Whether this machine rounds as the one that made the golden results."""
    made_on = pd.read_csv(golden.MADE_ON, dtype=str).iloc[0].to_dict()
    return made_on == golden.machine()


def as_kept(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame as it comes back from a file."""
    text = StringIO(frame.to_csv(index=False))
    return pd.read_csv(text, keep_default_na=False, na_values=[""], engine="python")


def first_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The first rows of each run and seed, numbers only."""
    keys = [key for key in ("run", "seed") if key in frame]
    return frame.groupby(keys).head(FIRST_ROWS).select_dtypes("number")


@pytest.mark.parametrize("case", golden.CASES)
def test_results_are_the_golden_ones(case: str, tmp_path: Path) -> None:
    wanted = golden.kept(case)
    found = {name: as_kept(frame) for name, frame in golden.computed(case, tmp_path).items()}
    assert wanted, f"no golden results of {case}"
    assert found.keys() == wanted.keys()
    for table, frame in wanted.items():
        assert len(found[table]) == len(frame), table
        if same_machine():
            pd.testing.assert_frame_equal(
                found[table][list(frame)], frame, check_exact=True, obj=f"{case}.{table}"
            )
        elif table == "curves":
            pd.testing.assert_frame_equal(
                first_rows(found[table][list(frame)]),
                first_rows(frame),
                rtol=TOLERANCE,
                atol=TOLERANCE,
                obj=f"{case}.{table}",
            )


def test_every_table_that_is_kept_belongs_to_a_case() -> None:
    names = {file.name.partition(".")[0] for file in golden.FOLDER.glob("*.csv")}
    assert names == {*golden.CASES, golden.MADE_ON.stem}
