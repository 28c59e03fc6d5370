"""The paper's claims as data: reads and checks a study's ``claims.yaml``.

The file is a list, written before the results are known. Every entry says what the paper
claims, where, and what would count as seeing it again:

    - id: epochs-four-experts
      sentence: Four experts reach the criterion after 1,124 epochs on average.
      place: Table 1
      source: printed
      kind: value
      published: {value: 1124, spread: 23, spread_is: standard deviation, n: 25, unit: epochs}
      margin: 60
      rule: vowel-mean
      evidence: {value: {runs: [experts_4], column: epochs}}
"""

import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from experiments.runner.errors import UserError
from reproductions.verdicts.rules import rules

Kind = Literal["value", "order", "rate", "shape"]
Direction = Literal["lower", "higher"]
# What a claim goes back to; see `verdicts.sources` for what each means.
Source = Literal["printed", "sentence", "notebook", "implied", "ours"]
Asked = Literal["better", "no worse", "equal"]
MarginIs = Literal["difference", "ratio"]
_Entry = Mapping[str, Any]

# What has to be there by kind of claim. A margin names the rule that it follows, and rules are
# committed before the runs, so that no margin can be chosen from results.
_COMMON = ("id", "sentence", "place", "source", "kind")
_NEEDED: dict[str, tuple[str, ...]] = {
    "value": ("published", "margin", "rule"),
    "order": ("better",),
    "rate": ("at_least", "rule"),
    "shape": ("at_least", "rule"),
}
_OPTIONAL: dict[str, tuple[str, ...]] = {
    "value": ("question", "evidence", "margin_reason", "not_run_here"),
    "order": (
        *("question", "evidence", "published", "sample"),
        *("asks", "margin", "margin_is", "margin_reason", "rule", "not_run_here"),
    ),
    "rate": ("question", "evidence", "published", "margin_reason", "sample", "not_run_here"),
    "shape": ("question", "evidence", "margin_reason", "sample", "not_run_here"),
}
_PUBLISHED_NEEDED = ("value",)
_PUBLISHED_OPTIONAL = ("spread", "spread_is", "n", "unit", "bounds")
# What is counted, where it comes from one training: it says nothing of another one.
ONE_TRAINING = frozenset({"test sentences", "points of training", "experts"})


@dataclass(frozen=True)
class Published:
    """A number as the paper prints it; ``spread_is`` names what its ± means.

    ``bounds`` are the least and the greatest value that the measure can have; 0 and 100 for %.
    """

    value: float
    spread: float | None = None
    spread_is: str | None = None
    n: int | None = None
    unit: str | None = None
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Recipe:
    """How a claim's evidence is read: a form of `verdicts.evidence`, its runs and its options."""

    form: str
    runs: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """One statement of the paper and what would count as seeing it again.

    value: ours must lie within ``margin`` of ``published.value``.
    order: the first variant is ``better`` ("lower" or "higher") than the second. With a margin
    it ``asks`` that the first is "better" by more than it, "no worse" by more than it, or "equal"
    within it; ``margin_is`` a "difference" in the column's unit or a "ratio" above 1.
    rate, shape: at least the share ``at_least`` of the seeds must show it.
    ``source`` says what it goes back to: a number that the paper prints, a sentence or figure,
    the authors' notebooks, other claims on the same runs, or us.
    ``not_run_here`` gives the reason why no run speaks about it, in the place of evidence.
    ``question`` numbers the research question that the claim belongs to. ``sample`` says what is
    counted, where it is not seeds. ``evidence`` says how runs are read for it. ``rule`` names the
    rule of rules.yaml that its margin or its share follows.
    """

    id: str
    sentence: str
    place: str
    kind: Kind
    published: Published | None = None
    margin: float | None = None
    margin_reason: str | None = None
    better: Direction | None = None
    at_least: float | None = None
    question: int | None = None
    sample: str = "seeds"
    evidence: Recipe | None = None
    asks: Asked = "better"
    margin_is: MarginIs | None = None
    source: Source = "ours"
    rule: str | None = None
    not_run_here: str | None = None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The least and the greatest value that a claim's measure, or its difference, can have."""
        if self.kind == "order":
            return rules()[self.rule].bounds if self.rule else None
        if self.published is None:
            return None
        return self.published.bounds or ((0.0, 100.0) if self.published.unit == "%" else None)


def load_claims(path: Path) -> tuple[Claim, ...]:
    """Reads the claims of one study, in the order of the file.

    Raises UserError, naming the file and the entry, for a file that cannot be read, a key that
    is unknown or missing, a value of the wrong type, and an id that occurs twice.
    """
    entries = _read_list(path)
    claims = tuple(_claim(entry, path.name, place) for place, entry in enumerate(entries, start=1))
    ids = [claim.id for claim in claims]
    for repeated in (name for name in ids if ids.count(name) > 1):
        raise UserError(
            f"{path.name} has more than one claim with the id '{repeated}'.",
            "Give every claim an id of its own.",
        )
    return claims


def _read_list(path: Path) -> list[object]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"The claims file {path} cannot be read: {error.strerror}.",
            "Check that the file exists and that you may read it.",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is not valid YAML: {' '.join(str(error).split())}.",
            "Correct the line that the message names.",
        ) from error
    if not isinstance(data, list) or not data:
        raise UserError(
            f"{path} does not hold a list of claims.",
            "Start every claim with a dash, as in '- id: first-claim'.",
        )
    return data


def _claim(entry: object, file: str, position: int) -> Claim:
    where = f"{file}, claim {position}"
    if not isinstance(entry, Mapping):
        raise UserError(
            f"{where} is not a mapping of keys to values.",
            "Write it as '- id: ...' with its other keys indented below.",
        )
    if isinstance(entry.get("id"), str):
        where = f"{file}, claim '{entry['id']}'"
    kind = _kind(entry, "kind", where)
    _check_keys(entry, _COMMON + _NEEDED[kind], _OPTIONAL[kind], where)
    if kind == "order":
        _check_margin(entry, where)
    if kind == "value":
        _positive(entry, "margin", where)
    return Claim(**{key: _READERS[key](entry, key, where) for key in entry})


def _check_margin(entry: _Entry, where: str) -> None:
    """Check that an order's margin is whole: its size, what it is of, and its reason."""
    keys = ("margin", "margin_is", "rule")
    needs_margin = entry.get("asks", "better") != "better" or any(key in entry for key in keys)
    for key in keys:
        if needs_margin and key not in entry:
            raise UserError(
                f"{where} lacks the key '{key}'.",
                "An order with a margin needs 'margin', 'margin_is' and 'rule'.",
            )
    if not needs_margin:
        return
    margin, is_ratio = _number(entry, "margin", where), entry["margin_is"] == "ratio"
    none = 1 if is_ratio else 0
    # No margin at all asks that the first is better at all, and nothing else.
    if margin < none or (margin == none and entry.get("asks", "better") != "better"):
        size = "a ratio above 1, such as 1.05 for five percent" if is_ratio else "above 0"
        raise _wrong(entry, "margin", where, size)


def _recipe(claim: _Entry, key: str, where: str) -> Recipe:
    where, entry = f"{where}, {key}", claim[key]
    is_single = isinstance(entry, Mapping) and len(entry) == 1
    form, options = next(iter(entry.items())) if is_single else ("", {})
    options = options if isinstance(options, Mapping) else {}
    runs = options.get("runs")
    if not runs or not isinstance(runs, list) or not all(isinstance(name, str) for name in runs):
        raise UserError(
            f"{where} does not name one form with the runs that it reads.",
            "Write it as 'evidence: {order: {runs: [first, second], column: test_accuracy}}'.",
        )
    return Recipe(str(form), tuple(runs), {key: options[key] for key in options if key != "runs"})


def _published(claim: _Entry, key: str, where: str) -> Published:
    where, entry = f"{where}, {key}", claim[key]
    if not isinstance(entry, Mapping):
        raise UserError(
            f"{where} is not a mapping of keys to values.",
            "Write it as 'published: {value: 1124, unit: epochs}'.",
        )
    _check_keys(entry, _PUBLISHED_NEEDED, _PUBLISHED_OPTIONAL, where)
    if ("spread" in entry) != ("spread_is" in entry):
        raise UserError(
            f"{where} must have both 'spread' and 'spread_is', or neither.",
            "Say what the published ± means, such as 'spread_is: standard deviation'.",
        )
    return Published(**{name: _READERS[name](entry, name, where) for name in entry})


def _check_keys(
    entry: _Entry, needed: Collection[str], optional: Collection[str], where: str
) -> None:
    known = [*needed, *optional]
    for key in entry:
        if key not in known:
            raise UserError(f"{where} has the unknown key '{key}'.", nearest(str(key), known))
    for key in needed:
        if key not in entry:
            raise UserError(f"{where} lacks the key '{key}'.", f"Add a line '{key}: ...'.")


def nearest(word: str, known: Collection[str]) -> str:
    """Advice after an unknown word: the known one that is like it, and all that are known."""
    close = difflib.get_close_matches(word, known, n=1)
    guess = f"Did you mean '{close[0]}'? " if close else ""
    return f"{guess}Allowed here: {', '.join(known)}."


def _wrong(entry: _Entry, key: str, where: str, wanted: str) -> UserError:
    return UserError(
        f"{where} has {key}: {entry.get(key)!r}, which is not {wanted}.",
        f"Set '{key}' to {wanted}.",
    )


def _one_of(entry: _Entry, key: str, choices: Collection[str], where: str) -> str:
    if key not in entry:
        raise UserError(
            f"{where} lacks the key '{key}'.", f"Set it to one of: {', '.join(choices)}."
        )
    chosen = entry[key]
    if not isinstance(chosen, str) or chosen not in choices:
        raise UserError(f"{where} has the unknown {key} '{chosen}'.", nearest(str(chosen), choices))
    return chosen


def _identifier(entry: _Entry, key: str, where: str) -> str:
    # The id becomes an anchor and a file name, so it must be plain.
    name = entry[key]
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise _wrong(entry, key, where, "lower-case letters and digits joined by hyphens")
    return name


def _text(entry: _Entry, key: str, where: str) -> str:
    text = entry[key]
    if not isinstance(text, str) or not text.strip():
        raise _wrong(entry, key, where, "a text")
    return " ".join(text.split())


def _number(entry: _Entry, key: str, where: str) -> float:
    number = entry[key]
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise _wrong(entry, key, where, "a number (YAML reads 1e-3 as text: write 1.0e-3)")
    return number


def _positive(entry: _Entry, key: str, where: str) -> float:
    number = _number(entry, key, where)
    if number <= 0:
        raise _wrong(entry, key, where, "a number above 0")
    return number


def _not_negative(entry: _Entry, key: str, where: str) -> float:
    number = _number(entry, key, where)
    if number < 0:
        raise _wrong(entry, key, where, "a number of 0 or more")
    return number


def _share(entry: _Entry, key: str, where: str) -> float:
    share = _number(entry, key, where)
    # No number of seeds could show a share of 1, nor refute one of 0.
    if not 0 < share < 1:
        raise _wrong(entry, key, where, "a share between 0 and 1, both excluded")
    return share


def _bounds(entry: _Entry, key: str, where: str) -> tuple[float, float]:
    ends = entry[key]
    are_numbers = isinstance(ends, list) and all(isinstance(end, int | float) for end in ends)
    if not are_numbers or len(ends) != 2 or not ends[0] < ends[1]:
        raise _wrong(entry, key, where, "two numbers, the smaller one first")
    return float(ends[0]), float(ends[1])


def _rule(entry: _Entry, key: str, where: str) -> str:
    return _one_of(entry, key, rules(), where)


def _count(entry: _Entry, key: str, where: str) -> int:
    count = entry[key]
    # YAML's true is a bool, and a bool is an int in Python.
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise _wrong(entry, key, where, "a whole number above 0")
    return count


def _kind(entry: _Entry, key: str, where: str) -> str:
    return _one_of(entry, key, tuple(_NEEDED), where)


def _direction(entry: _Entry, key: str, where: str) -> str:
    return _one_of(entry, key, get_args(Direction), where)


def _source(entry: _Entry, key: str, where: str) -> str:
    return _one_of(entry, key, get_args(Source), where)


def _asked(entry: _Entry, key: str, where: str) -> str:
    return _one_of(entry, key, get_args(Asked), where)


def _margin_is(entry: _Entry, key: str, where: str) -> str:
    return _one_of(entry, key, get_args(MarginIs), where)


# How each key of a claim, and of its published number, is read and checked.
_READERS: Mapping[str, Callable[[_Entry, str, str], Any]] = {
    "id": _identifier,
    "sentence": _text,
    "place": _text,
    "source": _source,
    "kind": _kind,
    "published": _published,
    "margin": _not_negative,
    "margin_reason": _text,
    "better": _direction,
    "asks": _asked,
    "margin_is": _margin_is,
    "at_least": _share,
    "question": _count,
    "sample": _text,
    "evidence": _recipe,
    "value": _number,
    "spread": _positive,
    "spread_is": _text,
    "n": _count,
    "unit": _text,
    "bounds": _bounds,
    "rule": _rule,
    "not_run_here": _text,
}
