"""``up``, ``down``, ``sync`` and ``check`` as a script has them: exit codes, stdout, and what lies where."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from emasync.cli import emasync as root
from tests.cli.child import CANARY, EM, EMASYNC, LIMIT_S, emasync, environment

JOBS = ("ls", "show", "resume", "rm")


def make(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def lines(text: str) -> list[dict[str, Any]]:
    """Every line of a JSON output; the last one is `exit`."""
    found = [json.loads(line) for line in text.splitlines()]
    assert found[-1]["type"] == "exit"
    assert {line["schema"] for line in found} == {1}
    return found


def test_files_go_up_and_come_down_verified_with_one_summary_line_each(own_em: EM, home: Path, folder: str) -> None:
    make(home / "data", a="one", sub__b="two")

    up = emasync(own_em, home, "up", "data/", "--to", folder)
    down = emasync(own_em, home, "downlink", f"{folder}/", "--into", "out")

    assert (up.returncode, down.returncode) == (0, 0), up.stderr + down.stderr
    assert up.stdout.startswith("2 files, 6 B in ")
    assert "verified by tag" in up.stdout
    assert "verified by sha256" in down.stdout
    assert up.stdout.count("\n") == down.stdout.count("\n") == 1
    assert (home / "out/sub/b").read_text() == "two"


def test_json_has_a_line_for_every_file_then_the_summary_then_the_exit(own_em: EM, home: Path, folder: str) -> None:
    make(home / "data", a="one", b="two")

    result = emasync(own_em, home, "up", "data/", "gone", "--to", folder, "--json", "--report", "report.jsonl")

    found = lines(result.stdout)
    assert result.returncode == 6
    assert [line["type"] for line in found] == ["file", "file", "file", "summary", "exit"]
    assert {line["path"]: line["state"] for line in found[:3]} == {
        f"{folder}/a": "done",
        f"{folder}/b": "done",
        f"{folder}/gone": "failed",
    }
    assert found[3]["files"] == {"done": 2, "skipped": 0, "failed": 1, "unknown": 0}
    assert found[4]["code"] == 6
    report = [json.loads(line) for line in (home / "report.jsonl").read_text().splitlines()]
    assert sorted(line["path"] for line in report) == sorted(line["path"] for line in found[:3])


def test_failures_of_several_kinds_are_a_partial_failure_and_each_is_named(own_em: EM, home: Path, folder: str) -> None:
    make(home / "data", a="one", b="two")
    make(own_em.volume / folder, a="old")

    result = emasync(own_em, home, "up", "data/", "gone", "--to", folder, "--overwrite", "error")

    assert result.returncode == 6
    assert f"failed: {folder}/a is on the EM already" in result.stderr
    assert "failed: " in result.stderr.replace(f"failed: {folder}/a", "")
    assert "emasync jobs resume " not in result.stderr  # neither was begun: the journal holds nothing to go on with
    assert (own_em.volume / folder / "a").read_text() == "old"


def test_a_dry_run_of_up_and_down_says_what_and_why_and_moves_nothing(own_em: EM, home: Path, folder: str) -> None:
    # Sabotage: leave `transfer.dry_run` out of commands/up.py.
    make(home / "data", a="one", b="two")
    make(own_em.volume / folder, a="old")

    up = emasync(own_em, home, "up", "data/", "--to", folder, "-n")
    down = emasync(own_em, home, "down", f"{folder}/", "--into", "out", "-n", "--json")

    assert (up.returncode, down.returncode) == (0, 0)
    assert up.stdout.splitlines() == [
        f"copy     {folder}/a  (replaces a file, 3 B)",
        f"copy     {folder}/b  (new, 3 B)",
        "dry run: 2 files to copy (6 B)",
    ]
    plan = lines(down.stdout)[:-1]
    assert [(line["type"], line["action"], line["path"], line["reason"]) for line in plan] == [
        ("plan", "copy", f"{folder}/a", "new")
    ]
    assert [path.name for path in (own_em.volume / folder).iterdir()] == ["a"]
    assert not (home / "out").exists()
    assert not list(home.rglob("*.journal"))


# Sabotage: look with os.path.lexists, which follows the link: the dry run promises what the run refuses.
@pytest.mark.parametrize("overwrite", ["skip", "error"])
def test_a_dry_run_refuses_a_link_on_the_way_as_the_run_does(
    own_em: EM, home: Path, folder: str, overwrite: str
) -> None:
    make(own_em.volume / folder / "sub", a="theirs")
    make(home / "elsewhere", a="mine")
    (home / "out").mkdir()
    (home / "out/sub").symlink_to(home / "elsewhere")
    words = ("down", f"{folder}/", "--into", "out", "--overwrite", overwrite)

    dry = emasync(own_em, home, *words, "--dry-run")
    run = emasync(own_em, home, *words)

    assert (dry.returncode, run.returncode) == (1, 1), run.stderr
    assert dry.stdout.startswith(f"refuse   {folder}/sub/a  (")
    assert (home / "elsewhere/a").read_text() == "mine"


def test_one_file_can_go_to_stdout_and_two_cannot(own_em: EM, home: Path, folder: str) -> None:
    make(own_em.volume / folder, a="whole\n")

    single = emasync(own_em, home, "down", f"{folder}/a", "--into", "-")
    same = emasync(own_em, home, "down", f"{folder}/a", "-")
    two = emasync(own_em, home, "down", f"{folder}/", "-")

    assert (single.returncode, single.stdout, same.stdout) == (0, "whole\n", "whole\n")
    assert (two.returncode, two.stdout) == (2, "")


def test_500_files_synced_edited_planned_and_synced_again(own_em: EM, home: Path, folder: str) -> None:
    data = home / "data"
    make(data, **{f"d{index % 5}__f{index:03}": f"text {index}" for index in range(500)})
    first = emasync(own_em, home, "sync", "up", "data", folder, "--json")
    make(data, d0__f000="TEXT 0", d1__f001="longer than it was", new="new")
    (data / "d2/f002").unlink()

    plan = emasync(own_em, home, "sync", "up", "data", folder, "--delete", "--dry-run", "--json")
    second = emasync(own_em, home, "sync", "up", "data", folder, "--delete", "--json")
    again = emasync(own_em, home, "sync", "up", "data", folder, "--delete")

    assert (first.returncode, plan.returncode, second.returncode, again.returncode) == (0, 0, 0, 0)
    assert Counter(line["state"] for line in lines(first.stdout)[:-2]) == {"done": 500}
    planned = lines(plan.stdout)
    assert {line["type"] for line in planned[:-1]} == {"plan"}
    changed = {line["path"].partition("/")[2]: (line["action"], line["reason"]) for line in planned[:-1]}
    kept = [name for name, what in changed.items() if what == ("keep", "same content")]
    assert len(kept) == 497
    assert {name: what for name, what in changed.items() if name not in kept} == {
        "d0/f000": ("copy", "content differs"),
        "d1/f001": ("copy", "size differs"),
        "d2/f002": ("delete", "not at the source"),
        "new": ("copy", "new"),
    }
    assert Counter(line["state"] for line in lines(second.stdout)[:-2]) == {"done": 4, "skipped": 497}
    assert again.stdout.startswith("0 files, 0 B")
    assert not (own_em.volume / folder / "d2/f002").exists()


def test_too_many_deletions_are_conflicts_and_delete_nothing(own_em: EM, home: Path, folder: str) -> None:
    make(own_em.volume / folder, a="1", b="2")
    (home / "empty").mkdir()

    result = emasync(own_em, home, "sync", "up", "empty", folder, "--delete", "--max-delete", "1")

    assert result.returncode == 1
    assert "more than the 1 allowed" in result.stderr
    assert sorted(path.name for path in (own_em.volume / folder).iterdir()) == ["a", "b"]


def test_sync_down_makes_here_equal_to_there(own_em: EM, home: Path, folder: str) -> None:
    make(own_em.volume / folder, a="1", sub__b="2")
    make(home / "here", a="0", old="x")

    result = emasync(own_em, home, "sync", "down", folder, "here", "--delete")

    assert result.returncode == 0
    assert ", 1 deleted here," in result.stdout
    assert {path.relative_to(home / "here").as_posix(): path.read_text() for path in (home / "here").rglob("[ab]")} == {
        "a": "1",
        "sub/b": "2",
    }
    assert not (home / "here/old").exists()


def test_check_signs_every_file_and_changes_nothing(own_em: EM, home: Path, folder: str) -> None:
    make(own_em.volume / folder, same="1", differs="2", there="3")
    make(home / "here", same="1", differs="4", here="5")

    text = emasync(own_em, home, "check", "here", folder)
    scripted = emasync(own_em, home, "check", "here", folder, "--json", "--include", "same")

    assert (text.returncode, text.stdout.splitlines()) == (1, ["* differs", "+ here", "= same", "- there"])
    assert "1 the same" in text.stderr
    assert scripted.returncode == 0
    assert [(line["sign"], line["path"]) for line in lines(scripted.stdout)[:-1]] == [("=", "same")]


def test_a_reader_that_goes_away_after_a_line_is_no_traceback(own_em: EM, home: Path, folder: str) -> None:
    make(own_em.volume / folder, **{f"f{index:03}": "x" * 2000 for index in range(200)})
    command = f"{sys.executable} -m emasync down {folder}/ --into out --json | head -1; exit ${{PIPESTATUS[0]}}"

    result = subprocess.run(
        ["bash", "-c", command],
        env=environment(home, own_em.login),
        cwd=home,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
        text=True,
    )

    assert json.loads(result.stdout)["type"] == "file"
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "Exception" not in result.stderr


def test_progress_on_a_terminal_is_on_stderr_and_every_control_byte_is_our_own(
    own_em: EM, home: Path, folder: str
) -> None:
    make(own_em.volume / folder, **{"\x1b]0;owned\x07[red]x": "hostile" * 100, "b": "2"})
    ours, theirs = pty.openpty()
    words = ("down", f"{folder}/", "--into", "out", "--progress", "tty")
    with subprocess.Popen(
        [sys.executable, *EMASYNC, *words],
        env=environment(home, {**own_em.login, "TERM": "xterm", "COLUMNS": "100"}),
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=theirs,
        encoding="utf-8",
    ) as process:
        os.close(theirs)
        seen = _drain(ours)
        out, _ = process.communicate(timeout=LIMIT_S)

    assert out.startswith("1 file, 1 B in ")  # a name with control characters is refused
    assert "\x1b" not in out
    assert "downlink" in seen
    assert "\x1b]0;" not in seen
    assert "\x07" not in seen


def _drain(terminal: int) -> str:
    seen = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # how Linux says that nobody has the other end any more
            piece = b""
        if not piece:
            os.close(terminal)
            return seen.decode("utf-8", "replace")
        seen += piece


def test_the_help_of_each_command_has_two_examples() -> None:
    commands = ["up", "down", "check", "sync", "sync up", "sync down", *(f"jobs {name}" for name in JOBS)]
    for command in commands:
        result = CliRunner().invoke(root, [*command.split(), "--help"], prog_name="emasync")

        assert result.exit_code == 0
        assert len(re.findall(f"^  emasync {command} ?", result.output, re.MULTILINE)) >= 2, command


def test_a_limit_too_low_to_tell_from_a_dead_link_is_misuse(own_em: EM, home: Path) -> None:
    result = emasync(own_em, home, "up", ".", "--bwlimit", "10")

    assert (result.returncode, result.stdout) == (2, "")
    assert "--bwlimit" in result.stderr


def test_the_password_is_in_no_output_and_in_no_file(own_em: EM, home: Path, folder: str) -> None:
    make(home / "data", a="one")

    loud = emasync(own_em, home, "up", "data", "gone", "--to", folder, "-vv", "--report", "report.jsonl")

    assert loud.returncode == 6
    assert CANARY not in loud.stdout + loud.stderr
    kept = [path for path in home.rglob("*") if path.is_file()]
    assert any(path.suffix == ".journal" for path in kept)
    assert [path for path in kept if CANARY.encode() in path.read_bytes()] == []
