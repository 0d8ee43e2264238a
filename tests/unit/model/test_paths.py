"""`RemotePath` has one normal form, and patterns select as in a shell."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emasync.model import RemotePath
from emasync.model.paths import matches


@pytest.mark.parametrize(
    ("text", "normal"),
    [("/a/b", "a/b"), ("a//b/", "a/b"), ("./a/./b", "a/b"), ("/", ""), (".", ""), ("", ""), ("a/../b", "a/../b")],
)
def test_every_spelling_has_one_normal_form(text: str, normal: str) -> None:
    assert RemotePath(text) == normal


@given(st.text(alphabet="ab./ *", max_size=20))
def test_the_normal_form_is_its_own_normal_form(text: str) -> None:
    path = RemotePath(text)
    assert RemotePath(path) == path
    assert not path.startswith("/")
    assert RemotePath("/".join(path.parts)) == path


def test_every_short_spelling_comes_out_as_its_parts_without_the_empty_ones_and_dots() -> None:
    # sabotage: leave out any one condition under which `RemotePath.__new__` takes its text apart
    spellings = ["".join(chars) for length in range(6) for chars in product("/.a", repeat=length)]
    expected = ["/".join(part for part in text.split("/") if part not in ("", ".")) for text in spellings]
    assert [RemotePath(text) for text in spellings] == expected
    assert {type(RemotePath("a") / text) for text in spellings} == {RemotePath}
    assert [RemotePath("a") / RemotePath(text) for text in spellings] == [
        f"a/{normal}" if normal else "a" for normal in expected
    ]


def test_parts_name_parent_and_joining_agree() -> None:
    path = RemotePath("a/b/c.txt")
    assert (path.parts, path.name, path.parent) == (("a", "b", "c.txt"), "c.txt", "a/b")
    assert path.parent / path.name == path
    assert isinstance(path.parent, RemotePath)
    assert (RemotePath().parts, RemotePath().name, RemotePath().parent) == ((), "", "")


def test_below_is_about_folders_not_about_beginnings() -> None:
    # Sabotage: drop the slash in `below`, and "ab/c" lies below "a".
    assert RemotePath("a/b").below("a")
    assert not RemotePath("ab/c").below("a")
    assert not RemotePath("a").below("a")
    assert RemotePath("a").below("")
    assert not RemotePath("").below("")


def test_relative_to_gives_the_rest_or_says_that_there_is_none() -> None:
    assert RemotePath("a/b/c").relative_to("/a/") == "b/c"
    with pytest.raises(ValueError, match="does not lie below"):
        RemotePath("ab").relative_to("a")


@pytest.mark.parametrize(
    ("path", "pattern", "selected"),
    [
        ("a.txt", "*.txt", True),
        ("d/a.txt", "*.txt", False),
        ("d/a.txt", "**/*.txt", True),
        ("a.txt", "**/*.txt", True),
        ("d/e/a.txt", "d/**", True),
        ("d/e/a.txt", "/d/**/a.txt", True),
        ("a1", "a?", True),
        ("a/", "a?", False),
        ("a/b", "a?b", False),
        ("b", "[abc]", True),
        ("b", "[!abc]", False),
        ("d", "[!abc]", True),
        ("a/b", "a[!x]b", False),
        ("a/b", "a[+-9]b", False),  # "/" lies between "+" and "9"
        ("[", "[[]", True),
        ("a]", "a]", True),
        ("]", "[]]", True),
        ("a[b", "a[b", True),
        ("a.txt", "a+txt", False),
        (".hidden", "*", True),
        ("with\nnewline", "*", True),
    ],
)
def test_a_pattern_matches_the_whole_path(path: str, pattern: str, selected: bool) -> None:
    assert matches(path, pattern) is selected


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("[b-a]", False),
        ("[!b-a]", True),
        ("[b-aa]", True),
        ("[a--b]", False),
        ("[a&&b]", True),
        ("[x||a]", True),
        ("[a~~b]", True),
        ("[\\\\]a]", False),
        ("[]", False),
    ],
)
def test_odd_sets_mean_what_they_mean_in_a_shell_and_never_fail(pattern: str, selected: bool) -> None:
    # Sabotage: hand the brackets to `re` as they are: "[b-a]" is an error there, "[a&&b]" a warning.
    assert matches("a", pattern) is selected


@given(st.text(alphabet="ab/[]!^-\\&|*?", max_size=12))
def test_no_pattern_is_an_error(pattern: str) -> None:
    matches("a/b", pattern)
