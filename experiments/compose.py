"""From command-line overrides to a checked, typed config, with errors that name the way out."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import fields
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.overrides import (
    CONFIG_DIR,
    GROUPS,
    Schemas,
    check_key,
    check_option,
    check_ranges,
    check_value,
    expected,
    is_hydras,
    keys_of,
    nearest,
    no_option,
    options,
    quoted,
    read,
    refuse_deletion,
    values_of,
)
from experiments.runner.errors import UserError, shown
from experiments.runner.schema import Config, Suite
from experiments.studies import STUDIES

_LOGGER = logging.getLogger(__name__)


@cache
def register() -> None:
    """Make the schemas known to Hydra, for the first line of every config file's defaults.

    Once per process is enough, and takes a third of the time of composing a config.
    """
    OmegaConf.register_new_resolver("usable_text", usable_text, replace=True)
    store = ConfigStore.instance()
    store.store(name="base_config", node=Config)
    store.store(group="suite", name="base_suite", node=Suite)
    for name, study in STUDIES.items():
        store.store(group="study", name=f"base_{name}", node=study.schema)


def composed(overrides: Sequence[str]) -> DictConfig:
    """The config that Hydra composes from the files and these overrides.

    Raises:
        UserError: an override or a config file is wrong; names the key and the nearest match.
    """
    explain(overrides)
    overrides = _with_the_suites_study(overrides)
    for override in read(overrides):
        if override.is_sweep_override():
            raise UserError(
                f"{override.input_line} names several values at once.",
                "python -m experiments.run --multirun runs each; a list has brackets: [a,b].",
            )
    return _compose(overrides)


def expanded(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each single run of a sweep, in the order in which Hydra counts them.

    Raises:
        UserError: one of them is not of the form key=value.
    """
    choices = []
    for override in read(overrides):
        if override.is_sweep_override():
            key = str(override.input_line).partition("=")[0]
            choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            choices.append([str(override.input_line)])
    return [list(each) for each in product(*choices)]


def sweep_settings(overrides: Sequence[str]) -> DictConfig:
    """Hydra's own settings for a sweep with these overrides: its folder and its launcher.

    Raises:
        UserError: there is no such launcher, or runs_dir is none.
    """
    single = [item for item in read(overrides) if not item.is_sweep_override()]
    own = [str(item.input_line) for item in single if is_hydras(item.key_or_group)]
    runs_dir = [str(item.input_line) for item in single if item.key_or_group == "runs_dir"]
    # The folder of the sweep lies in this one.
    typed(_compose(runs_dir))
    hydra = _compose([*own, *runs_dir], with_hydra=True).hydra
    assert isinstance(hydra, DictConfig)
    return hydra


def _compose(overrides: Sequence[str], with_hydra: bool = False) -> DictConfig:
    register()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            return compose("config", list(map(quoted, overrides)), return_hydra_config=with_hydra)
    except MissingConfigException as error:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        raise no_option(group, option, error.options or []) from error
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
    check_ranges(root)
    check_ranges(instance, "study.")
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


def tell_without_effect(studies: Iterable[Any], overrides: Sequence[str]) -> None:
    """Log which of a command line's settings change nothing in any study that has them."""
    given = {override.key_or_group for override in read(overrides)}
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
    _refuse_study_of_a_suite(read(overrides))
    parsed = read(_with_the_suites_study(overrides))
    choices = [override for override in parsed if override.key_or_group in GROUPS]
    for override in choices:
        refuse_deletion(override)
        for option in values_of(override):
            check_option(override.key_or_group, option)
    named = [item for item in choices if values_of(item)[0] is not None]
    chosen = (f"{item.key_or_group}={values_of(item)[0]}" for item in named)
    schemas: Schemas = {"": Config, "study": STUDIES[_study_name(*chosen)].schema}
    for override in parsed:
        key = override.key_or_group
        if override in choices or is_hydras(key):
            continue
        check_key(override, schemas)
        for value in values_of(override):
            # What a ${...} stands for is known, and checked, when all is composed.
            if "${" not in str(value):
                check_value(key, value, schemas)


@cache
def _study_name(*choices: str) -> str:
    """The study that these choices of a study or suite lead to; a suite asks for each run."""
    return str(_compose(choices).study.name)


def _refuse_study_of_a_suite(overrides: Sequence[Override]) -> None:
    given = {item.key_or_group: item for item in overrides if not item.is_delete()}
    if "study" in given and "suite" in given and values_of(given["suite"])[0] is not None:
        both = f"{given['suite'].input_line} and {given['study'].input_line}"
        raise UserError(
            f"{both} contradict each other: a suite says itself which study each run is of.",
            f"Leave out {given['study'].input_line}, or leave out "
            f"{given['suite'].input_line} and use python -m experiments.run.",
        )


def _with_the_suites_study(overrides: Sequence[str]) -> list[str]:
    """Add the study that a suite is about, so that the settings of that study are known."""
    chosen = {item.key_or_group: item for item in read(overrides)}
    suite = chosen["suite"].value() if "suite" in chosen else None
    if "study" in chosen or suite not in options("suite"):
        return list(overrides)
    return [*overrides, f"study={_study_of_suite(suite)}"]


@cache
def _study_of_suite(suite: str) -> str:
    # Asked several times per command, and a suite of a hundred runs takes a while to compose.
    return str(_compose([f"suite={suite}"]).suite.study)


def nearest_setting(word: str, overrides: Sequence[str]) -> str | None:
    """The setting that a word may stand for, where these overrides choose the study."""
    chosen = [item for item in overrides if item.startswith(("study=", "suite="))]
    study = _compose(_with_the_suites_study(chosen)).study
    return nearest(word, keys_of({"study": STUDIES[study.name].schema}))


class Setting(NamedTuple):
    """A setting as its schema declares it.

    Attributes:
        key: as it is given on the command line.
        default: its value where it is not given.
        about: its meaning, with its place in the paper or "not stated".
        allowed: its type and range, or its choices.
    """

    key: str
    default: str
    about: str
    allowed: str


def settings_of(config: DictConfig, scope: str) -> list[Setting]:
    """Every setting of the root (scope "") or of the study ("study"), in the schema's order."""
    schema = STUDIES[config.study.name].schema if scope else Config
    values = OmegaConf.to_container(config[scope] if scope else config, enum_to_str=True)
    assert isinstance(values, dict)
    hints = get_type_hints(schema)
    found = []
    for item in fields(schema):
        if item.name in ("name", *GROUPS):
            continue
        allowed = item.metadata.get("allowed")
        kinds = expected(hints[item.name])
        if allowed:
            kinds = [f"{kinds[0]}, {allowed}", *kinds[1:]]
        key = f"{scope}.{item.name}" if scope else item.name
        about = item.metadata.get("about", "")
        found.append(Setting(key, _written(values[item.name]), about, " or ".join(kinds)))
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
