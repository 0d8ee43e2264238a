"""Names that hold line breaks and terminal controls: every command shows them on one line, in text that only prints.

Owns: one listing, one local folder and one set of answers full of such names, and what each command makes of them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.canned_em import Canned, canned_em
from tests.cli.child import EMASYNC, login, run
from tests.cli.terminal import on_terminal

BREAKS = ("\n", "\r", "\x1b[2K\x1b[1A", "\u202e", "\x85", "\u2028", "\t", "\x08")
NAMES = tuple(f"n{index}{text}FORGED  (new, 1 B)" for index, text in enumerate(BREAKS))
MANY = "\n".join(NAMES)  # a text that holds all of them
_FOLDER = "dir\nFORGED"
_LISTING = {
    "data": [
        *({"type": "file", "name": name, "size": "3", "time": f"t{name}", "hash": 1} for name in NAMES),
        {"type": "directory", "name": _FOLDER, "contents": [{"type": "file", "name": "x", "size": "1"}]},
        {"type": "directory", "name": f"void{MANY}", "contents": []},
    ]
}
_STATE = {"terminated": {"reason": MANY, "message": MANY, "exitCode": 0}}
_ANSWERS: dict[str, Canned] = {
    "/em/files/list": (200, _LISTING),
    "/em/files/downlink": (404, {"detail": MANY}),
    "/em/files/delete": (200, {"message": MANY}),
    "/em/files/uplink": (400, {"error": MANY, "message": MANY}),
    "/em/nodes/status": (200, {"data": [{"name": name, "status": "True"} for name in NAMES]}),
    "/em/pod/status": (200, {"data": {"state": _STATE}}),
    "/em/pod/image/list": (200, {"data": list(NAMES)}),
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with canned_em(_ANSWERS) as canned_url:
        yield canned_url


@pytest.fixture
def here(home: Path) -> Path:
    """Files of these names in the working folder."""
    (home / "here").mkdir()
    for name in NAMES:
        (home / "here" / name).write_text("12")
    return home


def check_lines(text: str, *, count: int | None) -> None:
    """`text` has `count` lines for every reader, none of them forged, and nothing in it but what prints."""
    lines = text.splitlines()  # also at CR, U+0085 and U+2028
    assert [line for line in lines if line.lstrip(" │├└─").startswith("FORGED")] == []
    assert [char for char in set(text) if not char.isprintable()] in ([], ["\n"])
    assert count is None or len(lines) == count, lines


def run_command(home: Path, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    state = str(home / "state")
    return run(*EMASYNC, *words, "--retries", "0", home=home, env={**login(url), "EMASYNC_STATE_DIR": state})


# Names are escaped where they are joined and where the line is printed; tests/unit/cli/test_output.py has each alone.
# Sabotage: `for line in text.split("\n")` in Output.result fails pod's commands, and with `str(name)` in escape_name
# ls, check, dry runs and image ls; `print(text)` in Output.info, warn or error fails those that refuse or note.
@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["ls"], 1 + 8 + 2 + 1),
        (["ls", "-l"], 8 + 1),
        (["ls", "-l", "n*"], 8),
        (["ls", "--glob", "n[0-9]*", "-l"], 8),
        (["ls", _FOLDER], 2),
        (["check", "here", "/"], 8 + 8 + 1),
        (["check", "here", "/", "--exclude", "n0*"], 7 + 7 + 1),
        (["down", "/", "--dry-run"], 8 + 1 + 1),
        (["down", "*", "-v", "--dry-run"], 8 + 1 + 1),
        (["down", "/", "--into", "out"], 1),
        (["down", "/", "--into", "out", "-vv"], 1),
        (["down", MANY, f"*{MANY}"], 1),
        (["down", "/", "--plan", "-"], 1 + 9 + 1),
        (["sync", "down", "/", "out", "--dry-run"], 9 + 1),
        (["sync", "down", "/", "out"], 1),
        (["sync", "up", "here", "/", "--dry-run", "--delete"], 9 + 8 + 1),
        (["sync", "up", "here", _FOLDER], 1),
        (["up", "here/", "--dry-run", "-v"], 8 + 1),
        (["up", "here", "--plan", "-"], 1 + 8),
        (["up", *(f"here/{name}" for name in NAMES)], 1),
        (["up", f"gone{MANY}", f"gone*{MANY}"], 1),
        (["rm", "-y", "n*"], 0),  # some of them hold characters that no request may carry: none is deleted
        (["rm", "-y", f"gone{MANY}"], 0),
        (["rm", "-y", f"{_FOLDER}"], 0),
        (["rm", "-y", f"{NAMES[0]}/"], 0),
        (["cat", NAMES[3]], 0),
        (["image", "ls"], 8),
        (["image", "load", "x", "--tarfile", MANY], 0),
        (["node", "ls"], 8),
        (["pod", "status"], 1),
        (["pod", "wait"], 1),
        (["pod", "watch"], 1),
        (["doctor"], None),
        (["config", "show"], None),
    ],
    ids=lambda value: " ".join(value)[:18].encode("unicode_escape").decode() if isinstance(value, list) else None,
)
def test_a_name_is_shown_on_one_line_and_only_prints(here: Path, url: str, words: list[str], lines: int | None) -> None:
    result = run_command(here, url, *words)

    check_lines(result.stdout, count=lines)
    check_lines(result.stderr, count=None)
    assert result.stdout + result.stderr != ""
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "words", [["ls"], ["check", "here", "/"], ["down", "/", "--dry-run"], ["up", "here", "--dry-run"], ["image", "ls"]]
)
def test_json_has_the_true_names_and_only_prints(here: Path, url: str, words: list[str]) -> None:
    # Sabotage: escape_name(...) for a field of Output.result, or ensure_ascii=False in _json_line.
    result = run_command(here, url, *words, "--json")

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    check_lines(result.stdout, count=len(lines))
    shown = {str(line.get("path") or line.get("name")).rpartition("/")[2] for line in lines}
    assert set(NAMES) <= shown | {str(line.get("local")).rpartition("/")[2] for line in lines}


def test_the_question_of_rm_names_a_file_on_one_line(home: Path, url: str) -> None:
    # Sabotage: print(line) in place of print(safe(line)) and `str(one.path)` in place of escape_name in rm.
    typed = {b"[y/N]": b"n\n"}
    code, shown = on_terminal(*EMASYNC, "rm", "n*", f"{_FOLDER}/", "-q", home=home, env=login(url), when=typed)

    text = shown.decode().replace("\r\n", "\n").partition("[y/N]")[0]
    assert code == 1
    check_lines(text, count=8 + 1 + 1)


def test_a_recorded_command_is_shown_on_one_line(here: Path, url: str) -> None:
    # Sabotage: `text.split("\n")` in place of `[text]` in Output.result.
    run_command(here, url, "down", MANY, f"*{NAMES[1]}")
    env = {"EMASYNC_STATE_DIR": str(here / "state")}
    listed = run(*EMASYNC, "jobs", "ls", home=here, env=env)
    shown = run(*EMASYNC, "jobs", "show", listed.stdout.split()[0], home=here, env=env)

    check_lines(listed.stdout, count=1)
    check_lines(shown.stdout, count=7)
    assert (listed.returncode, shown.returncode) == (0, 0)
    assert [line.split()[0] for line in shown.stdout.splitlines()][:3] == ["job", "command", "in"]


def test_an_argument_too_many_is_shown_on_one_line(home: Path) -> None:
    # Sabotage: `yield` alone in commands._escaped_usage_errors.
    result = run(*EMASYNC, "cat", "a", MANY, home=home)

    check_lines(result.stderr, count=4)
    assert (result.returncode, result.stdout) == (2, "")
