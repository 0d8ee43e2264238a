"""What the documents of the repository say of the repository itself."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?://)([^)#]+)")
QUOTED_PATH = re.compile(r"`((?:emasync|tests|docs|benchmarks)/[\w./-]+|(?:\w+/)+(?:[\w-]+\.(?:py|md))?)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    # Sabotage: rename a module that CONTRIBUTING.md or a page of docs/decisions names.
    text = document.read_text(encoding="utf-8")
    links = [document.parent / target for target in LINK.findall(text)]
    quoted = QUOTED_PATH.findall(text) if document.name != "README.md" else []  # its paths are examples of a user's
    assert [str(path) for path in links if not path.exists()] == []
    assert [path for path in quoted if not (ROOT / path).exists() and not (ROOT / "emasync" / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_the_python_in_a_document_is_python(document: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL):
        compile(block, document.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_the_layers_in_contributing_are_those_that_are_enforced() -> None:
    # Sabotage: swap two layers in the picture.
    picture = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("```text")[1]
    drawn = re.findall(r"^ (?: \+-- )?(\w+)(?:, (\w+))?  ", picture, re.MULTILINE)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = contracts["contracts"][0]["layers"]
    enforced = [name for layer in layers for name in re.findall(r"emasync\.(\w+)(?:\.\w+)?", layer)]
    shown = [name for names in drawn for name in names if name and name != "simulator"]
    assert sorted(shown) == sorted(set(enforced) - {"__main__"})
    assert [name for name in shown if name not in ("model", "errors")] == [
        name for name in dict.fromkeys(enforced) if name not in ("model", "errors", "__main__")
    ]


def test_every_decision_is_in_the_index() -> None:
    pages = {path.name for path in (ROOT / "docs" / "decisions").glob("*.md")} - {"README.md"}
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    assert set(LINK.findall(index)) - {"../../CONTRIBUTING.md"} == pages
