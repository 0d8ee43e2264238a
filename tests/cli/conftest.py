"""What the tests of this room share: a home of their own, and an EM that outlives a module's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.child import EM, simulator


@pytest.fixture(scope="session")
def em(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EM]:
    """A simulator in a child process, with a file of the user's own in the volume."""
    home = tmp_path_factory.mktemp("em")
    with simulator(home, "-q", "--pod-start", "0.1", "--pod-run", "0.3") as em:
        (em.volume / "precious.txt").write_text("mine\n")
        yield em


@pytest.fixture(scope="module")
def own_em(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EM]:
    """A simulator of this module's own."""
    with simulator(tmp_path_factory.mktemp("own_em"), "-q") as em:
        yield em


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty folder: home, working directory and place for temporary files."""
    return tmp_path


@pytest.fixture
def folder(own_em: EM, home: Path) -> str:
    """A name in the volume that no other test uses."""
    return home.name


@pytest.fixture(autouse=True)
def _nothing_temporary_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(("emasync-", ".emasync"))] == []
