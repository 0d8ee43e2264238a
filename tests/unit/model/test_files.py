"""`FileTree` answers in any spelling of a path."""

from __future__ import annotations

import pytest

from emasync.model import FileEntry, FileTree, RemotePath


def entry(path: str, size: int | None = 1) -> FileEntry:
    return FileEntry(path=RemotePath(path), size=size)


@pytest.fixture
def tree() -> FileTree:
    files = [entry("a.txt", 3), entry("logs/x.log", 4), entry("logs/old/y.log", None)]
    return FileTree(files, folders=["logs", "logs/old", "empty"])


def test_a_file_is_found_in_any_spelling(tree: FileTree) -> None:
    assert "/logs/./x.log" in tree
    assert tree["//a.txt"].size == 3
    assert tree.get("logs//x.log") == tree["logs/x.log"]


def test_a_folder_or_a_missing_file_is_no_entry(tree: FileTree) -> None:
    assert "logs" not in tree
    assert tree.get("nowhere") is None
    assert 7 not in tree
    with pytest.raises(KeyError):
        tree["logs"]


def test_it_iterates_counts_and_sums_what_is_known(tree: FileTree) -> None:
    assert [found.path for found in tree] == ["a.txt", "logs/x.log", "logs/old/y.log"]
    assert (len(tree), tree.total_size, bool(tree), bool(FileTree([]))) == (3, 7, True, False)


def test_folders_are_the_listed_ones_and_those_that_files_imply(tree: FileTree) -> None:
    implied = FileTree([entry("a/b/c")])
    assert tree.is_folder("empty")
    assert tree.is_folder("")
    assert not tree.is_folder("a.txt")
    assert implied.is_folder("a")
    assert implied.is_folder("a/b")


def test_below_and_glob_select(tree: FileTree) -> None:
    assert [found.name for found in tree.below("logs")] == ["x.log", "y.log"]
    assert [found.path for found in tree.glob("logs/*.log")] == ["logs/x.log"]
    assert [found.path for found in tree.glob("**/*.log")] == ["logs/x.log", "logs/old/y.log"]


def test_the_repr_counts_and_lists_nothing(tree: FileTree) -> None:
    assert repr(tree) == "<FileTree: 3 files in 3 folders, 7 bytes>"


# Sabotage: `unknown_above` looks at the parent alone.
def test_what_lies_below_a_folder_of_unknown_contents_is_not_known() -> None:
    tree = FileTree([entry("a/x")], folders=["a", "a/b"], unknown_folders=["a/b"])
    assert [tree.is_known(path) for path in ("/a/b/c/d", "a/b/c", "a/b", "a/y", "z")] == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert tree.unknown_above("a/b/c/d") == "a/b"
    assert (tree.unknown_below("a"), tree.unknown_below("z")) == (["a/b"], [])
    assert not tree.complete
    assert "the contents of 1 not known" in repr(tree)


def test_where_the_root_is_unknown_nothing_is_known() -> None:
    tree = FileTree([], unknown_folders=[""])
    assert not tree.is_known("a")
