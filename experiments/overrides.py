"""One override, `key=value`: how it is read, and whether a setting of that name takes the value.

Hydra puts a whole config together (`experiments.compose`). What is here looks at single words of
the command line before Hydra does, so that an error can name the key and the nearest match.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.runner.errors import UserError
from experiments.runner.schema import Config, faults

_HERE = Path(__file__).resolve().parent
# Beside the packages in a checkout, inside this one when installed; see pyproject.toml.
CONFIG_DIR = next(
    (folder for folder in (_HERE / "configs", _HERE.parent / "configs") if folder.is_dir()),
    _HERE / "configs",
)
# Files of settings that are chosen by name: `study=vowel`, `suite=table_1`.
GROUPS = ("study", "suite")
# A schema for each scope of keys: "" for `runs_dir`, "study" for `study.num_experts`.
Schemas = Mapping[str, type[Any]]


def options(group: str) -> list[str]:
    """Config files of a group, by name."""
    return sorted(file.stem for file in (CONFIG_DIR / group).glob("*.yaml"))


def read(overrides: Sequence[str]) -> list[Override]:
    """The overrides of a command line, taken apart into key and value.

    Raises:
        UserError: one of them is not of the form key=value.
    """
    return [_read_one(override) for override in overrides]


@cache
def _read_one(override: str) -> Override:
    try:
        (parsed,) = OverridesParser.create().parse_overrides([quoted(override)])
    # Python itself refuses to read numbers of thousands of digits.
    except (OverrideParseException, ValueError) as error:
        raise UserError(
            f"The override {override} cannot be read.",
            "Write key=value without blanks around the sign, for example study.num_seeds=100; what "
            "holds blanks, commas or brackets needs quotes of both kinds: 'runs_dir=\"my runs\"'.",
        ) from error
    return parsed


def quoted(override: str) -> str:
    """The override with the quotes that Hydra wants around a path that begins with ~."""
    return re.sub(r"^([^=~]+=)(~[^'\",]*)$", r'\1"\2"', override)


def values_of(override: Override) -> list[Any]:
    """The values that an override gives: several where it is a sweep."""
    if override.is_sweep_override():
        return list(override.sweep_iterator())
    return [override.value()]


def is_hydras(key: str) -> bool:
    """Whether a key is a setting of Hydra itself, such as its launcher."""
    return key == "hydra" or key.startswith(("hydra.", "hydra/"))


def refuse_deletion(override: Override) -> None:
    """Raise a UserError if an override, written ~key, would take a setting away."""
    if override.is_delete():
        raise UserError(
            f"{override.input_line} would remove a setting.", "Give it another value instead."
        )


def check_option(group: str, option: Any) -> None:
    """Raise a UserError if a group, such as study, has no file of this name."""
    known = options(group)
    if option not in known and not (group == "suite" and option is None):
        raise no_option(group, option, known)


def no_option(group: str, option: Any, known: Sequence[str]) -> UserError:
    """The error for a name that a group of config files lacks."""
    return UserError(
        f"{group}={option} does not exist.{did_you_mean(str(option), known)}",
        f"Choose from {', '.join(known)}.",
    )


def check_key(override: Override, schemas: Schemas) -> None:
    """Raise a UserError if no schema has the key of an override, or it may not be set."""
    scope, name = _split(override.key_or_group)
    if scope not in schemas:
        scope, name = "", override.key_or_group
    known = list(get_type_hints(schemas[scope]))
    if scope == "study" and name == "name":
        raise UserError(
            "study.name belongs to the study and cannot be set.",
            f"Choose another study: study={', study='.join(options('study'))}.",
        )
    if name not in known:
        keys = keys_of(schemas) if not scope else [f"{scope}.{item}" for item in known]
        raise UserError(
            f"There is no setting {override.key_or_group}.{did_you_mean(name, keys)}",
            _way_out(override, keys),
        )
    refuse_deletion(override)


def _way_out(override: Override, keys: Sequence[str]) -> str:
    """The override with the prefix that it lacks; else all keys."""
    key = f"study.{override.key_or_group}"
    if key not in keys or override.is_delete():
        return f"The settings are: {', '.join(keys)}."
    value = str(override.input_line).partition("=")[2]
    return f"Write {key}={value}: the names of a study's settings begin with study."


def check_value(key: str, value: Any, schemas: Schemas) -> None:
    """Raise a UserError if a setting does not take a value, by its type or its range."""
    scope, name = _split(key)
    config = OmegaConf.structured(schemas[scope])
    try:
        OmegaConf.update(config, name, value)
        instance = OmegaConf.to_object(config) if scope else Config(**{name: config[name]})
    except OmegaConfBaseException as error:
        allowed = expected(get_type_hints(schemas[scope])[name])
        match = did_you_mean(str(value), allowed)
        raise UserError(
            f"{key}={value} has the wrong type or no such value.{match}",
            f"Allowed: {', '.join(allowed)}.",
        ) from error
    check_ranges(instance, f"{scope}." if scope else "", [name])


def _split(key: str) -> tuple[str, str]:
    scope, dot, name = key.partition(".")
    return (scope, name) if dot else ("", key)


def check_ranges(instance: Any, prefix: str = "", names: Sequence[str] | None = None) -> None:
    """Raise a UserError for the first setting out of its range, of these names or of all."""
    for name, error in faults(instance, prefix):
        if names is None or name in names:
            raise error


def expected(hint: Any) -> list[str]:
    """What a setting of this type may be, in words; the members of an enum by their names."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        return [member.name for member in hint]
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    if get_args(hint):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        words = [word for kind in kinds for word in expected(kind)]
        plural = "a list of: " if getattr(hint, "__origin__", None) is list else ""
        optional = ["null"] if type(None) in get_args(hint) else []
        return [plural + ", ".join(words), *optional]
    return [names.get(hint, str(hint))]


def keys_of(schemas: Schemas) -> list[str]:
    """Every key that can be given, of the root and of the study."""
    own = get_type_hints(schemas["study"])
    return [*get_type_hints(Config), *(f"study.{item}" for item in own)]


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A question for the nearest of the known words; empty if none is near."""
    match = nearest(word, known)
    return f" Did you mean {match}?" if match else ""


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The nearest of the known words; of keys, with or without their "study."."""
    whole = {item.removeprefix("study."): item for item in reversed(known)}
    matches = get_close_matches(word.removeprefix("study."), whole, n=1, cutoff=0.5)
    return whole[matches[0]] if matches else None
