"""From command-line overrides to a checked, typed config, with errors that name the way out."""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from difflib import get_close_matches
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.runner.errors import UserError, shown
from experiments.runner.schema import Config, Suite, faults
from experiments.studies import STUDIES

_LOGGER = logging.getLogger(__name__)
_HERE = Path(__file__).resolve().parent
# Beside the packages in a checkout, inside this one when installed; see pyproject.toml.
CONFIG_DIR = next(
    (folder for folder in (_HERE / "configs", _HERE.parent / "configs") if folder.is_dir()),
    _HERE / "configs",
)
GROUPS = ("study", "suite")


def register() -> None:
    """Make the schemas known to Hydra, for the first line of every config file's defaults."""
    OmegaConf.register_new_resolver("usable_text", usable_text, replace=True)
    store = ConfigStore.instance()
    store.store(name="base_config", node=Config)
    store.store(group="suite", name="base_suite", node=Suite)
    for name, study in STUDIES.items():
        store.store(group="study", name=f"base_{name}", node=study.schema)


def options(group: str) -> list[str]:
    """Config files of a group, by name."""
    return sorted(file.stem for file in (CONFIG_DIR / group).glob("*.yaml"))


def composed(overrides: Sequence[str]) -> DictConfig:
    """The config that Hydra composes from the files and these overrides.

    Raises:
        UserError: an override or a config file is wrong; names the key and the nearest match.
    """
    explain(overrides)
    overrides = _with_the_suites_study(overrides)
    for override in _parse(overrides):
        if override.is_sweep_override():
            raise UserError(
                f"{override.input_line} names several values at once.",
                "python -m experiments.run --multirun runs each; a list has brackets: [a,b].",
            )
    return _compose(overrides)


def sweep_settings(overrides: Sequence[str]) -> DictConfig:
    """Hydra's own settings for a sweep with these overrides: its folder and its launcher.

    Raises:
        UserError: there is no such launcher, or runs_dir is none.
    """
    single = [item for item in _parse(overrides) if not item.is_sweep_override()]
    own = [str(item.input_line) for item in single if _is_hydras(item.key_or_group)]
    runs_dir = [str(item.input_line) for item in single if item.key_or_group == "runs_dir"]
    # The folder of the sweep lies in this one.
    typed(_compose(runs_dir))
    hydra = _compose([*own, *runs_dir], with_hydra=True).hydra
    assert isinstance(hydra, DictConfig)
    return hydra


def _is_hydras(key: str) -> bool:
    return key == "hydra" or key.startswith(("hydra.", "hydra/"))


def _compose(overrides: Sequence[str], with_hydra: bool = False) -> DictConfig:
    register()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            return compose("config", list(map(quoted, overrides)), return_hydra_config=with_hydra)
    except MissingConfigException as error:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        raise _no_option(group, option, error.options or []) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise does_not_compose(error) from error


def does_not_compose(error: Exception) -> UserError:
    """The error for people where Hydra cannot put a config together."""
    return UserError(
        f"The config does not compose: {first_line(error)}.",
        f"Correct the file in {CONFIG_DIR.name}/ or the override that it names.",
    )


def typed(config: DictConfig) -> Config:
    """The composed config as dataclasses, checked for ranges and contradictions.

    Raises:
        UserError: a key that the schema lacks, a value out of range, or settings that contradict.
    """
    values = _resolved(config)
    known = values["study"]
    study = STUDIES.get(str(known.get("name")))
    if study is None:
        raise UserError(
            f"study.name={known.get('name')} is no study.", f"Choose from {', '.join(STUDIES)}."
        )
    try:
        # A fresh schema: what came in with + on the composed config is refused here.
        instance = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(study.schema), known))
    except OmegaConfBaseException as error:
        raise UserError(
            f"The study's config is wrong: {first_line(error)}.",
            "Correct the key or the value that it names.",
        ) from error
    settings = {key: values[key] for key in ("runs_dir", "force", "num_workers", "any_size")}
    root = Config(study=instance, suite=config.suite, **settings)
    _check_ranges(root)
    _check_ranges(instance, "study.")
    study.check(instance)
    if not root.runs_dir.strip():
        raise UserError(
            "runs_dir is empty.", "Name a folder, for example runs_dir=runs, or leave it out."
        )
    return root


def _resolved(config: DictConfig) -> dict[str, Any]:
    """The config's values, each ${...} in them filled in and each ~ turned into the home folder."""
    try:
        values = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
        assert isinstance(values, dict)
    # OmegaConf follows a setting that refers to itself until Python stops it.
    except (OmegaConfBaseException, RecursionError) as error:
        reason = "it leads back to itself" if isinstance(error, RecursionError) else error
        raise UserError(
            f"A setting refers with ${{...}} to what cannot be found: {first_line(reason)}.",
            "Write the value itself, or the name of a setting as in ${study.num_experts}; "
            "the shell's own variables need double quotes or none.",
        ) from error
    found: dict[str, Any] = _usable(values)
    return found


def _usable(values: Any, key: str = "") -> Any:
    if isinstance(values, dict):
        prefix = f"{key}." if key else ""
        return {name: _usable(value, f"{prefix}{name}") for name, value in values.items()}
    if isinstance(values, list):
        return [_usable(value, key) for value in values]
    return usable_text(key, values) if isinstance(values, str) else values


def usable_text(key: str, text: str) -> str:
    """A text from the user, with ~ or ~name at its start turned into the home folder.

    Raises:
        UserError: nobody has this name, or the text holds characters that act in a terminal.
    """
    if shown(text) != text or "\n" in text or "\t" in text:
        raise UserError(
            f"{key}={text!r} holds characters that cannot be seen.",
            "Write it without them; a folder or file of such a name must be renamed.",
        )
    try:
        return str(Path(text).expanduser()) if text.startswith("~") else text
    except RuntimeError as error:
        raise UserError(
            f"{key}={text} names the home folder of somebody whom this machine does not know.",
            "Write the folder's whole path.",
        ) from error


def _check_ranges(instance: Any, prefix: str = "", names: Sequence[str] | None = None) -> None:
    for name, error in faults(instance, prefix):
        if names is None or name in names:
            raise error


def tell_without_effect(studies: Iterable[Any], overrides: Sequence[str]) -> None:
    """Log which of a command line's settings change nothing in any study that has them."""
    given = {override.key_or_group for override in _parse(overrides)}
    # A study says for each of its settings why it has no effect, or None.
    reasons: dict[str, list[str | None]] = {}
    for study in studies:
        idle = STUDIES[study.name].idle(study)
        for name in vars(study):
            if f"study.{name}" in given:
                reasons.setdefault(name, []).append(idle.get(name))
    for name, whys in reasons.items():
        if None not in whys:
            _LOGGER.warning("study.%s has no effect here: %s.", name, whys[0])


def explain(overrides: Sequence[str]) -> None:
    """Look at each override before Hydra does, for the errors that people make most.

    Raises:
        UserError: unknown group option, unknown key (also with +), deletion, or a value of the
            wrong type or out of range; names the key, what is allowed and the nearest match.
    """
    _refuse_study_of_a_suite(_parse(overrides))
    parsed = _parse(_with_the_suites_study(overrides))
    choices = [override for override in parsed if override.key_or_group in GROUPS]
    for override in choices:
        _refuse_deletion(override)
        for option in _values(override):
            _check_option(override.key_or_group, option)
    named = [item for item in choices if _values(item)[0] is not None]
    base = _compose([f"{item.key_or_group}={_values(item)[0]}" for item in named])
    schemas = {"": Config, "study": STUDIES[base.study.name].schema}
    for override in parsed:
        key = override.key_or_group
        if override in choices or _is_hydras(key):
            continue
        _check_key(override, schemas)
        for value in _values(override):
            # What a ${...} stands for is known, and checked, when all is composed.
            if "${" not in str(value):
                _check_value(key, value, schemas)


def _refuse_study_of_a_suite(overrides: Sequence[Override]) -> None:
    given = {item.key_or_group: item for item in overrides if not item.is_delete()}
    if "study" in given and "suite" in given and _values(given["suite"])[0] is not None:
        both = f"{given['suite'].input_line} and {given['study'].input_line}"
        raise UserError(
            f"{both} contradict each other: a suite says itself which study each run is of.",
            f"Leave out {given['study'].input_line}, or leave out "
            f"{given['suite'].input_line} and use python -m experiments.run.",
        )


def _with_the_suites_study(overrides: Sequence[str]) -> list[str]:
    """Add the study that a suite is about, so that the settings of that study are known."""
    chosen = {item.key_or_group: item for item in _parse(overrides)}
    suite = chosen["suite"].value() if "suite" in chosen else None
    if "study" in chosen or suite not in options("suite"):
        return list(overrides)
    return [*overrides, f"study={_compose([f'suite={suite}']).suite.study}"]


def _parse(overrides: Sequence[str]) -> list[Override]:
    return [_read(override) for override in overrides]


@cache
def _read(override: str) -> Override:
    try:
        (read,) = OverridesParser.create().parse_overrides([quoted(override)])
    # Python itself refuses to read numbers of thousands of digits.
    except (OverrideParseException, ValueError) as error:
        raise UserError(
            f"The override {override} cannot be read.",
            "Write key=value without blanks around the sign, for example study.num_seeds=100; what "
            "holds blanks, commas or brackets needs quotes of both kinds: 'runs_dir=\"my runs\"'.",
        ) from error
    return read


def quoted(override: str) -> str:
    """The override with the quotes that Hydra wants around a path that begins with ~."""
    return re.sub(r"^([^=~]+=)(~[^'\",]*)$", r'\1"\2"', override)


def _values(override: Override) -> list[Any]:
    if override.is_sweep_override():
        return list(override.sweep_iterator())
    return [override.value()]


def _check_option(group: str, option: Any) -> None:
    known = options(group)
    if option not in known and not (group == "suite" and option is None):
        raise _no_option(group, option, known)


def _no_option(group: str, option: Any, known: Sequence[str]) -> UserError:
    return UserError(
        f"{group}={option} does not exist.{_nearest(str(option), known)}",
        f"Choose from {', '.join(known)}.",
    )


def _split(key: str) -> tuple[str, str]:
    scope, dot, name = key.partition(".")
    return (scope, name) if dot else ("", key)


def _refuse_deletion(override: Override) -> None:
    if override.is_delete():
        raise UserError(
            f"{override.input_line} would remove a setting.", "Give it another value instead."
        )


def _check_key(override: Override, schemas: dict[str, Any]) -> None:
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
        keys = _keys(schemas) if not scope else [f"{scope}.{item}" for item in known]
        raise UserError(
            f"There is no setting {override.key_or_group}.{_nearest(name, keys)}",
            f"The settings are: {', '.join(keys)}.",
        )
    _refuse_deletion(override)


def _check_value(key: str, value: Any, schemas: dict[str, Any]) -> None:
    scope, name = _split(key)
    config = OmegaConf.structured(schemas[scope])
    try:
        OmegaConf.update(config, name, value)
        instance = OmegaConf.to_object(config) if scope else Config(**{name: config[name]})
    except OmegaConfBaseException as error:
        expected = _expected(get_type_hints(schemas[scope])[name])
        match = _nearest(str(value), expected)
        raise UserError(
            f"{key}={value} has the wrong type or no such value.{match}",
            f"Allowed: {', '.join(expected)}.",
        ) from error
    _check_ranges(instance, f"{scope}." if scope else "", [name])


def _expected(hint: Any) -> list[str]:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return [member.name for member in hint]
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    if get_args(hint):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        words = [word for kind in kinds for word in _expected(kind)]
        plural = "a list of: " if getattr(hint, "__origin__", None) is list else ""
        optional = ["null"] if type(None) in get_args(hint) else []
        return [plural + ", ".join(words), *optional]
    return [names.get(hint, str(hint))]


def _keys(schemas: dict[str, Any]) -> list[str]:
    own = get_type_hints(schemas["study"])
    return [*get_type_hints(Config), *(f"study.{item}" for item in own)]


def nearest_setting(word: str, overrides: Sequence[str]) -> str | None:
    """The setting that a word may stand for, where these overrides choose the study."""
    chosen = [item for item in overrides if item.startswith(("study=", "suite="))]
    study = _compose(_with_the_suites_study(chosen)).study
    return _match(word, _keys({"study": STUDIES[study.name].schema}))


def _nearest(word: str, known: Sequence[str]) -> str:
    match = _match(word, known)
    return f" Did you mean {match}?" if match else ""


def _match(word: str, known: Sequence[str]) -> str | None:
    """The nearest of the known words; of keys, with or without their "study."."""
    whole = {item.removeprefix("study."): item for item in reversed(known)}
    matches = get_close_matches(word.removeprefix("study."), whole, n=1, cutoff=0.5)
    return whole[matches[0]] if matches else None


def settings_of(config: DictConfig, scope: str) -> list[tuple[str, str, str]]:
    """Key, value and meaning of every setting of the root (scope "") or of the study ("study")."""
    schema = STUDIES[config.study.name].schema if scope else Config
    values = OmegaConf.to_container(config[scope] if scope else config, enum_to_str=True)
    assert isinstance(values, dict)
    hints = get_type_hints(schema)
    found = []
    for item in fields(schema):
        if item.name in ("name", *GROUPS):
            continue
        allowed = item.metadata.get("allowed")
        choices = [str(allowed)] if allowed else _expected(hints[item.name])
        about = "; ".join([item.metadata.get("about", ""), " or ".join(choices)])
        key = f"{scope}.{item.name}" if scope else item.name
        found.append((key, _written(values[item.name]), about))
    return found


def _written(value: Any) -> str:
    """A value as one writes it on the command line."""
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def first_line(error: object) -> str:
    """What an error of Hydra's says, without the lines that repeat the setting."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(line for line in lines[:3] if not line.startswith("See http")).rstrip(".")
