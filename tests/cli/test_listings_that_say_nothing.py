"""Answers that do not say what is there, through every command that looks at a listing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.canned_em import Canned, canned_em
from tests.cli.child import EMASYNC, login, run
from tests.cli.test_transfers import make

LIST = "/em/files/list"
NOTHING: list[dict[str, Any]] = [{}, {"data": None}, {"error": "EM_OFFLINE", "message": "link down"}, {"data": {}}]
DARK = {"data": [{"type": "directory", "name": "dark"}, {"type": "file", "name": "top.txt", "size": "1"}]}
QUICK = ("--retries", "0")


# Sabotage: take an answer without a list of entries for an empty volume.
@pytest.mark.parametrize(
    "words", [["ls"], ["rm", "-y", "a"], ["down", "a"], ["check", "here", "d"], ["sync", "down", "", "h"]]
)
@pytest.mark.parametrize("answer", NOTHING)
def test_no_command_takes_an_answer_that_lists_nothing_for_an_empty_volume(
    home: Path, words: list[str], answer: dict[str, Any]
) -> None:
    make(home / "here", a="1")
    with canned_em({LIST: (200, answer)}) as url:
        result = run(*EMASYNC, *words, *QUICK, home=home, env=login(url))
    assert result.returncode == 1, result.stdout + result.stderr
    assert "no listing" in result.stderr or "link down" in result.stderr


# Sabotage: leave `_check_listed` out of remote_selection.py: what may be there is "not found".
@pytest.mark.parametrize("words", [["ls", "dark/x"], ["rm", "-y", "dark/x"], ["ls", "dark/*.log"]])
def test_what_lies_in_a_folder_that_is_not_listed_is_not_called_missing(home: Path, words: list[str]) -> None:
    with canned_em({LIST: (200, DARK)}) as url:
        result = run(*EMASYNC, *words, home=home, env=login(url))
    assert result.returncode == 1, result.stderr
    assert "does not give the contents of dark" in result.stderr


def test_ls_shows_what_is_known_and_says_what_is_not(home: Path) -> None:
    # Sabotage: leave `unknown_below` out of commands/files.py.
    with canned_em({LIST: (200, DARK)}) as url:
        result = run(*EMASYNC, "ls", home=home, env=login(url))
    assert (result.returncode, "top.txt" in result.stdout) == (0, True)
    assert "does not give the contents of dark" in result.stderr


def test_check_does_not_call_a_file_new_whose_folder_is_not_listed(home: Path) -> None:
    # Sabotage: leave `compared` out of `_sign`.
    make(home / "here", dark__x="1", gone="2")
    with canned_em({LIST: (200, {"data": [{"type": "directory", "name": "d", "contents": DARK["data"]}]})}) as url:
        result = run(*EMASYNC, "check", "here", "d", home=home, env=login(url))
    assert result.returncode == 1
    assert result.stdout.splitlines() == ["! dark/x", "+ gone", "- top.txt"]


@pytest.mark.parametrize(("remote", "code"), [("mistyped", 3), ("top.txt", 2)])
def test_check_against_what_is_not_there_is_exit_3_and_against_a_file_exit_2(
    home: Path, remote: str, code: int
) -> None:
    # Sabotage: leave `missing_ok=False` out of check.py: all files are "only here".
    make(home / "here", a="1")
    with canned_em({LIST: (200, DARK)}) as url:
        result = run(*EMASYNC, "check", "here", remote, home=home, env=login(url))
    assert (result.returncode, result.stdout) == (code, "")


def test_down_of_a_folder_that_is_not_listed_fails_and_says_so(home: Path) -> None:
    # Sabotage: leave `unlisted` out of `plan_downlink`: exit 0, and the files are not there.
    answers: dict[str, Canned] = {LIST: (200, DARK)}
    with canned_em(answers) as url:
        result = run(*EMASYNC, "down", "dark/", *QUICK, home=home, env=login(url))
    assert result.returncode == 1
    assert "does not give the contents of dark" in result.stderr


def test_an_image_list_or_a_status_that_carries_an_error_is_an_error(home: Path) -> None:
    # Sabotage: `check_success` returns at once: "no pod", "no images".
    wrong = (200, {"error": "EM_OFFLINE", "message": "link down"})
    with canned_em({"/em/pod/status": wrong, "/em/pod/image/list": wrong}) as url:
        for words in (["pod", "status"], ["image", "ls"]):
            result = run(*EMASYNC, *words, *QUICK, home=home, env=login(url))
            assert (result.returncode, result.stdout) == (1, "")
            assert "link down" in result.stderr
