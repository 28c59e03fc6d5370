"""Golden results: what today's code must still compute, down to the last bit.

`python -m tests.golden` computes every case again and writes it into tests/golden_results/. Do so
only for a change that is meant to alter results, and give the reason in the commit.

Each case is a handful of runs: the smoke suites as `make smoke` runs them, and one seed of each
study at its full size. Of every run the tables are kept as they are, and of its arrays the
checksums.
"""

import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch

from experiments.compose import composed, typed
from experiments.execute import execute
from experiments.run_folder import FinishedRun, read_finished
from experiments.runner.provenance import cpu_model
from experiments.suite import suite_runs

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "tests" / "golden_results"
MADE_ON = FOLDER / "made_on.csv"
ARRAYS = "arrays"
# Seconds, and what is text of a corpus, are no results.
_LEFT_OUT = {"seconds", "core_seconds", "tokens_per_second"}
_TABLES = ("metrics", "curves", "evaluations", "specialisation", "start", "references")

Runs = dict[str, Any]


def _smoke(study: str) -> Runs:
    """The runs of a smoke suite, as `make smoke` trains them."""
    return suite_runs([f"suite={study}_smoke"])[1]


def _full(study: str, common: dict[str, object], **runs: dict[str, object]) -> Runs:
    """Runs of a study by name, from what all have and from what each has."""
    return {name: _study(study, {**common, **own}) for name, own in runs.items()}


def _study(study: str, settings: dict[str, object]) -> Any:
    overrides = [f"study.{key}={value}" for key, value in settings.items()]
    return typed(composed([f"study={study}", *overrides])).study


def _vowel() -> Runs:
    return _full(
        "vowel",
        {"num_seeds": 1, "step_size": 22.6},
        experts_4={},
        experts_8={"num_experts": 8},
        explored={"step_size": "null", "num_exploration_seeds": 1, "exploration_epochs": 500},
        backprop_6={"system": "backprop"},
        blend_error={"step_size": 8, "cost": "blend_error"},
        expected_error={"step_size": 8, "cost": "expected_error"},
    )


def _clusters() -> Runs:
    one = {"num_seeds": 1}
    written = _full("clusters", one, cubic={}, linear={"activation": "linear"})
    return written | _full("clusters_coded", one, coded={"max_steps": 60})


_SMALL_TEXT = {
    "max_train_pairs": 3000,
    "num_subwords": 1000,
    "width": 32,
    "num_units": 64,
    "expert_units": 32,
    "attention_units": 32,
    "num_translated": 8,
    "beam_width": 2,
    "num_threads": 1,
    "tokens_per_batch": 1024,
    "max_steps": 30,
    "valid_share": 0.005,
    "test_share": 0.005,
}


def _translation() -> Runs:
    return _full(
        "translation",
        _SMALL_TEXT,
        wide={"num_experts": 1, "k": 1, "expert_units": 128},
        experts_64={"num_experts": 64},
        hierarchical={"num_experts": 64, "gate": "hierarchical"},
    )


def _starts() -> Runs:
    """The questions' studies, which begin elsewhere, at toy sizes."""
    common = {
        "gate_start": "collapsed",
        "references": "true",
        "expert_noise": 0.1,
        "num_seeds": 2,
    }
    examples = {"num_train": 400, "num_test": 400, "max_steps": 20}
    text = {**_SMALL_TEXT, "num_seeds": 1, "max_steps": 8, "collapse_at": 4, "measure_every": 4}
    return {
        **_full("vowel_start", common, vowel={"max_epochs": 200}),
        **_full("clusters_start", common, clusters=examples),
        **_full("translation_start", common, translation=text),
    }


CASES: dict[str, Callable[[], Runs]] = {
    "vowel_smoke": lambda: _smoke("vowel"),
    "clusters_smoke": lambda: _smoke("clusters"),
    "translation_smoke": lambda: _smoke("translation"),
    "vowel": _vowel,
    "clusters": _clusters,
    "translation": _translation,
    "starts": _starts,
}


def _features() -> str:
    """A checksum of what the processor can do, by which compilers choose instructions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    features = {line for line in lines if line.startswith(("flags", "Features"))}
    return sha256("".join(sorted(features)).encode()).hexdigest()[:8]


def machine() -> dict[str, str]:
    """All of a machine that decides bits: results are compared bit for bit where it is equal."""
    return {
        "processor": cpu_model(),
        "features": _features(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__.partition("+")[0],
        "numpy": np.__version__,
    }


def computed(case: str, runs_dir: Path) -> dict[str, pd.DataFrame]:
    """The tables of a case by name, with a column `run`, and the checksums of its arrays."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for name, study in CASES[case]().items():
        finished = read_finished(execute(study, str(runs_dir)).path)
        for table, frame in _tables(finished):
            frame.insert(0, "run", name)
            tables.setdefault(table, []).append(frame)
    return {name: pd.concat(frames, ignore_index=True) for name, frames in tables.items()}


def _tables(finished: FinishedRun) -> Iterator[tuple[str, pd.DataFrame]]:
    files = finished.manifest["files"]
    for name in _TABLES:
        if f"{name}.csv" in files:
            frame = finished.table(name)
            yield name, frame.drop(columns=[item for item in frame if item in _LEFT_OUT])
    sums = [
        {"file": file, "array": name, "sha256": sha256(np.ascontiguousarray(array)).hexdigest()}
        for file in sorted(files)
        if file.endswith(".npz") and file != "subwords.npz"
        for name, array in finished.arrays(file).items()
        if array.dtype.kind in "fiub"
    ]
    yield ARRAYS, pd.DataFrame(sums, columns=["file", "array", "sha256"])


def path_of(case: str, table: str) -> Path:
    """Where a table of a case is kept."""
    return FOLDER / f"{case}.{table}.csv"


def kept(case: str) -> dict[str, pd.DataFrame]:
    """The golden tables of a case."""
    files = sorted(FOLDER.glob(f"{case}.*.csv"))
    return {
        file.stem.partition(".")[2]: pd.read_csv(
            file, keep_default_na=False, na_values=[""], engine="python"
        )
        for file in files
    }


def main() -> None:
    """Write every case, or those that the command line names."""
    FOLDER.mkdir(exist_ok=True)
    pd.DataFrame([machine()]).to_csv(MADE_ON, index=False)
    for case in sys.argv[1:] or CASES:
        for old in FOLDER.glob(f"{case}.*.csv"):
            old.unlink()
        with TemporaryDirectory() as folder:
            for table, frame in computed(case, Path(folder)).items():
                frame.to_csv(path_of(case, table), index=False, lineterminator="\n")
        print(f"written: {case}")


if __name__ == "__main__":
    main()
