"""`Glob` and the wildcards of a plain path: which characters are special, and what a pattern selects."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emasync import Glob
from emasync.model import RemotePath
from emasync.model.glob import PathPattern, is_pattern, means_contents


def selected(pattern: str | Glob, *paths: str) -> list[str]:
    return [path for path in paths if PathPattern.of(pattern).selects(RemotePath(path))]


# Sabotage: `wildcards = "*?["` for a str too in PathPattern.of, or no `re.sub` there.
@pytest.mark.parametrize(
    ("pattern", "paths", "expected"),
    [
        ("run[1]*", ["run[1].log", "run1.log"], ["run[1].log"]),
        ("a?*", ["a?b", "axb", "a?"], ["a?b", "a?"]),
        ("d[1]/*.log", ["d[1]/x.log", "d1/x.log", "d[1]/e/x.log"], ["d[1]/x.log"]),
        ("d[1]/**/*.log", ["d[1]/x.log", "d1/x.log", "d[1]/e/x.log"], ["d[1]/x.log", "d[1]/e/x.log"]),
        ("*[", ["a[", "a", "["], ["a[", "["]),
        ("*]", ["a]", "a", "]"], ["a]", "]"]),
        ("[!a]*", ["[!a]b", "bc", "b"], ["[!a]b"]),
        ("**", ["a", "b/c"], ["a", "b/c"]),
        ("/logs/*", ["logs/a", "logs/a/b", "logs"], ["logs/a"]),
        ("//logs//*", ["logs/a"], ["logs/a"]),
        ("//*", ["a", "logs/a"], ["a"]),
        ("./*", ["a", "logs/a"], ["a"]),
        ("*.log", ["A.LOG", "a.log"], ["a.log"]),
    ],
)
def test_in_a_plain_path_only_stars_are_wildcards(pattern: str, paths: list[str], expected: list[str]) -> None:
    assert selected(pattern, *paths) == expected


@pytest.mark.parametrize(
    ("pattern", "paths", "expected"),
    [
        ("run[1].log", ["run[1].log", "run1.log"], ["run1.log"]),
        ("run?.log", ["run1.log", "run12.log"], ["run1.log"]),
        ("logs/[0-9]*", ["logs/1x", "logs/x1", "logs/1/x"], ["logs/1x"]),
        ("a[*]b", ["a*b", "axb"], ["a*b"]),
        ("plain.txt", ["plain.txt", "d/plain.txt", "plainxtxt"], ["plain.txt"]),
        ("d/plain.txt", ["plain.txt", "d/plain.txt"], ["d/plain.txt"]),
    ],
)
def test_a_glob_has_the_full_syntax(pattern: str, paths: list[str], expected: list[str]) -> None:
    assert selected(Glob(pattern), *paths) == expected


# Sabotage: leave out the `**` that PathPattern.of appends.
@pytest.mark.parametrize("pattern", ["logs*/", "logs*/.", "logs*//", Glob("logs*/"), Glob("log?/")])
def test_a_slash_at_the_end_of_a_pattern_selects_what_lies_in_folders(pattern: str | Glob) -> None:
    found = ["logs/a", "logs/b/c"]
    assert selected(pattern, "logs", "logs.txt", *found, "other/a") == found


def test_the_leading_folders_without_a_wildcard_are_kept_as_they_are_written() -> None:
    assert PathPattern.of("run[1]/a?/*.log").folder == "run[1]/a?"
    assert PathPattern.of("/abs/x/*.log").folder == "/abs/x"
    assert PathPattern.of(Glob("run[1]/x")).folder == ""
    assert PathPattern.of(Glob("a/run[1]/x")).folder == "a"
    assert PathPattern.of(Glob("a/b/")) == PathPattern(folder="a/b", rest=RemotePath("**"))


def test_only_a_star_or_a_glob_makes_a_pattern() -> None:
    assert [is_pattern(text) for text in ("a*", "a?", "a[b]", "a.b", Glob("a"))] == [True, False, False, False, True]


@pytest.mark.parametrize(("path", "contents"), [("", True), ("a/", True), ("a/.", True), ("a", False), ("a.", False)])
def test_a_slash_at_the_end_means_the_contents(path: str, contents: bool) -> None:
    assert means_contents(path) is contents


def test_a_glob_is_a_frozen_value_and_shows_its_pattern() -> None:
    one = Glob("a[1]")
    assert (one, hash(one), str(one)) == (Glob("a[1]"), hash(Glob("a[1]")), "a[1]")
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.pattern = "b"  # type: ignore[misc]


@pytest.mark.parametrize("pattern", ["", "/", ".", "./"])
def test_a_glob_that_can_select_nothing_is_a_value_error(pattern: str) -> None:
    with pytest.raises(ValueError, match="selects nothing"):
        Glob(pattern)


def test_a_glob_of_anything_but_text_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="int"):
        Glob(3)  # type: ignore[arg-type]


@given(st.text(alphabet="ab[]?!^-/.", min_size=1, max_size=10))
def test_a_path_with_a_star_selects_itself_whatever_else_it_holds(text: str) -> None:
    # Sabotage: drop "[" from the characters that PathPattern.of escapes.
    path = RemotePath(f"{text}*x")
    assert selected(path, path) == [path]
    assert selected(path, path.replace("*", "c")) == [path.replace("*", "c")]
