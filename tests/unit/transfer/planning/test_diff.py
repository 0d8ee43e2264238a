"""Comparing for a sync: tags where they are proven, size and memory where not, and never a delete too many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from emasync.model import Direction, FileEntry, FileTree, RemotePath, SyncDecision, SyncDecisions
from emasync.transfer.planning.diff import ComparedFile, Comparison
from emasync.transfer.planning.filters import Filters

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK


def mine(path: str, size: int = 5, tag: int | None = 1) -> ComparedFile:
    return ComparedFile(path=RemotePath(path), size=size, tag=tag)


def theirs(*files: tuple[str, int | None, int | None]) -> FileTree:
    return FileTree(FileEntry(path=RemotePath(path), size=size, content_tag=tag) for path, size, tag in files)


def compare(local: Iterable[ComparedFile], tree: FileTree, **how: Any) -> SyncDecisions:
    return Comparison(**how).decide(local, tree)


def told(decisions: Iterable[SyncDecision]) -> dict[str, tuple[str, str]]:
    return {one.path: (one.action, one.reason) for one in decisions}


@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize(
    ("size", "tag", "proven", "known", "expected"),
    [
        (6, 1, True, None, ("copy", "size differs")),
        (None, 1, True, None, ("copy", "the EM lists no size")),
        (5, 1, True, None, ("keep", "same content")),
        (5, 2, True, None, ("copy", "content differs")),
        (5, 2, True, True, ("copy", "content differs")),
        (5, None, True, None, ("keep", "same size, content unknown")),
        (5, 2, False, None, ("keep", "same size, content unknown")),
        (5, 2, False, True, ("keep", "same size, unchanged since moved")),
        (5, 1, False, False, ("copy", "same size, changed since moved")),
    ],
)
def test_what_differs_is_copied_with_the_reason(
    direction: Direction,
    size: int | None,
    tag: int | None,
    proven: bool,
    known: bool | None,
    expected: tuple[str, str],
) -> None:
    # sabotage: trust tags without tags_confirmed, or compare sizes only
    decisions = compare(
        [mine("a")], theirs(("a", size, tag)), direction=direction, tags_confirmed=proven, known=lambda path: known
    )
    assert told(decisions) == {"a": expected}


def test_a_careful_caller_copies_what_only_the_size_speaks_for() -> None:
    decisions = compare([mine("a", tag=None)], theirs(("a", 5, 1)), direction=UP, unknown="copy")
    assert decisions == (
        SyncDecision(path=RemotePath("a"), action="copy", reason="same size, content unknown", bytes=5, compared=False),
    )


def test_new_and_extra_files_depend_on_the_direction() -> None:
    files, tree = [mine("here", 3)], theirs(("out/there", 7, 1), ("elsewhere", 1, 1))
    extra = "not at the source; delete was not asked for"
    up = compare(files, tree, direction=UP, folder="/out/")
    assert told(up) == {"here": ("copy", "new"), "there": ("keep", extra)}
    assert sum(one.bytes for one in up) == 3
    down = compare(files, tree, direction=DOWN, folder="out", delete=True)
    assert told(down) == {"here": ("delete", "not at the source"), "there": ("copy", "new")}
    assert sum(one.bytes for one in down) == 7


def test_too_many_deletions_are_none() -> None:
    # sabotage: delete the first max_delete files
    tree = theirs(("a", 1, 1), ("b", 1, 1), ("c", 1, 1))
    guarded = compare([], tree, direction=UP, delete=True, max_delete=2)
    assert {one.action for one in guarded} == {"conflict"}
    assert "3 deletions are more than the 2 allowed" in guarded[0].reason
    allowed = compare([], tree, direction=UP, delete=True, max_delete=3)
    assert {one.action for one in allowed} == {"delete"}


def test_filtered_files_are_neither_copied_nor_deleted() -> None:
    # sabotage: filter the local side only, and delete=True takes the ignored files on the EM
    decisions = compare(
        [mine("cache/a"), mine("x")],
        theirs(("cache/b", 1, 1), ("y", 1, 1)),
        direction=UP,
        delete=True,
        filters=Filters(exclude=("cache/",)),
    )
    assert told(decisions) == {"x": ("copy", "new"), "y": ("delete", "not at the source")}


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_a_file_against_a_folder_is_a_conflict_on_both_sides(direction: Direction) -> None:
    decisions = compare(
        [mine("a"), mine("b/x/y"), mine("ok")],
        theirs(("a/deep/x", 1, 1), ("b", 1, 1), ("ok", 5, 1)),
        direction=direction,
        delete=True,
        tags_confirmed=True,
    )
    assert told(decisions) == {
        "a": ("conflict", "it is a folder on the EM"),
        "a/deep/x": ("conflict", "a is a file here"),
        "b": ("conflict", "it is a folder here"),
        "b/x/y": ("conflict", "b is a file on the EM"),
        "ok": ("keep", "same content"),
    }


def test_a_downlink_does_not_save_unsafe_names_or_twins() -> None:
    tree = theirs(("READ.me", 1, 1), ("a/../b", 1, 1), ("new", 1, 1), ("New", 1, 1))
    decisions = told(compare([mine("read.me")], tree, direction=DOWN))
    assert decisions["READ.me"] == ("conflict", "differs only by case or accents from read.me")
    assert decisions["a/../b"][0] == "conflict"
    assert decisions["new"] == ("copy", "new")
    assert decisions["New"][0] == "conflict"
    up = told(compare([mine("read.me")], theirs(("READ.me", 1, 1)), direction=UP))
    assert up["read.me"] == ("copy", "new")


def test_thirty_thousand_files_are_compared_at_once() -> None:
    paths = [f"out/d{n % 300}/f{n}" for n in range(30_000)]
    tree = theirs(*((path, 5, 1) for path in paths))
    files = [mine(path[4:]) for path in paths]
    decisions = compare(files, tree, direction=DOWN, folder="out", tags_confirmed=True)
    # No figure here: the time limit of every test is the guard, something quadratic takes minutes.
    assert {one.reason for one in decisions} == {"same content"}
