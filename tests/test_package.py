"""The console command; `make package` tries the wheel itself."""

import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import moe
from experiments.overrides import CONFIG_DIR
from reproductions import command, results_md, site

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Call the console command with these arguments."""
    monkeypatch.setattr(sys, "argv", ["moe-reproductions", *arguments])
    command.main()


def test_the_console_command_that_is_installed_exists() -> None:
    module, _, function = PROJECT["project"]["scripts"]["moe-reproductions"].partition(":")
    assert getattr(import_module(module), function) is command.main


@pytest.mark.parametrize("verb", command.VERBS)
def test_every_verb_is_a_command_of_its_own(verb: str) -> None:
    assert callable(import_module(command.VERBS[verb][0]).main)


def test_a_verb_gets_the_rest_of_the_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        called(monkeypatch, "suite", "--help")
    assert "experiments.suite" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_the_verbs(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called(monkeypatch, *arguments)
    printed = capsys.readouterr().out
    assert all(f"  {verb} " in printed for verb in command.VERBS)


def test_an_unknown_verb_is_an_error_that_names_the_verbs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"There is no verb rum\.\nfix: Choose from run, "):
        called(monkeypatch, "rum")


def test_the_version_is_that_which_is_cited() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"]
    assert moe.__version__ == cited


def test_configs_and_results_lie_where_the_wheel_puts_them() -> None:
    target = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert (CONFIG_DIR / "config.yaml").is_file()
    assert target == {
        CONFIG_DIR.name: "experiments/configs",
        results_md.RESULTS_FOLDER: "reproductions/results_pages",
    }
    assert Path(site.__file__).with_name("results_pages") == site._INSTALLED
