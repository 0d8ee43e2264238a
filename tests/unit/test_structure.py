"""How the modules of the package depend on one another, read from their source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import emasync

ROOT = Path(emasync.__file__).parent


def test_no_modules_import_one_another_in_a_circle_not_even_for_types() -> None:
    # A cycle that only the type checker follows still means that no module of it can be understood, or moved, alone.
    # Sabotage: `from emasync.model import PodStatus` in emasync/errors.py, under TYPE_CHECKING.
    assert cycles(imports_of_the_package()) == []


def test_a_cycle_is_found_whatever_leads_into_it() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"d", "b"}, "d": set(), "e": {"e"}}

    assert sorted(map(sorted, cycles(graph))) == [["b", "c"], ["e"]]


def test_errors_import_nothing_of_the_package_but_the_values_they_carry() -> None:
    graph = imports_of_the_package()

    assert graph["emasync.errors"] == {"emasync.model.pods"}
    assert graph["emasync.model.pods"] == set()


@cache
def imports_of_the_package() -> dict[str, set[str]]:
    """For each module the modules of the package that it imports anywhere: at its top, in a function, for types."""
    sources = {module_name(path): path for path in ROOT.rglob("*.py")}
    return {
        module: {found for found in imported(path, set(sources)) if found != module} for module, path in sources.items()
    }


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, modules: set[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            for alias in node.names:  # a module of a package, or a name that the module defines
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in modules else node.module


def cycles(graph: dict[str, set[str]]) -> list[set[str]]:
    """The sets of nodes that reach one another."""
    reachable = {node: reached(graph, node) for node in graph}
    found: list[set[str]] = []
    for node, below in reachable.items():
        if node in below and not any(node in cycle for cycle in found):
            found.append({other for other in below if node in reachable[other]})
    return found


def reached(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        if (node := ahead.pop()) not in seen:
            seen.add(node)
            ahead.extend(graph[node])
    return seen
