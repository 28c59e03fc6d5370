"""The programming interface as pages of the site, made from the docstrings by pdoc.

One page a module, and `api.html`, which lists them. The pages hold no script and ask nothing of the
network.
"""

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pdoc.render
from pdoc.doc import Module

from reproductions.html import render

INDEX = "api.html"
_FOLDER = "api"
_TEMPLATES = Path(__file__).parent / "templates" / _FOLDER
# What outside code may import, by what it is for. A package stands for all of its modules.
PARTS = {
    "The layer, for your own model": ("moe",),
    "Training runs, and what they leave": (
        "experiments.run",
        "experiments.suite",
        "experiments.run_folder",
        "experiments.translation.translate",
    ),
    "Results as tables and figures": (
        "reproductions",
        "reproductions.result_rows",
        "reproductions.plot",
        "reproductions.settings_page",
    ),
}
# Only these are documented with every module below them.
_WHOLE = ("moe",)
# Kernels that need the package triton to be imported at all.
_LEFT_OUT = "triton"

_COMMAND = re.compile(r"^ +python -m .*$", re.MULTILINE)


def names(package: str) -> list[str]:
    """A module's name, and those of the modules below it if it is documented whole."""
    if package not in _WHOLE:
        return [package]
    below = walk_packages(import_module(package).__path__, f"{package}.")
    return [package, *(each.name for each in below if _LEFT_OUT not in each.name)]


def pages() -> dict[str, str]:
    """Every page's HTML, by its name in the site."""
    modules = {
        name: _module(name)
        for part in PARTS.values()
        for package in part
        for name in names(package)
    }
    pdoc.render.configure(
        docformat="google",
        include_undocumented=False,
        search=False,
        show_source=False,
        template_directory=_TEMPLATES,
    )
    found = {file_of(name): pdoc.render.html_module(own, modules) for name, own in modules.items()}
    return {INDEX: _index(modules), **found}


def _module(name: str) -> Module:
    found = Module(import_module(name))
    # Commands stand a line each; two spaces at the end keep lines apart in markdown.
    found.docstring = _COMMAND.sub(r"\g<0>  ", found.docstring)
    return found


def file_of(module: str) -> str:
    """Where a module's page lies in the site; pdoc's links between modules rely on it."""
    return f"{_FOLDER}/{module.replace('.', '/')}.html"


def _index(modules: Mapping[str, Module]) -> str:
    parts = [
        (
            title,
            [
                (name, file_of(name), modules[name].docstring.strip().partition("\n")[0])
                for package in part
                for name in names(package)
            ],
        )
        for title, part in PARTS.items()
    ]
    return render("api.html", (), parts=parts)
