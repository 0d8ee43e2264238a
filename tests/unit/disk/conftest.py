"""What the tests of disk share: a file executor, a destination, and an eye on open files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emasync.disk import BufferedFileWriter, FileExecutor, WriteTarget, open_writer
from emasync.model import RemotePath


@pytest.fixture
async def threads() -> AsyncIterator[FileExecutor]:
    async with FileExecutor(size=2) as running:
        yield running


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    """A destination beside a canary; nothing but the destination may change."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "canary").write_bytes(b"tweet")
    root = tmp_path / "dest"
    root.mkdir()
    return root


@pytest.fixture(autouse=True)
def _nothing_outside_changes(tmp_path: Path) -> Iterator[None]:
    yield
    outside = tmp_path / "outside"
    if outside.exists():
        assert {file.name: file.read_bytes() for file in outside.iterdir()} == {"canary": b"tweet"}


def open_files() -> set[str]:
    """The regular files, pipes and folders this process has open (sockets and event loops left out)."""
    seen = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            place = str(descriptor.readlink())
        except FileNotFoundError:
            continue  # the listing itself
        if place.startswith("/") and not place.startswith(("/dev/", "/proc/")):
            seen.add(f"{descriptor.name}:{place}")
    return seen


@pytest.fixture(autouse=True)
def _no_file_stays_open(request: pytest.FixtureRequest) -> Iterator[None]:
    before = open_files()
    yield
    assert open_files() - before == set()


def tree(root: Path) -> set[str]:
    """All that is below `root`, folders with a slash."""
    return {f"{path.relative_to(root)}{'/' if path.is_dir() else ''}" for path in root.rglob("*")}


PATH = RemotePath("results/run/out.bin")
DATA = bytes(range(256)) * 40


async def save(threads: FileExecutor, root: Path, path: str = PATH, data: bytes = DATA, **how: Any) -> Path:
    """A save in three writes, so that every test of it goes through the streaming way."""
    how = {"overwrite": "replace", "durable": False, **how}
    async with open_writer(threads, WriteTarget(root=root, path=RemotePath(path), **how)) as out:
        for start in range(0, len(data), len(data) // 3 or 1):
            await out.write(data[start : start + (len(data) // 3 or 1)])
        return await out.commit()


async def small(threads: FileExecutor, root: Path, path: str = PATH, data: bytes = DATA, **how: Any) -> Path:
    how = {"overwrite": "replace", "durable": False, **how}
    out = BufferedFileWriter(threads, WriteTarget(root=root, path=RemotePath(path), **how))
    await out.write(data)
    return await out.commit()


both_ways = pytest.mark.parametrize("way", [save, small])
Way = Callable[..., Any]
