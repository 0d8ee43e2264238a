"""What a removal selects: what was named, and nothing else, also when it is made again or mistyped."""

from __future__ import annotations

import pytest

from emasync import FileEntry, FileTree, Glob, NotFoundError, RemotePath, UnsafePathError
from emasync.cli.remote_selection import removal_command, select, select_removals


def listing(*paths: str, folders: tuple[str, ...] = ()) -> FileTree:
    return FileTree([FileEntry(path=RemotePath(path), size=1) for path in paths], folders=folders)


def removed(tree: FileTree, *asked: str | Glob, literal: bool = False) -> list[str]:
    return [
        f"{selection.path}/" if selection.is_folder else selection.path
        for selection in select_removals(tree, asked, literal=literal)
    ]


TREE = listing("run1.log", "run*.log", "a?b", "axb", "d/x", "d/e/y", "d2/z", folders=("d", "d/e", "d2", "empty"))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["run1.log"], ["run1.log"]),
        (["run*.log"], ["run1.log", "run*.log"]),
        (["a?b"], ["a?b"]),
        ([Glob("a?b")], ["a?b", "axb"]),
        (["d"], ["d/"]),
        (["d/"], ["d/"]),
        (["/d/"], ["d/"]),
        (["d/."], ["d/"]),
        (["empty/"], ["empty/"]),
        (["d/*"], ["d/x"]),
        (["d/**", "d/"], ["d/"]),
        (["*"], ["run1.log", "run*.log", "a?b", "axb"]),
        (["run1.log", "/run1.log"], ["run1.log"]),
    ],
)
def test_a_removal_takes_what_its_paths_say(asked: list[str | Glob], expected: list[str]) -> None:
    # Sabotage: take `select` for `_chosen` in select_removals: run*.log is one file then.
    assert removed(TREE, *asked) == expected


def test_literal_takes_the_one_file_that_is_called_like_a_pattern() -> None:
    # Sabotage: leave `literal` out of the condition in _chosen.
    assert removed(TREE, "run*.log", literal=True) == ["run*.log"]
    with pytest.raises(NotFoundError):
        removed(TREE, "d/*", literal=True)


@pytest.mark.parametrize("path", ["run[1].log", "run?.log", "run", "run1", "RUN1.log", "run1.log.bak", "d/e/", "d/e/y"])
def test_a_removal_made_again_finds_nothing_whatever_resembles_it(path: str) -> None:
    # Sabotage: `asked = Glob(str(asked))` in _chosen, after the root is refused.
    tree = listing("run1.log", "d/x", "e/y", "d/e.txt", folders=("d", "e"))
    with pytest.raises(NotFoundError):
        removed(tree, path)


def test_one_path_that_names_nothing_is_enough_to_delete_nothing() -> None:
    with pytest.raises(NotFoundError, match="gone"):
        removed(TREE, "run1.log", "gone")


@pytest.mark.parametrize("path", ["", "/", ".", "./", "//", "./.", "/./"])
@pytest.mark.parametrize("literal", [False, True])
def test_the_whole_volume_is_never_meant(path: str, literal: bool) -> None:
    # Sabotage: drop the first condition of _chosen.
    with pytest.raises(ValueError, match="the whole volume"):
        removed(TREE, path, literal=literal)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("run1.log/", "is a file, not a folder"),
        ("run1.log/.", "is a file, not a folder"),
        ("d*/", "a pattern selects files"),
        ("**/", "a pattern selects files"),
        (Glob("d?/"), "a pattern selects files"),
    ],
)
def test_a_file_or_a_pattern_named_as_a_folder_is_misuse(asked: str | Glob, why: str) -> None:
    # Sabotage: drop the `means_contents` of select_named, or either one of _chosen.
    with pytest.raises(ValueError, match=why):
        removed(TREE, asked)


@pytest.mark.parametrize(
    ("tree", "asked"),
    [
        (listing("d/..", "d/x", "y"), "d/*"),
        (listing("d/../y", "y"), "**"),
        (listing("d/../y", "y"), "d/../y"),
        (listing("d", "d/x", folders=("d",)), "*"),  # a file called "." in d, as a RemotePath has it
        (listing("d", "d/x", folders=("d",)), "d"),
        (listing("y ", "y"), "y "),
        (listing("y ", "y"), "*"),
        (listing(" y/x", "y/x"), " y/"),
    ],
)
def test_a_listed_name_that_the_em_may_take_for_another_is_refused(tree: FileTree, asked: str) -> None:
    # Sabotage: return at once from _check_unmistakable.
    with pytest.raises(UnsafePathError, match="nothing was deleted"):
        removed(tree, asked)


def test_commands_that_only_look_take_an_exact_name_first_and_folders_with_or_without_a_slash() -> None:
    # Sabotage: look for patterns first in `select`.
    assert [selection.path for selection in select(TREE, "run*.log")] == ["run*.log"]
    assert [selection.path for selection in select(TREE, Glob("run?.log"))] == ["run1.log", "run*.log"]
    assert [selection.is_folder for path in ("d", "d/", "") for selection in select(TREE, path)] == [True, True, True]
    with pytest.raises(ValueError, match="is a file, not a folder"):
        select(TREE, "run1.log/")


def test_the_command_in_a_message_removes_the_one_file() -> None:
    # Sabotage: drop "--literal", or shlex, from removal_command.
    assert removal_command(RemotePath("a b.tar")) == "emasync rm -- 'a b.tar'"
    assert removal_command(RemotePath("-x*.tar")) == "emasync rm --literal -- '-x*.tar'"
