"""Selecting what comes down: folders, slashes, globs, and one local path for each file."""

from __future__ import annotations

from pathlib import Path

import pytest

from emasync.errors import NotFoundError, ProtocolError, UnsafePathError
from emasync.model import FileEntry, FileTree, Glob, RemotePath
from emasync.transfer.planning.plan import DownlinkPlan
from emasync.transfer.planning.selection import needs_listing, plan_downlink


def listing(*paths: str, folders: tuple[str, ...] = ()) -> FileTree:
    return FileTree([FileEntry(path=RemotePath(path), size=len(path)) for path in paths], folders=folders)


TREE = listing(
    "downlink.txt",
    "echo-test/Dockerfile",
    "logs/a.log",
    "logs/old/b.log",
    "results/1.bin",
    "results/deep/2.bin",
    "results-of-2025/x",
    folders=("echo-test", "logs", "logs/old", "results", "results/deep", "results-of-2025", "empty", "results/void"),
)


def landed(plan: DownlinkPlan) -> dict[str, str]:
    return {item.remote: item.local.as_posix() for item in plan.items}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/echo-test/Dockerfile", {"echo-test/Dockerfile": "Dockerfile"}),
        ("results", {"results/1.bin": "results/1.bin", "results/deep/2.bin": "results/deep/2.bin"}),
        ("results/", {"results/1.bin": "1.bin", "results/deep/2.bin": "deep/2.bin"}),
        ("results/.", {"results/1.bin": "1.bin", "results/deep/2.bin": "deep/2.bin"}),
        ("results/deep", {"results/deep/2.bin": "deep/2.bin"}),
        ("logs/*.log", {"logs/a.log": "a.log"}),
        ("**/*.log", {"logs/a.log": "logs/a.log", "logs/old/b.log": "logs/old/b.log"}),
        ("*.txt", {"downlink.txt": "downlink.txt"}),
        ("results/d*", {"results/deep/2.bin": "deep/2.bin"}),
        ("echo*", {"echo-test/Dockerfile": "echo-test/Dockerfile"}),
    ],
)
def test_a_path_selects_files_and_says_where_they_land(path: str, expected: dict[str, str]) -> None:
    plan = plan_downlink([path], TREE)
    assert landed(plan) == expected
    assert not plan.refused


@pytest.mark.parametrize("path", ["", "/", "."])
def test_the_root_means_everything_in_the_volume(path: str) -> None:
    plan = plan_downlink([path], TREE)
    assert landed(plan) == {entry.path: entry.path for entry in TREE}
    assert plan.notes == ("empty: an empty folder, nothing to move", "results/void: an empty folder, nothing to move")


def test_a_file_or_folder_named_like_a_pattern_is_meant_by_its_name() -> None:
    # sabotage: look at patterns before files in _named
    tree = listing("a*.txt", "ab.txt", "d*/x", "dd/y")
    assert landed(plan_downlink(["a*.txt"], tree)) == {"a*.txt": "a*.txt"}
    assert landed(plan_downlink(["d*"], tree)) == {"d*/x": "d*/x"}


def test_question_marks_and_brackets_are_ordinary_characters_of_a_path() -> None:
    # sabotage: `wildcards = "*?["` for a str too in PathPattern.of, and no escape there
    tree = listing("a1.txt", "ab.txt", "d[1]/x.log", "d1/x.log")
    for path in ("a[1].txt", "a?.txt", "a[1]*.txt", "d?/*.log"):
        assert isinstance(plan_downlink([path], tree).refused[0].error, NotFoundError), path
    assert landed(plan_downlink(["d[1]/*.log"], tree)) == {"d[1]/x.log": "x.log"}
    assert landed(plan_downlink(["d[1]/"], tree)) == {"d[1]/x.log": "x.log"}


def test_a_glob_is_always_a_pattern_and_lands_like_one() -> None:
    # sabotage: hand a Glob's text to _named in select
    tree = listing("run[1].log", "run1.log", "d[1]/x", "d1/x", "d1/e/y")
    assert landed(plan_downlink([Glob("run[1].log")], tree)) == {"run1.log": "run1.log"}
    assert landed(plan_downlink([Glob("d[1]")], tree)) == {"d1/x": "d1/x", "d1/e/y": "d1/e/y"}
    assert landed(plan_downlink([Glob("d1/?"), "run1.log"], tree)) == {
        "d1/x": "x",
        "d1/e/y": "e/y",
        "run1.log": "run1.log",
    }
    missing = plan_downlink([Glob("z[1]")], tree).refused[0]
    assert (missing.remote, type(missing.error)) == ("z[1]", NotFoundError)
    assert needs_listing(Glob("run1.log"))
    with pytest.raises(TypeError, match="list"):
        plan_downlink(Glob("*"), tree)  # type: ignore[arg-type]


def test_a_slash_at_the_end_of_a_pattern_selects_folders_only() -> None:
    # sabotage: leave out the `**` that PathPattern.of appends
    tree = listing("logs.txt", "logs1/a", "logs2/b/c")
    assert landed(plan_downlink(["logs*/"], tree)) == {"logs1/a": "logs1/a", "logs2/b/c": "logs2/b/c"}


def test_a_file_selected_twice_is_fetched_once() -> None:
    plan = plan_downlink(["results", "results/1.bin", "results/*", "results"], TREE)
    assert landed(plan) == {"results/1.bin": "results/1.bin", "results/deep/2.bin": "results/deep/2.bin"}
    assert not plan.refused


@pytest.mark.parametrize("path", ["nothing", "nothing/", "*.none", "downlink.txt/", "result", "../x"])
def test_what_is_not_in_the_listing_is_refused_with_the_next_command(path: str) -> None:
    plan = plan_downlink([path], TREE)
    assert not plan.items
    assert isinstance(plan.refused[0].error, NotFoundError)
    assert plan.refused[0].remote == RemotePath(path)


def test_a_slash_at_the_end_and_a_wildcard_need_a_listing_to_be_understood() -> None:
    assert needs_listing("a/")
    assert needs_listing("*.txt")
    assert not needs_listing("a")
    assert not needs_listing("run[1].log")


def test_an_empty_folder_is_a_note_and_not_an_error() -> None:
    plan = plan_downlink(["empty"], TREE)
    assert plan == DownlinkPlan(notes=("empty: an empty folder, nothing to move",))


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("largest", ["ccc", "aa", "b"]),
        ("smallest", ["b", "aa", "ccc"]),
        ("name", ["aa", "b", "ccc"]),
        ("listed", ["b", "ccc", "aa"]),
    ],
)
def test_files_come_in_the_order_asked_for(order: str, expected: list[str]) -> None:
    tree = listing("b", "ccc", "aa")
    plan = plan_downlink(["/"], tree, order=order)  # type: ignore[arg-type]
    assert [item.remote for item in plan.items] == expected


def test_an_unknown_order_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="largest"):
        plan_downlink(["/"], TREE, order="biggest")  # type: ignore[arg-type]


def test_filters_see_the_path_below_the_destination() -> None:
    plan = plan_downlink(["results/"], TREE, exclude=["/deep"])
    assert landed(plan) == {"results/1.bin": "1.bin"}
    plan = plan_downlink(["/"], TREE, include=["*.log", "*.bin"], exclude=["old/"])
    assert set(landed(plan)) == {"logs/a.log", "results/1.bin", "results/deep/2.bin"}


@pytest.mark.parametrize("twin", ["A.TXT", "stra\u00dfe/x", "cafe\u0301"])
def test_of_two_files_that_a_disk_would_merge_the_later_one_is_refused(twin: str) -> None:
    # sabotage: key `first` by the target as it is
    first = {"A.TXT": "a.txt", "stra\u00dfe/x": "STRASSE/x", "cafe\u0301": "caf\u00e9"}[twin]
    plan = plan_downlink(["/"], listing(first, twin))
    assert [item.remote for item in plan.items] == [first]
    assert isinstance(plan.refused[0].error, UnsafePathError)
    assert "differs only by case or accents" in str(plan.refused[0].error)
    assert plan.refused[0].remote == twin


def test_files_of_one_name_from_different_folders_do_not_overwrite_each_other() -> None:
    plan = plan_downlink(["a/x", "b/x"], listing("a/x", "b/x"))
    assert [item.remote for item in plan.items] == ["a/x"]
    assert "lands on the same path as a/x" in str(plan.refused[0].error)


def test_a_file_in_the_place_of_a_folder_is_refused() -> None:
    plan = plan_downlink(["x/B", "y/"], listing("x/B", "y/b/c"))
    assert landed(plan) == {"y/b/c": "b/c"}
    assert plan.refused[0].remote == "x/B"


@pytest.mark.parametrize("path", ["a/../b", "c:evil", "nul", "d/\u202etxt", ".emasync-journal"])
def test_a_name_that_must_not_become_a_path_is_refused(path: str) -> None:
    # sabotage: build `local` from the target's parts without local_parts
    plan = plan_downlink(["/"], listing(path, "fine"))
    assert landed(plan) == {"fine": "fine"}
    assert isinstance(plan.refused[0].error, UnsafePathError)


def test_a_string_instead_of_a_list_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="list"):
        plan_downlink("results", TREE)


def test_thirty_thousand_listed_files_are_planned_at_once() -> None:
    tree = listing(*(f"d{n % 500}/e/file-{n}" for n in range(30_000)))
    plan = plan_downlink(["/"], tree)
    # No figure here: the time limit of every test is the guard, something quadratic takes minutes.
    assert plan.files == 30_000


def test_many_folders_of_a_large_listing_are_planned_at_once() -> None:
    # sabotage: FileTree.below for each folder instead of a slice
    tree = listing(*(f"d{n}/x" for n in range(5000)))
    assert plan_downlink([f"d{n}" for n in range(5000)], tree).files == 5000
    # No figure here: the time limit of every test is the guard, something quadratic takes minutes.


def test_local_paths_are_relative_paths() -> None:
    assert plan_downlink(["results"], TREE).items[0].local in {Path("results/1.bin"), Path("results/deep/2.bin")}


# Sabotage: `unlisted` yields nothing: files that were asked for are missing from the plan, and nobody says so.
@pytest.mark.parametrize(
    ("path", "items", "refused"),
    [
        ("", ["top.txt", "a/x"], ["a/dark", "b"]),
        ("a", ["a/x"], ["a/dark"]),
        ("a/", ["a/x"], ["a/dark"]),
        ("b/", [], ["b"]),
        ("b", [], ["b"]),
        ("top.txt", ["top.txt"], []),
        ("a/*", ["a/x"], ["a/dark"]),
        ("*.txt", ["top.txt"], ["a/dark", "b"]),
        ("a/dark/file", [], ["a/dark/file"]),  # it may be there, or not
        ("a/dark/deeper/", [], ["a/dark/deeper/"]),
    ],
)
def test_folders_whose_contents_are_not_listed_are_refused_where_they_are_asked_for(
    path: str, items: list[str], refused: list[str]
) -> None:
    files = [FileEntry(path=RemotePath(name), size=1) for name in ("top.txt", "a/x")]
    tree = FileTree(files, folders=["a", "a/dark", "b"], unknown_folders=["a/dark", "b"])
    plan = plan_downlink([path], tree, order="listed")
    assert [str(item.remote) for item in plan.items] == items
    assert [str(one.remote) for one in plan.refused] == [str(RemotePath(one)) for one in refused]
    assert all(isinstance(one.error, ProtocolError) for one in plan.refused)
    assert plan.notes == ()
