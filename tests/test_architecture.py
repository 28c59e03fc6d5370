"""The laws of the house, read off the source: layers, configurations and documentation."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest
import yaml
from packaging.requirements import Requirement

from tests import import_graph

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("moe", "experiments", "reproductions", "benchmarks")
STUDIES = {"vowel", "vowels", "translation", "translations", "clusters"}

# What each layer must not import, as the beginnings of dotted names.
FORBIDDEN_IMPORTS = {
    "moe": (
        *("experiments", "reproductions", "benchmarks"),
        *("hydra", "omegaconf", "pandas", "matplotlib"),
    ),
    "experiments": ("reproductions", "benchmarks", "matplotlib"),
    # Benchmarks time the studies; they are not in the wheel, and nothing depends on them.
    "reproductions": ("benchmarks",),
    "benchmarks": ("reproductions", "matplotlib"),
}

IMPORT_PATH = re.compile(
    r"(moe|experiments|reproductions|torch|numpy|scipy|sklearn|pandas|hydra|builtins)"
    r"(\.[A-Za-z_]\w*)+"
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(folder: str, pattern: str) -> list[Path]:
    """Return the files below a folder; a folder that is missing or empty fails the test."""
    found = sorted((ROOT / folder).rglob(pattern))
    assert found, f"no {pattern} below {folder}/"
    return found


def modules(package: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield each module of a package as its path and its syntax tree."""
    for path in files(package, "*.py"):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imported_names(path: str, tree: ast.Module) -> Iterator[str]:
    """Yield the dotted name of everything a module imports, relative imports resolved."""
    package = list(Path(path).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*parent, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def begins_with(name: str, beginning: str) -> bool:
    """Tell whether a dotted name is the beginning or lies below it."""
    return f"{name}.".startswith(f"{beginning}.")


def public_definitions(body: list[ast.stmt]) -> Iterator[ast.ClassDef | Function]:
    """Yield the public classes and functions of a module, and the public methods of those."""
    for node in body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body)


def is_overload(node: ast.ClassDef | Function) -> bool:
    """Whether this is a signature only; the implementation has the docstring."""
    return any(ast.unparse(item) == "overload" for item in node.decorator_list)


def unannotated(function: Function, *, is_method: bool) -> list[str]:
    """Return the arguments, and the return, that a function leaves without annotation."""
    signature = function.args
    positional = [*signature.posonlyargs, *signature.args]
    is_static = any(ast.unparse(item) == "staticmethod" for item in function.decorator_list)
    bound = 1 if is_method and not is_static else 0
    rest = [item for item in (signature.vararg, signature.kwarg) if item is not None]
    arguments = [*positional[bound:], *signature.kwonlyargs, *rest]
    missing = [item.arg for item in arguments if item.annotation is None]
    return [*missing, *(["return"] if function.returns is None else [])]


def docstrings(tree: ast.Module) -> set[int]:
    """Return the identities of the nodes that hold docstrings."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, owners)
        and node.body
        and isinstance(node.body[0], ast.Expr)
        and ast.get_docstring(node) is not None
    }


def spoken_texts(tree: ast.Module) -> Iterator[str]:
    """Yield every identifier and every string of a module, docstrings left out."""
    skipped = docstrings(tree)
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        for _, value in ast.iter_fields(node):
            entries = value if isinstance(value, list) else [value]
            yield from (entry for entry in entries if isinstance(entry, str))


def words(text: str) -> set[str]:
    """Split a text into lower-case words at case changes, underscores and punctuation."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", text)}


def yaml_entries(data: object) -> Iterator[str]:
    """Yield every key and every string value of a YAML document."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield str(key)
            yield from yaml_entries(value)
    elif isinstance(data, list):
        for value in data:
            yield from yaml_entries(value)
    elif isinstance(data, str):
        yield data


@pytest.mark.parametrize("package", sorted(FORBIDDEN_IMPORTS))
def test_a_layer_imports_nothing_it_must_not_know(package: str) -> None:
    offences = [
        f"{path} imports {name}"
        for path, tree in modules(package)
        for name in imported_names(path, tree)
        if any(begins_with(name, forbidden) for forbidden in FORBIDDEN_IMPORTS[package])
    ]
    assert offences == []


def test_importing_the_model_library_imports_torch_alone() -> None:
    # What one function of it needs, it imports itself. Triton comes with torch for GPUs.
    allowed = {*sys.stdlib_module_names, "moe", "torch", "triton"}
    offences = [
        f"{path} imports {name}"
        for path, tree in modules("moe")
        for node in tree.body
        for name in imported_names(path, ast.Module([node], []))
        if isinstance(node, ast.Import | ast.ImportFrom) and name.partition(".")[0] not in allowed
    ]
    assert offences == []


def test_reports_never_import_training() -> None:
    offences = [
        f"{path} imports {name}"
        for path, tree in modules("reproductions")
        for name in imported_names(path, tree)
        if begins_with(name, "experiments") and "training" in name.split(".")
    ]
    assert offences == []


def test_configurations_name_no_code() -> None:
    offences = []
    for path in [*files("configs", "*.yaml"), *(ROOT / "configs").rglob("*.yml")]:
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            offences += [
                f"{path.relative_to(ROOT)}: {entry}"
                for entry in yaml_entries(document)
                if "_target_" in entry or IMPORT_PATH.fullmatch(entry)
            ]
    assert offences == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is_for(package: str) -> None:
    assert [path for path, tree in modules(package) if not ast.get_docstring(tree)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_everything_public_has_a_docstring(package: str) -> None:
    offences = [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in modules(package)
        for node in public_definitions(tree.body)
        if not ast.get_docstring(node) and not is_overload(node)
    ]
    assert offences == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_function_is_fully_annotated(package: str) -> None:
    offences = []
    for path, tree in modules(package):
        methods = {
            id(item)
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            for item in node.body
        }
        for node in ast.walk(tree):
            if isinstance(node, Function):
                missing = unannotated(node, is_method=id(node) in methods)
                offences += [f"{path}:{node.lineno} {node.name}: {name}" for name in missing]
    assert offences == []


def test_the_model_library_knows_no_study() -> None:
    offences = [
        f"{path}: {text!r}"
        for path, tree in modules("moe")
        for text in [path, *spoken_texts(tree)]
        if words(text) & STUDIES
    ]
    assert offences == []


def test_every_requirement_is_pinned_to_one_version_by_name() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert pins
    for pin in pins:
        assert pin.url is None
        assert re.fullmatch(r"==[0-9][0-9a-z.]*", str(pin.specifier)), str(pin)


def test_no_module_imports_in_a_circle() -> None:
    assert list(nx.simple_cycles(import_graph.module_graph())) == []
    assert list(nx.simple_cycles(import_graph.room_graph(import_graph.module_graph()))) == []


def test_the_drawings_of_the_architecture_are_of_this_source() -> None:
    page = import_graph.PAGE.read_text("utf-8")
    assert import_graph.renewed(page) == page, "python -m tests.import_graph draws it anew"


def test_git_is_offered_what_make_checks() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]
    assert {hook["entry"] for hook in hooks["hooks"]} == {"make lint", "make types"}
