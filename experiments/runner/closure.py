"""Which sources and libraries decide what a study computes: the import closure of its module.

It is read off the sources and runs none of them. Followed are imports anywhere in the code, also
inside functions, and modules that are imported by a name in a string. A name that a package's
`__init__` only passes on leads to the module that defines it, so that a package counts for what
is used of it; what an `__init__` does beyond that counts for every module below it. Files that a
module names and that lie beside it, such as C sources, belong to it.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.metadata import (
    Distribution,
    PackageNotFoundError,
    distribution,
    distributions,
)
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("moe", "experiments")
# They read settings, hold locks and start processes, and change no number. What is missing here
# only makes a result depend on one version more.
_TOOLS = {"filelock", "hydra", "omegaconf", "rich", "threadpoolctl"}
_TAKES_A_MODULES_NAME = {"__import__", "find_spec", "import_module"}
_FILE_NAME = re.compile(r"\w[\w-]*(\.\w+)+")
_Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Closure:
    """What decides the results of a module's code.

    Attributes:
        digest: SHA-256 of what the sources do; comments, docstrings and layout do not change it.
            Syntax trees differ between versions of Python, and so does the digest.
        sources: the files, relative to the root.
        libraries: packages of other projects that they import.
    """

    digest: str
    sources: tuple[str, ...]
    libraries: tuple[str, ...]


@dataclass(frozen=True)
class _Import:
    """Module, the name taken from it (None: the module itself), and the name that it gets."""

    module: str
    name: str | None
    bound: str


@dataclass(frozen=True)
class _Module:
    """What a source says.

    Attributes:
        text: its syntax tree without docstrings; of an `__init__` without what it passes on.
        imports: all that its code needs.
        passed_on: what an `__init__` imports at its top, for others.
        strings: its string constants.
    """

    text: str
    imports: tuple[_Import, ...]
    passed_on: tuple[_Import, ...]
    strings: frozenset[str]


@cache
def closure(modules: tuple[str, ...], root: Path = ROOT) -> Closure:
    """The closure of modules of this project.

    Args:
        modules: dotted names.
        root: folder that holds the packages.

    Raises:
        ModuleNotFoundError: there is no such module, or one that it imports.
        ValueError: a module is imported by a name that cannot be read off the source.
    """
    walk = _Walk(root)
    for module in modules:
        walk.add(module)
    entries = sorted(walk.entries.items())
    digest = sha256("".join(f"{name}\n{text}\n" for name, text in entries).encode())
    sources = tuple(name for name, _ in entries if "/" in name)
    return Closure(digest.hexdigest(), sources, tuple(sorted(walk.libraries)))


@dataclass
class _Walk:
    """The walk through the imports; `entries` is what the digest is taken over."""

    root: Path
    entries: dict[str, str] = field(default_factory=dict)
    libraries: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)

    def add(self, module: str) -> None:
        """Take in a module with all that it imports."""
        if module in self.seen:
            return
        self.seen.add(module)
        file = self.file(module)
        if file is None:
            raise ModuleNotFoundError(f"no module named {module!r}", name=module)
        found = _read(file, module)
        self._note(file, found)
        for each in (*found.imports, *found.passed_on):
            self._follow(each)
        self._add_packages_above(module)

    def file(self, module: str) -> Path | None:
        """The source of a module."""
        stem = self.root.joinpath(*module.split("."))
        files = (stem.with_name(f"{stem.name}.py"), stem / "__init__.py")
        return next((file for file in files if file.is_file()), None)

    def _add_packages_above(self, module: str) -> None:
        """Take in what the packages do by themselves when a module of theirs is imported."""
        package = module.rpartition(".")[0]
        file = self.file(package) if package else None
        if file is None or f"{package} itself" in self.seen:
            return
        self.seen.add(f"{package} itself")
        found = _read(file, package)
        self._note(file, found)
        for each in found.imports:
            self._follow(each)
        self._add_packages_above(package)

    def _note(self, file: Path, found: _Module) -> None:
        if found.text:
            self.entries[file.relative_to(self.root).as_posix()] = found.text
        for name in filter(_FILE_NAME.fullmatch, found.strings):
            beside = file.with_name(name)
            if beside.suffix != ".py" and beside.is_file():
                content = sha256(beside.read_bytes()).hexdigest()
                self.entries[beside.relative_to(self.root).as_posix()] = content

    def _follow(self, each: _Import) -> None:
        top = each.module.partition(".")[0]
        if top not in PACKAGES:
            self.libraries |= {top} - sys.stdlib_module_names
            return
        file = self.file(each.module)
        if file is None and not each.bound:
            # A string that could have been a module's name.
            return
        if file is None or file.name != "__init__.py" or each.name in (None, "*"):
            self.add(each.module)
            return
        below = f"{each.module}.{each.name}"
        passed_on = {one.bound: one for one in _read(file, each.module).passed_on}
        origin = passed_on.get(str(each.name))
        if origin is not None and (origin.module, origin.name) != (each.module, each.name):
            # Which of two modules a name comes from is seen nowhere else.
            self.entries[below] = f"{origin.module}:{origin.name}"
            self._follow(origin)
        elif self.file(below) is not None:
            self.add(below)
        self._add_packages_above(below)


def _read(file: Path, module: str) -> _Module:
    return _parsed(file.read_bytes(), module, file.name == "__init__.py")


@cache
def _parsed(source: bytes, module: str, is_package: bool) -> _Module:
    tree = ast.parse(source)
    # Once for all: walking takes most of the time.
    nodes = list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, _Definition) and ast.get_docstring(node, clean=False) is not None:
            node.body[0].value.value = None  # type: ignore[attr-defined]
            node.body = node.body[1:]
    package = module if is_package else module.rpartition(".")[0]
    constants = (node.value for node in nodes if isinstance(node, ast.Constant))
    strings = frozenset(value for value in constants if isinstance(value, str))
    if not is_package:
        return _Module(ast.dump(tree), tuple(_imports(nodes, package, strings)), (), strings)
    at_top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    own = ast.Module(
        [node for node in tree.body if node not in at_top and not _is_about_itself(node)], []
    )
    used = {node.id for node in ast.walk(own) if isinstance(node, ast.Name)}
    passed_on = tuple(_imports(at_top, package, strings))
    needed = (each for each in passed_on if each.bound in used)
    text = ast.dump(own) if own.body else ""
    imports = (*_imports(ast.walk(own), package, strings), *needed)
    return _Module(text, imports, passed_on, strings)


def _is_about_itself(node: ast.stmt) -> bool:
    names = {"__all__", "__version__"}
    return isinstance(node, ast.Assign) and all(
        isinstance(target, ast.Name) and target.id in names for target in node.targets
    )


def _imports(nodes: Iterable[ast.AST], package: str, strings: frozenset[str]) -> Iterator[_Import]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _Import(alias.name, None, alias.asname or alias.name.partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            parts = [*(above if node.level else []), *([node.module] if node.module else [])]
            for alias in node.names:
                yield _Import(".".join(parts), alias.name, alias.asname or alias.name)
        elif isinstance(node, ast.Call) and _called(node.func) in _TAKES_A_MODULES_NAME:
            for name in _named_modules(node, strings):
                yield _Import(name, None, "")


def _called(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _named_modules(call: ast.Call, strings: frozenset[str]) -> Iterator[str]:
    """The modules that a call can import: what is not written there is a string of the file."""
    match call.args:
        case [ast.Constant(value=str(name)), *_]:
            yield name
        case [ast.JoinedStr(values=[ast.Constant(value=str(beginning)), ast.FormattedValue()])]:
            yield from (f"{beginning}{string}" for string in strings if string.isidentifier())
        case _ if _called(call.func) != "find_spec":
            named = [string for string in strings if string.partition(".")[0] in PACKAGES]
            if not named:
                raise ValueError(f"line {call.lineno}: the name of an imported module is not said")
            yield from named


@cache
def versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """The versions of those packages that are installed, by distribution; tools are left out."""
    installed = (name for name in libraries if name not in _TOOLS and find_spec(name))
    found = {}
    for package in installed:
        origin = _distribution(package)
        # Reading it once: every question parses the whole file.
        about = {"Name": package, "Version": "unknown"} if origin is None else origin.metadata
        found[about["Name"]] = about["Version"]
    return dict(sorted(found.items()))


@cache
def _distribution(package: str) -> Distribution | None:
    """Where a package comes from. Asking importlib.metadata for all of them takes far longer."""
    own = re.compile(rf"^{package}[./]", re.MULTILINE)
    with suppress(PackageNotFoundError):
        if own.search((found := distribution(package)).read_text("RECORD") or ""):
            return found
    return next((d for d in distributions() if own.search(d.read_text("RECORD") or "")), None)
