"""Who imports whom, as the drawing of docs/architecture.md; `python -m tests.import_graph` renews.

Within the core a node is a module. In the drawing of the whole, the core is one node, and so is
every folder of the other houses. Arrows point to what is imported.
"""

import ast
import re
from pathlib import Path

import networkx as nx

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
HOUSES = ("benchmarks", "reproductions", "experiments", "moe")
_IS_COMMAND = re.compile(r"^if __name__ == \"__main__\":", re.MULTILINE)


def module_graph() -> nx.DiGraph:
    """Every module of the houses, with an arrow to each module that it imports anywhere in it."""
    paths = [path for house in HOUSES for path in sorted((ROOT / house).rglob("*.py"))]
    modules = {_name(path): path for path in paths}
    graph = nx.DiGraph()
    graph.add_nodes_from(modules)
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                found = [f"{node.module}.{alias.name}" for alias in node.names]
                found = [full if full in modules else node.module for full in found]
            elif isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            else:
                continue
            graph.add_edges_from((name, each) for each in found if each in modules)
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    return graph


def _name(path: Path) -> str:
    dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return dotted.removesuffix(".__init__")


def room(module: str) -> str:
    """Where a module stands: the core is one room, so is every folder of the other houses.

    A command, which knows all studies, is a room of its own wherever it stands.
    """
    house, *rest = module.split(".")
    path = (ROOT / Path(*module.split("."))).with_suffix(".py")
    if path.exists() and _IS_COMMAND.search(path.read_text("utf-8")):
        return module
    return house if house == "moe" or not rest else f"{house}.{rest[0]}"


def room_graph(modules: nx.DiGraph) -> nx.DiGraph:
    """The rooms, with an arrow wherever a module of one imports a module of another."""
    graph = nx.DiGraph()
    graph.add_nodes_from(room(module) for module in modules)
    graph.add_edges_from((room(one), room(other)) for one, other in modules.edges)
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    return graph


def drawing(graph: nx.DiGraph) -> str:
    """A graph without circles in Mermaid's notation; arrows that others imply are left out."""
    reduced = nx.transitive_reduction(graph)
    lines = ["```mermaid", "flowchart TD"]
    for box in dict.fromkeys(_box(name, graph) for name in sorted(graph)):
        lines += [f"    subgraph {box}"] if box else []
        lines += [
            f'    {_id(name)}["{name.removeprefix(f"{box}.")}"]'
            for name in sorted(graph)
            if _box(name, graph) == box
        ]
        lines += ["    end"] if box else []
    lines += [f"    {_id(one)} --> {_id(other)}" for one, other in sorted(reduced.edges)]
    return "\n".join([*lines, "```"])


def _box(name: str, graph: nx.DiGraph) -> str:
    """What a node is drawn in: its house, or its folder within the core."""
    folder = name.rpartition(".")[0]
    return name.partition(".")[0] if "moe" in graph else folder


def _id(name: str) -> str:
    # "end" and the like are words of Mermaid's own.
    return f"{name.replace('.', '_')}_"


def drawings() -> dict[str, str]:
    """The page's drawings by the name of the mark that each follows."""
    modules = module_graph()
    core = modules.subgraph(name for name in modules if name.startswith("moe."))
    # A house's own `__init__` says what it is for, and passes names on.
    rooms = [name for name in room_graph(modules) if "." in name or name == "moe"]
    return {"rooms": drawing(room_graph(modules).subgraph(rooms)), "core": drawing(core)}


def renewed(page: str) -> str:
    """The page with its drawings as the source has them now.

    Raises:
        ValueError: a mark is missing.
    """
    for name, text in drawings().items():
        before, start, rest = page.partition(f"<!-- {name}: begin -->\n")
        _, end, after = rest.partition(f"<!-- {name}: end -->")
        if not (start and end):
            raise ValueError(f"docs/architecture.md has no marks for the drawing {name}")
        page = f"{before}{start}{text}\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")
