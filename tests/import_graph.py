"""Who imports whom, as the drawing of docs/architecture.md; `python -m tests.import_graph` renews.

Within the core a node is a module. In the drawing of the whole, the core is one node, and so is
every folder of the other houses. Arrows point to what is imported.
"""

import ast
from pathlib import Path

import networkx as nx

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
HOUSES = ("moe", "experiments", "reproductions", "benchmarks")


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
    if path.exists() and "__main__" in path.read_text("utf-8"):
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
    number = {name: index for index, name in enumerate(sorted(graph))}
    lines = [f'    n{index}["{name}"]' for name, index in number.items()]
    lines += [f"    n{number[one]} --> n{number[other]}" for one, other in sorted(reduced.edges)]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def drawings() -> dict[str, str]:
    """The page's drawings by the name of the mark that each follows."""
    modules = module_graph()
    core = modules.subgraph(name for name in modules if name.startswith("moe."))
    return {"rooms": drawing(room_graph(modules)), "core": drawing(core)}


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
