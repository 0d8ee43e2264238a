"""How large modules and functions may be, and which small modules there are for a reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "emasync"
MODULES = sorted(PACKAGE.rglob("*.py"))
LARGEST_MODULE, SMALLEST_MODULE = 400, 60
LONGEST_FUNCTION = 40
"""Lines of its body, docstring apart."""
LONGEST_CHARTER = 6
"""Lines of a module's docstring: what it does, what it must not import."""

PENDING_LONG: frozenset[str] = frozenset()
"""Modules with a function that is still longer. At the end it is empty."""

PENDING_SMALL: frozenset[str] = frozenset()
"""Parts of the package whose small modules have not been looked at yet. At the end it is empty."""

SMALL = {
    "__main__.py": "what `python -m emasync` runs",
    "_version.py": "read by the build",
    "cli/commands/completion.py": "a module for each command, imported when it is used",
    "cli/commands/node.py": "a module for each noun, imported when it is used",
    "model/text.py": "what every message about foreign text passes",
    "model/token.py": "a value that must not be printed",
    "simulator/handlers/auth_handler.py": "a module for each group of endpoints",
    "simulator/handlers/files_handler.py": "a module for each group of endpoints",
    "simulator/handlers/images_handler.py": "a module for each group of endpoints",
    "wire/content_tag.py": "one fact about the EM, with its source",
    "wire/jwt.py": "a format of its own",
}
"""Modules under 60 lines, each with its reason; others belong where their idea lives."""

LARGE = {"client.py": "half of it are the signatures and docstrings of the public methods, which are the manual"}

LONG_CHARTERS = {"errors.py": "the tree of all errors, which `help(emasync.errors)` shows"}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """The name and the lines of the body of every function in the module."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1:2] if ast.get_docstring(node) is not None else node.body[:1]
            yield node.name, (node.end_lineno or 0) - first[0].lineno + 1 if first else 0


def line_count(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_a_module_holds_one_idea() -> None:
    large = {name_of(path) for path in MODULES if line_count(path) > LARGEST_MODULE}
    assert large - LARGE.keys() == set()


def test_a_function_fits_on_a_screen() -> None:
    long = [
        f"{name_of(path)}: {name} has {lines} lines"
        for path in MODULES
        if name_of(path) not in PENDING_LONG
        for name, lines in functions(path)
        if lines > LONGEST_FUNCTION
    ]
    assert long == []


def test_a_module_says_in_a_few_lines_what_it_does() -> None:
    charters = {name_of(path): ast.get_docstring(tree_of(path)) for path in MODULES if path.name != "_version.py"}
    assert [name for name, charter in charters.items() if charter is None] == []
    long = {name for name, charter in charters.items() if len((charter or "").splitlines()) > LONGEST_CHARTER}
    assert long == LONG_CHARTERS.keys()


def test_a_small_module_has_a_reason() -> None:
    small = {
        name_of(path)
        for path in MODULES
        if path.name != "__init__.py"
        and line_count(path) < SMALLEST_MODULE
        and path.relative_to(PACKAGE).parts[0] not in PENDING_SMALL
    }
    assert small - SMALL.keys() == set()
