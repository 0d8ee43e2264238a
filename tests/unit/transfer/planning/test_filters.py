"""Filters: gitignore rules, exclude wins, excluded folders stay unwalked; git itself is the judge where it is there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from emasync.model import RemotePath
from emasync.transfer.planning.filters import Filters, IgnoreRules


def takes(filters: Filters, path: str) -> bool:
    return filters.takes(RemotePath(path))


def ignoring(*lines: str, folder: str = "") -> Filters:
    return Filters().with_nested(IgnoreRules(folder=RemotePath(folder), lines=lines))


def test_no_filters_take_everything() -> None:
    assert takes(Filters(), "a/b")
    assert Filters().walks(RemotePath("a"))
    assert takes(Filters(exclude=("", "# only a comment")), "a/b")


def test_exclude_wins_over_include() -> None:
    filters = Filters(include=("*.py",), exclude=("secret.py",))
    assert takes(filters, "a/b.py")
    assert not takes(filters, "a/b.txt")
    assert not takes(filters, "a/secret.py")


def test_an_excluded_folder_is_out_with_all_it_holds_and_is_not_walked() -> None:
    # sabotage: let takes() ask only for the file itself
    filters = Filters(exclude=("build/", "/top"))
    assert not filters.walks(RemotePath("a/build"))
    assert not takes(filters, "a/build/x/y")
    assert takes(filters, "a/build")  # a file of that name is no folder
    assert not takes(filters, "top/x")
    assert takes(filters, "a/top/x")


def test_a_nested_ignore_file_speaks_of_its_own_folder_and_overrules_the_one_above() -> None:
    above = IgnoreRules(folder=RemotePath(""), lines=("*.log",))
    inner = IgnoreRules(folder=RemotePath("a"), lines=("!keep.log", "/tmp"))
    filters = Filters().with_nested(inner, above)
    assert not takes(filters, "x.log")
    assert takes(filters, "a/keep.log")
    assert not takes(filters, "keep.log")
    assert not takes(filters, "a/tmp/x")
    assert takes(filters, "tmp/x")
    assert takes(filters, "ab/tmp")


def test_an_ignore_file_cannot_bring_back_what_exclude_names() -> None:
    filters = Filters(exclude=("*.log",)).with_nested(IgnoreRules(folder=RemotePath(), lines=("!a.log",)))
    assert not takes(filters, "a.log")


@pytest.mark.parametrize("pattern", ["!", "[z-a]"])
def test_what_is_no_pattern_is_a_value_error(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        Filters(exclude=(pattern,))


def test_a_string_of_patterns_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="list"):
        Filters(include="*.py")  # type: ignore[arg-type]


def test_a_very_deep_path_needs_no_recursion() -> None:
    assert takes(Filters(exclude=("x",)), "/".join(["d"] * 1500))


FILES = ("m.py", "x.log", "a/x.log", "a/ü b", "a/#c", "a/d ", "a/c/b", "b/m.py", "b/keep/z", "b/keep/s/z", "b/x/y")
RULES = (
    ("b/",),
    ("b",),
    ("/b",),
    ("b/*", "!b/keep"),
    ("b/**", "!b/keep/"),
    ("b/**", "!b/m.py"),
    ("*", "!*/", "!*.py"),
    ("*.log", "!a/x.log"),
    ("a/**/x.log", "**/keep"),
    ("b", "!b/keep"),
    ("\\#c", "# b", "ü*", "d\\ "),
    ("[a-c]/[!x]*",),
    ("a?x.log", "?.py"),
)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is the judge")
@pytest.mark.parametrize("rules", RULES)
def test_git_ignores_the_same_files(rules: tuple[str, ...], tmp_path: Path) -> None:
    # sabotage: match folders with check_file, or give it the patterns of files
    def git(*words: str, text: str = "") -> bytes:
        command = ["git", "-c", "core.excludesFile=/dev/null", *words]
        return subprocess.run(command, cwd=tmp_path, input=text.encode(), capture_output=True, check=False).stdout

    git("init", "-q")
    (tmp_path / ".gitignore").write_text("\n".join(rules), encoding="utf-8")
    for file in FILES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    ignored = set(git("check-ignore", "--no-index", "--stdin", "-z", text="\0".join(FILES)).decode().split("\0")) - {""}
    assert {file for file in FILES if not takes(ignoring(*rules), file)} == ignored
