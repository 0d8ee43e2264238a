"""Very many files packed: what went in comes out, by position and by path."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emasync.model import FileEntry, FileTable, FileTree, RemotePath, file_table

_PARTS = st.sampled_from(["a", "b", "é", "a.b", "..", "x y", "\ud83d", "🚀", "a-b"])
_PATHS = st.lists(_PARTS, min_size=1, max_size=3).map(lambda parts: RemotePath("/".join(parts)))
_ENTRIES = st.lists(
    st.builds(
        FileEntry,
        path=_PATHS | st.just(RemotePath()),
        size=st.none() | st.sampled_from([0, 1, 2**63 - 1, 2**63, -1, 10**30]),
        time=st.none() | st.sampled_from(["2025-11-20-12-31", ""]),
        content_tag=st.none() | st.sampled_from([0, -(2**63), 2**63 - 1, 2**63]),
    ),
    max_size=12,
)


@pytest.fixture(params=[0, 16_384], ids=["packed", "few"])
def _few(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whether a table of few files keeps their entries, too."""
    with mock.patch.object(file_table, "_CACHED_FILES", request.param):
        yield


# Sabotage (each tried): the first of two entries of one path counts; `_unpacked` is left out of `entry`; 32 bits of the
# hash are taken for the path; `below` of a folder takes its name for a beginning.
@pytest.mark.usefixtures("_few")
@given(entries=_ENTRIES, folder=_PATHS | st.just(RemotePath()))
def test_a_table_holds_what_a_dict_of_its_entries_holds(entries: list[FileEntry], folder: RemotePath) -> None:
    table = FileTable.from_entries(entries)
    known = {entry.path: entry for entry in entries}
    assert list(table) == list(known.values())
    assert list(table.paths()) == list(known)
    assert len(table) == len(known)
    assert [table.entry(position) for position in range(len(table))] == list(known.values())
    for path in (*known, *(RemotePath(f"{path}/a") for path in known), RemotePath("none")):
        assert table.get(path) == known.get(path)
        assert (table.find(path) >= 0) is (path in known)
    inside = [entry for path, entry in known.items() if path and (not folder or path.startswith(f"{folder}/"))]
    assert table.entries_below(folder) == inside
    assert list(table.paths_below(folder)) == [entry.path for entry in inside]
    assert table.total_size == sum(entry.size or 0 for entry in known.values())


@given(entries=_ENTRIES)
def test_files_of_some_folders_come_in_their_order(entries: list[FileEntry]) -> None:
    # Sabotage: leave out the last `sorted` in `in_folders`.
    table = FileTable.from_entries(entries)
    for numbers in ({0}, {0, 1}, {1, 2, 3}):
        texts = {table.folders[number] for number in numbers if number < len(table.folders)}
        expected = [at for at, path in enumerate(table.paths()) if path.rpartition("/")[0] in texts]
        assert table.in_folders(number for number in numbers if number < len(table.folders)) == expected


# Sabotage: keep an entry of each (`_CACHED_FILES = 10**9`).
def test_a_file_takes_about_sixty_bytes_and_its_name() -> None:
    count = 50_000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tree = FileTree(FileEntry(path=RemotePath(f"d/{n:06}"), size=n, content_tag=n, time="t") for n in range(count))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(tree) == count
    assert taken / count < 80
