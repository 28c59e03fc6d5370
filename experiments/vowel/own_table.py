"""Recordings of your own in the place of Peterson and Barney's: `study.table=my.csv`.

The file is UTF-8 text with a header line; columns are separated by commas, or by tabs where its
name ends with .tsv. One row is one recording:

    Speaker,Vowel,F1,F2
    anna,iy,270,2290

`Speaker` is any name: training and test speakers are told apart by it, and the first ones of the
file train. `Vowel` is one of `experiments.vowel.settings.ALL_VOWELS`. `F1` and `F2` are the first
two formants in Hz. Other columns are not read.
"""

import csv
import hashlib
import io
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from experiments.runner.errors import UserError
from experiments.runner.storage import storage_errors
from experiments.vowel.settings import ALL_VOWELS, VowelDataConfig

COLUMNS = ["Speaker", "Vowel", "F1", "F2"]
# No voice has a lower first formant; in kHz every number would be below it.
_LEAST_HZ = 50.0
_HEADER = f"Its first line must name the columns {', '.join(COLUMNS)}."


def checksum(path: str) -> str:
    """SHA-256 of the file.

    Raises:
        UserError: it is not there, or cannot be read.
    """
    return hashlib.sha256(_content(path)).hexdigest()


def _content(path: str) -> bytes:
    if not Path(path).is_file():
        raise UserError(
            f"study.table={path} is no file.",
            f"Name a CSV file with the columns {', '.join(COLUMNS)}.",
        )
    with storage_errors(Path(path)):
        return Path(path).read_bytes()


def num_lines(path: str) -> int:
    """At most so many recordings are in the file; raises as `checksum`."""
    return _content(path).count(b"\n") + 1


def read(config: VowelDataConfig) -> tuple[pd.DataFrame, str]:
    """The recordings of the config's vowels, and the file's checksum.

    Returns:
        Speaker (1, 2, ... in the order of the file), Vowel, F1 and F2 in Hz; one row each.

    Raises:
        UserError: the file lacks columns, vowels or speakers, or has values that cannot be used;
            names the line.
    """
    assert config.table is not None
    content = _content(config.table)
    table = _parsed(config.table, content)
    _check_cells(config.table, table)
    table = table[table["Vowel"].isin(config.vowels)].reset_index(drop=True)
    table["Speaker"] = pd.factorize(table["Speaker"])[0] + 1
    _check_speakers(config, table)
    return table, hashlib.sha256(content).hexdigest()


def _parsed(path: str, content: bytes) -> pd.DataFrame:
    separator = "\t" if path.endswith(".tsv") else ","
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig")), delimiter=separator))
    except (ValueError, csv.Error) as error:
        raise UserError(f"study.table={path} cannot be read: {error}.", _HEADER) from error
    names = [name.strip() for name in lines[0]] if lines else []
    missing = [column for column in COLUMNS if column not in names]
    if missing:
        has = f"it has {', '.join(names)}" if names else "it is empty"
        raise UserError(f"study.table={path} has no column {missing[0]}; {has}.", _HEADER)
    for row, line in enumerate(lines[1:]):
        if len(line) != len(names):
            reason = f"has {len(line)} cells, and the header {len(names)}"
            raise _at(path, row, reason, "Give every line a cell for each column.")
    table = pd.DataFrame(lines[1:], columns=names)
    return pd.DataFrame({name: table[name].str.strip() for name in COLUMNS})


def _check_cells(path: str, table: pd.DataFrame) -> None:
    """Turn formants into numbers in place, and refuse the first cell that cannot be used."""
    for column in COLUMNS:
        empty = table[column] == ""
        if empty.any():
            raise _at(path, _first(empty), f"has no {column}", "Fill it in, or take it out.")
    unknown = ~table["Vowel"].isin(ALL_VOWELS)
    if unknown.any():
        row = _first(unknown)
        vowel = table["Vowel"][row]
        near = get_close_matches(vowel.lower(), ALL_VOWELS, n=1, cutoff=0.5)
        guess = f" Did you mean {near[0]}?" if near else ""
        fix = f"Write one of {', '.join(ALL_VOWELS)}.{guess}"
        raise _at(path, row, f"has the vowel {vowel}, which is unknown", fix)
    for column in ("F1", "F2"):
        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = ~(numbers >= _LEAST_HZ) | (numbers == float("inf"))
        if wrong.any():
            row = _first(wrong)
            reason = f"has {column}={table[column][row]}"
            fix = f"Formants are numbers in Hz, of at least {_LEAST_HZ:g}."
            raise _at(path, row, reason, fix)
        table[column] = numbers


def _first(found: "pd.Series[bool]") -> int:
    """The first row for which something holds."""
    return int(found.to_numpy().argmax())


def _at(path: str, row: int, reason: str, fix: str) -> UserError:
    # The header is line 1.
    return UserError(f"study.table={path}: line {row + 2} {reason}.", fix)


def _check_speakers(config: VowelDataConfig, table: pd.DataFrame) -> None:
    num_speakers = table["Speaker"].nunique()
    if num_speakers < 2:
        raise UserError(
            f"study.table={config.table} has {num_speakers} speakers of study.vowels="
            f"[{','.join(config.vowels)}].",
            "Two are the least: one to train on, and one to test with.",
        )
    if config.num_train_speakers >= num_speakers:
        raise UserError(
            f"study.num_train_speakers={config.num_train_speakers} leaves no test speaker of the "
            f"{num_speakers} in study.table={config.table}.",
            f"Take at most study.num_train_speakers={num_speakers - 1}.",
        )


def check_sets(config: VowelDataConfig, train: pd.DataFrame, test: pd.DataFrame) -> None:
    """Refuse a split in which a vowel is not trained, or not tested; raises UserError."""
    for name, part in (("training", train), ("test", test)):
        missing = [vowel for vowel in config.vowels if vowel not in set(part["Vowel"])]
        if missing:
            raise UserError(
                f"No {name} speaker of study.table={config.table} says {', '.join(missing)}.",
                "Change study.num_train_speakers or study.vowels, or add recordings.",
            )
